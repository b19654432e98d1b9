"""The whole loop on a laptop: a tiny model is shown how to add up, falls into the habit of guessing, and GRPO finds out
that thinking aloud pays: accuracy and length rise together.
"""

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

task = ChainSum(terms=(4, 5), largest=9, operators="+")  # "4+5+6+7=?", its solution "4+5=9;9+6=15;15+7=22"
habit = ChainSum(terms=(4, 5), largest=9, operators="+", shown=0.3)  # seven solutions of ten are a bare answer
attempts = Sample(group=8, decoding=Decoding(max_tokens=48))
correct = Weighted({"correct": exact})

numbers = tuple(str(n) for n in range(10, 46))  # one token each; everything else is a token per character
tiny = TinyQwen(width=128, layers=4, inter=512, context=96, tokenizer="word", words=numbers)
learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 240), warmup=20, betas=(0.9, 0.98))
relax = Train(Likelihood(), lr=Linear(6e-4, 6e-5, 60), warmup=10, betas=(0.9, 0.98))
base = Made(tiny, [SFT(task, steps=240, problems=32, train=learn), SFT(habit, steps=60, problems=32, train=relax)])

grpo = RL(task, rollout=attempts, reward=correct, train={"policy": Train(Clip(), lr=1e-4, warmup=5)}, steps=50)

recipe = Recipe(
    model=base,
    arms={"grpo": [grpo]},
    evaluate=[Evaluate(task, rollout=attempts, reward=correct, problems=200)],
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 2048},
)
