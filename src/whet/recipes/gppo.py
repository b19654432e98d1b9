"""GPPO (Klear-Reasoner) against clipping with a higher upper bound: tokens outside the clip range keep a bounded
gradient. Many updates per batch make the policy leave the range; with one update per batch all arms are the same.
"""

from dataclasses import replace

from whet.claims import All, Better
from whet.filters.mixed import Mixed
from whet.metrics.measures import Late, Overall, auc_reward, pass_1
from whet.objectives.cispo import Cispo
from whet.objectives.clip import Clip
from whet.objectives.gradient_preserving import GradientPreservingClip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Paper, Recipe
from whet.recipes._sums import attempts, base, correct, sums, test
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.weightings.where import Where

many = Train(Clip(low=0.2, high=0.2, dual=3.0), lr=8e-5, warmup=2, epochs=2, minibatches=8)
higher = replace(many, objective=Clip(low=0.2, high=0.28, dual=3.0))
keeping = replace(many, objective=GradientPreservingClip(low=0.2, high=0.28, dual=3.0))
weighted = replace(many, objective=Cispo(low=0.2, high=0.28))  # the same range, for comparison

cloning = replace(keeping, auxiliary={"nll": Auxiliary(Likelihood(), Where("correct"), 0.1)})  # as in the paper's RL

# groups whose attempts are all right or all wrong are left out
clip = RL(sums, rollout=attempts, reward=correct, train={"policy": many}, filter=Mixed(), steps=20)
share = Overall("gradient/clipped")

recipe = Recipe(
    paper=Paper("080", "Klear-Reasoner (GPPO)", "Keeping a bounded gradient for clipped tokens beats dropping it."),
    model=base,
    arms={
        "clip": [clip],
        "clip-higher": [replace(clip, train={"policy": higher})],
        "cispo": [replace(clip, train={"policy": weighted})],
        "gppo": [replace(clip, train={"policy": keeping})],
        "gppo-nll": [replace(clip, train={"policy": cloning})],
    },
    evaluate=[test],
    claim=All(
        [Better("gppo", than="clip-higher", metric=auc_reward), Better("gppo", than="clip-higher", metric=share)]
    ),
    measures=(pass_1, auc_reward, Late("entropy"), Overall("clip_fraction"), share),
    at_scale={"train.policy.lr": 1e-6, "rollout.group": 16, "rollout.decoding.max_tokens": 16384},
)
