"""DUMP against a uniform mix: a bandit over data sources draws where advantages are large, on sums of two to six terms,
of which the model has learned the two shortest kinds and read few of the others. At an equal number of attempts.
"""

from dataclasses import replace

from whet.bounds import Above
from whet.callbacks.validate import Validate
from whet.claims import All, AtLeast, Better, Sooner
from whet.curricula.bandit import Bandit
from whet.curricula.staged import Staged
from whet.metrics.course import Fall
from whet.metrics.measures import During, Final, pass_1
from whet.recipe import Paper, Recipe
from whet.recipes._ladder import NAMES, base, plain, test
from whet.stages.rl import RL
from whet.types import Curriculum

STEPS = plain.steps
EARLY = 3 * STEPS // 4  # 75 % of the budget
uniform = replace(plain, callbacks=[Validate(test, every=EARLY)])


def arm(curriculum: Curriculum) -> list[RL]:
    return [replace(uniform, curriculum=curriculum)]


recipe = Recipe(
    paper=Paper(
        "054",
        "DUMP",
        "A bandit over data sources, fed by mean absolute advantages, learns faster and further than a uniform mix.",
    ),
    model=base,
    arms={"uniform": [uniform], "dump": arm(Bandit()), "easy-to-hard": arm(Staged(NAMES, steps=STEPS // len(NAMES)))},
    evaluate=[test],
    claim=All(
        [
            AtLeast(
                1,
                [
                    Better("dump", than="uniform", metric=pass_1, margin=0.03),
                    Sooner("dump", than="uniform", early=During(EARLY), late=pass_1),
                ],
            ),
            Above("dump", Fall("curriculum/P/two"), 0.0),  # from easy to hard
        ]
    ),
    measures=(pass_1, During(EARLY), *(Final("pass@1", source=name) for name in NAMES), Final("length")),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 8192},
)
