"""The tricks of "Tricks or Traps?", each switched on alone on top of GRPO: scope of mean and standard deviation, clip
range, aggregation of the loss, and leaving out attempts that were cut off.
"""

from dataclasses import replace

from whet.advantages.batch_mean import BatchMean
from whet.advantages.group_mean import GroupMean
from whet.metrics.measures import Final, Overall, auc_reward, pass_1
from whet.objectives.clip import Clip
from whet.recipe import Recipe
from whet.recipes._sums import TOKENS, base, correct, test
from whet.recipes.lite_ppo import by_attempt, by_token, easy
from whet.recipes.lite_ppo import grpo as usual
from whet.rewards.length import Finished
from whet.scoring import Weighted
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.where import Where

finished = Weighted({**correct.terms, "finished": Finished()}, weights={"finished": 0.0})


by_attempt = replace(by_attempt, minibatches=8)  # so many updates per batch that ratios leave the clip range
grpo = replace(usual, task=easy, train={"policy": by_attempt})


def trained(**changes):
    return {"train": {"policy": replace(by_attempt, **changes)}}


switches = {
    "grpo": {},
    "mean-of-the-batch": {"advantage": BatchMean(std="group")},
    "std-of-the-batch": {"advantage": GroupMean(std="batch")},
    "no-std": {"advantage": GroupMean(std="none")},
    "mean-and-std-of-the-batch": {"advantage": BatchMean(std="batch")},
    "clip-higher": trained(objective=Clip(low=0.2, high=0.28)),
    "token-mean": trained(weighting=by_token.weighting),
    "constant-length": trained(weighting=ConstantLength(TOKENS)),
    "overlong-filter": {"reward": finished, **trained(weighting=Where("finished", SequenceMean()))},
}

recipe = Recipe(
    model=base,
    arms={name: [replace(grpo, **changes)] for name, changes in switches.items()},
    evaluate=[test],
    measures=(pass_1, auc_reward, Overall("grad_norm"), Overall("clip_fraction"), Final("length")),
)
