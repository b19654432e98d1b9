"""CogniSQL-R1-Zero: text to SQL by a thin reward, that the query gives the right rows and the tags are there. Against
imitation of pairs of which four in ten are slightly wrong, a reward that is shaped by likeness to the gold query, and
imitation of what the thin reward's model got right.

Schemas are held out. Everything is sampled at temperature 1. SFT goes on from the same base on as many pairs as RL is
asked questions, as they are or without the wrong ones.
"""

from dataclasses import replace

from whet.claims import All, Better, Reaches, Within
from whet.metrics.measures import Before, Final, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.with_kl import WithKL
from whet.recipe import Made, Paper, Recipe
from whet.rewards.format import TagFormat
from whet.rewards.sql_overlap import SqlOverlap
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.imitate_right import ImitateRight
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.sql_questions import WORDS, SqlQuestions
from whet.tracks.reference import Logprobs
from whet.types import Decoding
from whet.weightings.sequence_mean import SequenceMean

STEPS, BATCH = 40, 12  # of RL, of SFT that goes on and of positive samples; questions of each

questions = SqlQuestions(tables=2, schemas=128)
shown = replace(questions, wrong=0.4)
tiny = TinyQwen(width=64, layers=2, heads=2, kv_heads=2, context=128, tokenizer="word", words=WORDS)
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, 900), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(shown, steps=900, problems=8, train=learn)])

rows, tags = Verified("sql"), TagFormat()
thin = Weighted({"correct": rows, "format": tags}, weights={"format": 0.1}, gates={"correct": "format"})
shaped = Weighted(
    {**thin.terms, "overlap": SqlOverlap()},
    weights={"format": 0.1, "overlap": 0.5},  # our choice
    gates={"correct": "format", "overlap": "format"},
)
runs = Verified("sql", options={"rule": "runs"})
seen = replace(thin, terms={**thin.terms, "runs": runs}, weights={**thin.weights, "runs": 0.0})

attempts = Sample(group=8, decoding=Decoding(max_tokens=64))
rl = RL(
    questions,
    rollout=attempts,
    reward=thin,
    train={"policy": Train(WithKL(Clip(), coef=0.001), SequenceMean(), lr=6e-4)},
    tracks=[Logprobs()],
    problems=BATCH,
    steps=STEPS,
)
imitate = Train(Likelihood(), lr=4e-4)
sft = SFT(shown, steps=STEPS, problems=BATCH, train=imitate)
writer = replace(attempts, model="writer")
positives = ImitateRight(questions, thin, writer, imitate, problems=BATCH, steps=STEPS)

recipe = Recipe(
    paper=Paper(
        "020",
        "CogniSQL-R1-Zero",
        "A thin reward, right rows and tags, teaches SQL better than imitation, and its right attempts teach it again.",
    ),
    model=base,
    arms={
        "sft": [sft],
        "thin": [rl],
        "shaped": [replace(rl, reward=shaped)],
        "positives": [rl, positives],
        "sft-clean": [replace(sft, task=questions)],
    },
    evaluate=[Evaluate(questions, replace(attempts, group=2), seen, problems=100)],
    claim=All(
        [
            Better("thin", than="sft", metric=pass_1, margin=0.12),
            Within("thin", of="shaped", metric=pass_1, margin=0.02),
            Reaches("positives", of="thin", metric=pass_1, share=0.6),
        ]
    ),
    measures=(Before(), pass_1, Final("runs"), Final("format"), Final("length")),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 2048},
)
