"""Logistic regression on pairs of texts: DPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from whet.objectives._attempts import Attempts, check_positive, moved, pair_metrics, sides
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class PairLogistic:
    """loss_t = -(1 - s) log sigmoid(b m) - s log sigmoid(-b m) on every trained token of a pair, b = `beta`,
    s = `smoothing`:

        m = sum over the pair's tokens of A_t (log pi(t) - log pi_ref(t)), in nats,

    A_t = 1 on a chosen text and -1 on the rejected one: the margin of their log-probs over the reference's. A pair is
    an attempt of two rows, so no micro-batch parts it, and under `SequenceMean` the loss is the mean over pairs. The
    stage `Preference` makes such batches; with its `per_token` A_t is +-1 / (tokens of the text), and m a difference of
    means. Source: DPO (Rafailov et al. 2023, arXiv 2305.18290), equation 7; beta 0.1 from its appendix B. `smoothing`,
    the chance that a label is the wrong way round: Mitchell 2023, "A note on DPO with noisy preferences" (cDPO).

    `accuracy` counts a tie as half; "reward/..." is the implicit reward b (log pi - log pi_ref). Two equal texts have
    no gradient. Raises ValueError for a `beta` that is not above 0, a smoothing outside [0, 0.5), and a batch without
    the track `track`.
    """

    beta: Number = 0.1
    smoothing: Number = 0.0
    track: str = "reference"

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_positive("PairLogistic", beta=self.beta)
        if isinstance(self.smoothing, (int, float)) and not 0 <= self.smoothing < 0.5:
            raise ValueError(f"PairLogistic.smoothing must lie in [0, 0.5), got {self.smoothing}")

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        attempts = Attempts(batch)
        chosen, rejected = sides(moved(outputs, batch, self.track, "PairLogistic"), batch, attempts)
        logit = self.beta * (chosen - rejected)
        loss = -(1 - self.smoothing) * logsigmoid(logit) - self.smoothing * logsigmoid(-logit)
        return attempts.spread(loss), pair_metrics(outputs, batch, attempts, self.beta * chosen, self.beta * rejected)
