"""Only problems on which thinking did not make every attempt worse."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from whet.types import Scored


@dataclass(frozen=True)
class WorthThinking:
    """Keeps a problem's group `name` if max_i R_i >= min_j R'_j, in order, where R is the term `term` of the attempts
    that thought and R' that of the attempts at the same place of the draw that could not, in the group `other`.

    The best thought is compared with the worst answer without one, so little is asked and a tie passes: [0.5, -2]
    beside [0.5, 2] is kept, [0.25, -2] beside [0.5, 2] is not. Groups `other` are only compared with: none comes
    through. Groups of other names do (demonstrations, say). Attempts without a verdict (NaN) are not looked at; a
    problem without a verdict on either side is dropped.

    Source: RAIF's filter for superior chains of thought (Qin et al. 2025, arXiv 2506.01413, equation 7).
    Raises ValueError for a term that a group was not scored by, and where no group `other` was played at all: see
    `rollouts.beside.Beside`.
    """

    term: str = "accuracy"
    name: str = "direct"
    other: str = "no-think"

    def __post_init__(self) -> None:
        if self.name == self.other:
            raise ValueError(f"WorthThinking compares two groups, so they need two names, got {self.name!r} twice")

    def __call__(self, scored_P: list[Scored]) -> list[Scored]:
        worst = {_place(s): spoken.min() for s in self._of(scored_P, self.other) if len(spoken := self._spoken(s))}
        best = {_place(s): spoken.max() for s in self._of(scored_P, self.name) if len(spoken := self._spoken(s))}
        if self._of(scored_P, self.name) and not self._of(scored_P, self.other):
            names = sorted({scored.group.name for scored in scored_P})
            raise ValueError(
                f"WorthThinking found no group {self.other!r} among {names} to compare with; "
                "let the rollout play one, as Beside() does"
            )
        kept = {place for place in best if place in worst and best[place] >= worst[place]}
        return [s for s in scored_P if s.group.name not in (self.name, self.other) or self._passes(s, kept)]

    def _passes(self, scored: Scored, kept: set[tuple[int, str]]) -> bool:
        return scored.group.name == self.name and _place(scored) in kept

    def _of(self, scored_P: list[Scored], name: str) -> list[Scored]:
        return [scored for scored in scored_P if scored.group.name == name]

    def _spoken(self, scored: Scored) -> Tensor:
        if self.term not in scored.terms:
            known = sorted(scored.terms)
            raise ValueError(
                f"WorthThinking.term is {self.term!r} and the terms of this reward are {known}; name one of them"
            )
        values = scored.terms[self.term]
        return values[~values.isnan()]


def _place(scored: Scored) -> tuple[int, str]:
    return scored.group.slot, scored.group.problem.id


EXAMPLES = [WorthThinking("correct", name="thought", other="direct")]
