"""The limit of RLVR: what a base, the same after RL, and the same after more SFT solve at all in many attempts. RL is
ahead at k = 1 and is caught up with; its replies were likely under the base before; traces of a teacher add what the
base can not do. A guess is one of ten here, so pass@k is told with and without true steps: what the teacher adds is
only seen with them. The model is that of cot-passk.

The page has Countdown, where a teacher brings an operator that the base has never seen. Both claims are to be judged on
one model, so the task is that of cot-passk, and the teacher writes clean traces of long chains, which the base has
rarely seen.
"""

from dataclasses import replace

from whet.bounds import Above, Below
from whet.claims import All
from whet.metrics.measures import Before, Rise, pass_1
from whet.metrics.reach import Counted, CrossingPoint, Perplexity, Reached
from whet.models.derived import Start
from whet.objectives.likelihood import Likelihood
from whet.recipe import Paper, Recipe
from whet.recipes._chains import STEPS, answers, attempts, base, rl, task, terms
from whet.rewards.fluency import Fluency
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.sft import SFT

K, TIE = 256, 0.01  # k as on the page; a gain below this is none, our choice
test = Evaluate(task, replace(attempts, group=K), answers, problems=32)
hotter = replace(attempts, group=64, decoding=replace(attempts.decoding, temperature=1.3))  # what heat undoes
read = Weighted({**terms, "fluency": Fluency()}, {"reasoned": 0.0, "fluency": 0.0})  # by the base
learn = Train(Likelihood(), lr=Linear(1e-3, 1e-4, STEPS), warmup=5, betas=(0.9, 0.98))


def gained(k: int, term: str = "") -> Rise:
    """What training has added to pass@k."""
    return Rise(Counted(k, term), Counted(k, term, "before"))


recipe = Recipe(
    paper=Paper(
        "078",
        "Does RL Really Incentivize Reasoning Capacity Beyond the Base Model? (limit of RLVR)",
        "RL is above its base at k = 1 and no longer at large k; distillation is above it there, too.",
    ),
    model=base,
    arms={
        "rl": [rl],
        "distill": [SFT(task, steps=STEPS, problems=32, train=learn)],
        "rl-early": [replace(rl, steps=STEPS // 4)],
    },
    evaluate=[
        test,
        replace(test, rollout=hotter, name="hot"),
        Evaluate(task, replace(attempts, group=16), read, "read", problems=test.problems, models={"start": Start()}),
    ],
    claim=All(
        [
            Above("rl", gained(1), 0.1),
            Below("rl", gained(K), TIE),
            Above("rl", CrossingPoint(crossed=True), 0.5),
            Above("distill", gained(K, "reasoned"), 0.0),
            Above("rl", Rise(Perplexity(when="before", evaluation="read"), Perplexity(evaluation="read")), 0.0),
        ]
    ),
    measures=(
        pass_1,
        Before(),
        CrossingPoint(),
        CrossingPoint("reasoned", crossed=True),
        *(Counted(0, term, when) for term in ("", "reasoned") for when in ("before", "after")),
        *(Counted(0, "", when, "hot") for when in ("before", "after")),
        Reached("only before"),
        Reached("only after"),
        Perplexity(evaluation="read"),
    ),
    at_scale={"train.policy.lr": 1e-6, "train.lr": 1e-6, "rollout.decoding.max_tokens": 8192},
)
