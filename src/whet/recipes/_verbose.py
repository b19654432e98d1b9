"""The small model on which length control compares: it adds up step by step, and does so one to four times."""

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
from whet.tasks.splits import pick, worked
from whet.types import Decoding, Problem, Term

TOKENS, TARGET = 96, 32  # the longest attempt; where it had better end before anything is known of classes: our choice


def redundant(problem: Problem) -> str:
    """ "4+5=9;9+6=15" as "4+5=9;9+6=15;15;15": the result said again, for each step once to ten times."""
    thought = problem.info["solution"].partition("</think>")[0].removeprefix("<think>")
    times = thought.count("=") * pick(generator(0, "redundant", problem.id), 1, 10)
    return worked(";".join([thought, *[str(problem.answer)] * times]), str(problem.answer))


sums = ChainSum(terms=(2, 4), largest=9, operators="+")
verbose = Restyled(sums, {"redundant": redundant}, {"redundant": 1.0})
attempts = Sample(group=8, decoding=Decoding(max_tokens=TOKENS))
correct = Weighted({"correct": exact})
test = Evaluate(sums, Sample(group=2, decoding=attempts.decoding), correct, problems=200)

numbers = tuple(str(n) for n in range(10, 37))  # one token each
tiny = TinyQwen(width=64, layers=2, context=128, tokenizer="word", words=numbers)
learn = Train(Likelihood(), lr=Linear(5e-3, 1e-3, 130), warmup=20, betas=(0.9, 0.98))
relax = Train(Likelihood(), lr=Linear(2e-3, 2e-4, 160), warmup=10, betas=(0.9, 0.98))
base = Made(tiny, [SFT(sums, steps=130, problems=32, train=learn), SFT(verbose, steps=160, problems=24, train=relax)])

usual = Train(Clip(), lr=3e-4, warmup=5)
plain = RL(sums, attempts, reward=correct, train={"policy": usual}, problems=16, steps=40)

# Targets by difficulty, taken every 5 steps from 24 problems held out of training: our choice.
targets = TargetByDifficulty(start=TARGET, grid=tuple(range(4, TOKENS + 1, 4)))
monitor = Monitor(Evaluate(sums, attempts, correct, "monitor", "validation", problems=24), targets, every=5)


def paid(length: Term, weight: Number = 0.5, **changes: Any) -> list[RL]:
    """Right is worth 1.5 more than wrong, as in LASER, where they are 1 and -0.5: a group's mean takes the rest."""
    reward = Weighted({"correct": exact, "length": length}, weights={"correct": 1.5, "length": weight})
    return [replace(plain, reward=reward, **changes)]
