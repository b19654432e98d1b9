"""Whether an attempt called a tool: to be measured, not to be rewarded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.tools.snippets import snippets
from whet.types import Group


@dataclass(frozen=True)
class Calls:
    """value_g = 1 if attempt g called a tool and was answered, else 0. With weight 0 its mean is the share of attempts
    that call: ReTool's code ratio (Feng et al. 2025, arXiv 2504.11536), per problem in an evaluation."""

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([float(bool(snippets(trajectory))) for trajectory in group.trajectories])
