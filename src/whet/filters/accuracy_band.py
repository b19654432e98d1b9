"""Only groups that the policy solves neither too rarely nor too often."""

from __future__ import annotations

from dataclasses import dataclass

from whet.schedule import Number
from whet.types import Scored

_ROUNDING = 1e-9  # our choice: 3 of 10 lies in the band from 1 - 0.7, which is 0.30000000000000004


@dataclass(frozen=True)
class AccuracyBand:
    """Keeps a group if low <= p <= high and 0 < p < 1, in order, where p = right / verdicts is the accuracy of the
    policy that just played: the share of the group's attempts whose term `term` is 1 or more. Both bounds belong to
    the band. A group that is all right or all wrong teaches nothing by comparison and stays out even where the band
    reaches 0 or 1, so AccuracyBand(0, 1) is DAPO's filter, (0, 0.5) keeps hard problems and (0.5, 1) easy ones.

    Bae et al. 2025, "Online Difficulty Filtering for Reasoning Oriented Reinforcement Learning" (arXiv 2504.03380): a
    balanced band has low = 1 - high. Together with refills the batch is filled in draw order, so that short attempts,
    which end first, have no advantage. What is kept is not reweighted.

    p is measured on the group itself, so a small group makes it coarse: of four attempts the default band keeps 1, 2
    and 3 right. Attempts without a verdict (NaN) do not count; a group with fewer than two verdicts is dropped.
    Raises ValueError for a band outside 0 .. 1 or without any p inside, and for a term that a group was not scored by.
    """

    low: Number = 0.25  # our choice: the paper sweeps bands
    high: Number = 0.75  # our choice
    term: str = "correct"

    def __post_init__(self) -> None:
        numbers = [x for x in (self.low, self.high) if isinstance(x, int | float)]
        if not all(0 <= x <= 1 for x in numbers):
            raise ValueError(f"AccuracyBand's bounds are shares of 0 .. 1, got {self.low} and {self.high}")
        if len(numbers) == 2 and not (self.low <= self.high and self.low < 1 and self.high > 0):
            raise ValueError(
                f"AccuracyBand keeps low <= p <= high with 0 < p < 1, so nothing from {self.low} to {self.high}; "
                "give low <= high, low below 1 and high above 0"
            )

    def __call__(self, scored_P: list[Scored]) -> list[Scored]:
        return [scored for scored in scored_P if self._inside(scored)]

    def _inside(self, scored: Scored) -> bool:
        if self.term not in scored.terms:
            known = sorted(scored.terms)
            raise ValueError(
                f"AccuracyBand.term is {self.term!r} and the terms of this reward are {known}; name one of them"
            )
        values = scored.terms[self.term]
        spoken = values[~values.isnan()]
        right = int((spoken >= 1).sum())
        if not 0 < right < len(spoken):
            return False
        return self.low - _ROUNDING <= right / len(spoken) <= self.high + _ROUNDING
