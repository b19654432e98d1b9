"""LASER: a bonus for right answers within a target length, against a reward for right answers alone, from a model that
says its result again and again, and sometimes guesses. With LASER-D the target follows how hard a problem is for the
policy as it is; LASER-DE also leaves room for wrong answers to get longer.
"""

from dataclasses import replace

from whet.bounds import Above
from whet.claims import All, AtLeast, Better, Cheaper, Within
from whet.metrics.measures import Final, Late, Rise, pass_1
from whet.recipe import Paper, Recipe
from whet.recipes._verbose import TARGET, attempts, base, monitor, paid, plain, sums, targets, test
from whet.rewards.relative_length import RelativeLength, StandardisedLength
from whet.rewards.repetition import RepetitionPenalty
from whet.rewards.verified import exact
from whet.rewards.within_target import WithinTarget
from whet.types import Decoding

cut = replace(attempts, decoding=Decoding(max_tokens=TARGET))  # what is cut off is wrong
explored = WithinTarget(exact, targets, repetition=RepetitionPenalty(6))  # the tokens of a step: our choice
easy, hard = (
    replace(test, task=replace(sums, terms=n), name=name, problems=60) for name, n in (("easy", 2), ("hard", 4))
)
length, baselines = Final("length"), ("truncation", "relative", "standardised")

recipe = Recipe(
    paper=Paper(
        "095",
        "Learn to Reason Efficiently (LASER)",
        "Targets that follow difficulty have the best trade-off: far fewer tokens at no less accuracy.",
    ),
    model=base,
    arms={
        "accuracy": [plain],
        "laser-d": paid(WithinTarget(exact, targets), callbacks=[monitor]),
        "truncation": [replace(plain, rollout=cut)],
        "relative": paid(RelativeLength(exact), 0.4),
        "standardised": paid(StandardisedLength(exact), 0.4),
        "laser": paid(WithinTarget(exact, TARGET)),
        "laser-de": paid(explored, callbacks=[monitor]),
    },
    evaluate=[test, easy, hard],
    claim=All(
        [
            Cheaper("laser-d", than="accuracy", metric=length, share=0.65),
            Within("laser-d", of="accuracy", metric=pass_1, margin=0.01),
            Above("laser-d", Rise(Final("length", "hard"), Final("length", "easy")), 0.0),
            *(AtLeast(1, [Better("laser-d", b, pass_1), Cheaper("laser-d", b, length)]) for b in baselines),
        ]
    ),
    measures=(
        pass_1,
        length,
        Final("pass@1", "hard"),
        Final("length", "hard"),
        Final("length", "easy"),
        Late("entropy"),
    ),
    at_scale={
        "train.policy.lr": 1e-6,
        "problems": 128,
        "rollout.decoding.max_tokens": 16384,
        "truncation.rollout.decoding.max_tokens": 4096,  # and the targets: our choice
        "laser.reward.terms.length.target": 4096,
        "laser-d.reward.terms.length.target.start": 4096,
        "laser-de.reward.terms.length.target.start": 4096,
        "callbacks.0.into.grid": tuple(range(2048, 16385, 1024)),
        "callbacks.0.evaluation.rollout.decoding.max_tokens": 16384,
        "callbacks.0.every": 20,
    },
)
