"""RuleReasoner against a uniform mix: the next batch draws more from those families of rule problems whose correctness
is furthest below a target, which no attempt is thrown away for. The model has seen little of some of eight families;
three more are only tested. At an equal number of attempts, but for the filter's.
"""

from dataclasses import replace

from whet.claims import All, Better, Cheaper, Within
from whet.curricula.below_target import BelowTarget
from whet.curricula.staged import Staged
from whet.filters.mixed import Mixed
from whet.metrics.measures import Final, Total, pass_1
from whet.metrics.worst import Worst
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.parseable import Parseable
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.mixture import Mixture
from whet.tasks.rules import SIGNS, Rules
from whet.types import Decoding

STEPS = 100

# How much the model has read of each family before: the first four much, the others little.
READ = {"chain": 1.0, "table": 1.0, "rewrite": 1.0, "sets": 1.0}
READ |= {"negation": 0.5, "default": 0.5, "order": 0.5, "knights": 0.5}
UNSEEN = ("both", "largest", "inverse")  # by RL; read of, too

families = {name: Rules(name, depth=(1, 3)) for name in READ}
unseen = {name: Rules(name, depth=(1, 3)) for name in UNSEEN}
task = Mixture(families)
read = Mixture({**families, **unseen}, {**READ, **dict.fromkeys(UNSEEN, 0.5)})

tiny = TinyQwen(width=96, layers=2, context=96, alphabet=SIGNS)
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, 700), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(read, steps=700, problems=32, train=learn)])

attempts = Sample(group=8, decoding=Decoding(max_tokens=44))
# 1 for right, 0 for wrong, -1 for no answer, all one higher, which no group-relative advantage sees
reward = Weighted({"correct": exact, "parsed": Parseable("exact", extract="answer")})
once = replace(attempts, group=1)
uniform = RL(
    task,
    rollout=attempts,
    reward=reward,
    train={"policy": Train(Clip(), lr=3e-4, warmup=3)},
    problems=16,
    steps=STEPS,
)
dads = replace(uniform, curriculum=BelowTarget(every=5))
staged = replace(uniform, curriculum=Staged(tuple(READ), steps=STEPS // len(READ)))
filtering = replace(uniform, filter=Mixed("correct"), refills=3)

worst, used = Worst(), Total("attempts")
recipe = Recipe(
    paper=Paper(
        "090",
        "RuleReasoner (domain-aware dynamic sampling)",
        "Drawing more from the domains furthest below a target beats fixed mixes, and is cheaper than filtering.",
    ),
    model=base,
    arms={"uniform": [uniform], "dads": [dads], "filtering": [filtering], "easy-to-hard": [staged]},
    evaluate=[
        Evaluate(task, once, reward, problems=320),
        Evaluate(Mixture(unseen), once, reward, "unseen", problems=90),
    ],
    claim=All(
        [
            Better("dads", than="uniform", metric=pass_1, margin=0.02),
            Better("dads", than="uniform", metric=worst, margin=0.05),
            Within("dads", of="filtering", metric=pass_1, margin=0.02),
            Cheaper("dads", than="filtering", metric=used, share=0.7),
        ]
    ),
    measures=(pass_1, worst, Final("pass@1", "unseen"), used, *(Final("pass@1", source=name) for name in READ)),
    at_scale={
        "train.policy.lr": 1e-6,
        "rollout.decoding.max_tokens": 2048,
        "problems": 64,
        "dads.curriculum.every": 8,
    },
)
