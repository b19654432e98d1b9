"""KDRL: a policy gradient on verified rewards joined with the reverse KL towards a frozen teacher, on the student's own
attempts, against each of the two alone and against imitating what the teacher writes.
"""

from dataclasses import replace

from whet.callbacks.validate import Validate
from whet.claims import All, Better
from whet.metrics.measures import AreaUnder, During, Final, pass_1
from whet.models.pretrained import Pretrained
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.kl import KL
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.length import Finished
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tracks.reference import Logprobs
from whet.types import Decoding
from whet.weightings.failed import Failed
from whet.weightings.where import Where

STEPS = 40
LOW, MIDDLE, HIGH = 0.01, 0.02, 0.05  # beta, our choice; the paper's, for larger models, is a tenth of it

sums = ChainSum(terms=(2, 4), largest=9, operators="+")
longer = ChainSum(terms=5, largest=9, operators="+")  # nobody was shown these
numbers = tuple(str(n) for n in range(10, 46))  # one token each
small = TinyQwen(width=64, layers=2, context=80, tokenizer="word", words=numbers)
large = replace(small, width=96, layers=3)


def shown(model, steps):
    learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, steps), warmup=20, betas=(0.9, 0.98))
    return Made(model, [SFT(sums, steps=steps, problems=32, train=learn)])


def hasty(model, share):
    """One that has learned not to think aloud, but for a share of the time."""
    relax = Train(Likelihood(), lr=Linear(6e-4, 6e-5, 40), warmup=10, betas=(0.9, 0.98))
    return replace(model, stages=[*model.stages, SFT(replace(sums, shown=share), steps=40, problems=32, train=relax)])


student, teacher = hasty(shown(small, 200), 0.2), shown(large, 240)
attempts = Sample(group=8, decoding=Decoding(max_tokens=40))
correct = Weighted({"correct": exact, "finished": Finished()}, weights={"finished": 0.0})  # measured, not paid
test = Evaluate(sums, replace(attempts, group=4), correct, problems=150)
away = replace(test, task=longer, name="longer", problems=60)

reward = Train(Clip(), lr=2e-4, warmup=5)
towards = KL("k2", "teacher")
whole = Where("finished")  # what was cut off has no end, and would teach running on
beside = Auxiliary(towards, whole, MIDDLE)
annealed = replace(beside, weight=Linear(HIGH, LOW, STEPS))
hopeless = replace(beside, weighting=Where("finished", Failed("correct", of="group")))  # only where all attempts failed

grpo = RL(
    sums,
    rollout=attempts,
    reward=correct,
    train={"policy": reward},
    callbacks=[Validate(test, every=7 * STEPS // 10)],
    steps=STEPS,
)
taught = replace(grpo, models={"teacher": teacher}, tracks=[Logprobs("teacher", "teacher", temperature=1.0)])
written = replace(taught, rollout=replace(attempts, model="teacher"), tracks=())


def learns(stage, **changes):
    return [replace(stage, train={"policy": replace(reward, **changes)})]


early = During(7 * STEPS // 10)

recipe = Recipe(
    paper=Paper("112", "KDRL", "Distillation joined with reinforcement learning beats either of them alone."),
    model=student,
    arms={
        "grpo": [grpo],
        "kd": learns(taught, objective=towards, weighting=whole),
        "kdrl": learns(taught, auxiliary={"teacher": annealed}),
        "kdrl-constant": learns(taught, auxiliary={"teacher": beside}),
        "kdrl-group-mask": learns(taught, auxiliary={"teacher": hopeless}),
        "sft": learns(written, objective=Likelihood(), weighting=Where("correct"), rows="teacher"),
    },
    evaluate=[test, away],
    claim=All(
        [
            Better("kdrl", than="grpo", metric=pass_1, margin=0.02),
            Better("kdrl", than="kd", metric=pass_1, margin=0.02),
            Better("kdrl", than="grpo", metric=early, against=pass_1),
        ]
    ),
    measures=(pass_1, early, Final("pass@1", "longer"), Final("length"), AreaUnder("reward/mean")),
    at_scale={
        "models.teacher": Pretrained("Skywork/Skywork-OR1-Math-7B"),
        "train.policy.lr": 1e-6,
        "rollout.decoding.max_tokens": 16384,
    },
)
