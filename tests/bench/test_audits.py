"""Every verifier is audited, on problems that it can read."""

from __future__ import annotations

import shutil

import pytest

from bench.audits import CASES, FILES, HEAD, Case, audited, line
from whet.verifiers import find


def test_every_verifier_is_audited_and_every_file_is_used() -> None:
    assert {case.reward for case in CASES} == {*find.known(), "code"}
    assert {case.task for case in CASES if case.task.endswith(".jsonl")} == {file.name for file in FILES.iterdir()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reward} {case.task}")
def test_what_is_known_to_be_right_is_taken_and_what_is_known_to_be_wrong_is_not(case: Case) -> None:
    if case.reward == "code" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    found = audited(case, problems=3)
    assert found["false negatives"]["value"] == 0, found["worst"]
    assert not any(of["failed"] for of in found["kinds"].values())
    known = found["kinds"].get("known wrong")
    assert known is None or known["taken"]["value"] == 0, found["worst"]
    assert len(line(case, found)) == len(HEAD)


def test_a_case_is_a_command() -> None:
    assert Case("gsm8k", "chain-sum", "#### {}").command == 'whet audit gsm8k --task chain-sum --frame "#### {}"'
    assert Case("math", "math.jsonl").command == "whet audit math --task bench/problems/math.jsonl"
