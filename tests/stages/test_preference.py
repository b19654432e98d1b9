"""Preference stages: their losses against plain transformers, what splits may not change, and what they teach."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import play, shaken
from helpers.runs import SMALL, Listed, Warnings, go, metrics
from torch import Tensor
from torch.nn.functional import logsigmoid

from whet.engines.native import Native
from whet.engines.remote import Remote
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.derived import Copy, Follow
from whet.models.lm import LM
from whet.models.lora import Lora
from whet.models.tiny import TinyQwen
from whet.objectives.likelihood import Likelihood
from whet.objectives.pair_logistic import PairLogistic
from whet.objectives.pair_square import PairSquare
from whet.objectives.prospect import Prospect
from whet.run import INTERRUPT, Interrupted, Run, Save
from whet.stages import preference
from whet.stages.learning import Auxiliary, Train
from whet.stages.preference import Feedback, Preference
from whet.stages.sft import SFT
from whet.types import Decoding, Problem
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.where import Where


@dataclass(frozen=True)
class Other:
    """A reference that is another model, so that margins are not 0."""

    number: int = 9

    def build(self, seed: int) -> LM:
        return shaken(SMALL, self.number)


SAID = ["yes", "it may be", "<answer>4</answer>", "no, never", "5"]
PAIRS = Listed(
    tuple(
        Problem(f"p{i}", f"{i} or {i + 2}?", None, {"chosen": text, "rejected": SAID[i - 1] + "!"})
        for i, text in enumerate(SAID)
    )
)
MIXED = Listed(  # a pair, and single texts of both kinds
    (
        PAIRS.problems[0],
        replace(PAIRS.problems[1], info={"chosen": "b"}),
        replace(PAIRS.problems[2], info={"rejected": "cc"}),
    )
)
DPO = Train(PairLogistic(0.3), SequenceMean(), lr=0.0)
IPO = Train(PairSquare(0.3), SequenceMean(), lr=0.0)
KTO = Train(Prospect(0.3, desirable=1.3), SequenceMean(), lr=0.0)
OTHER = {"reference": Other()}


def logp(lm: LM, prompt: str, text: str) -> Tensor:
    """log pi(text and its end | prompt), by transformers alone."""
    tokenizer = lm.codec.tokenizer
    before = tokenizer.encode(prompt)
    ids = torch.tensor([[*before, *tokenizer.encode(text, add_special_tokens=False), lm.codec.eos[0]]])
    said = lm.hf(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return said[len(before) - 1 :].sum()


def apart(lm: LM, frozen: LM, problem: Problem, name: str, prompt: str = "") -> Tensor:
    asked = prompt or str(problem.prompt)
    return logp(lm, asked, problem.info[name]) - logp(frozen, asked, problem.info[name]).detach()


def margins(lm: LM, frozen: LM) -> Tensor:
    return torch.stack([apart(lm, frozen, p, "chosen") - apart(lm, frozen, p, "rejected") for p in PAIRS.problems])


def formula(stage: Preference | Feedback, lm: LM, frozen: LM) -> Tensor:
    """The loss over all problems, written out."""
    objective = stage.train.objective
    if isinstance(objective, PairLogistic):
        return -logsigmoid(0.3 * margins(lm, frozen)).mean()
    if isinstance(objective, PairSquare):
        return ((margins(lm, frozen) - 1 / 0.6) ** 2).mean()
    first, second, third = MIXED.problems
    order = drawn_in_order(stage)
    z = point(lm, frozen, order)
    up = [apart(lm, frozen, first, "chosen"), apart(lm, frozen, second, "chosen")]
    down = [apart(lm, frozen, first, "rejected"), apart(lm, frozen, third, "rejected")]
    each = [1.3 * torch.sigmoid(-0.3 * (r - z)) for r in up] + [torch.sigmoid(-0.3 * (z - r)) for r in down]
    return torch.stack(each).mean()


def drawn_in_order(stage: Preference | Feedback) -> list[Problem]:
    run = Run(Path("."), 0, {}, [stage])
    return preference.drawn(stage.task, "train", 3, 0, run.stream("draw"))


def point(lm: LM, frozen: LM, order: list[Problem]) -> float:
    """Each prompt with the next problem's texts."""
    pairs = zip(order, [*order[1:], order[0]], strict=True)
    found = [
        apart(lm, frozen, other, name, str(problem.prompt)).item()
        for problem, other in pairs
        for name in ("chosen", "rejected")
        if name in other.info
    ]
    assert len(found) == 4
    return max(0.0, sum(found) / 4)


