"""Six ways to control length, each at three strengths, from the same warm starts: what accuracy costs in tokens. Every
way has one knob, the one that its paper turns: LASER its target, LASER-D its weight, the peaked reward and the soft
punishment of overlong answers where they lie, the linear and the cosine reward how steep they are.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from whet.metrics.measures import Final, Late, pass_1
from whet.recipe import Recipe
from whet.recipes._verbose import TARGET, TOKENS, base, monitor, paid, plain, targets, test
from whet.rewards.length import CosineLength, LinearLength, PeakedLength, SoftOverlong
from whet.rewards.verified import exact
from whet.rewards.within_target import WithinTarget
from whet.scoring import Weighted

STRENGTHS = ("mild", "medium", "strong")


def cosine(gap: float) -> list[Any]:
    """Right is worth 1 and up to `gap` more the shorter, wrong up to `gap` less the shorter."""
    length = CosineLength(exact, TOKENS, 1 + gap, 1, -gap, 0, over=-gap)
    return [replace(plain, reward=Weighted({"correct": exact, "length": length}, weights={"correct": 0.0}))]


knobs: Mapping[str, tuple[Any, tuple[float, float, float]]] = {  # our choice, all: from hardly felt to too much
    "laser": (lambda target: paid(WithinTarget(exact, target)), (1.5 * TARGET, TARGET, TARGET / 2)),
    "laser-d": (lambda weight: paid(WithinTarget(exact, targets), weight, callbacks=[monitor]), (0.25, 0.5, 1.0)),
    "peaked": (lambda target: paid(PeakedLength(target, TOKENS, exact)), (0.5, 0.25, 0.125)),
    "linear": (lambda weight: paid(LinearLength(TOKENS), weight), (0.1, 0.3, 1.0)),
    "cosine": (cosine, (0.5, 1.0, 2.0)),
    "soft-overlong": (
        lambda limit: paid(SoftOverlong(limit, limit // 2), 1.0),
        (TOKENS * 3 // 4, TOKENS // 2, TOKENS // 4),
    ),
}

recipe = Recipe(
    model=base,
    arms={
        "accuracy": [plain],
        **{
            f"{name}-{strength}": make(value)
            for name, (make, values) in knobs.items()
            for strength, value in zip(STRENGTHS, values, strict=True)
        },
    },
    evaluate=[test],
    seeds=5,
    measures=(pass_1, Final("length"), Late("length/limit_share")),
)
