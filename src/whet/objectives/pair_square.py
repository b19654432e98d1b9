"""Least squares on pairs of texts: IPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from whet.objectives._attempts import Attempts, check_positive, moved, pair_metrics, sides
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class PairSquare:
    """loss_t = (m - 1 / (2 tau))^2 on every trained token of a pair,

        m = sum over the pair's tokens of A_t (log pi(t) - log pi_ref(t)), in nats,

    A_t = 1 on a chosen text and -1 on the rejected one, as in `PairLogistic`. The margin has an end, so a label that is
    always the same does not drive the policy away from the reference for ever. Under `SequenceMean` the loss is the
    mean over pairs. Source: IPO (Azar et al. 2023, arXiv 2310.12036), equation 17. There m is a sum over tokens; common
    implementations take means over each text's tokens, which is `Preference(per_token=True)`.

    "reward/..." is tau (log pi - log pi_ref). Raises ValueError for a `tau` that is not above 0, and a batch without
    the track `track`.
    """

    tau: Number = 0.1
    track: str = "reference"

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_positive("PairSquare", tau=self.tau)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        attempts = Attempts(batch)
        chosen, rejected = sides(moved(outputs, batch, self.track, "PairSquare"), batch, attempts)
        loss = (chosen - rejected - 1 / (2 * self.tau)) ** 2
        return attempts.spread(loss), pair_metrics(outputs, batch, attempts, self.tau * chosen, self.tau * rejected)
