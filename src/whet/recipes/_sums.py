"""The small model on which policy-gradient recipes compare: it can add up step by step, and mostly guesses."""

from whet.models.tiny import TinyQwen
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

TOKENS = 32  # the longest attempt

sums = ChainSum(terms=(2, 4), largest=9, operators="+")  # "4+5+6=?", its solution "4+5=9;9+6=15"
habit = ChainSum(terms=(2, 4), largest=9, operators="+", shown=0.3)  # seven solutions of ten are a bare answer
attempts = Sample(group=8, decoding=Decoding(max_tokens=TOKENS))
correct = Weighted({"correct": exact})
test = Evaluate(sums, rollout=attempts, reward=correct, problems=200)

numbers = tuple(str(n) for n in range(10, 37))  # one token each
tiny = TinyQwen(width=96, layers=3, context=64, tokenizer="word", words=numbers)
learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 200), warmup=20, betas=(0.9, 0.98))
relax = Train(Likelihood(), lr=Linear(6e-4, 6e-5, 50), warmup=10, betas=(0.9, 0.98))
base = Made(tiny, [SFT(sums, steps=200, problems=32, train=learn), SFT(habit, steps=50, problems=32, train=relax)])
