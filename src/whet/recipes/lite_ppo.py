"""Lite PPO ("Tricks or Traps?") against GRPO: centre rewards in the group, divide by the standard deviation of the
whole batch, and average the loss over tokens. On easy problems, where a group's own deviation is small and noisy, and
on mixed ones.
"""

from dataclasses import replace

from whet.advantages.group_mean import GroupMean
from whet.claims import All, Better, Within
from whet.filters.mixed import Mixed
from whet.metrics.measures import Final, Overall, auc_reward, pass_1
from whet.objectives.clip import Clip
from whet.recipe import Paper, Recipe
from whet.recipes._sums import TOKENS, attempts, base, correct, sums, test
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tasks.chain_sum import ChainSum
from whet.tasks.mixture import Mixture
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean

short, long = ChainSum(terms=2, largest=9, operators="+"), ChainSum(terms=4, largest=9, operators="+")
easy = Mixture({"short": short, "long": long}, weights={"short": 0.8, "long": 0.2})

by_attempt = Train(Clip(), SequenceMean(), lr=1e-4, warmup=5, minibatches=2)
by_token = replace(by_attempt, weighting=TokenMean())
higher = replace(by_token, objective=Clip(low=0.2, high=0.28))
constant = replace(by_attempt, weighting=ConstantLength(TOKENS))

grpo = RL(sums, rollout=attempts, reward=correct, train={"policy": by_attempt}, steps=40)
lite = replace(grpo, advantage=GroupMean(std="batch"), train={"policy": by_token})
dapo = replace(grpo, filter=Mixed(), refills=3, train={"policy": higher})
dr_grpo = replace(grpo, advantage=GroupMean(std="none"), train={"policy": constant})
methods = {"grpo": grpo, "lite-ppo": lite, "dapo": dapo, "dr-grpo": dr_grpo}

recipe = Recipe(
    paper=Paper("067", "Tricks or Traps? (Lite PPO)", "Two techniques on a critic-free PPO loss beat GRPO and DAPO."),
    model=base,
    arms={
        **{f"{name}-easy": [replace(stage, task=easy)] for name, stage in methods.items()},
        **{f"{name}-mixed": [stage] for name, stage in methods.items()},
    },
    evaluate=[test],
    claim=All(
        [
            Better("lite-ppo-easy", than="grpo-easy", metric=pass_1),
            Within("lite-ppo-mixed", of="grpo-mixed", metric=pass_1, margin=0.01),
        ]
    ),
    measures=(pass_1, auc_reward, Overall("grad_norm"), Final("length")),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 8192},
)
