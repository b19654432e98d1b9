"""Boolean expressions: which of several formulas are true?"""

from __future__ import annotations

import re

import numpy as np

from whet.tasks._logic import Made
from whet.tasks.splits import pick, span

OPTIONS = "ABCDEFGH"
_TOKENS = re.compile(r"\s*(\d+|[()<>]|\w+)")


def boolean(rng: np.random.Generator, options: int = 3, depth: int | tuple[int, int] = 1) -> Made:
    """`options` formulas of depths drawn from `depth`, drawn again until one is true: "A: not (True) and (2<1); ...",
    answered by the letters of the true ones, in order.

    The grammar is that of SynLogic (the repository's boolean expressions) without its facts about the world, which a
    small model can not know: not 35 % (one to three of them), and 35 %, or 30 %, with a third part in 0.4 of cases
    above depth 2; below depth 3 a leaf with probability 0.3: comparisons to constants as 4 to 3.
    """
    while True:
        formulas = [_formula(rng, pick(rng, *span("depth", depth, 0))) for _ in range(options)]
        values = [worth(formula) for formula in formulas]
        if any(values):
            break
    letters = OPTIONS[:options]
    true = [letter for letter, value in zip(letters, values, strict=True) if value]
    turned = [[x for x in letters if (x in true) != (x == letter)] for letter in letters]
    told = "; ".join(f"{letter}: {formula}" for letter, formula in zip(letters, formulas, strict=True))
    return Made(
        f"Which are true? {told}",
        ",".join(f"{letter}{'-+'[value]}" for letter, value in zip(letters, values, strict=True)),
        ",".join(true),
        {"rule": "set", "value": ",".join(true)},
        tuple(",".join(other) for other in turned if other),
    )


def _formula(rng: np.random.Generator, depth: int) -> str:
    if depth < 1 or (depth < 3 and rng.random() < 0.3):
        if rng.random() < 4 / 7:
            return f"{pick(rng, 0, 9)}{'<>'[pick(rng, 0, 1)]}{pick(rng, 0, 9)}"
        return str(bool(pick(rng, 0, 1)))
    kind = rng.random()
    if kind < 0.35:
        return f"{'not ' * pick(rng, 1, 3)}({_formula(rng, depth - 1)})"
    word = " and " if kind < 0.7 else " or "
    count = 3 if depth > 2 and rng.random() < 0.4 else 2
    return word.join(f"({_formula(rng, depth - 1)})" for _ in range(count))


def worth(formula: str) -> bool:
    """What a formula is worth: or < and < not < comparison, as in Python. ValueError for any other text."""
    tokens, at = [], 0
    formula = formula.rstrip()
    while at < len(formula):
        found = _TOKENS.match(formula, at)
        if found is None:
            raise ValueError(f"a formula has no {formula[at]!r}: {formula!r}")
        tokens.append(found[1])
        at = found.end()
    tokens.reverse()
    value = _either(tokens)
    if tokens:
        raise ValueError(f"a formula ends before {tokens[-1]!r}: {formula!r}")
    return value


def _either(tokens: list[str]) -> bool:
    value = _both(tokens)
    while tokens and tokens[-1] == "or":
        tokens.pop()
        value = _both(tokens) or value
    return value


def _both(tokens: list[str]) -> bool:
    value = _not(tokens)
    while tokens and tokens[-1] == "and":
        tokens.pop()
        value = _not(tokens) and value
    return value


def _not(tokens: list[str]) -> bool:
    token = tokens.pop() if tokens else ""
    if token == "not":
        return not _not(tokens)
    if token in ("True", "False"):
        return token == "True"
    if token == "(":
        value = _either(tokens)
        if not tokens or tokens.pop() != ")":
            raise ValueError("a formula closes every parenthesis")
        return value
    if token.isdigit() and len(tokens) > 1 and tokens[-1] in "<>" and tokens[-2].isdigit():
        sign, other = tokens.pop(), int(tokens.pop())
        return int(token) < other if sign == "<" else int(token) > other
    raise ValueError(f"a formula has no {token!r} here")
