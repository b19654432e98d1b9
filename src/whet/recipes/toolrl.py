"""ToolRL: a reward that grades tool calls by names, arguments and values, against one that is all or nothing, and
against imitating longer. All learn from the same requests, and what a tool is asked in the test it was never asked
in training. The model copies words well and has seen some calls; it rarely gets all of them right.
"""

from dataclasses import replace

from whet.claims import All, Better
from whet.metrics.measures import Before, Final, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Paper, Recipe
from whet.rewards.tool_calls import CallFormat, CallMatch
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.api_calls import WORDS, ApiCalls
from whet.tasks.first import First
from whet.tasks.restyled import Restyled, question
from whet.types import Decoding

STEPS, BATCH, GROUP = 36, 24, 4  # groups of 4 as in the paper (recalled)

requests, one = ApiCalls(), ApiCalls(calls=1)
few = First(requests, STEPS * BATCH)  # SFT sees each GROUP times; RL draws each once on average, GROUP attempts
tiny = TinyQwen(width=64, layers=2, heads=2, kv_heads=2, context=160, tokenizer="word", words=WORDS)
learn = Train(Likelihood(), lr=3e-3, warmup=20, betas=(0.9, 0.98))
imitate = replace(learn, lr=2e-3, warmup=5)
copying = SFT(
    Restyled(one, {"again": question}, {"again": 1.0}),  # words looked up, no more
    steps=400,
    problems=24,
    train=learn,
    enough=0.08,
)
base = Made(tiny, [copying, SFT(one, steps=200, problems=24, train=learn), SFT(requests, 80, 16, train=imitate)])

attempts = Sample(group=GROUP, decoding=Decoding(max_tokens=110))
graded = {"format": CallFormat(), "calls": CallMatch()}
coarse, names = CallMatch("coarse"), CallMatch(values=False)
right = Weighted({"correct": Verified("tool_calls", "all", {"style": "tags"}), **graded})
fine = RL(
    few,
    rollout=attempts,
    reward=Weighted(graded),
    train={"policy": Train(Clip(), lr=4e-4)},
    problems=BATCH,
    steps=STEPS,
)
recipe = Recipe(
    paper=Paper(
        "056",
        "ToolRL",
        "A reward that grades names, arguments and values of tool calls beats all or nothing, and more SFT.",
    ),
    model=base,
    arms={
        "sft-longer": [SFT(few, STEPS, BATCH * GROUP, train=imitate)],
        "coarse": [replace(fine, reward=Weighted({**graded, "calls": coarse}))],
        "fine": [fine],
        "fine-names": [replace(fine, reward=Weighted({**graded, "calls": names}))],
    },
    evaluate=[Evaluate(requests, replace(attempts, group=1), right, problems=200)],
    claim=All(
        [
            Better("fine", than="coarse", metric=pass_1, margin=0.05),
            Better("fine", than="sft-longer", metric=pass_1),
        ]
    ),
    measures=(pass_1, Before(), Final("format"), Final("calls")),
    at_scale={  # the paper's as recalled, but for SFT's rate, which is our choice
        "train.policy.lr": 1e-6,
        "sft-longer.train.lr": 1e-5,
        "rollout.group": 4,
        "rollout.decoding.max_tokens": 1024,
        "problems": 512,
        "sft-longer.problems": 2048,
        "task.count": 4000,
    },
)
