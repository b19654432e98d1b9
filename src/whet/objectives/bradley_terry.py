"""What a reward model learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from whet.objectives._attempts import Attempts, ahead, sides
from whet.objectives._masked import check_range, masked
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class BradleyTerry:
    """loss_t = -log sigmoid(r_chosen - r_rejected - margin * d) + centre * (r_chosen + r_rejected)^2 on every trained
    token of a pair,

        r_chosen = sum of A_t V_t over tokens with A_t > 0,   r_rejected = sum of -A_t V_t over those with A_t < 0.

    The stage `RewardModel` makes pairs of two rows, of which one token each is trained: r is the value before it, the
    score of the text. d is the pair's number in the reward term "margin", how much better the chosen text is, and 0
    where the batch has none. Under `SequenceMean` the loss is the mean over pairs.

    Source: Bradley and Terry 1952, as InstructGPT (Ouyang et al. 2022, arXiv 2203.02155), equation 1, and Llama 2
    (Touvron et al. 2023, arXiv 2307.09288), equation 2, which adds the margin. Only differences of scores are learned;
    `centre` keeps their sum near 0 (Eisenstein et al. 2023, arXiv 2312.09244); 0.01 is usual.

    `accuracy` counts a tie as half. Raises ValueError for negative numbers.
    """

    margin: Number = 1.0
    centre: Number = 0.0

    needs: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        check_range("BradleyTerry", margin=self.margin, centre=self.centre)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert outputs.values is not None
        attempts = Attempts(batch)
        chosen, rejected = sides(masked(outputs.values, batch), batch, attempts)
        apart = chosen - rejected
        wanted = self.margin * attempts.mean(batch.terms["margin"]) if "margin" in batch.terms else 0.0
        loss = -logsigmoid(apart - wanted) + self.centre * (chosen + rejected) ** 2
        numbers = {"accuracy": ahead(apart), "reward/chosen": chosen, "reward/rejected": rejected}
        return attempts.spread(loss), {
            name: attempts.once(value) for name, value in {**numbers, "reward/margin": apart}.items()
        }
