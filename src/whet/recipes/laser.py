"""LASER: a bonus for right answers within a target length, with targets that follow how hard a problem is."""

from dataclasses import replace

from whet.callbacks.monitor import Monitor
from whet.metrics.measures import Final, pass_1
from whet.recipe import Paper, Recipe
from whet.recipes._verbose import TOKENS, attempts, base, correct, plain, sums, test
from whet.rewards.relative_length import RelativeLength, StandardisedLength
from whet.rewards.repetition import RepetitionPenalty
from whet.rewards.targets import TargetByDifficulty
from whet.rewards.verified import exact
from whet.rewards.within_target import WithinTarget
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.types import Decoding

TARGET = 32
targets = TargetByDifficulty(start=TARGET, grid=tuple(range(4, TOKENS + 1, 4)))
asked = Evaluate(sums, attempts, correct, "monitor", "validation", problems=24)


def paid(length, weight=0.5, **more):
    reward = Weighted({"correct": exact, "length": length}, weights={"correct": 1.5, "length": weight})
    return [replace(plain, reward=reward, **more)]


watched = {"callbacks": [Monitor(asked, targets, every=5)]}
cut = replace(attempts, decoding=Decoding(max_tokens=48))

recipe = Recipe(
    paper=Paper("095", "Learn to Reason Efficiently (LASER)", "x"),
    model=base,
    arms={
        "accuracy": [plain],
        "laser-d": paid(WithinTarget(exact, targets), **watched),
        "laser": paid(WithinTarget(exact, TARGET)),
        "laser-de": paid(WithinTarget(exact, targets, repetition=RepetitionPenalty(6)), **watched),
        "truncation": [replace(plain, rollout=cut)],
        "relative": paid(RelativeLength(exact), 0.4),
        "standardised": paid(StandardisedLength(exact), 0.4),
    },
    evaluate=[test],
    measures=(pass_1, Final("length")),
)
