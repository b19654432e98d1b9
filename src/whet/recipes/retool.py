"""ReTool: a cold start on traces with code amid the text, then RL with a real interpreter in which only the answer
counts, against RL without one. Products and remainders of numbers up to 999 need it; sums of two digits do not.
"""

from dataclasses import replace

import torch
from torch import Tensor

from whet.advantages.gae import GAE
from whet.bounds import Above
from whet.claims import All, Better
from whet.metrics.measures import Before, Final, Rise, pass_1
from whet.models.derived import Critic
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.value import Value
from whet.recipe import Made, Paper, Recipe
from whet.rewards.interpreted import called, failed, fixed
from whet.rewards.verified import exact
from whet.rollouts.interact import Interact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.mixture import Mixture
from whet.tasks.snippets import WORDS, Snippets
from whet.tools.interpreter import Interpreter
from whet.tracks.values import Values
from whet.types import Decoding, Group

STEPS = 32

hard, easy = Snippets("hard"), Snippets("easy")
both = Mixture({"hard": hard, "easy": easy}, {"hard": 0.6, "easy": 0.4})
plain = Mixture({"hard": replace(hard, code=0.0), "easy": replace(easy, code=0.0)}, both.weights)

numbers = tuple(str(n) for n in range(10, 1000))  # a token each, so that copying one into code is no skill of its own
tiny = TinyQwen(width=64, layers=2, context=128, tokenizer="word", words=WORDS + numbers)
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, 300), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(plain, steps=300, problems=32, train=learn)])  # it answers by text, and hard ones seldom right
cold = SFT(both, steps=120, problems=24, train=replace(learn, lr=Linear(3e-3, 3e-4, 120), warmup=5))

text = Sample(group=8, decoding=Decoding(max_tokens=48))
tool = Interpreter()
code = Interact(tool, group=8, decoding=replace(text.decoding, max_tokens=24, stop=(tool.closes, tool.says)), role=None)


def one(group: Group) -> Tensor:
    return torch.ones(len(group.trajectories))


terms = {"correct": exact, "one": one, "called": called, "failed": failed, "fixed": fixed}
sign = Weighted(terms, {"correct": 2.0, "one": -1.0, "called": 0.0, "failed": 0.0, "fixed": 0.0})  # +1 or -1


def tests(rollout: Sample | Interact, when: str) -> list[Evaluate]:
    """As it plays, on problems that need code and on ones that do not."""
    once = replace(rollout, group=1)
    return [
        Evaluate(both, once, sign, f"{when}/test", problems=60),
        Evaluate(hard, once, sign, f"{when}/hard", problems=60),
        Evaluate(easy, once, sign, f"{when}/easy", problems=40),
    ]


clip = Train(Clip(low=0.2, high=0.2), lr=4e-4, warmup=2)
grpo = RL(both, code, sign, {"policy": clip}, problems=8, steps=STEPS)
ppo = replace(
    grpo,
    train={"policy": clip, "critic": Train(Value(), lr=4e-4, warmup=2, rows="policy")},
    advantage=GAE(discount=1.0, trace=1.0),
    tracks=[Values()],
    models={"critic": Critic()},
)

ratio, on_hard, on_easy = Final("called", "hard"), Final("pass@1", "hard"), Final("pass@1", "easy")
rise = Rise(ratio, Before("called", "hard"))
steady = Rise(Final("called", "easy"), Before("called", "easy"))

recipe = Recipe(
    paper=Paper(
        "096",
        "ReTool",
        "After a cold start, RL with an interpreter and the answer as only reward beats RL on text, and calls it more.",
    ),
    model=base,
    arms={
        "text": [*tests(text, "before"), replace(grpo, rollout=text), *tests(text, "after")],
        "cold": [cold, *tests(code, "before"), *tests(code, "after")],
        "retool": [cold, *tests(code, "before"), grpo, *tests(code, "after")],
        "retool-ppo": [cold, *tests(code, "before"), ppo, *tests(code, "after")],
    },
    claim=All([Better("retool", than="text", metric=pass_1, margin=0.2), Above("retool", rise, 0.0)]),
    measures=(pass_1, Before(), on_hard, on_easy, ratio, rise, steady, Final("failed", "hard"), Final("fixed", "hard")),
    at_scale={
        "train.policy.lr": 1e-6,
        "rollout.group": 16,
        "rollout.decoding.max_tokens": 16384,
    },
)
