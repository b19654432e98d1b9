"""Whether written steps of arithmetic work a question out, whatever the answer that follows them."""

from __future__ import annotations

import json
import re

from whet.verifiers.gold import BadGold

_NUMBERS = 16  # our choice: longer questions have too many ways to go about them
_QUESTION = re.compile(r"\(?(\d{1,9}(?:[-+*]\d{1,9})+)\)?(?: mod (\d{1,9}))?=\?")
_STEP = re.compile(r"(-?\d{1,18})([-+*])(-?\d{1,18})=(-?\d{1,18})")

State = tuple[tuple[int, ...], tuple[str, ...]]  # what is left of the question: its numbers, and the signs in between


def verify(answer: str, gold: str) -> str:
    """Says "right" iff `answer`, steps such as "3*4=2;2+5=7", works out the question of `gold`, which is JSON such as
    {"question": "(3*4+5) mod 10=?"}.

    Steps stand between semicolons or line ends. Each takes two neighbours of what is left of the question whose
    operation the rules of arithmetic allow next, and puts their result in their place: modulo what the question says,
    or the plain number where it says nothing. Any order that the rules allow will do. After the last step one number
    must be left: a false step, one about other numbers, one too many and one too few are all "wrong". Whether that
    number was then given as the answer is for another verifier. Blank text, and anything that is no step, is
    "unparseable".

    Raises BadGold for another gold, a question of another kind, and one of more than 16 numbers.
    """
    asked = _QUESTION.fullmatch(_question(gold))
    if not asked:
        raise BadGold(f'steps are checked against {{"question": "(3*4+5) mod 10=?"}} and its like, got {gold[:80]!r}')
    numbers, signs = re.findall(r"\d+", asked[1]), re.findall(r"[-+*]", asked[1])
    modulus = int(asked[2] or 0)
    if len(numbers) > _NUMBERS or (asked[2] is not None and modulus < 2):
        raise BadGold(f"steps are checked for up to {_NUMBERS} numbers, modulo 2 or more, got {gold!r}")
    written = [_STEP.fullmatch(part.strip()) for part in re.split("[;\n]", answer.strip())]
    if not all(written):
        return "unparseable"
    left: set[State] = {(tuple(map(int, numbers)), tuple(signs))}
    for step in written:
        assert step is not None
        a, b, result = int(step[1]), int(step[3]), int(step[4])
        value = {"+": a + b, "-": a - b, "*": a * b}[step[2]]
        true = result == (value % modulus if modulus else value)
        left = {after for before in left for after in _taken(before, a, step[2], b, result)} if true else set()
        if not left:
            return "wrong"
    return "right" if any(len(numbers) == 1 for numbers, _ in left) else "wrong"


def _question(gold: str) -> str:
    """Nothing where there is none."""
    try:
        held = json.loads(gold)
    except ValueError:
        return ""
    asked = held.get("question") if isinstance(held, dict) else None
    return asked.strip() if isinstance(asked, str) else ""


def _taken(state: State, a: int, sign: str, b: int, result: int) -> list[State]:
    """What is left after this step, for every place where it may be taken."""
    numbers, signs = state
    return [
        ((*numbers[:i], result, *numbers[i + 2 :]), (*signs[:i], *signs[i + 1 :]))
        for i, own in enumerate(signs)
        if (numbers[i], own, numbers[i + 1]) == (a, sign, b) and _next(signs, i)
    ]


def _next(signs: tuple[str, ...], i: int) -> bool:
    """Whether operation i may come next: a product always; a sum with no product beside it and no minus before it."""
    before, after = signs[i - 1] if i else "", signs[i + 1] if i + 1 < len(signs) else ""
    return signs[i] == "*" or (before not in ("-", "*") and after != "*")
