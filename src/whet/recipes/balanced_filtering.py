"""Balanced filtering against plain GRPO: each batch is filled with problems that the policy solves neither too rarely
nor too often, on sums a third of which it always solves, a third half of the time and a third hardly ever. At equal
updates; what the filters cost in attempts stands beside.
"""

from dataclasses import replace

from whet.callbacks.validate import Validate
from whet.claims import All, Better, Sooner
from whet.filters.accuracy_band import AccuracyBand
from whet.metrics.measures import During, Final, Overall, Total, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled
from whet.types import Decoding, Problem

STEPS, EARLY = 30, 21  # 70 % of the updates

sums = {name: ChainSum(terms, largest=9, operators="+") for name, terms in (("easy", 2), ("middle", 4), ("hard", 6))}
task = Mixture(sums)


def worked(problem: Problem) -> str:
    return problem.info["solution"]


def given_up(problem: Problem) -> str:
    return "<answer>?</answer>"


habits = {"easy": 1.0, "middle": 0.55, "hard": 0.03}  # the share that is worked out
styles = {"worked": worked, "given up": given_up}
habit = Mixture({name: Restyled(sums[name], styles, {"worked": x, "given up": 1 - x}) for name, x in habits.items()})

tiny = TinyQwen(width=96, layers=3, context=96, tokenizer="word", words=tuple(str(n) for n in range(10, 55)))
learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 200), warmup=20, betas=(0.9, 0.98))
relax = Train(Likelihood(), lr=Linear(6e-4, 6e-5, 60), warmup=10, betas=(0.9, 0.98))
base = Made(tiny, [SFT(task, steps=200, problems=32, train=learn), SFT(habit, steps=60, problems=32, train=relax)])

attempts = Sample(group=8, decoding=Decoding(max_tokens=48))
correct = Weighted({"correct": exact})
four = Sample(group=4, decoding=attempts.decoding)
test = Evaluate(task, four, correct, problems=200)
apart = [Evaluate(sums[name], four, correct, name=name, problems=40) for name in sums]

plain = RL(
    task,
    rollout=attempts,
    reward=correct,
    train={"policy": Train(Clip(), lr=4e-5, warmup=5)},
    callbacks=[Validate(test, every=EARLY)],
    problems=6,
    steps=STEPS,
)


def within(low: float, high: float) -> list[RL]:
    return [replace(plain, filter=AccuracyBand(low, high), refills=7)]


recipe = Recipe(
    paper=Paper(
        "063",
        "Online Difficulty Filtering (balanced)",
        "Training on problems of middle accuracy alone beats plain GRPO, and gets as far with fewer updates.",
    ),
    model=base,
    arms={
        "plain": [plain],
        "drop-0-and-1": within(0, 1),
        "low-band": within(0, 0.5),
        "high-band": within(0.5, 1),
        "balanced": within(0.25, 0.75),
    },
    evaluate=[test, *apart],
    claim=All(
        [
            Better("balanced", than="plain", metric=pass_1, margin=0.03),
            Sooner("balanced", than="plain", early=During(EARLY), late=pass_1),
        ]
    ),
    measures=(
        pass_1,
        *(Final("pass@1", name) for name in sums),
        Total("updates"),
        Total("attempts"),
        Overall("groups/kept"),
    ),
    at_scale={"train.policy.lr": 1e-6, "rollout.group": 16, "rollout.decoding.max_tokens": 8192},
)
