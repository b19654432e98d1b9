"""Arithmetic with an interpreter at hand."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest

from whet.models.tiny import TinyQwen
from whet.stages.sft import worked
from whet.tasks.snippets import WORDS, Snippets, by_hand, question, result, trace
from whet.tasks.splits import split_of
from whet.tools.interpreter import Interpreter


def solutions(task: Snippets, count: int) -> list[Any]:
    return [task.problem("train", i).info["solution"] for i in range(count)]


def test_questions_and_answers_by_hand() -> None:
    assert question("%", 345, 67) == "345%67=?"
    assert [result(*made) for made in (("*", 12, 34), ("%", 345, 67), ("%", 12, 34), ("+", 9, 8))] == [408, 10, 12, 17]


def test_calculations_by_hand() -> None:
    assert by_hand("*", 12, 34) == "12*34=360+48" and by_hand("*", 12, 304) == "12*304=3600+48"
    assert by_hand("%", 345, 67) == "345%67=345-5*67" and by_hand("+", 9, 8) == ""
    texts = [text for text in solutions(Snippets(), 60) if isinstance(text, str)]
    for text in texts:
        calculation, answer = text.removeprefix("<think>").removesuffix("</answer>").split("</think><answer>")
        sides = calculation.split("=")
        assert [str(eval(side)) for side in sides] == [answer] * 2
    assert all(t.startswith("<answer>") for t in solutions(Snippets("easy"), 60) if isinstance(t, str))


def test_a_trace_with_a_bug_hears_of_it_and_calls_again() -> None:
    said = [(m["role"], m["content"]) for m in trace("*", 12, 34, wrong=1)]
    assert said == [
        ("assistant", "<code>print(12*b)</code>"),
        (None, "<interpreter>NameError: name 'b' is not defined</interpreter>"),
        ("assistant", "<code>print(12*34)</code>"),
        (None, "<interpreter>408</interpreter>"),
        ("assistant", "<answer>408</answer>"),
    ]
    assert trace("*", 12, 34) == trace("*", 12, 34, wrong=1)[2:]


@pytest.mark.parametrize("kind", ["hard", "easy"])
def test_answers_are_right_and_in_range(kind: Any) -> None:
    for i in range(60):
        problem = Snippets(kind).problem("train", i)
        asked = problem.prompt[0]["content"].removesuffix("=?")  # type: ignore[index]
        sign = next(s for s in "*%+" if s in asked)
        a, b = map(int, asked.split(sign))
        assert problem.answer == str(result(sign, a, b)) and (sign == "+") == (kind == "easy")
        assert all(0 <= n <= 9 if kind == "easy" else 10 <= n <= 999 for n in (a, b))


def test_half_of_the_traces_have_code_and_a_fifth_of_those_a_bug() -> None:
    found = solutions(Snippets(), 1000)
    coded = [s for s in found if not isinstance(s, str)]
    assert 0.45 < len(coded) / 1000 < 0.55 and 0.16 < sum(len(s) == 5 for s in coded) / len(coded) < 0.24
    assert all(isinstance(s, str) for s in solutions(Snippets(code=0.0), 20))
    assert all(len(s) == 5 for s in solutions(Snippets(code=1.0, bugs=1.0), 20))


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_the_interpreter_says_to_the_code_what_the_traces_have() -> None:
    async def heard(messages: list[Any]) -> None:
        session = Interpreter().session()
        for spoken, answer in zip(messages[::2], [*messages[1::2], {"content": None}], strict=True):
            assert await session(spoken["content"]) == answer["content"]

    async def everything() -> None:
        tasks = (Snippets(code=1.0, bugs=0.5), Snippets("easy", code=1.0, bugs=0.5))
        await asyncio.gather(*(heard(messages) for task in tasks for messages in solutions(task, 12)))

    asyncio.run(everything())


def test_a_tokenizer_with_the_words_of_the_task_spells_every_trace() -> None:
    lm = TinyQwen(width=16, layers=1, context=112, tokenizer="word", words=WORDS).build(0)
    for task in (Snippets(code=1.0, bugs=1.0), Snippets("easy")):
        for i in range(30):
            (row,) = worked(lm.codec, task.problem("train", i), lm.context).rows
            assert lm.codec.tokenizer.unk_token_id not in row.tokens


def test_splits_share_no_question() -> None:
    for task in (Snippets(), Snippets("easy", seed=3)):
        for split in ("train", "test"):
            asked = [task.problem(split, i).prompt[0]["content"] for i in range(30)]  # type: ignore[index]
            assert {split_of(one) for one in asked} == {split}


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"kind": "odd"}, {"code": 1.5}, {"bugs": -0.1}, {"numbers": 0}):
        with pytest.raises(ValueError, match=r"Snippets\."):
            Snippets(**wrong)  # type: ignore[arg-type]
