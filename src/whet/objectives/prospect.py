"""Single texts, each good or bad: KTO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.objectives._attempts import Attempts, ahead, check_positive, logprobs_of_sides, moved
from whet.objectives._masked import advantage, check_range
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Prospect:
    """loss_t = l_y (1 - sigmoid(b (sum over the text's tokens of A_t (log pi(t) - log pi_ref(t)) - y z))) on every
    trained token of a text, b = `beta`:

    y = 1 and l_y = `desirable` for a good text, y = -1 and l_y = `undesirable` for a bad one, A_t = y. z >= 0, in nats,
    is the point against which a text is a gain or a loss, an estimate of KL(pi || pi_ref) without gradient: the reward
    term `point` of the batch. The stage `Feedback` measures it at the beginning of a step and makes such batches; every
    text is an attempt, and under `SequenceMean` the loss is the mean over texts. Source: KTO (Ethayarajh et al. 2024,
    arXiv 2402.01306), section 4: its E[l_y - v(x, y)]. Where good and bad texts are unlike in
    number, choose the two weights so that weight times number is about the same for both.

    `accuracy` is the share of texts on their side of the point; other metrics speak of good ("chosen") and of bad
    ("rejected") texts alone. Raises ValueError for a `beta` that is not above 0, negative weights, and a batch without
    track or point.
    """

    beta: Number = 0.1
    desirable: Number = 1.0
    undesirable: Number = 1.0
    point: str = "kl"
    track: str = "reference"

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_positive("Prospect", beta=self.beta)
        check_range("Prospect", desirable=self.desirable, undesirable=self.undesirable)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if self.point not in batch.terms:
            raise ValueError(
                f"Prospect needs its point as the term {self.point!r}, and the batch has "
                f"{sorted(batch.terms) or 'none'}; learn with the stage Feedback, which adds it"
            )
        attempts, credit = Attempts(batch), advantage(batch)
        apart = moved(outputs, batch, self.track, "Prospect")
        good = attempts.sum(credit) > 0
        point = attempts.mean(batch.terms[self.point]).to(apart.dtype)
        gain = attempts.sum(credit * apart) - torch.where(good, point, -point)
        loss = torch.where(good, self.desirable, self.undesirable) * torch.sigmoid(-self.beta * gain)

        def told(values: Tensor, of: Tensor) -> Tensor:
            return attempts.once(torch.where(of, values, math.nan))

        said, unsaid = logprobs_of_sides(outputs, batch, attempts)
        reward = self.beta * attempts.sum(apart).detach()
        return attempts.spread(loss), {
            "accuracy": attempts.once(ahead(gain)),
            "kl": attempts.once(point),
            "reward/chosen": told(reward, good),
            "reward/rejected": told(reward, ~good),
            "logprob/chosen": told(said, good),
            "logprob/rejected": told(unsaid, ~good),
        }


EXAMPLES = [Prospect(point="correct")]
