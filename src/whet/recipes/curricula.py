"""Six ways to choose what to play next, and one of two together, on sums of two to six terms: the longer they are, the
fewer of them the model has seen. From the same warm starts, at equal tokens.
"""

from dataclasses import replace

from whet.curricula.bandit import Bandit
from whet.curricula.below_target import BelowTarget
from whet.curricula.by_variance import ByVariance
from whet.curricula.staged import Staged
from whet.curricula.within_band import WithinBand
from whet.metrics.measures import AreaUnder, Final, Total, pass_1
from whet.metrics.worst import Worst
from whet.recipe import Recipe
from whet.recipes._ladder import NAMES, base, plain, test
from whet.stages.rl import RL, Tokens
from whet.types import Curriculum

uniform = replace(plain, steps=2 * plain.steps, until=Tokens(150_000))


def arm(curriculum: Curriculum) -> list[RL]:
    return [replace(uniform, curriculum=curriculum)]


recipe = Recipe(
    model=base,
    arms={
        "uniform": [uniform],
        "staged": arm(Staged(NAMES, steps=10)),  # about 50 steps use up the tokens
        "ucb": arm(Bandit()),
        "domain-aware": arm(BelowTarget(every=5)),
        "accuracy-band": arm(WithinBand()),
        "p(1-p)": arm(ByVariance()),
        "ucb-over-band": arm(Bandit(WithinBand())),
    },
    evaluate=[test],
    seeds=5,
    measures=(
        pass_1,
        Worst(),
        *(Final("pass@1", source=name) for name in NAMES),
        AreaUnder("groups/mixed"),
        Total("attempts"),
    ),
)
