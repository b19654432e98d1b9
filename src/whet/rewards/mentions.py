"""Words that must be used."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from whet.rewards.text import response
from whet.types import Group

_WORD = re.compile(r"\w+")


def mentions(group: Group) -> Tensor:
    """value_g = the share of the words of `problem.answer`, a text, that stand in attempt g, as whole words; capitals
    do not matter, and once is enough. The constraint of CommonGen (Lin et al. 2020, arXiv 1911.03705), one of the tasks
    of RL4LMs (Ramamurthy et al. 2022, arXiv 2210.01241). 1 where the answer has no words."""
    wanted = frozenset(_WORD.findall(str(group.problem.answer).lower()))
    said = [frozenset(_WORD.findall(response(trajectory).lower())) for trajectory in group.trajectories]
    return torch.tensor([len(wanted & words) / len(wanted) if wanted else 1.0 for words in said])
