"""Agnostics: code is judged by what it prints, so RL with one verifier improves languages of which there is little to
imitate. The model has seen much of one language, and less of four others, most of it with a mistake. The arms are what
it becomes by more of the same and by RL; what it is itself is measured before.
"""

from __future__ import annotations

from dataclasses import replace

from whet.bounds import Above
from whet.claims import AtLeast
from whet.metrics.gained import Gained
from whet.metrics.measures import Before, Final, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.code import PassesTests
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.mixture import Mixture
from whet.tasks.program_families import words
from whet.tasks.programs import Programs
from whet.types import Decoding

TARGETS = ("lua", "r", "ocaml", "fortran")
LARGEST, SHARE, STEPS, LR = 30, 0.15, 18, 7e-4  # SHARE: of each target language in what was learned before

high = Programs(largest=LARGEST)
target = {name: Programs(name, largest=LARGEST, wrong=0.6) for name in TARGETS}
documents = Mixture({"python": high, **target}, {"python": 1 - 4 * SHARE, **dict.fromkeys(TARGETS, SHARE)})
asked = Mixture({name: replace(task, wrong=0.0) for name, task in target.items()})

tiny = TinyQwen(width=96, layers=2, context=96, tokenizer="word", words=words(range(2, LARGEST + 1)))
learn = Train(Likelihood(), lr=Linear(4e-3, 2e-4, 400), warmup=40, betas=(0.9, 0.98))
base = Made(tiny, [SFT(documents, steps=400, problems=16, train=learn)])

attempts = Sample(group=8, decoding=Decoding(max_tokens=60))
passes = Weighted({"correct": PassesTests("")})
rlvr = RL(
    asked,
    rollout=attempts,
    reward=passes,
    train={"policy": Train(Clip(), lr=Linear(LR, LR / 4, STEPS))},
    problems=8,
    steps=STEPS,
)
sft = SFT(Mixture(target), steps=STEPS, problems=64, train=Train(Likelihood(), lr=LR))


recipe = Recipe(
    paper=Paper("011", "Agnostics", "RL on what programs print teaches any language, with one verifier for all."),
    model=base,
    arms={"sft": [sft], "rlvr": [rlvr]},
    evaluate=[Evaluate(asked, replace(attempts, group=1), passes, problems=100)],
    claim=AtLeast(3, [Above("rlvr", Gained(source=name), 0.15) for name in TARGETS]),
    measures=(Before(), pass_1, *(Final(source=name) for name in TARGETS)),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 4096},
)
