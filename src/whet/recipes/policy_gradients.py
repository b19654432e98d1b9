"""Nine policy-gradient methods from the same warm starts, with the same learning rate, at equal tokens. None has a KL
penalty, so that they differ in what their names stand for.
"""

from dataclasses import replace

from whet.advantages.group_mean import GroupMean
from whet.advantages.leave_one_out import LeaveOneOut
from whet.advantages.reinforce_plus_plus import BatchNormalised
from whet.filters.mixed import Mixed
from whet.metrics.measures import AreaUnder, Final, Late, pass_1
from whet.objectives.cispo import Cispo
from whet.objectives.clip import Clip
from whet.objectives.gradient_preserving import GradientPreservingClip
from whet.objectives.gspo import Gspo
from whet.objectives.reinforce import Reinforce
from whet.recipe import Recipe
from whet.recipes._sums import TOKENS, attempts, base, correct, sums, test
from whet.rewards.length import SoftOverlong
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL, Tokens
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean

usual = Train(Clip(), SequenceMean(), lr=1e-4, warmup=5, minibatches=4)  # four updates per batch: ratios leave 1
grpo = RL(sums, rollout=attempts, reward=correct, train={"policy": usual}, steps=100, until=Tokens(80_000))
soft = Weighted({**correct.terms, "overlong": SoftOverlong(limit=TOKENS, cache=TOKENS // 4)})


def arm(objective=usual.objective, weighting=usual.weighting, **changes):
    return [replace(grpo, train={"policy": replace(usual, objective=objective, weighting=weighting)}, **changes)]


by_token = {"weighting": Train(Clip()).weighting}  # TokenMean, the default
recipe = Recipe(
    model=base,
    arms={
        "grpo": [grpo],
        "dr-grpo": arm(weighting=ConstantLength(TOKENS), advantage=GroupMean(std="none")),
        "dapo": arm(Clip(low=0.2, high=0.28), **by_token, reward=soft, filter=Mixed("correct"), refills=3),
        "rloo": arm(Reinforce(), advantage=LeaveOneOut()),
        "reinforce++": arm(**by_token, advantage=BatchNormalised()),
        "cispo": arm(Cispo(), **by_token),
        "gspo": arm(Gspo()),
        "lite-ppo": arm(**by_token, advantage=GroupMean(std="batch")),
        "gppo": arm(GradientPreservingClip(low=0.2, high=0.28), **by_token),
    },
    evaluate=[test],
    seeds=5,
    measures=(pass_1, AreaUnder("reward/correct"), Late("entropy"), Final("length")),
)
