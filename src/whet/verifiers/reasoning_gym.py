"""The scorers of reasoning-gym (extra "tasks"), exact answers only."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from typing import Any

from whet.verifiers.gold import BadGold

# Scorers that hand the answer to eval() or to sympy's parser, which evaluates too. What reaches them must be free of
# everything that could name or call anything: see `_harmless`.
LISTS = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
FORMULAS = frozenset(
    {"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"}
)

_TOWER = re.compile(r"(?:\*\*|\^)[\s(+-]*\w+\s*(?:\*\*|\^)")  # 9**9**9**9, which nobody has the time to work out
_WORDS = frozenset(
    [
        "abs",
        "acos",
        "asin",
        "atan",
        "cos",
        "cosh",
        "erf",
        "exp",
        "log",
        "ln",
        "pi",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
    ]
)


def prepare(golds: list[str]) -> None:
    """Import and make what takes long, so that no answer's deadline pays for it."""
    import reasoning_gym  # noqa: F401

    for gold in set(golds):
        with contextlib.suppress(BadGold):
            _scorer(gold)


def verify(answer: str, gold: str) -> str:
    """Says "right" iff the data set's scorer gives the answer exactly 1. Partial credit ("77" for "7" is 0.5) is none.

    `gold` is {"dataset": name, "entry": {"question", "answer", "metadata"}, "config": {...}} as JSON.
    Raises BadGold when the data set can not be made, or the entry's own answer does not score 1.
    """
    if not answer.strip():
        return "unparseable"
    name, score = _scorer(gold)
    if not _harmless(name, answer):
        return "unparseable"
    return "right" if score(answer.strip()) == 1 else "wrong"


@functools.lru_cache(maxsize=256)
def _scorer(gold: str) -> tuple[str, Any]:
    try:
        parts = json.loads(gold)
        name, entry = parts["dataset"], parts["entry"]
        dataset = _dataset(name, json.dumps(parts.get("config") or {}, sort_keys=True))
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise BadGold(f"a reasoning-gym gold needs dataset, entry and config, got {gold[:80]!r}: {error}") from error
    if not isinstance(entry.get("answer"), str):  # some data sets have many answers and keep none
        return name, functools.partial(dataset.score_answer, entry=entry)
    for candidate in (entry, _tuples(entry)):  # JSON has no tuples, and a few scorers compare with them
        score = functools.partial(dataset.score_answer, entry=candidate)
        with contextlib.suppress(Exception):  # a scorer that can not take the one form may take the other
            if score(entry["answer"]) == 1:
                return name, _wary(score, entry["answer"])
    raise BadGold(f"the answer of this reasoning-gym entry does not score 1 in data set {name!r}: {gold[:80]!r}")


def _wary(score: Any, right: str) -> Any:
    """`score`, or, where a scorer takes anything for right (game_of_life_halting does), equality with the answer."""
    with contextlib.suppress(Exception):
        if score("no answer") == 1:
            return lambda answer: float(answer == right)
    return score


@functools.lru_cache(maxsize=64)
def _dataset(name: str, config: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, **json.loads(config))


def _tuples(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _tuples(value) for key, value in node.items()}
    return tuple(_tuples(value) for value in node) if isinstance(node, list) else node


def _harmless(name: str, answer: str) -> bool:
    """Whether text may reach a scorer that evaluates it: lists without call, attribute, format or product; formulas of
    numbers, single letters and the usual functions, without quote, underscore, attribute or power of a power.
    "Integral(...)" is none: it would be its own right answer to every question that asks for one."""
    if name in LISTS:
        return not re.search(r"[(){}.\\:@*]|__|\bfor\b|\blambda\b", answer)
    if name in FORMULAS:
        words = re.findall(r"[^\W\d_]+", answer)
        plain = re.fullmatch(r"[0-9A-Za-z\s+*/^(),.=-]*", answer) and not re.search(r"\.\s*[A-Za-z]", answer)
        return (
            bool(plain)
            and not _TOWER.search(answer)
            and all(len(word) == 1 or word.lower() in _WORDS for word in words)
        )
    return True
