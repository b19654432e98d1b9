"""Families of small reasoning problems by rules, each with a notation of its own: "c>d,a>b,b>c;a?"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from whet.tasks.knights_knaves import Claim, solutions
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

LETTERS = "abcdefghij"
SIGNS = "ABCDE0123456789>,;?!&|-+=<:~minx" + LETTERS  # all that questions, solutions and answers are written with


class Made(NamedTuple):
    question: str
    steps: str
    answer: str


@dataclass(frozen=True)
class Rules:
    """Problems of one `family`, of a number of steps drawn from `depth` (1 to 4); the solution shows what follows at
    each step, and its end is the answer.

    - "chain": "a>b,b>c;a?", what follows last from a?
    - "negation": "a>-b,-b>c;a?", with things that are not so.
    - "default": "a>b!x,b>c!y;a,y?", b follows from a unless x is known, c from b unless y is: it ends at b.
    - "both": "a&x>b,b&y>c;a,x?", every rule has a second premise: it ends at b.
    - "sets": "A=ab,B=bc;A&B?", what is in A and B (&), in one (|), in the first alone (-), from left to right; 0 is
      nothing.
    - "rewrite": "a>c,b>a;abb", every rule once, in order, on every letter: "cbb,caa".
    - "order": "b<a,c<b;min?", who is the smallest? "largest": "b<a,c<b;max?".
    - "table": "a=c,b=a,c=b;a+2", look up twice. "inverse": "a=c,b=a,c=b;c-1", what leads there?
    - "knights": "A:B-,B:A=B", A says that B lies, B that both are alike: roles in order, "+" for who tells the truth,
      without steps. Which assignments fit is asked of `knights_knaves`; at depth 1 there are two people, else three.

    Rules come in any order, some of them lead nowhere. Splits share no question. Raises ValueError for an unknown
    family, or a depth outside 1 .. 4.
    """

    family: str = "chain"
    depth: int | tuple[int, int] = (1, 4)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"Rules.family must be one of {', '.join(FAMILIES)}, got {self.family!r}")
        if span("Rules.depth", self.depth, 1)[1] > 4:
            raise ValueError(f"Rules.depth must be at most 4, got {self.depth}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        made = drawn(f"rules/{self.family}", self.seed, split, i, self._draw, lambda made: made.question)
        return Problem(
            id=f"rules/{self.family}/{split}/{i}",
            prompt=[{"role": "user", "content": made.question}],
            answer=made.answer,
            info={"solution": worked(made.steps, made.answer)},
        )

    def _draw(self, rng: np.random.Generator) -> Made:
        return FAMILIES[self.family](rng, pick(rng, *span("depth", self.depth, 1)))


def _shuffled(rng: np.random.Generator, parts: Sequence[str]) -> list[str]:
    return [parts[int(k)] for k in rng.permutation(len(parts))]


def _chain(rng: np.random.Generator, depth: int) -> Made:
    names = _shuffled(rng, LETTERS)
    path = names[: depth + 1]
    rules = [f"{a}>{b}" for a, b in pairwise(path)] + [f"{names[-2]}>{names[-1]}"]
    return _walked(rng, rules, path[:1], path)


def _negation(rng: np.random.Generator, depth: int) -> Made:
    names = _shuffled(rng, LETTERS)[: depth + 1]
    signs = ["", *("-" if pick(rng, 0, 1) else "" for _ in range(depth))]
    path = [sign + name for sign, name in zip(signs, names, strict=True)]
    other = {"": "-", "-": ""}
    trap = f"{other[signs[-2]]}{names[-2]}>{other[signs[-1]]}{names[-1]}"  # its premise is false
    return _walked(rng, [f"{a}>{b}" for a, b in pairwise(path)] + [trap], path[:1], path)


def _default(rng: np.random.Generator, depth: int) -> Made:
    names = _shuffled(rng, LETTERS)
    path, unless, other = names[: depth + 1], names[depth + 1 : 2 * depth + 1], names[-1]
    blocked = pick(rng, 0, depth - 1) if pick(rng, 0, 1) else None
    rules = [f"{a}>{b}!{x}" for a, b, x in zip(path, path[1:], unless, strict=False)]
    known = other if blocked is None else unless[blocked]
    return _walked(rng, rules, [path[0], known], path if blocked is None else path[: blocked + 1])


def _both(rng: np.random.Generator, depth: int) -> Made:
    names = _shuffled(rng, LETTERS)
    path, second = names[: depth + 1], names[depth + 1 : 2 * depth + 1]
    missing = pick(rng, 0, depth - 1) if pick(rng, 0, 1) else None
    rules = [f"{a}&{x}>{b}" for a, b, x in zip(path, path[1:], second, strict=False)]
    known = [path[0], *(x for k, x in enumerate(second) if k != missing)]
    return _walked(rng, rules, known, path if missing is None else path[: missing + 1])


def _walked(rng: np.random.Generator, rules: Sequence[str], known: Sequence[str], path: Sequence[str]) -> Made:
    return Made(f"{','.join(_shuffled(rng, rules))};{','.join(known)}?", "".join(path), path[-1])


def _sets(rng: np.random.Generator, depth: int) -> Made:
    sets = [set(_shuffled(rng, LETTERS[:4])[:2]) for _ in range(depth + 1)]
    signs = ["&|-"[pick(rng, 0, 2)] for _ in range(depth)]
    found = [sets[0]]
    for sign, of in zip(signs, sets[1:], strict=True):
        left = found[-1]
        found.append({"&": left & of, "|": left | of, "-": left - of}[sign])
    told = ["".join(sorted(of)) or "0" for of in found]
    formula = "A" + "".join(sign + name for sign, name in zip(signs, "BCDE", strict=False))
    given = ",".join(f"{name}={''.join(sorted(of))}" for name, of in zip("ABCDE", sets, strict=False))
    return Made(f"{given};{formula}?", ",".join(told), told[-1])


def _rewrite(rng: np.random.Generator, depth: int) -> Made:
    text = "".join(LETTERS[pick(rng, 0, 3)] for _ in range(3))
    pairs = [_shuffled(rng, LETTERS[:4])[:2] for _ in range(depth)]
    texts = [text]
    for old, new in pairs:
        texts.append(texts[-1].replace(old, new))
    return Made(f"{','.join(f'{a}>{b}' for a, b in pairs)};{text}", ",".join(texts[1:]), texts[-1])


def _ranked(rng: np.random.Generator, depth: int, wanted: str) -> Made:
    names = _shuffled(rng, LETTERS)[: depth + 1]  # from the smallest up
    facts = _shuffled(rng, [f"{a}<{b}" for a, b in pairwise(names)])
    asked = names if wanted == "min" else names[::-1]
    return Made(f"{','.join(facts)};{wanted}?", "".join(asked), asked[0])


def _order(rng: np.random.Generator, depth: int) -> Made:
    return _ranked(rng, depth, "min")


def _largest(rng: np.random.Generator, depth: int) -> Made:
    return _ranked(rng, depth, "max")


def _table(rng: np.random.Generator, depth: int) -> Made:
    names = _shuffled(rng, LETTERS)[:5]
    to = dict(zip(names, _shuffled(rng, names), strict=True))
    path = [names[0]]
    for _ in range(depth):
        path.append(to[path[-1]])
    return Made(f"{','.join(f'{a}={b}' for a, b in to.items())};{path[0]}+{depth}", "".join(path), path[-1])


def _inverse(rng: np.random.Generator, depth: int) -> Made:
    names = _shuffled(rng, LETTERS)[:5]
    to = dict(zip(names, _shuffled(rng, names), strict=True))
    back, path = {b: a for a, b in to.items()}, [names[0]]
    for _ in range(depth):
        path.append(back[path[-1]])
    return Made(f"{','.join(f'{a}={b}' for a, b in to.items())};{path[0]}-{depth}", "".join(path), path[-1])


def _knights(rng: np.random.Generator, depth: int) -> Made:
    n = 2 if depth == 1 else 3
    while True:
        claims: list[Claim] = []
        for k in range(n):
            p, q = sorted(int(x) for x in rng.permutation(n)[:2])
            form = pick(rng, 0, 3)
            other = p if p != k else q
            claims.append(("is", other, form == 0) if form < 2 else (("same", "differ")[form - 2], p, q))
        if len(fitting := solutions(tuple(claims))) == 1:
            break
    told = [f"{'ABC'[k]}:{_claimed(claim)}" for k, claim in enumerate(claims)]
    answer = "".join("-+"[role] for role in fitting[0])
    return Made(",".join(told), "", answer)


def _claimed(claim: Claim) -> str:
    match claim:
        case ("is", int(who), bool(role)):
            return f"{'ABC'[who]}{'-+'[role]}"
        case (form, int(p), int(q)):
            return f"{'ABC'[p]}{'=' if form == 'same' else '~'}{'ABC'[q]}"
    raise AssertionError(claim)


FAMILIES: dict[str, Callable[[np.random.Generator, int], Made]] = {
    "chain": _chain,
    "negation": _negation,
    "default": _default,
    "sets": _sets,
    "rewrite": _rewrite,
    "order": _order,
    "table": _table,
    "knights": _knights,
    "both": _both,
    "largest": _largest,
    "inverse": _inverse,
}
EXAMPLES = [Rules(family, seed=7) for family in FAMILIES]
