"""What the three reasoning-gym recipes beside this file share: imitation of bare answers first, then GRPO."""

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Recipe
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.schedule import Cosine
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.gym import Gym
from whet.types import Decoding


def learned(task: Gym, words: str, imitate: int = 200, steps: int = 60) -> Recipe:
    """A model of 0.4 million parameters that imitates answers for `imitate` steps and is then rewarded for right ones.
    The words that every question repeats are one token each, all else is spelt; reasoning-gym itself judges."""
    tiny = TinyQwen(width=96, layers=3, context=128, tokenizer="word", words=tuple(sorted(set(words.split()))))
    imitation = Train(Likelihood(), lr=Cosine(3e-3, 3e-4, imitate), warmup=10, betas=(0.9, 0.95))
    attempts = Sample(group=8, decoding=Decoding(max_tokens=24))
    correct = Weighted({"correct": Verified("reasoning_gym")})
    grpo = Train(Clip(low=0.2, high=0.28), lr=1e-4, warmup=5)
    return Recipe(
        model=Made(tiny, [SFT(task, steps=imitate, problems=64, train=imitation)]),
        arms={"grpo": [RL(task, attempts, correct, {"policy": grpo}, problems=32, steps=steps)]},
        evaluate=[Evaluate(task, attempts, correct, problems=200)],
    )
