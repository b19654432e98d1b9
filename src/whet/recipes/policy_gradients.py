"""Twelve policy-gradient methods from the same warm starts, with the same learning rate, at equal tokens. None has a KL
penalty, so that they differ in what their names stand for: oreal is its loss without a reward model for tokens, and rft
imitates what was right.
"""

from dataclasses import replace

from whet.advantages.gae import GAE
from whet.advantages.group_mean import GroupMean
from whet.advantages.leave_one_out import LeaveOneOut
from whet.advantages.reinforce_plus_plus import BatchNormalised
from whet.filters.mixed import Mixed
from whet.metrics.measures import AreaUnder, Final, Late, pass_1
from whet.models.derived import Critic
from whet.objectives.cispo import Cispo
from whet.objectives.clip import Clip
from whet.objectives.clone_and_repel import CloneAndRepel
from whet.objectives.gradient_preserving import GradientPreservingClip
from whet.objectives.gspo import Gspo
from whet.objectives.likelihood import Likelihood
from whet.objectives.reinforce import Reinforce
from whet.objectives.value import Value
from whet.recipe import Recipe
from whet.recipes._sums import TOKENS, attempts, base, correct, sums, test
from whet.rewards.length import SoftOverlong
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL, Tokens
from whet.tracks.values import Values
from whet.weightings.by_outcome import ByOutcome
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean

usual = Train(Clip(), SequenceMean(), lr=1e-4, warmup=5, minibatches=4)  # four updates per batch: ratios leave 1
grpo = RL(sums, rollout=attempts, reward=correct, train={"policy": usual}, steps=100, until=Tokens(80_000))
soft = Weighted({**correct.terms, "overlong": SoftOverlong(limit=TOKENS, cache=TOKENS // 4)})


def arm(objective=usual.objective, weighting=usual.weighting, **changes):
    return [replace(grpo, train={"policy": replace(usual, objective=objective, weighting=weighting)}, **changes)]


critic = Train(Value(), lr=2e-3, minibatches=usual.minibatches, rows="policy")
ppo = replace(
    grpo,
    train={"policy": usual, "critic": critic},
    advantage=GAE(whiten=True),
    tracks=[Values()],
    models={"critic": Critic()},
)
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
        "ppo": [ppo],
        "oreal": arm(CloneAndRepel(track=None), ByOutcome(), advantage=LeaveOneOut()),
        "rft": arm(Likelihood(), ByOutcome(right=1.0, wrong=0.0)),
    },
    evaluate=[test],
    seeds=5,
    measures=(pass_1, AreaUnder("reward/correct"), Late("entropy"), Final("length")),
)
