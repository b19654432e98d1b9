"""Rewards by a word, for the command line."""

from __future__ import annotations

import difflib

from whet.rewards.format import TagFormat
from whet.rewards.user import UserReward
from whet.rewards.verified import Verified
from whet.types import Term
from whet.verifiers import find


def names() -> tuple[str, ...]:
    """Every verifier, and "format"."""
    return (*find.known(), "format")


def named(name: str) -> Term:
    """The term of that name: "format" is `TagFormat()`; a verifier's name is `Verified(name, extract="final")`, which
    takes an answer from its tag, its box or the whole response; "file.py:function" is a user's own reward.

    Raises ValueError for anything else, with the names there are and the nearest of them.
    """
    if ":" in name or name.endswith(".py"):
        return UserReward(name)
    if name == "format":
        return TagFormat()
    if name in names():
        return Verified(name, extract="final")
    near = difflib.get_close_matches(name, names(), n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else "for your own, give 'file.py:function'"
    raise ValueError(f"there is no reward {name!r}; there are {', '.join(names())}; {hint}")
