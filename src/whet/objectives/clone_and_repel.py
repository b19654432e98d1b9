"""Right replies are cloned, wrong ones repelled, each token by its weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.objectives._masked import advantage, masked, track
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class CloneAndRepel:
    """loss_t = -A_t w+_t log pi(t)            where the attempt's reward term `term` is above 0
             = -A_t w-_t pi(t) / sg(pi(t))    elsewhere;   sg() lets no gradient through.

    Both have the gradient -A_t w_t d log pi(t), of which the second is a ratio of value 1: its logged loss is the
    weight that pushes, not a log-likelihood. Right replies drawn from the policy are best-of-N samples, and cloning
    them leads to the KL-regularised optimum (`metrics.best_of`); the wrong ones keep the advantage's scale, so that
    both gradients agree. w+ and w- are the tracks "`track`/right" and "`track`/wrong"
    (`tracks.token_weights.TokenWeights`); with `track=None` both are 1. How much each side counts is the weighting's
    business: `weightings.by_outcome.ByOutcome`. Source: OREAL (Lyu et al. 2025, arXiv 2502.06781), with advantages
    against the others' mean.

    An attempt without a verdict (NaN) counts as wrong. 0 off the trained tokens. Raises ValueError for a batch whose
    reward has no such term, or that lacks the tracks.
    """

    term: str = "correct"
    track: str | None = "weight"

    needs: ClassVar[tuple[str, ...]] = ()
    exact_gradient: ClassVar[bool] = False

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if self.term not in batch.terms:
            raise ValueError(
                f"CloneAndRepel needs the reward term {self.term!r}, and the batch has "
                f"{sorted(batch.terms) or 'none'}; name one of these, or add the term to the reward"
            )
        right = (batch.terms[self.term] > 0)[:, None].expand_as(batch.trained)
        weight, logp = self._weight(batch, right), masked(outputs.logprobs, batch)
        push = weight * advantage(batch)
        loss = -push * torch.where(right, logp, (logp - logp.detach()).exp())
        told = {"clone/nll": (-logp.detach(), right), "clone/weight": (weight, right), "repel/weight": (weight, ~right)}
        return loss, {name: torch.where(where, of, math.nan) for name, (of, where) in told.items()}

    def _weight(self, batch: Batch, right: Tensor) -> Tensor:
        if self.track is None:
            return masked(torch.ones_like(batch.logprobs), batch)
        remedy = f"add TokenWeights(track={self.track!r}) to the stage's tracks, or set track=None"
        plus, minus = (track(batch, f"{self.track}/{name}", "CloneAndRepel", remedy) for name in ("right", "wrong"))
        return torch.where(right, plus, minus)


EXAMPLES = [CloneAndRepel(track=None)]