STAGES = {
    "dpo": Preference(PAIRS, steps=1, problems=5, train=DPO, models=OTHER),
    "ipo": Preference(PAIRS, steps=1, problems=5, train=IPO, models=OTHER),
    "kto": Feedback(MIXED, steps=1, problems=3, train=KTO, models={"reference": Other(7)}),
    "kto below 0": Feedback(MIXED, steps=1, problems=3, train=KTO, models=OTHER),
}
every_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


def gradients(
    stage: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str = "", **machine: Any
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Those of the stage's one step, and what it told."""
    found: dict[str, Tensor] = {}
    lm = shaken(SMALL)
    update = Local.update

    def listening(self: Local, lr: float, clip_norm: float) -> dict[str, float]:
        found.update({name: p.grad.clone() for name, p in self.lm.named_parameters() if p.grad is not None})
        return update(self, lr, clip_norm)

    monkeypatch.setattr(Local, "update", listening)
    if way:
        monkeypatch.setattr("whet.learners.local.fused", lambda lm: None)
        lm.__dict__["packs"] = way == "packed"
    folder.mkdir()
    go(folder, stage, lm=lm, machine=Machine(**machine))
    monkeypatch.undo()
    return found, metrics(folder)[0]


def agree(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert a.keys() == b.keys() and a
    norm = math.sqrt(sum(float(x.double().pow(2).sum()) for x in b.values()))
    assert norm > 1e-3
    assert max(float((a[k] - b[k]).abs().max()) for k in a) / norm < 1e-5


@every_stage
def test_loss_and_gradient_are_those_of_the_formula_in_plain_transformers(
    stage: Preference | Feedback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, told = gradients(stage, tmp_path / "a", monkeypatch)
    lm, frozen = shaken(SMALL), stage.models["reference"].build(0)  # type: ignore[union-attr]
    loss = formula(stage, lm, frozen)
    loss.backward()
    assert told["loss"] == pytest.approx(loss.item(), rel=1e-5)
    agree(found, {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None})
    if isinstance(stage, Feedback):
        assert told["kl"] == pytest.approx(point(lm, frozen, drawn_in_order(stage)), rel=1e-4)
        assert told["kl"] > 0.5 if stage is STAGES["kto"] else told["kl"] == 0
    else:
        ahead = (margins(lm, frozen) > 0).float().mean().item()
        assert told["accuracy"] == pytest.approx(ahead) and 0 < ahead < 1
        assert told["reward/margin"] == pytest.approx(0.3 * margins(lm, frozen).mean().item(), rel=1e-3)
        said = [logp(lm, str(p.prompt), p.info["chosen"]).item() for p in PAIRS.problems]
        assert told["logprob/chosen"] == pytest.approx(sum(said) / 5, rel=1e-5)


@every_stage
def test_neither_micro_batches_nor_padding_change_gradient_or_metrics(
    stage: Preference | Feedback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, told = gradients(stage, tmp_path / "whole", monkeypatch)
    for i, (way, tokens) in enumerate([("", 1), ("", 60), ("packed", 1), ("padded", 1), ("padded", 10**6)]):
        found, said = gradients(stage, tmp_path / str(i), monkeypatch, way, micro_tokens=tokens)
        agree(found, whole)
        for name in set(told) - {"time/learn", "stage"}:
            assert said[name] == pytest.approx(told[name], rel=1e-4, abs=1e-5), name


def test_per_token_compares_means_over_tokens(tmp_path: Path) -> None:
    go(tmp_path, replace(STAGES["dpo"], per_token=True), lm=shaken(SMALL))
    lm, frozen = shaken(SMALL), shaken(SMALL, 9)
    encode = lm.codec.tokenizer.encode
    each = []
    for p in PAIRS.problems:
        sides = [apart(lm, frozen, p, name).item() / (len(encode(p.info[name])) + 1) for name in ("chosen", "rejected")]
        each.append(math.log1p(math.exp(-0.3 * (sides[0] - sides[1]))))
    assert metrics(tmp_path)[0]["loss"] == pytest.approx(sum(each) / 5, rel=1e-5)


def test_the_reference_is_the_model_as_it_was_when_the_stage_began(tmp_path: Path) -> None:
    before = SFT(task=Listed((Problem("s", "1+1=", None, {"solution": "2"}),)), steps=3, problems=1)
    go(tmp_path, before, Preference(PAIRS, steps=2, problems=5, train=replace(DPO, lr=1e-2)))
    first, second = metrics(tmp_path)[3:]
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-6)
    assert first["accuracy"] == 0.5 and first["reward/margin"] == 0
    assert second["accuracy"] > 0.5 and second["loss"] < first["loss"]


def test_a_likelihood_beside_it_is_one_of_the_chosen_texts_alone(tmp_path: Path) -> None:
    train = replace(DPO, auxiliary={"nll": Auxiliary(Likelihood(), Where("chosen", SequenceMean()), 0.2)})
    go(tmp_path, replace(STAGES["dpo"], train=train))
    lm, line = shaken(SMALL), metrics(tmp_path)[0]
    encode = lm.codec.tokenizer.encode
    nll = [
        -logp(lm, str(p.prompt), p.info["chosen"]).item() / (len(encode(p.info["chosen"])) + 1) for p in PAIRS.problems
    ]
    assert line["nll/loss"] == pytest.approx(sum(nll) / 5, rel=1e-5)
    assert line["loss"] == pytest.approx(
        formula(STAGES["dpo"], lm, shaken(SMALL, 9)).item() + 0.2 * sum(nll) / 5, rel=1e-5
    )


def test_with_an_adapter_the_reference_is_the_base_and_shares_it(tmp_path: Path) -> None:
    lm = Lora(SMALL, rank=2).around(shaken(SMALL), 1)
    base = lm.hf.get_input_embeddings().weight.clone()
    run = go(tmp_path, Preference(PAIRS, steps=3, problems=5, train=replace(DPO, lr=1e-2)), lm=lm)
    lines = metrics(tmp_path)
    assert lines[0]["reward/margin"] == 0 and lines[-1]["reward/margin"] > 0.01
    assert torch.equal(run.lms["policy"].hf.get_input_embeddings().weight, base)


# --- once, and again


def scored_by(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call to the reference scores."""
    counts: list[int] = []
    whole = preference._Reference._scored

    def counted(self: Any, trajectories: Any) -> list[Tensor]:
        counts.append(len(trajectories))
        return whole(self, trajectories)

    monkeypatch.setattr(preference._Reference, "_scored", counted)
    return counts


def test_every_text_of_a_finite_data_set_is_scored_by_the_reference_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = scored_by(monkeypatch)
    go(tmp_path, Preference(PAIRS, steps=7, problems=2))
    assert sum(counts) == 5 and counts[:3] == [2, 2, 1]


def test_a_reference_that_follows_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = scored_by(monkeypatch)
    train = replace(DPO, lr=1e-2)
    go(tmp_path, Preference(PAIRS, steps=4, problems=5, train=train, models={"reference": Follow(every=2)}))
    assert counts == [5] * 4
    assert [line["reward/margin"] == 0 for line in metrics(tmp_path)] == [True, False, True, False]


class Stops(Warnings):
    """A screen that asks the run to stop after some steps of its first stage."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.at = step

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        if done == self.at:
            INTERRUPT.set()


@pytest.mark.parametrize("kind", ["dpo", "kto", "following"])
def test_a_run_that_is_resumed_is_the_one_that_was_not_stopped(kind: str, tmp_path: Path) -> None:
    """To the bit, in the first epoch, in the middle of a later one, and after the last step."""
    common: dict[str, Any] = {"steps": 6, "problems": 2, "test": "test", "every": 3, "save": Save(every=2)}
    fast = {"lr": 1e-2, "epochs": 2, "minibatches": 2, "warmup": 3}
    dpo = Preference(PAIRS, train=replace(DPO, **fast), **common)
    stage: Any = {
        "dpo": dpo,
        "kto": Feedback(PAIRS, train=replace(KTO, **fast), **common),
        "following": replace(dpo, models={"reference": Follow(tau=0.5)}),
    }[kind]

    def left(name: str, stop: int = 0) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
        folder = tmp_path / name
        folder.mkdir()
        if stop:
            with pytest.raises(Interrupted):
                go(folder, stage, screen=Stops(stop))
            INTERRUPT.clear()
        run = go(folder, stage)
        return [drop(line) for line in metrics(folder)], run.lms["policy"].state_dict()

    told, weights = left("plain")
    assert len(told) == 6
    for stop in (1, 4, 6):
        said, others = left(f"stopped-{stop}", stop)
        assert said == told
        assert all(torch.equal(value, weights[name]) for name, value in others.items())


def drop(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if not name.startswith("time/")}


# --- what they teach


WORDS = ("red", "blue")


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> LM:
    """A model that says one word as often as the other."""
    lm = TinyQwen(width=32, layers=2, context=32).build(0)
    both = [Problem(f"{i}{w}", f"{i}?", None, {"solution": w}) for i in range(10) for w in WORDS]
    stage = SFT(Listed(tuple(both)), steps=60, problems=20, train=Train(Likelihood(), lr=1e-2, betas=(0.9, 0.95)))
    return go(tmp_path_factory.mktemp("undecided"), stage, lm=lm).lms["policy"]


def share(lm: LM, prompts: list[str]) -> dict[str, float]:
    said = [t.turns[-1].text for t in play(Native(lm), prompts * 16, Decoding(6))]
    return {word: count / len(said) for word, count in Counter(said).items()}


LIKED = Listed(tuple(Problem(str(i), f"{i}?", None, {"chosen": "blue", "rejected": "red"}) for i in range(8)))
LABELS = Listed(
    tuple(
        Problem(str(i), f"{i % 8}?", None, {("chosen", "rejected")[i // 8]: ("blue", "red")[i // 8]}) for i in range(16)
    )
)


@pytest.mark.parametrize(
    "stage",
    [
        Preference(LIKED, steps=25, problems=8),
        Preference(LIKED, steps=25, problems=8, train=Train(PairSquare(), SequenceMean(), lr=5e-4)),
        Feedback(LABELS, steps=60, problems=8),
    ],
    ids=["dpo", "ipo", "kto"],
)
def test_what_is_preferred_is_said_more_often(stage: Any, undecided: LM, tmp_path: Path) -> None:
    """Also behind prompts that were in no pair."""
    asked = ["8?", "9?"]
    before = share(undecided, asked)
    assert 0.3 < before["blue"] < 0.7 and before["red"] + before["blue"] > 0.9
    after = share(go(tmp_path, stage, lm=Copy().derive(undecided)).lms["policy"], asked)
    assert after["blue"] > 0.85
    line = metrics(tmp_path)[-1]
    assert line["accuracy"] == 1


# --- what is refused


def test_what_can_not_be_compared_is_refused_before_any_work(tmp_path: Path) -> None:
    long = Problem("long", "p", None, {"chosen": "x" * 80, "rejected": "y"})
    cases: list[tuple[Any, str]] = [
        (Preference(MIXED), r"'p1' has no info\['rejected'\]"),
        (Preference(Listed((long,))), "'long' with its chosen has 82 tokens"),
        (Feedback(Listed((Problem("bare", "p"),) * 2)), r"'bare' has neither info\['chosen'\] nor"),
        (
            Preference(
                Listed((Problem("e", "p", None, {"chosen": [{"role": "user", "content": "a"}], "rejected": "b"}),))
            ),
            r"'e': info\['chosen'\] has no assistant's turn",
        ),
        (Preference(PAIRS, models={"reference": Remote("http://127.0.0.1:9", "m")}), "no endpoint answers|is remote"),
    ]
    for stage, said in cases:
        with pytest.raises(ValueError, match=said):
            go(tmp_path, stage)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_reference_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    other = TinyQwen(width=32, layers=2, context=64, alphabet="ab")
    with pytest.raises(ValueError, match="reference asks 'reference' to score the policy's tokens"):
        go(tmp_path, Preference(PAIRS, models={"reference": other}))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reference": "policy"}, "would compare 'policy' with itself"),
        ({"model": "guide"}, "the reference would be a copy of 'policy'"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"every": 0}, "every must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    for kind in (Preference, Feedback):
        with pytest.raises(ValueError, match=said):
            kind(PAIRS, **fields)


def test_the_point_of_kto_needs_another_prompt() -> None:
    with pytest.raises(ValueError, match="problems must be at least 2, got 1"):
        Feedback(PAIRS, problems=1)


def test_another_model_learns_against_its_own_copy(tmp_path: Path) -> None:
    lm = shaken(SMALL)
    stage = Preference(
        PAIRS, steps=2, problems=5, model="guide", models={"reference": Copy("guide")}, train=replace(DPO, lr=1e-2)
    )
    run = Run(tmp_path, 0, {"policy": lm, "guide": shaken(SMALL, 3)}, [stage])
    before = {name: weights.clone() for name, weights in lm.state_dict().items()}
    asyncio.run(run.go())
    assert metrics(tmp_path)[0]["reward/margin"] == 0
    assert all(torch.equal(weights, before[name]) for name, weights in lm.state_dict().items())
