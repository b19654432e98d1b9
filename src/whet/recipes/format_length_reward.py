"""Rewards that never see the answer key: a parseable boxed answer, a reasoning block, and a good length, against
correctness. Ability is there already; what is missing is the habit of finishing and boxing an answer."""

from dataclasses import replace

from whet.callbacks.validate import Validate
from whet.claims import All, Reaches, Within
from whet.metrics.measures import AreaUnder, During, Final, Late, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.format import TagOccurs
from whet.rewards.length import PeakedLength
from whet.rewards.parseable import Parseable
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.restyled import Restyled
from whet.types import Decoding, Problem
from whet.weightings.sequence_mean import SequenceMean

LIMIT, TARGET = 48, 0.4  # tokens, share: our choice; the paper's are 3072 and 0.5


def steps(problem: Problem) -> str:
    return problem.info["solution"].partition("<answer>")[0]


def boxed(problem: Problem) -> str:
    return f"{steps(problem)}\\boxed{{{problem.answer}}}"


def unboxed(problem: Problem) -> str:
    return f"{steps(problem)}{problem.answer}"


def rambling(problem: Problem) -> str:
    again = steps(problem).removeprefix("<think>").removesuffix("</think>") + ";"
    return "<think>" + again * (1 + LIMIT // (6 * again.count("=")))  # six tokens a step: beyond the limit, and no end


sums = ChainSum(terms=(2, 4), largest=9, operators="+")
habits = Restyled(
    sums,
    {"boxed": boxed, "unboxed": unboxed, "rambling": rambling},
    {"boxed": 0.35, "unboxed": 0.35, "rambling": 0.3},
)
words = ("\\boxed{", *(str(n) for n in range(10, 37)))
tiny = TinyQwen(width=96, layers=3, context=128, tokenizer="word", words=words)
learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 220), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(habits, steps=220, problems=32, train=learn)])

thinks, parses, right = TagOccurs(), Parseable("math"), Verified("exact", extract="boxed")
correctness = Weighted({"soft": thinks, "correct": right}, weights={"soft": 0.5})
form = Weighted({"soft": thinks, "parseable": parses}, weights={"soft": 0.5, "parseable": 0.5})
length = Weighted(
    {**form.terms, "length": PeakedLength(TARGET, LIMIT, earned=parses)},
    weights=form.weights,
    gates={"soft": "parseable"},  # without an answer nothing is earned, and a bad length costs
)

attempts = Sample(group=8, decoding=Decoding(max_tokens=LIMIT))
greedy = Sample(group=1, decoding=Decoding(max_tokens=LIMIT, temperature=0))
test = Evaluate(sums, greedy, correctness, problems=300)
plain = RL(
    sums,
    rollout=attempts,
    reward=correctness,
    train={"policy": Train(Clip(), SequenceMean(), lr=3e-5, warmup=5)},
    callbacks=[Validate(test, every=16)],
    steps=48,
)
third = During(16)

recipe = Recipe(
    paper=Paper(
        "000",
        "Surrogate Signals from Format and Length",
        "A reward for format alone tracks GRPO on the ground truth early on; with a length reward it comes as far.",
    ),
    model=base,
    arms={
        "correctness": [plain],
        "format": [replace(plain, reward=form)],
        "format-length": [replace(plain, reward=length)],
    },
    evaluate=[test],
    claim=All(
        [
            Reaches("format", of="correctness", metric=third, share=0.5),
            Within("format-length", of="format", metric=pass_1, margin=0.02),
            Within("format-length", of="correctness", metric=pass_1, margin=0.05),
        ]
    ),
    measures=(pass_1, third, Late("length/limit_share"), Final("length"), AreaUnder("reward/mean")),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 3072},
)
