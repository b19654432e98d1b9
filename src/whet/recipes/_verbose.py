"""The small model on which length control compares. It adds up step by step and says the result again and again; one
time in four it guesses. All of it is learned at once, so that no shorter habit lies beneath.
"""

from dataclasses import replace
from typing import Any

from whet.callbacks.monitor import Monitor
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.randomness import generator
from whet.recipe import Made
from whet.rewards.targets import TargetByDifficulty
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear, Number
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.restyled import Restyled
from whet.tasks.splits import pick
from whet.types import Decoding, Problem, Term

TOKENS, TARGET = 96, 32  # the longest attempt; where it had better end before anything is known of classes: our choice


def redundant(problem: Problem) -> str:
    """ "4+5=9;9+6=15" as "4+5=9;9+6=15;15;15": the result said again, for each step three to twelve times. A bare
    answer has no step."""
    steps, closes, answer = problem.info["solution"].partition("</think>")
    times = steps.count("=") * pick(generator(0, "redundant", problem.id), 3, 12)
    return steps + f";{problem.answer}" * times + closes + answer


sums = ChainSum(terms=(2, 4), largest=9, operators="+")
habit = replace(sums, shown=0.75)  # one solution in four is a bare answer
verbose = Restyled(habit, {"redundant": redundant}, {"redundant": 1.0})
attempts = Sample(group=8, decoding=Decoding(max_tokens=TOKENS))
correct = Weighted({"correct": exact})
test = Evaluate(sums, Sample(group=2, decoding=attempts.decoding), correct, problems=200)

numbers = tuple(str(n) for n in range(10, 37))  # one token each
tiny = TinyQwen(width=64, layers=2, context=128, tokenizer="word", words=numbers)
learn = Train(Likelihood(), lr=Linear(5e-3, 3e-4, 400), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(verbose, steps=400, problems=28, train=learn)])

usual = Train(Clip(), lr=4e-4, warmup=5)
plain = RL(sums, attempts, reward=correct, train={"policy": usual}, problems=16, steps=50)

# Targets by difficulty, taken every 5 steps from 24 problems held out of training: our choice.
targets = TargetByDifficulty(start=TARGET, grid=tuple(range(4, TOKENS + 1, 4)))
monitor = Monitor(Evaluate(sums, attempts, correct, "monitor", "validation", problems=24), targets, every=5)


def paid(length: Term, weight: Number = 0.5, **changes: Any) -> list[RL]:
    """Right is worth 1.5 more than wrong, as in LASER, where they are 1 and -0.5: a group's mean takes the rest."""
    reward = Weighted({"correct": exact, "length": length}, weights={"correct": 1.5, "length": weight})
    return [replace(plain, reward=reward, **changes)]
