"""From f(x) and g(x) to f(g(x)): a model that knows single functions by meaningless names learns to compose them by RL
on compositions of two, against RL on single ones and against imitation of its own right replies to the same problems.
Tested on pairs that training never had and on deeper compositions.

Of the paper's 25 functions five are taken: more are not learned within the time there is. The imitation is online, of
what the policy as it is now got right, step by step; the paper's is iterated, in larger rounds.
"""

from dataclasses import replace

from whet.claims import All, Better, Within
from whet.filters.everything import everything
from whet.filters.mixed import Mixed
from whet.metrics.measures import Final
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Paper, Recipe
from whet.recipes._compositions import base, one
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tasks.mixture import Mixture
from whet.types import Decoding
from whet.weightings.by_outcome import ByOutcome

STEPS, LR = 70, 3e-4  # of every arm, our choice; at 5e-4 all of them forget what single functions do

two, unseen = replace(one, depth=2, pairs="seen"), replace(one, depth=2, pairs="unseen")
both = Mixture({"one": one, "two": two}, {"one": 0.25, "two": 0.75})

attempts = Sample(group=16, decoding=Decoding(max_tokens=44))  # a worked solution of depth 2 has 34, of depth 4 has 52
correct = Weighted({"correct": exact})
policy = Train(Clip(low=0.2, high=0.2), lr=LR, warmup=3)
rl = RL(both, attempts, correct, {"policy": policy}, filter=Mixed(), problems=16, steps=STEPS)
# As many sampled replies, and all the right ones are imitated, those of easy problems too.
imitate = Train(Likelihood(), ByOutcome(right=1.0, wrong=0.0), lr=LR, warmup=3)
rft = replace(rl, train={"policy": imitate}, filter=everything)

tests = {"one": one, "seen": two, "unseen": unseen, "three": replace(one, depth=3), "four": replace(one, depth=4)}
once = Sample(group=1, decoding=Decoding(max_tokens=80))
found = {name: Final("pass@1", name) for name in tests}

recipe = Recipe(
    paper=Paper(
        "082",
        "From f(x) and g(x) to f(g(x))",
        "RL on compositions of two generalises to unseen pairs and more depth; imitation and RL on single ones do not.",
    ),
    model=base,
    arms={"rl-l1": [replace(rl, task=one)], "rl-l1-2": [rl], "rft": [rft]},
    evaluate=[Evaluate(task, once, correct, name=name, problems=100) for name, task in tests.items()],
    claim=All(
        [
            *[Better("rl-l1-2", than="rft", metric=found[name], margin=0.1) for name in ("unseen", "three")],
            *[Better("rl-l1-2", than="rl-l1", metric=found[name], margin=0.1) for name in ("unseen", "three")],
            *[Within("rl-l1-2", of=arm, metric=found["one"], margin=0.05) for arm in ("rl-l1", "rft")],
            *[Within(arm, of="rl-l1-2", metric=found["one"], margin=0.05) for arm in ("rl-l1", "rft")],
        ]
    ),
    measures=tuple(found.values()),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 8192},
)
