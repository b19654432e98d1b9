"""The whole loop on a laptop: a tiny model learns the form of an answer by imitation, then to be right by GRPO."""

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Made, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

task = ChainSum(terms=(2, 4), largest=9, slips=0.25)
attempts = Sample(group=8, decoding=Decoding(max_tokens=48))
correct = Weighted({"correct": exact})

tiny = TinyQwen(width=128, layers=4, inter=512, context=96)
base = Made(tiny, [SFT(task=task, steps=200, problems=64)])

grpo = RL(task=task, rollout=attempts, reward=correct, train={"policy": Train(Clip(), lr=5e-4)}, problems=16, steps=60)

recipe = Recipe(
    model=base,
    arms={"grpo": [grpo]},
    evaluate=[Evaluate(task=task, rollout=attempts, reward=correct, problems=200)],
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 4096},
)
