"""Guide-GRPO against GRPO at equal rollouts: where every attempt fails, a second group sees a hint and is learned from
as if it had not. The model adds well and knows few products, which the hints tell; the plain arms try again without.
"""

from __future__ import annotations

from dataclasses import replace

from whet.bounds import Above
from whet.claims import All, Better
from whet.filters.mixed import Mixed
from whet.metrics.gains import CapabilityGain, Regression, SelfDistillation
from whet.metrics.measures import Final, Total, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.verified import exact
from whet.rollouts.hinted import Hinted
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.product_then_sum import ProductThenSum
from whet.types import Decoding

STEPS, WARM = 64, 260  # updates of RL and of the warm start

plain = ProductThenSum()
shown = replace(plain, hinted=0.9)  # what the warm start sees: hints nearly always, so products are learned last

learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, WARM), warmup=20, betas=(0.9, 0.98))
numbers = tuple(str(n) for n in range(10, 50))  # one token each
tiny = TinyQwen(width=96, layers=3, context=32, tokenizer="word", words=numbers)
base = Made(tiny, [SFT(shown, steps=WARM, problems=32, train=learn)])

decoding = Decoding(max_tokens=10)
correct = Weighted({"correct": exact})
again = Hinted(exact, hint=None, group=8, decoding=decoding)
guided = replace(again, hint="hint")
grpo = RL(
    plain,
    rollout=again,
    reward=correct,
    train={"policy": Train(Clip(), lr=3e-4)},
    problems=16,
    steps=STEPS,
)
test = Evaluate(plain, Sample(group=16, decoding=decoding), correct, problems=200)
distilled = SelfDistillation(k=16)
used = Total("attempts")

recipe = Recipe(
    paper=Paper(
        "077",
        "Adaptive Guidance (Guide-GRPO)",
        "Hints where every attempt fails, trained away by the ratio, beat GRPO; most of its gains are distilled.",
    ),
    model=base,
    arms={
        "grpo": [grpo],
        "guide": [replace(grpo, rollout=guided)],
        "grpo-filter": [replace(grpo, filter=Mixed())],
        "guide-uncorrected": [replace(grpo, rollout=replace(guided, corrected=False))],
    },
    evaluate=[test],
    claim=All(
        [
            Better("guide", than="grpo", metric=pass_1, margin=0.03),
            Above("grpo", distilled, 0.5),
        ]
    ),
    measures=(pass_1, Final("pass@16"), distilled, CapabilityGain(k=16), Regression(), used, Total("attempts/guided")),
    at_scale={"train.policy.lr": 1e-6, "rollout.group": 16, "rollout.decoding.max_tokens": 8192},
)
