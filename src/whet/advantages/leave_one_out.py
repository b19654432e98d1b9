"""Advantages against the mean of the others: RLOO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from whet.advantages._outcomes import centred, on_trained, outcomes
from whet.types import Credit, Scored


@dataclass(frozen=True)
class LeaveOneOut:
    """A_i = R_i - mean_{j != i}(R_j) = G / (G - 1) * (R_i - mean(R)) on every trained token of attempt i.

    The baseline does not contain the attempt itself, so the estimate of the gradient is unbiased. Source: Ahmadian et
    al. 2024 (arXiv 2402.14740); Kool et al. 2019. A group of equal rewards gets exactly 0; so does a group
    of one, which has nobody to be compared with.
    """

    group_relative: ClassVar[bool] = True

    def __call__(self, scored_P: list[Scored]) -> Credit:
        advantages = []
        for scored in scored_P:
            rewards_G = outcomes(scored)
            count = len(rewards_G)
            advantages.append(on_trained(scored, centred(rewards_G) * count / max(count - 1, 1)))
        return Credit(advantages)
