"""RL-Struct against SFT, a reward for right answers alone, and PPO with a critic: five terms for one JSON object and
nothing around it. The base has imitated solutions of which a third are broken, and breaks as many itself.

Everything is sampled at temperature 1, so that a model breaks as many objects as it thinks likely. PPO differs from
GRPO in its critic alone. What of a right answer is syntax shows in both courses that are compared: an object that can
not be read has no right answer either.
"""

from dataclasses import replace

from whet.advantages.gae import GAE
from whet.bounds import Above
from whet.callbacks.memory import TrainingState
from whet.claims import All, Better, Cheaper
from whet.metrics.course import Peak, StepOfGain
from whet.metrics.measures import Before, Final, Rise, pass_1
from whet.models.derived import Critic
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.value import Value
from whet.objectives.with_kl import WithKL
from whet.recipe import Made, Paper, Recipe
from whet.rewards.structured import BareObject, FieldLength, RequiredKeys, RightField, ValidJson
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.json_problems import JsonProblems
from whet.tracks.reference import Logprobs
from whet.tracks.values import Values
from whet.types import Decoding
from whet.weightings.sequence_mean import SequenceMean

STEPS, BATCH = 80, 16  # of RL and of SFT that goes on; problems of each

problems = JsonProblems(largest=9)
shown = replace(problems, broken=0.35)  # a brace is missing, prose stands before the object, or a key is wrong
tiny = TinyQwen(width=64, layers=2, context=96)
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, 400), warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(shown, steps=400, problems=32, train=learn)])

terms = {
    "structure": RequiredKeys(),
    "format": BareObject(),
    "validity": ValidJson(),
    "correct": RightField(),
    "length": FieldLength(least=5, most=20),  # of the reasoning: "1+1=2" is the shortest, two long steps take 15
}
five = Weighted(terms, weights={"length": 0.5})
one = Weighted(terms, weights=dict.fromkeys(["structure", "format", "validity", "length"], 0.0))

attempts = Sample(group=8, decoding=Decoding(max_tokens=64))
usual = Train(WithKL(Clip(), coef=0.01), SequenceMean(), lr=4e-4, clip_norm=0.1)
grpo = RL(
    problems,
    rollout=attempts,
    reward=five,
    train={"policy": usual},
    tracks=[Logprobs()],
    callbacks=[TrainingState()],
    problems=BATCH,
    steps=STEPS,
)
values = Train(Value(), lr=1e-3, rows="policy")
ppo = replace(
    grpo,
    train={"policy": usual, "critic": values},
    advantage=GAE(trace=0.95, whiten=True),
    tracks=[Logprobs(), Values()],
    models={"critic": Critic()},
)
sft = SFT(shown, steps=STEPS, problems=BATCH, train=Train(Likelihood(), lr=4e-4))

validity = Final("validity")
valid, right = (StepOfGain(f"reward/{term}", window=10) for term in ("validity", "correct"))  # our choice
recipe = Recipe(
    paper=Paper(
        "012",
        "RL-Struct",
        "A reward of five terms teaches JSON that SFT does not, at less memory than PPO; syntax comes before content.",
    ),
    model=base,
    arms={
        "sft": [sft],
        "grpo": [grpo],
        "ppo": [ppo],
        "correct-only": [replace(grpo, reward=one)],
    },
    evaluate=[Evaluate(problems, replace(attempts, group=4), five, problems=100)],
    claim=All(
        [
            Better("grpo", than="sft", metric=validity, margin=0.15),
            Above("grpo", Rise(right, valid), 0.0),
            Cheaper("grpo", than="ppo", metric=Peak("memory/state"), share=0.75),
        ]
    ),
    measures=(Before("validity"), validity, Final("structure"), Before(), pass_1),
    at_scale={"train.policy.lr": 5e-6, "rollout.decoding.max_tokens": 512},
)
