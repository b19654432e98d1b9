"""Delethink: a context of constant size that is thrown away and opened anew, against one long chain of thought, at the
same number of thinking tokens. Both start from one model that has seen a few traces of either kind; the letters to sum
fit the budget in training; later there are more of them than fit, and both may also think twice as long.
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
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.letter_sum import LETTERS, STEP, LetterSum
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled, question
from whet.types import Decoding
from whet.weightings.sequence_mean import SequenceMean

known = LETTERS[:32]
sums, longer = LetterSum(24, alphabet=known), LetterSum(32, alphabet=known)  # 200 and 264 tokens to think them through
chunks = Chunked(carry=8, chunks=6, head=1, decoding=Decoding(max_tokens=40))  # 200 tokens in contexts of 69
whole = Sample(decoding=Decoding(max_tokens=chunks.limit))
twice = replace(chunks, chunks=12), replace(whole, decoding=Decoding(max_tokens=replace(chunks, chunks=12).limit))

tiny = TinyQwen(width=64, layers=2, heads=2, kv_heads=2, context=432, alphabet=known + STEP)
learn = Train(Likelihood(), lr=3e-3, warmup=20, betas=(0.9, 0.98))
again = Restyled(LetterSum((2, 32), alphabet=known), {"again": question}, {"again": 1.0})  # letters looked up, no more
short = LetterSum((2, 8), alphabet=known)
first = Mixture({"again": again, "sums": short}, weights={"again": 1.0, "sums": 1.0})
gently = replace(learn, lr=2e-3, warmup=5)
some = SFT(LetterSum((2, 24), alphabet=known), steps=80, problems=24, train=gently, enough=5e-3)
traces = [some, replace(some, like=chunks), replace(some, steps=5, enough=0.0)]  # either way, and back to the whole
base = Made(tiny, [SFT(first, steps=800, problems=24, train=learn, enough=0.08), *traces])

right = Weighted({"correct": Ending()})
usual = Train(Clip(), SequenceMean(), lr=2e-4, warmup=5)


def arm(rollout: Chunked | Sample, more: Chunked | Sample) -> list[Evaluate | RL]:
    """Measured as it plays: with the budget of training, and on longer sums with that and with twice as much."""
    train = RL(sums, rollout, right, {"policy": usual}, callbacks=[ContextCost()], problems=8, steps=22)
    once, twice = replace(rollout, group=1), replace(more, group=1)
    test = Evaluate(sums, once, right, problems=100)
    long = Evaluate(longer, once, right, "after/long", problems=60)
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
