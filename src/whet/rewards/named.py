"""Rewards by a word, for the command line."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from whet.rewards.code import PassesTests
from whet.rewards.format import TagFormat
from whet.rewards.structured import RightField
from whet.rewards.user import UserReward
from whet.rewards.verified import Verified
from whet.types import Term
from whet.verifiers import find

# Rewards of other kinds than `Verified`, by name.
TERMS: dict[str, Callable[[], Term]] = {"code": PassesTests, "field": RightField, "format": TagFormat}


def names() -> tuple[str, ...]:
    """Every verifier, and `TERMS`."""
    return (*find.known(), *TERMS)


def named(name: str) -> Term:
    """The term of that name. A verifier's name is `Verified(name, extract="final")`, which takes an answer from its
    tag, its box or the whole response; "code" is `PassesTests()`, a Python program; "field" `RightField()`, the field
    "answer" of a JSON object; "format" `TagFormat()`. "file.py:verify" is a user's own verifier, and "file.py:function"
    with any other name a user's own reward.

    Raises ValueError for anything else, with the names there are and the nearest of them.
    """
    if name.endswith(".py:verify"):
        return Verified(name, extract="final")
    if ":" in name or name.endswith(".py"):
        return UserReward(name)
    if name in TERMS:
        return TERMS[name]()
    if name in find.known():
        return Verified(name, extract="final")
    near = difflib.get_close_matches(name, names(), n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else "for your own, give 'file.py:function'"
    raise ValueError(f"there is no reward {name!r}; there are {', '.join(names())}; {hint}")
