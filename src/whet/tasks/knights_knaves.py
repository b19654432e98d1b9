"""Knights and knaves: who tells the truth?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

NAMES = ("Ann", "Bob", "Cal", "Dee", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe", "Kim", "Lee")
RULES = "Knights always tell the truth and knaves always lie."
TRIES = 2000  # our choice: puzzles drawn until one has a single solution (about one in three has)

# A claim: "is" a person's role, "both" / "either" / "if" of two such claims, "same" / "differ" of two people, or
# "count" of knights. Roles are bool: True is a knight.
Claim = tuple[object, ...]
Roles = tuple[bool, ...]


@dataclass(frozen=True)
class KnightsKnaves:
    """Each of n people, n in `people` (2 to 8), says one thing; exactly one assignment of roles fits all.

    An assignment fits when each person's claim is true exactly if that person is a knight; all 2^n are tried, so the
    answer ("Ann=knight, Bob=knave", in order of speaking) is the only one. The worked solution tries assignments,
    knights first, and names the first person whom each contradicts; `info["wrong"]` has the answer with one role turned
    round. Puzzles that differ in names only are the same question.
    """

    people: int | tuple[int, int] = (2, 3)
    seed: int = 0

    def __post_init__(self) -> None:
        if span("KnightsKnaves.people", self.people, 2)[1] > 8:
            raise ValueError(f"KnightsKnaves.people must be at most 8 (all 2^n cases are tried), got {self.people}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        claims, names, roles = drawn("knights_knaves", self.seed, split, i, self._draw, lambda made: repr(made[0]))
        said = " ".join(f'{names[k]} says: "{_said(claim, k, names)}"' for k, claim in enumerate(claims))
        answer = _told(names, roles)
        return Problem(
            id=f"knights_knaves/{split}/{i}",
            prompt=[{"role": "user", "content": f"{RULES} {said} Who is what?"}],
            answer=answer,
            info={
                "solution": worked(_trace(claims, names), answer),
                "wrong": [worked("", _told(names, _turned(roles, k))) for k in range(len(names))],
                "people": len(names),
            },
        )

    def _draw(self, rng: np.random.Generator) -> tuple[tuple[Claim, ...], list[str], Roles]:
        n = pick(rng, *span("people", self.people, 2))
        for _ in range(TRIES):
            claims = tuple(_claim(rng, n, speaker) for speaker in range(n))
            fitting = solutions(claims)
            if len(fitting) == 1:
                return claims, [NAMES[int(k)] for k in rng.permutation(len(NAMES))[:n]], fitting[0]
        raise AssertionError(f"no puzzle with one solution among {TRIES}")


def solutions(claims: tuple[Claim, ...]) -> list[Roles]:
    """Every assignment that fits, knights before knaves."""
    return [roles for roles in product((True, False), repeat=len(claims)) if _liar(claims, roles) is None]


def _liar(claims: tuple[Claim, ...], roles: Roles) -> int | None:
    """The first person whose words do not go with the role, or None."""
    return next((k for k, claim in enumerate(claims) if _true(claim, roles) != roles[k]), None)


def _true(claim: Claim, roles: Roles) -> bool:
    match claim:
        case ("is", int(who), bool(role)):
            return roles[who] == role
        case ("both", tuple(a), tuple(b)):
            return _true(a, roles) and _true(b, roles)
        case ("either", tuple(a), tuple(b)):
            return _true(a, roles) or _true(b, roles)
        case ("if", tuple(a), tuple(b)):
            return not _true(a, roles) or _true(b, roles)
        case ("same", int(p), int(q)):
            return roles[p] == roles[q]
        case ("differ", int(p), int(q)):
            return roles[p] != roles[q]
        case ("count", int(knights)):
            return sum(roles) == knights
    raise AssertionError(claim)


def _claim(rng: np.random.Generator, n: int, speaker: int) -> Claim:
    form = ("is", "both", "either", "if", "same", "differ", "count")[pick(rng, 0, 6)]
    if form == "count":
        return ("count", pick(rng, 0, n))
    p, q = (int(k) for k in rng.permutation(n)[:2])
    if form == "is":  # about another: "I am a knight" says nothing, and nobody can say "I am a knave"
        return ("is", p if p != speaker else q, bool(pick(rng, 0, 1)))
    if form in ("same", "differ"):
        return (form, min(p, q), max(p, q))
    return (form, ("is", p, bool(pick(rng, 0, 1))), ("is", q, bool(pick(rng, 0, 1))))


def _said(claim: Claim, speaker: int, names: list[str]) -> str:
    def name(k: int) -> str:
        return "I" if k == speaker else names[k]

    match claim:
        case ("is", int(who), bool(role)):
            return f"{name(who)} {'am' if who == speaker else 'is'} a {_role(role)}"
        case ("both", tuple(a), tuple(b)):
            return f"{_said(a, speaker, names)} and {_said(b, speaker, names)}"
        case ("either", tuple(a), tuple(b)):
            return f"{_said(a, speaker, names)} or {_said(b, speaker, names)}"
        case ("if", tuple(a), tuple(b)):
            return f"if {_said(a, speaker, names)} then {_said(b, speaker, names)}"
        case ("same" | "differ" as form, int(p), int(q)):
            first, second = (name(q), "I") if p == speaker else (name(p), name(q))
            return f"{first} and {second} are {'the same' if form == 'same' else 'different'}"
        case ("count", int(knights)):
            return f"exactly {knights} of us {'is a knight' if knights == 1 else 'are knights'}"
    raise AssertionError(claim)


def _told(names: list[str], roles: Roles) -> str:
    return ", ".join(f"{name}={_role(role)}" for name, role in zip(names, roles, strict=True))


def _turned(roles: Roles, k: int) -> Roles:
    """With the role of one person turned round."""
    return (*roles[:k], not roles[k], *roles[k + 1 :])


def _role(role: bool) -> str:
    return "knight" if role else "knave"


def _trace(claims: tuple[Claim, ...], names: list[str]) -> str:
    """Assignments in order until one fits: "Ann knight, Bob knight: Bob no; Ann knight, Bob knave: fits"."""
    tried = []
    for roles in product((True, False), repeat=len(claims)):
        liar = _liar(claims, roles)
        case = ", ".join(f"{name} {_role(role)}" for name, role in zip(names, roles, strict=True))
        tried.append(f"{case}: {'fits' if liar is None else names[liar] + ' no'}")
        if liar is None:
            break
    return "; ".join(tried)
