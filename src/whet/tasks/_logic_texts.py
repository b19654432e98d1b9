"""Families whose answer is one short text: liars, a cipher, sorting, brackets, an operation that was just defined."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from whet.tasks._logic import LETTERS, Made, shuffled
from whet.tasks.splits import pick

PEOPLE = "ABCDEFGH"
BRACKETS = {"(": ")", "[": "]", "{": "}"}


def lies(rng: np.random.Generator, people: int = 3) -> Made:
    """A web of lies: one person is known, and of each person another says whether they lie. Who is true, in order of
    letters? "B says A lies; A is true. A,B?" is "yes,no". Every chain has one solution, found link by link."""
    chain = shuffled(rng, PEOPLE)[:people]
    true = [bool(pick(rng, 0, 1)) for _ in chain]
    said = [f"{chain[0]} {_role(true[0])}"]
    for (of, role), (by, own) in pairwise(zip(chain, true, strict=True)):
        said.append(f"{by} says {of} {_role(role == own)}")
    asked = sorted(chain)
    words = ["yes" if true[chain.index(name)] else "no" for name in asked]
    return Made(
        f"{'; '.join(shuffled(rng, said))}. {','.join(asked)}?",
        ",".join(f"{name}{'-+'[role]}" for name, role in zip(chain, true, strict=True)),
        ",".join(words),
        {"rule": "list", "value": ",".join(words)},
        tuple(_turned(words, k) for k in range(people)),
    )


def _role(true: bool) -> str:
    return "is true" if true else "lies"


def _turned(words: list[str], k: int) -> str:
    return ",".join([*words[:k], "no" if words[k] == "yes" else "yes", *words[k + 1 :]])


def cipher(rng: np.random.Generator, length: int = 3, shift: int = 3) -> Made:
    """Every letter of a .. j replaced by the one `n` further, around the end, n of 1 .. `shift`: "Shift 3: abj" is
    "dec"."""
    n = pick(rng, 1, shift)
    word = [pick(rng, 0, len(LETTERS) - 1) for _ in range(length)]
    moved = [(k + n) % len(LETTERS) for k in word]
    answer = "".join(LETTERS[k] for k in moved)
    last = (moved[-1] + 1) % len(LETTERS)
    return Made(
        f"Shift {n}: {''.join(LETTERS[k] for k in word)}",
        ",".join(f"{LETTERS[a]}>{LETTERS[b]}" for a, b in zip(word, moved, strict=True)),
        answer,
        {"rule": "text", "value": answer},
        (answer[:-1] + LETTERS[last], answer + answer[-1]),
    )


def sorting(rng: np.random.Generator, count: int = 3, length: int = 1) -> Made:
    """`count` different words of `length` letters in the order of the alphabet: "Sort: da,ab,ca" is "ab,ca,da". The
    steps are their first letters in order."""
    words: list[str] = []
    while len(words) < count:
        word = "".join(LETTERS[pick(rng, 0, len(LETTERS) - 1)] for _ in range(length))
        words += [word] * (word not in words)
    order = sorted(words)
    answer = ",".join(order)
    swapped = [[*order[:k], order[k + 1], order[k], *order[k + 2 :]] for k in range(count - 1)]
    return Made(
        f"Sort: {','.join(words)}",
        "".join(word[0] for word in order),
        answer,
        {"rule": "list", "value": answer},
        tuple(",".join(other) for other in swapped),
    )


def dyck(rng: np.random.Generator, length: int = 4, kinds: int = 3) -> Made:
    """Close what is open, in the right order, behind `length` brackets of `kinds` kinds: "Close: ([]{" is "})". At
    least one is open; the steps are the open ones."""
    while True:
        opened, said = "", ""
        for _ in range(length):
            if opened and rng.random() < 0.4:  # our choice: more are opened than closed
                said, opened = said + BRACKETS[opened[-1]], opened[:-1]
            else:
                bracket = list(BRACKETS)[pick(rng, 0, kinds - 1)]
                said, opened = said + bracket, opened + bracket
        if opened:
            break
    answer = "".join(BRACKETS[bracket] for bracket in reversed(opened))
    other = list(BRACKETS.values())[(list(BRACKETS.values()).index(answer[-1]) + 1) % len(BRACKETS)]
    return Made(
        f"Close: {said}",
        opened,
        answer,
        {"rule": "brackets", "opened": said},
        (answer[:-1] + other, answer + answer[-1], said + answer),
    )


def operation(rng: np.random.Generator, terms: int = 2, largest: int = 3) -> Made:
    """A new operation, x@y = a x + b y modulo 10 with a, b of 1 .. `largest`, used from left to right on `terms`
    numbers: "x@y=2x+3y mod 10; 4@1@5?", solved as "4@1=1,1@5=7"."""
    a, b = pick(rng, 1, largest), pick(rng, 1, largest)
    numbers = [pick(rng, 0, 9) for _ in range(terms)]
    steps, value = [], numbers[0]
    for n in numbers[1:]:
        new = (a * value + b * n) % 10
        steps.append(f"{value}@{n}={new}")
        value = new
    return Made(
        f"x@y={a}x+{b}y mod 10; {'@'.join(map(str, numbers))}?",
        ",".join(steps),
        str(value),
        {"rule": "text", "value": str(value)},
        (str((value + 1) % 10), f"{value}{value}"),
    )
