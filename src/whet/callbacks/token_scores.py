"""How good a token-level reward model is: does it know the outcome, and where a reply goes wrong?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from whet.types import Problem, Scored, Trajectory, joined


@dataclass(frozen=True)
class TokenScores:
    """Adds to a step's metrics, of the attempts that were played in it and before the model learned from them, so on
    replies that it has not seen:

    score/auc      the share of (right, wrong) pairs of attempts in which the right one has the higher belief at its
                   end, ties half: 1/2 is chance
    score/before   mean w- of the tokens of wrong replies before their first error
    score/after    mean w- at and after it
    score/rise     after - before

    The last three are means over wrong replies with tokens on both sides; w- is the track "`track`/wrong"
    (`tracks.token_weights.TokenWeights`), and `first_wrong(problem, reply)` gives the character of the reply at which
    it goes wrong, or None. An attempt is right where the reward term `term` is above 0. Only attempts of one row and
    one turn of the policy are looked at for errors. A metric without an attempt to speak of is left out.
    """

    first_wrong: Callable[[Problem, str], int | None] | None = None
    term: str = "correct"
    track: str = "weight"

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        pairs = [
            (trajectory, value)
            for scored in scored_P
            for trajectory, value in zip(scored.group.trajectories, scored.terms[self.term].tolist(), strict=True)
            if value == value and bool(joined(trajectory, "trained").any())
        ]
        ends = np.array([self._end(trajectory) for trajectory, _ in pairs])
        right = np.array([value > 0 for _, value in pairs], dtype=bool)
        if right.any() and not right.all():
            run.note({"score/auc": auc(ends, right)})
        if self.first_wrong is None:
            return
        codec = run.lms["policy"].codec
        sides = [self._sides(trajectory, codec.text) for trajectory, value in pairs if value <= 0]
        known = np.array([side for side in sides if side])
        if len(known):
            before, after = known.mean(0).tolist()
            run.note({"score/before": before, "score/after": after, "score/rise": after - before})

    def _end(self, trajectory: Trajectory) -> float:
        name = f"{self.track}/belief"
        if name not in trajectory.tracks:
            raise ValueError(f'TokenScores needs the track "{name}"; add TokenWeights() to the stage\'s tracks')
        return float(trajectory.tracks[name][joined(trajectory, "trained")][-1])

    def _sides(self, trajectory: Trajectory, text: Callable[[torch.Tensor], str]) -> tuple[float, float] | None:
        """(mean w- before the first error, at and after it)."""
        said = [turn for turn in trajectory.turns if turn.role == "policy"]
        if len(trajectory.rows) != 1 or len(said) != 1:
            return None
        tokens = trajectory.rows[0].tokens[said[0].start : said[0].stop]
        assert self.first_wrong is not None
        wrong = self.first_wrong(trajectory.problem, text(tokens))
        if wrong is None:
            return None
        begin = next(i for i in range(len(tokens)) if len(text(tokens[: i + 1])) > wrong)
        weights = trajectory.tracks[f"{self.track}/wrong"][said[0].start : said[0].stop]
        return (float(weights[:begin].mean()), float(weights[begin:].mean())) if begin else None


def auc(scores: np.ndarray, right: np.ndarray) -> float:
    """[N] float, [N] bool -> the share of pairs (one right, one wrong) where the right one scores higher; ties half."""
    high, low = scores[right][:, None], scores[~right][None, :]
    return float((high > low).mean() + (high == low).mean() / 2)
