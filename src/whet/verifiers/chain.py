"""Where a chain of sums first goes wrong."""

from __future__ import annotations

import re

_QUESTION = re.compile(r"(\d+)((?:[+-]\d+)+)=\?")
_STEP = re.compile(r"(-?\d+)([+-])(\d+)=(-?\d+)")
_ANSWER = re.compile(r"<answer>(-?\d+)")


def first_wrong(question: str, reply: str) -> int | None:
    """The place in `reply` (a character) of the first number or sign that is wrong, None if there is none.

    The question is "4+5-6=?", a reply "<think>4+5=9;9-6=3</think><answer>3</answer>": a step must go on from the result
    before it, take the next sign and number of the question, and be right about its own result; the answer must be the
    question's. What belongs to no step and no answer is not looked at, and nor are steps after the answer.
    ValueError for another kind of question.
    """
    asked = _QUESTION.fullmatch(question)
    if not asked:
        raise ValueError(f'first_wrong reads sums from left to right such as "4+5-6=?", got {question!r}')
    left = [(sign, int(number)) for sign, number in re.findall(r"([+-])(\d+)", asked[2])]
    value = int(asked[1])
    total = value + sum(number if sign == "+" else -number for sign, number in left)
    answer = _ANSWER.search(reply)
    for step in _STEP.finditer(reply, 0, answer.start() if answer else len(reply)):
        sign, number = left.pop(0) if left else ("", None)
        right = [int(step[1]) == value, step[2] == sign, int(step[3]) == number]
        value = int(step[1]) + (int(step[3]) if step[2] == "+" else -int(step[3]))
        right.append(int(step[4]) == value)
        if not all(right):
            return step.start(1 + right.index(False))
    return answer.start(1) if answer and int(answer[1]) != total else None
