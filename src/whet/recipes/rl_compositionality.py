"""From f(x) and g(x) to f(g(x)): a model that knows single functions by meaningless names learns to compose them by RL
on compositions of two, against RL on single ones and against imitation of its own right replies to the same problems.
Tested on pairs that training never had and on deeper compositions.

The base has copied questions of any depth and worked singles, also several side by side; a result as an argument it has
never read.
"""

from dataclasses import replace

from whet.claims import All, Better, Within
from whet.filters.mixed import Mixed
from whet.metrics.measures import Final
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
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled, question
from whet.tasks.side_by_side import SideBySide
from whet.tasks.string_functions import FUNCTIONS, StringFunctions
from whet.types import Decoding
from whet.weightings.by_outcome import ByOutcome

COPYING, WORK, STEPS = 300, 600, 100  # updates: of the two stages that make the base; of RL

# our choice of atoms: they keep six different letters six different letters
atoms = ("reverse", "rotate", "unrotate", "rotate_two", "rotate_three", "swap_ends", "shuffle", "swap_case")
one = StringFunctions(1, 6, atoms, alphabet="abcdABCD", hidden=True, piped=True, distinct=True)
two, unseen = replace(one, depth=2, pairs="seen"), replace(one, depth=2, pairs="unseen")
both = Mixture({"one": one, "two": two})

names = tuple(f"f{list(FUNCTIONS).index(name)}" for name in atoms)
tiny = TinyQwen(width=64, layers=3, heads=4, kv_heads=4, context=96, tokenizer="word", alphabet="abcdABCD>=,", words=names)
copied = Restyled(SideBySide(replace(one, depth=(1, 4), length=(2, 6))), {"copy": question}, {"copy": 1.0})
singles = SideBySide(one, (1, 3))
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, WORK), warmup=20, betas=(0.9, 0.98))
base = Made(
    tiny,
    [
        SFT(copied, steps=COPYING, problems=32, train=replace(learn, lr=4e-3)),
        SFT(Mixture({"copy": copied, "work": singles}, {"copy": 0.05, "work": 0.95}), steps=WORK, problems=32, train=learn),
    ],
)

attempts = Sample(group=16, decoding=Decoding(max_tokens=54))  # a worked solution of depth 4 has 52 tokens
correct = Weighted({"correct": exact})
rl = RL(
    both,
    rollout=attempts,
    reward=correct,
    train={"policy": Train(Clip(low=0.2, high=0.2), lr=3e-4, warmup=3)},
    filter=Mixed(),
    problems=16,
    steps=STEPS,
)
imitate = Train(Likelihood(), ByOutcome(right=1.0, wrong=0.0), lr=3e-4, warmup=3)
tests = {"one": one, "seen": two, "unseen": unseen, "three": replace(one, depth=3), "four": replace(one, depth=4)}
found = {name: Final("pass@1", name) for name in tests}

recipe = Recipe(
    paper=Paper(
        "082",
        "From f(x) and g(x) to f(g(x))",
        "RL on compositions of two generalises to unseen pairs and more depth; imitation and RL on single ones do not.",
    ),
    model=base,
    arms={
        "rl-l1": [replace(rl, task=one)],
        "rl-l1-2": [rl],
        "rft": [replace(rl, train={"policy": imitate})],
    },
    evaluate=[Evaluate(task, replace(attempts, group=1), correct, name=name, problems=100) for name, task in tests.items()],
    claim=All(
        [
            *[Better("rl-l1-2", than=arm, metric=found[name], margin=0.1) for name in ("unseen", "three") for arm in ("rft", "rl-l1")],
            *[Within(arm, of="rl-l1-2", metric=found["one"], margin=0.05) for arm in ("rft", "rl-l1")],
        ]
    ),
    measures=tuple(found.values()),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 8192},
)
