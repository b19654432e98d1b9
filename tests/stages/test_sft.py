"""Supervised stages: what is imitated, and what is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.model_small import generated, play, shaken
from helpers.runs import SMALL, Listed, go, metrics, sums

from whet.engines.native import Native
from whet.models.codec import Codec
from whet.models.derived import Copy
from whet.models.tiny import bpe_tokenizer
from whet.objectives.likelihood import Likelihood
from whet.rollouts.chunked import Chunked
from whet.run import Run
from whet.stages.learning import Train
from whet.stages.sft import SFT, Pretrain, completed, document, drawn, worked
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding, Problem

FAST = Train(Likelihood(), lr=1e-2, betas=(0.9, 0.95))


def test_solutions_are_imitated(tmp_path: Path) -> None:
    lm = shaken(SMALL)
    run = go(tmp_path, SFT(task=sums(3), steps=40, problems=3, train=FAST), lm=lm)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(40))
    assert lines[-1]["nll"] < 0.1 < 1 < lines[0]["nll"]
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["nll"], rel=1e-5)
    said = [t.turns[-1].text for t in play(Native(run.lms["policy"]), ["0+1=", "2+1="], Decoding(20, 0.0))]
    assert said == ["<answer>1</answer>", "<answer>3</answer>"]
    assert generated(run.lms["policy"], torch.tensor(lm.codec.tokenizer.encode("1+1=")), 20)[-1] in lm.codec.eos


def test_a_stage_may_end_once_the_loss_is_small_enough(tmp_path: Path) -> None:
    whole = SFT(task=sums(3), steps=40, problems=3, train=FAST)
    go(tmp_path / "whole", whole, lm=shaken(SMALL))
    losses = [line["loss"] for line in metrics(tmp_path / "whole")]
    first = next(i for i, loss in enumerate(losses) if loss <= 0.5)
    go(tmp_path / "short", replace(whole, enough=0.5), lm=shaken(SMALL))
    assert [line["loss"] for line in metrics(tmp_path / "short")] == losses[: first + 1] and first < 39


def test_a_finite_data_set_goes_by_in_shuffled_epochs() -> None:
    task = sums(5)
    seen = [p.id for step in range(10) for p in drawn(task, "train", 3, step, 7)]
    epochs = [seen[i : i + 5] for i in range(0, 30, 5)]
    assert all(sorted(epoch) == [f"p{i}" for i in range(5)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 2
    assert [p.id for p in drawn(task, "train", 3, 4, 7)] == seen[12:15]  # a function of the step


def test_an_endless_task_gives_fresh_problems_at_every_step() -> None:
    task = ChainSum(terms=3, largest=99)
    ids = [p.id for step in range(4) for p in drawn(task, "train", 5, step, 7)]
    assert len(set(ids)) == 20
    assert ids[5:10] == [p.id for p in drawn(task, "train", 5, 1, 7)]


def test_only_what_the_assistant_says_is_trained_in_every_turn() -> None:
    lm = SMALL.build(0)
    turns = [
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": "second"},
    ]
    problem = Problem("p", [{"role": "user", "content": "hello"}], None, {"solution": turns})
    row = worked(lm.codec, problem, lm.context).rows[0]
    tokenizer = lm.codec.tokenizer
    whole = tokenizer.apply_chat_template([*problem.prompt, *turns], tokenize=False)  # type: ignore[list-item]
    assert tokenizer.decode(row.tokens) == whole
    stretches, before = [], False
    for token, on in zip(row.tokens.tolist(), row.trained.tolist(), strict=True):
        if on and not before:
            stretches.append([])
        if on:
            stretches[-1].append(token)
        before = on
    assert [tokenizer.decode(s) for s in stretches] == [f"first{tokenizer.eos_token}", f"second{tokenizer.eos_token}"]
    assert not row.sampled.any()


def test_what_a_tool_says_amid_a_turn_is_not_trained_and_the_turn_goes_on() -> None:
    """t t <code> c c </code> <interpreter> 4 2 </interpreter> a EOS: all but the interpreter's four."""
    lm = SMALL.build(0)
    lm.codec.tokenizer.add_tokens(["<code>", "</code>", "<interpreter>", "</interpreter>"])
    trace = [
        {"role": "assistant", "content": "tt<code>cc</code>"},
        {"role": None, "content": "<interpreter>42</interpreter>"},
        {"role": "assistant", "content": "a"},
    ]
    problem = Problem("p", [{"role": "user", "content": "hello"}], None, {"solution": trace})
    made = worked(lm.codec, problem, lm.context)
    (row,), prompt = made.rows, made.turns[0].stop
    assert row.trained[prompt:].tolist() == [x == "1" for x in "111111000011"]
    assert not row.trained[:prompt].any() and not row.sampled.any() and made.stop == "eos"
    tokens = lm.codec.tokenizer.convert_ids_to_tokens(row.tokens[prompt:].tolist())
    assert tokens == [
        "t",
        "t",
        "<code>",
        "c",
        "c",
        "</code>",
        "<interpreter>",
        "4",
        "2",
        "</interpreter>",
        "a",
        "<eos>",
    ]
    assert [turn.role for turn in made.turns] == ["prompt", "policy", "env", "policy"]


