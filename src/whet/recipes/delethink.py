"""Delethink: a context of constant size that is thrown away and opened anew, against one long chain of thought, at the
same number of thinking tokens. Both start from one model that has seen a few traces of either kind; the letters to sum
fit the budget in training, and are twice as many at the end, where both may think twice as long.
"""

from dataclasses import replace

from whet.callbacks.context import ContextCost
from whet.claims import All, Better, Cheaper, Within
from whet.metrics.measures import Before, Final, Overall, Rise, auc_reward, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.ending import Ending
from whet.rollouts.chunked import Chunked
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.letter_sum import LETTERS, LetterSum
from whet.types import Decoding
from whet.weightings.sequence_mean import SequenceMean

sums, longer = LetterSum(24), LetterSum(48)  # 200 and 392 tokens to think them through
chunks = Chunked(carry=8, chunks=5, head=1, decoding=Decoding(max_tokens=48))  # 208 tokens in contexts of 77
whole = Sample(decoding=Decoding(max_tokens=chunks.limit))
twice = replace(chunks, chunks=10), replace(whole, decoding=Decoding(max_tokens=replace(chunks, chunks=10).limit))

tiny = TinyQwen(width=64, layers=2, context=464, alphabet=LETTERS + "0123456789+=;^$")
learn = Train(Likelihood(), lr=Linear(4e-3, 1e-3, 200), warmup=20, betas=(0.9, 0.98))
brief = replace(learn, lr=Linear(2e-3, 2e-4, 80), warmup=5)
some = LetterSum((2, 24))
base = Made(
    tiny,
    [
        SFT(LetterSum((2, 8)), steps=200, problems=32, train=learn),
        SFT(some, steps=80, problems=24, train=brief, like=chunks),
        SFT(some, steps=40, problems=24, train=brief),
    ],
)

right = Weighted({"correct": Ending()})
usual = Train(Clip(), SequenceMean(), lr=1e-4, warmup=5)


def arm(rollout: Chunked | Sample, more: Chunked | Sample) -> list[Evaluate | RL]:
    """Measured as it plays: with the budget of training, and on longer sums with that and with twice as much."""
    train = RL(sums, rollout, right, {"policy": usual}, callbacks=[ContextCost()], problems=8, steps=40)
    once, twice = replace(rollout, group=1), replace(more, group=1)
    test = Evaluate(sums, once, right, problems=100)
    long = Evaluate(longer, once, right, "after/long", problems=100)
    return [
        replace(test, name="before/test"),
        train,
        replace(test, name="after/test"),
        long,
        replace(long, rollout=twice, name="after/long-twice"),
    ]


rise = Rise(Final("pass@1", "long-twice"), Final("pass@1", "long"))
pairs, peak = Overall("context/pairs"), Overall("context/peak")
recipe = Recipe(
    paper=Paper(
        "103",
        "The Markovian Thinker (Delethink)",
        "Thinking in chunks of constant size learns as much as one long chain, and goes on where that flattens.",
    ),
    model=base,
    arms={"longcot": arm(whole, twice[1]), "delethink": arm(chunks, twice[0])},
    claim=All(
        [
            Within("delethink", of="longcot", metric=pass_1, margin=0.05),
            Better("delethink", than="longcot", metric=rise),
            Cheaper("delethink", than="longcot", metric=pairs, share=0.6),
            Cheaper("delethink", than="longcot", metric=peak, share=0.5),
        ]
    ),
    measures=(pass_1, Before(), auc_reward, Final("length"), rise, pairs, peak),
    at_scale={
        "train.policy.lr": 1e-6,
        "longcot.rollout.decoding.max_tokens": 24576,
        "delethink.rollout.decoding.max_tokens": 8192,
        "delethink.rollout.carry": 4096,
        "delethink.rollout.head": 100,
    },
)
