"""NLPO (RL4LMs) against PPO: sampling stays inside the top-p set of a mask, a copy of the policy that is renewed every
five updates. On counting upwards and on reviews that sound glad; against imitation of better texts, too.

Two small tasks, both of which have to agree, where the paper's benchmark has six large ones; PPO and NLPO start from
the base that imitation starts from. Each arm is measured on its own task alone. The last update renews the mask, so
that to sample from the policy's own top-p set, as all arms do in the end, is to sample as NLPO does. Stability, the
spread over seeds, is in the table and is not judged; so are updates, those of RL, which may stop early.
"""

from dataclasses import replace

from whet.advantages.gae import GAE
from whet.claims import All, AtLeast, Better, Within
from whet.metrics.measures import Before, Final, Total
from whet.models.derived import Critic, Follow, Start
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.value import Value
from whet.recipe import Made, Paper, Recipe
from whet.rewards.distinct import Distinct
from whet.rewards.fluency import Fluency
from whet.rewards.kl import KLPenalty
from whet.rewards.mood import Mood
from whet.rewards.rising import Rising
from whet.rollouts.sample import Sample
from whet.rollouts.sample_inside import SampleInside
from whet.schedule import Linear, Proportional
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.lexicon import BAD, GOOD, WORDS
from whet.tasks.mixture import Mixture
from whet.tasks.numbers import Numbers
from whet.tasks.reviews import Reviews
from whet.tracks.reference import Logprobs
from whet.tracks.values import Values
from whet.types import Decoding

TOKENS = 20  # the longest attempt
texts = {"numbers": Numbers(count=6, largest=99, step=8), "reviews": Reviews(sentences=1)}  # as they are
shown = {"numbers": replace(texts["numbers"], rising=0.85), "reviews": replace(texts["reviews"], good=0.55, bad=0.15)}
terms = {"numbers": Rising(12), "reviews": Mood(GOOD, BAD)}

words = (*WORDS, *(str(n) for n in range(10, 100)))  # 360 tokens
tiny = TinyQwen(width=64, layers=2, context=64, tokenizer="word", words=words)
learn = Train(Likelihood(), lr=Linear(5e-3, 5e-4, 240), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(Mixture(texts), steps=240, problems=32, train=learn)])

whole, likely = Decoding(max_tokens=TOKENS), Decoding(max_tokens=TOKENS, top_p=0.9)
learns = Train(Clip(), lr=5e-4, epochs=4, most_kl=0.15)  # 1.5 times 0.1
values = Train(Value(clip=0.2), lr=2e-3, epochs=2, rows="policy")


def ppo(name):
    beta = Proportional(0.03, target=6.0)
    return RL(
        texts[name],
        rollout=Sample(group=1, decoding=whole),
        reward=Weighted({"correct": terms[name], "kl": KLPenalty()}, weights={"kl": beta}),
        train={"policy": learns, "critic": values},
        advantage=GAE(trace=0.95, whiten=True),
        tracks=[Logprobs(), Values()],
        models={"critic": Critic()},
        problems=40,
        steps=30,
    )


def nlpo(name):
    usual = ppo(name)
    inside = SampleInside(top_p=0.9, group=1, decoding=whole)
    return replace(usual, rollout=inside, models={**usual.models, "mask": Follow("policy", every=5)})


def arm(name, stage):
    """Measured on its own task, before and after."""
    said = {"correct": terms[name], "fluency": Fluency(), "distinct-2": Distinct()}
    seen = Weighted(said, weights={"fluency": 0.0, "distinct-2": 0.0})
    rollout = Sample(group=2, decoding=likely)
    test = Evaluate(texts[name], rollout, seen, "before/test", problems=100, models={"start": Start()})
    return [test, stage, replace(test, name="after/test")]


def imitation(name):
    return SFT(shown[name], steps=60, problems=32, train=replace(learn, lr=1e-3, warmup=5))


reward = Final("correct")
recipe = Recipe(
    paper=Paper(
        "045",
        "RL4LMs (NLPO)",
        "RL aligns better than imitation, and NLPO is more stable than PPO, at a better perplexity.",
    ),
    model=base,
    arms={
        **{f"sft-{name}": arm(name, imitation(name)) for name in texts},
        **{f"ppo-{name}": arm(name, ppo(name)) for name in texts},
        **{f"nlpo-{name}": arm(name, nlpo(name)) for name in texts},
    },
    claim=AtLeast(
        2,
        [
            All(
                [
                    Within(f"nlpo-{name}", of=f"ppo-{name}", metric=reward, margin=0.05),
                    Better(f"nlpo-{name}", than=f"ppo-{name}", metric=Final("fluency")),
                    Better(f"ppo-{name}", than=f"sft-{name}", metric=reward),
                    Better(f"nlpo-{name}", than=f"sft-{name}", metric=reward),
                ]
            )
            for name in texts
        ],
    ),
    measures=(Before("correct"), reward, Final("fluency"), Final("distinct-2"), Final("length"), Total("updates")),
    at_scale={"train.policy.lr": 1e-6},
)
