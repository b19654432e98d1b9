"""Countdown: reach a target with every given number, each used once."""

from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction

from whet.verifiers.gold import BadGold

LONGEST = 500  # our choice: characters of an expression
DEEPEST = 50  # our choice: nested parentheses

_TOKENS = re.compile(r"\s*([0-9]{1,12}|[-+*/()])")
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


def verify(answer: str, gold: str) -> str:
    """Says "right" iff the expression is worth the target and uses exactly the given numbers, each once.

    `gold` is {"numbers": [3, 7, 11], "target": 32} as JSON. An expression has whole numbers, + - * / and parentheses
    and is worked out in fractions; a tail "= 32" is allowed if it names the target. Text is parsed here and never
    evaluated as code.
    Raises BadGold when the gold is not of that form.
    """
    try:
        puzzle = json.loads(gold)
        numbers, target = Counter(int(n) for n in puzzle["numbers"]), Fraction(puzzle["target"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadGold(
            f'countdown needs a gold answer like {{"numbers": [3, 7], "target": 10}}, got {gold!r}'
        ) from error
    text, equals, tail = answer.strip().translate(_SIGNS).partition("=")
    tokens = _tokens(text)
    if tokens is None or (equals and not re.fullmatch(r"\s*-?[0-9]{1,12}\s*", tail)):
        return "unparseable"
    try:
        value = _Expression(tokens).value()
    except SyntaxError:
        return "unparseable"
    except ZeroDivisionError:
        return "wrong"
    used = Counter(int(token) for token in tokens if token.isdigit())
    kept = not equals or Fraction(int(tail)) == target
    return "right" if kept and used == numbers and value == target else "wrong"


def _tokens(text: str) -> list[str] | None:
    if not text.strip() or len(text) > LONGEST:
        return None
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            return None
        tokens.append(match[1])
        at = match.end()
    return tokens


class _Expression:
    """sum = product {(+|-) product};  product = factor {(*|/) factor};  factor = [+|-] (number | "(" sum ")")."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def value(self) -> Fraction:
        value = self._sum()
        if self._next():
            raise SyntaxError("something follows the expression")
        return value

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self.at += 1
        return token

    def _sum(self) -> Fraction:
        value = self._product()
        while self._next() in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while self._next() in ("*", "/"):
            value = value * self._factor() if self._take() == "*" else value / self._factor()
        return value

    def _factor(self) -> Fraction:
        sign = 1
        if self._next() in ("+", "-"):
            sign = -1 if self._take() == "-" else 1
        token = self._take()
        if token.isdigit():
            return Fraction(sign * int(token))
        self.depth += 1
        if token != "(" or self.depth > DEEPEST:
            raise SyntaxError(f"a number or a parenthesis was expected, got {token!r}")
        value = self._sum()
        if self._take() != ")":
            raise SyntaxError("a parenthesis is not closed")
        self.depth -= 1
        return sign * value
