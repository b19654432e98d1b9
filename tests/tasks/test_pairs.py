"""Preferences in the layouts in which they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whet.tasks.pairs import Pairs
from whet.tasks.rows import Rows
from whet.types import Problem


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def first(tmp_path: Path, *rows: dict[str, Any], prompt: str = "prompt", system: str = "", **fields: Any) -> Problem:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pairs(Rows(str(path), prompt=prompt, answer="", system=system), **fields).problem("all", 0)


def test_texts_in_columns(tmp_path: Path) -> None:
    problem = first(tmp_path, {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "margin": 2, "level": 3})
    assert problem.prompt == [user("Why?")]
    assert (problem.info["chosen"], problem.info["rejected"], problem.info["margin"]) == ("Because.", "No.", 2.0)
    assert problem.info["columns"]["level"] == 3


def test_columns_of_other_names_and_nested_ones(tmp_path: Path) -> None:
    row = {"q": "Why?", "pair": {"good": "a", "bad": "b"}, "by": 0.5}
    problem = first(tmp_path, row, prompt="q", chosen="pair.good", rejected="pair.bad", margin="by")
    assert [problem.info[k] for k in ("chosen", "rejected", "margin")] == ["a", "b", 0.5]


@pytest.mark.parametrize("system", ["", "Be brief."])
@pytest.mark.parametrize("whole", [False, True])
def test_messages_go_on_from_the_prompt_whether_or_not_they_repeat_it(whole: bool, system: str, tmp_path: Path) -> None:
    before = [user("Why?")] if whole else []
    problem = first(
        tmp_path,
        {"prompt": "Why?", "chosen": [*before, said("a")], "rejected": [*before, said("b"), user("?"), said("c")]},
        system=system,
    )
    assert problem.info["chosen"] == "a"
    assert problem.info["rejected"] == [said("b"), user("?"), said("c")]


def test_without_a_prompt_column_it_is_what_both_conversations_have_in_common(tmp_path: Path) -> None:
    common = [user("Hi"), said("Hello"), user("Why?")]
    row = {"chosen": [*common, said("a")], "rejected": [*common, said("b"), user("?"), said("c")]}
    for system in ("", "Be brief."):
        problem = first(tmp_path, row, prompt="chosen", system=system)
        lead = [{"role": "system", "content": system}] if system else []
        assert problem.prompt == [*lead, *common]
        assert problem.info["chosen"] == "a"
        assert problem.info["rejected"] == [said("b"), user("?"), said("c")]


@pytest.mark.parametrize(("label", "name", "other"), [(True, "chosen", "rejected"), (0, "rejected", "chosen")])
def test_single_labelled_texts(label: Any, name: str, other: str, tmp_path: Path) -> None:
    problem = first(tmp_path, {"prompt": "p", "completion": "c", "label": label}, chosen="completion", label="label")
    assert problem.info[name] == "c" and other not in problem.info


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p", "chosen": "a"}, "pairs/all/0 has no column 'rejected'; its columns are chosen"),
        ({"prompt": "p", "rejected": "a"}, "pairs/all/0 has no column 'chosen'"),
        ({"prompt": "p", "chosen": "", "rejected": "b"}, "pairs/all/0: a text is empty"),
        ({"prompt": "p", "chosen": [user("q"), said("a")], "rejected": "b"}, "messages that go on from the prompt"),
        ({"prompt": "p", "chosen": [said("a"), user("q")], "rejected": "b"}, "end with the assistant's"),
        ({"prompt": "p", "chosen": 3, "rejected": "b"}, "expected a text"),
    ],
)
def test_rows_that_can_not_be_pairs_are_told(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        first(tmp_path, row)


def test_a_label_that_is_none_is_told(tmp_path: Path) -> None:
    row = {"prompt": "p", "completion": "c", "label": "good"}
    with pytest.raises(ValueError, match="'label' must be true or false, 1 or 0, got 'good'"):
        first(tmp_path, row, chosen="completion", label="label")


def test_splits_are_those_of_the_rows(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i % 20}", "chosen": f"a{i}", "rejected": "b"} for i in range(40)]
    first(tmp_path, *rows)
    inner = Rows(str(tmp_path / "pairs.jsonl"), prompt="prompt", answer="")
    for split in ("train", "test"):
        assert Pairs(inner).size(split) == inner.size(split)
        assert Pairs(inner).problem(split, 1).prompt == inner.problem(split, 1).prompt
