from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers.played import Attempt, Told, said, write_step
from tokenizers import Tokenizer, decoders, models

from whet.view.folders import Missing
from whet.view.tokens import attempt_rows, shown
from whet.view.words import Words, words_of

LINE = {
    "step": 5,
    "row": 0,
    "tokens": [7, 8, 9],
    "sampled": [False, True, True],
    "trained": [False, True, False],
    "logprobs": [0.0, -1.0, -2.0],
    "learned/logprobs": [0.0, -0.5, 0.0],
    "versions": [-1, 3, 4],
    "turns": [{"role": "prompt", "start": 0, "stop": 1, "text": "a"}],
}


def test_the_ratio_is_there_where_the_loss_looks() -> None:
    arrays = shown(LINE, Words()).arrays
    assert arrays["ratio"] == [None, pytest.approx(math.exp(0.5), rel=1e-5), None]
    assert arrays["learned/logprobs"] == [None, -0.5, None] and arrays["logprobs"] == [None, -1.0, -2.0]


def test_the_reference_gap_is_of_what_was_sampled() -> None:
    arrays = shown({**LINE, "track/reference": [0.0, -1.5, -1.0]}, Words()).arrays
    assert arrays["reference gap"] == [None, 0.5, -1.0] and arrays["track/reference"] == [0.0, -1.5, -1.0]
    assert "reference gap" not in shown(LINE, Words()).arrays


def test_staleness_is_the_step_less_the_version() -> None:
    assert shown(LINE, Words()).arrays["staleness"] == [None, 2, 1]


def test_what_no_turn_names_is_the_policys_where_it_was_sampled() -> None:
    line = {**LINE, "tokens": [1] * 6, "sampled": [False, True, True, False, True, True]}
    line["turns"] = [{"role": "prompt", "start": 0, "stop": 1}, {"role": "env", "start": 3, "stop": 4}]
    found = [(part.role, part.start, part.stop, part.by) for part in shown(line, Words()).stretches]
    assert found == [
        ("prompt", 0, 1, "prompt"),
        ("policy", 1, 3, "policy"),
        ("env", 3, 4, "env"),
        ("policy", 4, 6, "policy"),
    ]


def test_turns_that_lie_outside_or_overlap_cover_each_token_once() -> None:
    turns = [
        {"role": "a", "start": -4, "stop": 2},
        {"role": "b", "start": 1, "stop": 99},
        {"role": "c", "start": 5, "stop": 3},
    ]
    parts = shown({**LINE, "turns": turns}, Words()).stretches
    assert [i for part in parts for i, _ in part.tokens] == [0, 1, 2]


def test_long_stretches_that_the_policy_did_not_write_are_folded() -> None:
    line = {"tokens": [1] * 300, "sampled": [False] * 150 + [True] * 150, "row": 0, "turns": []}
    assert [(part.role, part.open) for part in shown(line, Words()).stretches] == [("prompt", False), ("policy", True)]


def test_only_the_first_tokens_are_shown_and_all_are_counted() -> None:
    row = shown(LINE, Words(), most=2)
    assert row.total == 3 and list(row.ids) == [7, 8] and len(row.arrays["logprobs"]) == 2


def test_numbers_that_are_not_finite_are_none() -> None:
    assert shown({**LINE, "logprobs": [0.0, float("nan"), float("-inf")]}, Words()).arrays["logprobs"] == [
        None,
        None,
        None,
    ]


def test_without_a_tokenizer_ids_are_shown() -> None:
    assert Words().pieces([3, 4]) == ["⟨3⟩", "⟨4⟩"]


def test_a_broken_tokenizer_is_none(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    assert words_of(tmp_path).tokenizer is None


def test_a_token_is_what_it_adds_to_the_text_before_it() -> None:
    tokenizer = Tokenizer(models.BPE({"▁two": 0, "▁plus": 1, "s": 2, "<0xE2>": 3}, []))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])  # type: ignore[assignment]
    assert Words(tokenizer).pieces([0, 1, 2, 0]) == ["two", " plus", "s", " two"]
    assert Words(tokenizer).pieces([0, 3, 99, -1]) == ["two", "<0xE2>", "⟨99⟩", "⟨-1⟩"]


def test_a_real_runs_tokens_are_its_text(runs: Path) -> None:
    folder = runs / "quickstart" / "grpo-seed0"
    file = max((folder / "rollouts").iterdir())
    stage, step = (int(part) for part in file.stem.split("-"))
    (line,) = attempt_rows(file, stage, step, 0, "direct", 0)
    row = shown(line, words_of(folder))
    said = "".join(text for part in row.stretches for _, text in part.tokens)
    assert said.removesuffix("<eos>") == line["prompt"] + line["text"] and row.total == len(line["tokens"])
    assert {"advantages", "ratio", "learned/clipped", "learned/entropy", "learned/weights", "learned/gradient"} <= set(
        row.arrays
    )


def test_rows_of_an_attempt_come_in_order_and_another_attempt_is_missing(tmp_path: Path) -> None:
    edited = Attempt([[("prompt", "ab"), ("policy", "c")], [("prompt", "d"), ("policy", "e")]])
    file = write_step(tmp_path, 0, [Told([said("x"), edited])])
    assert [line["text"] for line in attempt_rows(file, 0, 0, 0, "direct", 1)] == ["c", "e"]
    assert [line["attempt"] for line in attempt_rows(file, 0, 0, 0, "direct")] == [0, 1, 1]
    with pytest.raises(Missing):
        attempt_rows(file, 0, 0, 0, "direct", 2)
