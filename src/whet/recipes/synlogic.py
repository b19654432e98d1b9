"""SynLogic: puzzles of six families at levels that the model solves now and then, against the same at any level, sums
alone, and both at an equal number of steps. The model has read a little of all, and of two more families that are only
tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from whet.bounds import Above, Below
from whet.callbacks.validate import Validate
from whet.claims import All, Better
from whet.filters.mixed import Mixed
from whet.metrics.gained import Gained
from whet.metrics.measures import Before, During, Final, Rise, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.format import TagFormat
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.logic import SIGNS, WORDS, Logic
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled
from whet.types import Decoding, Problem, Task

STEPS = 50
# The highest level of each family: beyond, questions of `boolean` are longer than the context.
TOPS = {"boolean": 1, "sudoku": 3, "lies": 3, "cipher": 3, "sorting": 3, "dyck": 3}
# `whet calibrate synlogic --most 3 --max-tokens 40 --problems 48 --seed 1000 --seed 1001` gives these, for 0.1 to 0.7;
# where no level has such a rate (`cipher`), the easiest stands.
BANDS = {"boolean": (0, 1), "sudoku": (0, 1), "lies": (0, 1), "cipher": (0, 0), "sorting": (0, 1), "dyck": (0, 3)}


def puzzles(levels: Mapping[str, tuple[int, int]]) -> Mixture:
    return Mixture({name: Logic(name, of) for name, of in levels.items()})


def told(problem: Problem) -> str:
    return problem.info["solution"]


def bare(problem: Problem) -> str:
    return problem.info["solution"].partition("</think>")[2]


anything = puzzles({name: (0, top) for name, top in TOPS.items()})
banded = puzzles(BANDS)
untrained = puzzles({"operation": (0, 3), "futoshiki": (0, 2)})  # read of, too; 3 x 3 alone
sums = ChainSum(terms=(3, 6), largest=9, modulus=10, operators="+")
both = Mixture({"logic": banded, "sums": sums})
everything = {**anything.sources, **untrained.sources, "sums": sums}
read = Mixture(everything, {name: 1.5 if name == "sums" else 1.0 for name in everything})
habit = Restyled(read, {"told": told, "bare": bare}, {"told": 0.8, "bare": 0.2})  # at times it guesses

tiny = TinyQwen(width=64, layers=2, context=160, tokenizer="word", alphabet=SIGNS, words=WORDS)
usual = Train(Likelihood(), lr=4e-3, warmup=20, betas=(0.9, 0.98))
fading = replace(usual, lr=Linear(4e-3, 4e-4, 1000))
# Short sums first: to work step by step is learned in short texts.
short = replace(sums, terms=(2, 3))
base = Made(tiny, [SFT(short, steps=250, problems=32, train=usual), SFT(habit, steps=1000, problems=32, train=fading)])

attempts = Sample(group=8, decoding=Decoding(max_tokens=40))
once = replace(attempts, group=1)
right = Weighted({"correct": Verified("logic"), "tags": TagFormat()}, {"tags": 0.0}, gates={"correct": "tags"})
tests = {"test": anything, "untrained": untrained, "sums": sums}
evaluate = [Evaluate(task, once, right, name, problems=240 if name == "test" else 80) for name, task in tests.items()]
plain = RL(
    banded,
    rollout=attempts,
    reward=right,
    train={"policy": Train(Clip(low=0.2, high=0.28), lr=3e-4, warmup=3)},
    filter=Mixed(),
    callbacks=[Validate(evaluate[-1], every=STEPS // 2)],
    refills=1,
    problems=12,
    steps=STEPS,
)


def on(task: Task) -> list[RL]:
    return [replace(plain, task=task)]


of_sums, lost = Final("pass@1", "sums"), Rise(Before("pass@1", "untrained"), Final("pass@1", "untrained"))

recipe = Recipe(
    paper=Paper(
        "117",
        "SynLogic",
        "RL on synthesised puzzles of calibrated difficulty improves logic beyond them, and helps maths when mixed in.",
    ),
    model=base,
    arms={"uncalibrated": on(anything), "calibrated": on(banded), "sums": on(sums), "sums+logic": on(both)},
    evaluate=evaluate,
    claim=All(
        [
            Above("calibrated", Gained(), 0.10),
            Better("calibrated", than="uncalibrated", metric=pass_1, margin=0.02),
            # at equal prompts of sums: half of those that "sums+logic" is given are sums
            Better("sums+logic", than="sums", metric=of_sums, against=During(STEPS // 2, evaluation="sums")),
            Below("calibrated", lost, 0.02),  # not lower than at the start, but for 0.02
        ]
    ),
    measures=(pass_1, Gained(), of_sums, Final("pass@1", "untrained"), *(Final(source=name) for name in BANDS)),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 16384},
)