def test_pieces_of_a_turn_are_tokenized_apart_so_that_no_token_lies_on_both_sides() -> None:
    codec = Codec(bpe_tokenizer(["abababab"] * 50, 270))
    assert len(codec.tokenizer.encode("abab")) < 4  # joined, they would be fewer tokens
    trace = [{"role": r, "content": c} for r, c in (("assistant", "a"), (None, "b"), ("assistant", "a"))]
    made = completed(codec, Problem("p", [{"role": "user", "content": "x"}], None, {"solution": trace}), 99, "solution")
    start = made.turns[0].stop
    assert codec.tokenizer.decode(made.rows[0].tokens[start:]) == "aba<|im_end|>"
    assert made.rows[0].trained[start:].tolist() == [True, False, True, True]


def test_the_loss_is_that_of_plain_transformers_with_labels(tmp_path: Path) -> None:
    lm = shaken(SMALL)
    problem = sums(8).problem("train", 5)
    row = worked(lm.codec, problem, lm.context).rows[0]
    labels = torch.where(row.trained, row.tokens, -100)[None]
    expected = lm.hf(input_ids=row.tokens[None], labels=labels).loss.item()
    go(tmp_path, SFT(task=Listed((problem,)), steps=1, problems=1, train=FAST), lm=lm)
    assert metrics(tmp_path)[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_solution_is_imitated_in_the_rows_of_a_rollout(tmp_path: Path) -> None:
    """100 characters and EOS do not fit the context of 64; in chunks they do, and each token counts once."""
    lm = shaken(SMALL)
    problem = Problem("long", "1+1=", "2", {"solution": "ab" * 50})
    chunks = Chunked(carry=10, chunks=3, head=2, decoding=Decoding(max_tokens=50))
    rows = worked(lm.codec, problem, lm.context, like=chunks).rows
    assert [int(row.trained.sum()) for row in rows] == [50, 40, 11]
    assert [len(row) for row in rows] == [54, 56, 27]
    summed = 0.0
    for row in rows:
        labels = torch.where(row.trained, row.tokens, -100)[None]
        summed += lm.hf(input_ids=row.tokens[None], labels=labels).loss.item() * int(row.trained.sum())
    go(tmp_path, SFT(Listed((problem,)), steps=1, problems=1, train=FAST, like=chunks), lm=lm)
    assert metrics(tmp_path)[0]["loss"] == pytest.approx(summed / 101, rel=1e-5)
    with pytest.raises(ValueError, match="'long' with its solution has 105 tokens"):
        worked(lm.codec, problem, lm.context)


def test_the_loss_on_documents_is_that_of_plain_transformers(tmp_path: Path) -> None:
    lm = shaken(SMALL)
    problem = Problem("d", "a document of some words")
    row = document(lm.codec, problem, lm.context).rows[0]
    assert int(row.tokens[-1]) in lm.codec.eos
    expected = lm.hf(input_ids=row.tokens[None], labels=row.tokens[None]).loss.item()
    go(tmp_path, Pretrain(task=Listed((problem,)), steps=30, problems=1, train=FAST), lm=lm)
    lines = metrics(tmp_path)
    assert lines[0]["loss"] == pytest.approx(expected, rel=1e-5)
    assert lines[0]["nll"] == pytest.approx(expected, rel=1e-5)
    assert lines[-1]["loss"] < 0.2
    assert lines[0]["stage"] == "pretrain"


def test_a_long_document_is_cut_to_the_context() -> None:
    lm = SMALL.build(0)
    assert len(document(lm.codec, Problem("d", "x" * 500), lm.context).rows[0]) == lm.context


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem("bare", "1+1=", "2"), "'bare' has no info\\['solution'\\]"),
        (Problem("long", "1+1=", "2", {"solution": "x" * 80}), "'long' with its solution has 8. tokens .* is 64"),
        (Problem("wide", "1+" * 40, "2", {"solution": "x"}), "'wide' has 8. tokens and the context holds 64"),
    ],
)
def test_what_can_not_be_imitated_is_refused_before_any_work(problem: Problem, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        go(tmp_path, SFT(task=Listed((problem,)), steps=1))
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_document_that_is_none_is_refused(tmp_path: Path) -> None:
    for prompt in ("", [{"role": "user", "content": "a"}]):
        with pytest.raises(ValueError, match="'d': Pretrain reads documents"):
            go(tmp_path, Pretrain(task=Listed((Problem("d", prompt),)), steps=1))


def test_a_model_beside_the_policy_can_be_the_one_that_learns(tmp_path: Path) -> None:
    lm = shaken(SMALL)
    before = {name: weights.clone() for name, weights in lm.state_dict().items()}
    run = Run(tmp_path, 0, {"policy": lm, "guide": Copy().derive(lm)}, [SFT(task=sums(3), steps=2, model="guide")])
    asyncio.run(run.go())
    assert all(torch.equal(weights, before[name]) for name, weights in lm.state_dict().items())
    assert any(not torch.equal(weights, before[name]) for name, weights in run.lms["guide"].state_dict().items())
    with pytest.raises(ValueError, match="names the model 'other'"):
        go(tmp_path, SFT(task=sums(3), model="other"))


def test_stages_follow_one_another_with_optimizers_of_their_own(tmp_path: Path) -> None:
    stage = SFT(task=sums(3), steps=2, problems=3, train=replace(FAST, warmup=2))
    go(tmp_path, stage, stage)
    lines = metrics(tmp_path)
    assert [(line["number"], line["step"], line["lr"]) for line in lines] == [
        (0, 0, 0.005),
        (0, 1, 0.01),
        (1, 0, 0.005),
        (1, 1, 0.01),
    ]
    assert lines[-1]["tokens"] == 2 * lines[1]["tokens"]
