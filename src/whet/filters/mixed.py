"""Only groups whose attempts differ in reward."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from whet.types import Scored, summed


@dataclass(frozen=True)
class Mixed:
    """Keeps a group if max(R) - min(R) > 0, in order. Together with refills this is dynamic sampling: a group whose
    attempts are all right or all wrong has no group-relative advantage, and only makes the batch smaller.

    R is the attempt's whole reward or, with `term`, that one term before its weight (DAPO looks at correctness alone:
    Yu et al. 2025, arXiv 2503.14476, equation 11). Attempts without a verdict (NaN) are not looked at; a group with
    fewer than two verdicts is dropped. Differences below float32's rounding are none.

    Raises ValueError for a term that a group was not scored by.
    """

    term: str | None = None

    def __call__(self, scored_P: list[Scored]) -> list[Scored]:
        return [scored for scored in scored_P if self._differs(self._rewards(scored))]

    def _rewards(self, scored: Scored) -> Tensor:
        """[G] float64"""
        if self.term is None:
            return summed(scored.rewards)
        if self.term not in scored.terms:
            raise ValueError(
                f"Mixed.term is {self.term!r} and the terms of this reward are {sorted(scored.terms)}; name one of them"
            )
        return scored.terms[self.term].double()

    def _differs(self, rewards_G: Tensor) -> bool:
        spoken = rewards_G[~rewards_G.isnan()]
        if len(spoken) < 2:
            return False
        rounding = 1e-6 * spoken.abs().max()  # our choice: as the group-relative advantages see equal rewards
        return bool(spoken.max() - spoken.min() > rounding)
