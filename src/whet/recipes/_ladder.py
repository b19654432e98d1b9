"""Sums modulo 10 of two to six terms, and a small model that has learned the two shortest kinds and read few of the
others, the fewer the longer: on this ladder curricula compare.
"""

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.first import First
from whet.tasks.mixture import Mixture
from whet.types import Decoding

NAMES = ("two", "three", "four", "five", "six")  # terms, "(4+5+6) mod 10=?", solved as "4+5=9;9+6=5"
sums = {name: ChainSum(terms, largest=9, modulus=10, operators="+") for terms, name in enumerate(NAMES, 2)}
ladder = Mixture({name: First(of, 60) for name, of in sums.items()})  # curricula over problems must meet them again
easy = Mixture({name: sums[name] for name in NAMES[:2]})
seen = Mixture(sums, dict(zip(NAMES, (1.0, 1.0, 0.3, 0.2, 0.2), strict=True)))  # the longer the rarer

tiny = TinyQwen(width=64, layers=2, heads=2, kv_heads=2, context=72, alphabet="0123456789+=;()?mod ")
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, 250), warmup=20, betas=(0.9, 0.98))
more = Train(Likelihood(), lr=Linear(1e-3, 1e-4, 140), warmup=5, betas=(0.9, 0.98))
base = Made(tiny, [SFT(easy, steps=250, problems=32, train=learn), SFT(seen, steps=140, problems=32, train=more)])

attempts = Sample(group=8, decoding=Decoding(max_tokens=40))
correct = Weighted({"correct": exact})
test = Evaluate(ladder, Sample(group=2, decoding=attempts.decoding), correct, problems=200)
plain = RL(
    ladder,
    rollout=attempts,
    reward=correct,
    train={"policy": Train(Clip(), lr=3e-4, warmup=3)},
    problems=16,
    steps=100,
)
