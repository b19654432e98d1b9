"""ReLIFT against RL alone and SFT alone: between the steps of RL, imitate solutions of those problems that nobody could
solve. One skill is half there and RL sharpens it; the other is new, so that there is nothing for RL to reward.
"""

from __future__ import annotations

import re
from dataclasses import replace

from whet.advantages.group_mean import GroupMean
from whet.bounds import Above, Below
from whet.callbacks.imitate_hardest import ImitateHardest
from whet.claims import All, Better, Within
from whet.curricula.uniform import Uniform
from whet.metrics.course import Fall
from whet.metrics.measures import Final, Total, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.imitation import Imitation
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.mixture import Mixture
from whet.tasks.products import Products
from whet.tasks.restyled import Restyled
from whet.tasks.splits import worked
from whet.types import Decoding, Problem

STEPS, BATCH = 60, 16  # of RL and of SFT alone; problems of each, and of a supervised step in between


def columns(problem: Problem) -> str:
    """The sums of the ones and of the tens: 34+57 is "11+80", and then 91."""
    a, b = (int(number) for number in re.findall("[0-9]+", str(problem.prompt)))
    return worked(f"{a % 10 + b % 10}+{(a // 10 + b // 10) * 10}", str(problem.answer))


sums = Restyled(ChainSum(terms=2, largest=99, operators="+"), {"columns": columns}, {"columns": 1.0})
products = Products(first=(10, 99), second=(2, 3))
both = Mixture({"sums": sums, "products": products}, {"sums": 0.6, "products": 0.4})
evenly = Mixture({"sums": sums, "products": products})

learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 210), warmup=20, betas=(0.9, 0.98))
tiny = TinyQwen(width=96, layers=3, context=48)
base = Made(tiny, [SFT(sums, steps=210, problems=32, train=learn)])

attempts = Sample(group=8, decoding=Decoding(max_tokens=18))
correct = Weighted({"correct": exact})
once = replace(attempts, group=1)
tests = {"test": evenly, "sums": sums, "products": products}
imitate = Train(Likelihood(), lr=1e-3, clip_norm=0.5)
rl = RL(
    both,
    rollout=attempts,
    reward=correct,
    train={"policy": Train(Clip(low=0.2, high=0.28), lr=3e-4, clip_norm=0.5)},
    advantage=GroupMean(std="none"),
    problems=BATCH,
    steps=STEPS,
)
sft = SFT(both, steps=STEPS, problems=BATCH, train=imitate)
hardest = ImitateHardest(Imitation(imitate), batch=BATCH)
random = replace(hardest, instead=Uniform(), most=20)
used, hard = Total("imitate/demonstrations"), Fall("imitate/hard")
on_sums, on_products = Final("pass@1", "sums"), Final("pass@1", "products")

recipe = Recipe(
    paper=Paper(
        "123",
        "Learning What Reinforcement Learning Can't (ReLIFT)",
        "Imitating only the hardest problems between RL steps beats RL and SFT with few demonstrations.",
    ),
    model=base,
    arms={
        "rl": [rl],
        "relift": [replace(rl, callbacks=[hardest])],
        "sft": [sft],
        "sft-rl": [replace(sft, steps=STEPS // 2), replace(rl, steps=STEPS // 2)],
        "random": [replace(rl, callbacks=[random])],
    },
    evaluate=[Evaluate(task, once, correct, name=name, problems=200) for name, task in tests.items()],
    claim=All(
        [
            Below("rl", on_products, 0.05),
            Above("relift", on_products, 0.4),
            Within("relift", of="rl", metric=on_sums, margin=0.02),
            Better("relift", than="sft", metric=pass_1),  # the mean of the two skills
            Below("relift", used, 0.35 * STEPS * BATCH),  # of the demonstrations that SFT alone uses
            Above("relift", hard, 0.0),
        ]
    ),
    measures=(pass_1, on_sums, on_products, used),
    at_scale={
        "train.policy.lr": 1e-6,
        "train.lr": 1e-6,
        "callbacks.0.imitate.train.lr": 1e-6,
        "callbacks.0.batch": 64,
        "problems": 128,
        "rollout.decoding.max_tokens": 8192,
    },
)
