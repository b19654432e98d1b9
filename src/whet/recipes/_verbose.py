"""The small model on which length control compares: it adds up step by step, and says each step one to four times."""

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.randomness import generator
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
from whet.tasks.restyled import Restyled
from whet.tasks.splits import worked
from whet.types import Decoding, Problem
from whet.weightings.sequence_mean import SequenceMean

TOKENS = 96  # the longest attempt


def redundant(problem: Problem) -> str:
    """ "4+5+6" as "4+5=9;4+5=9;4+5=9;9+6=15", each step once to four times."""
    thought = problem.info["solution"].partition("</think>")[0].removeprefix("<think>")
    rng = generator(0, "redundant", problem.id)
    steps = [step for step in thought.split(";") for _ in range(int(rng.integers(1, 4, endpoint=True)))]
    return worked(";".join(steps), str(problem.answer))


sums = ChainSum(terms=(2, 6), largest=9, modulus=10, operators="+")  # "(4+5+6) mod 10=?"
verbose = Restyled(sums, {"redundant": redundant}, {"redundant": 1.0})
attempts = Sample(group=8, decoding=Decoding(max_tokens=TOKENS))
correct = Weighted({"correct": exact})
test = Evaluate(sums, rollout=Sample(group=2, decoding=attempts.decoding), reward=correct, problems=150)

tiny = TinyQwen(width=96, layers=3, context=152, tokenizer="word", words=(" mod 10=?",))
learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 200), warmup=20, betas=(0.9, 0.98))
habit = Train(Likelihood(), lr=Linear(1e-3, 1e-4, 60), warmup=10, betas=(0.9, 0.98))
base = Made(tiny, [SFT(sums, steps=200, problems=32, train=learn), SFT(verbose, steps=60, problems=24, train=habit)])

usual = Train(Clip(), SequenceMean(), lr=2e-4, warmup=5)
plain = RL(sums, rollout=attempts, reward=correct, train={"policy": usual}, problems=16, steps=40)
