"""OREAL against REINFORCE with a leave-one-out baseline: right replies are cloned, wrong ones repelled, and a reward
model of tokens that is trained from outcomes alone says which tokens decide. Long sums, whose traces are partly right.
"""

from dataclasses import replace

from whet.advantages.leave_one_out import LeaveOneOut
from whet.callbacks.token_scores import TokenScores
from whet.claims import All, Better
from whet.curricula.by_pass_rate import ByPassRate
from whet.filters.mixed import Mixed
from whet.metrics.measures import AreaUnder, Final, Overall, pass_1
from whet.models.derived import Critic
from whet.models.tiny import TinyQwen
from whet.objectives.clone_and_repel import CloneAndRepel
from whet.objectives.kl import KL
from whet.objectives.likelihood import Likelihood
from whet.objectives.outcome_score import OutcomeScore
from whet.objectives.reinforce import Reinforce
from whet.recipe import Made, Paper, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.schedule import Linear, Steps
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tracks.reference import Logprobs
from whet.tracks.token_weights import TokenWeights
from whet.types import Decoding, Problem, Weighting
from whet.verifiers.chain import first_wrong
from whet.weightings.by_outcome import ByOutcome
from whet.weightings.one_of_each import OneOfEach
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean

WAIT, UPDATES, LR = 10, 60, 2e-4  # the policy waits 10 steps for the reward model, as in the paper


def falling(rate: float, wait: int = 0) -> Steps:
    """To a fifth in three stairs, from step `wait` on; the paper's rates fall to a fifth."""
    third = UPDATES // 3
    return Steps(0.0 if wait else rate, {wait: rate, wait + third: 0.6 * rate, wait + 2 * third: 0.2 * rate})


def error(problem: Problem, reply: str) -> int | None:
    return first_wrong(problem.prompt[0]["content"], reply)  # type: ignore[index]


sums = ChainSum(terms=(2, 4), largest=9, operators="+")  # "4+5+6=?", its solution "4+5=9;9+6=15"
numbers = tuple(str(n) for n in range(10, 46))  # one token each
tiny = TinyQwen(width=64, layers=2, context=80, tokenizer="word", words=numbers)
learn = Train(Likelihood(), lr=Linear(3e-3, 3e-4, 180), warmup=20, betas=(0.9, 0.98))
relax = Train(Likelihood(), lr=Linear(6e-4, 6e-5, 30), warmup=10, betas=(0.9, 0.98))
hasty = SFT(replace(sums, shown=0.5), steps=30, problems=32, train=relax)  # half the time it does not think aloud
base = Made(tiny, [SFT(sums, steps=180, problems=32, train=learn), hasty])

attempts = Sample(group=8, decoding=Decoding(max_tokens=40))
right = Weighted({"correct": exact}, weights={"correct": 2.0})  # +1 or -1, but for a shift that no advantage sees
test = Evaluate(sums, attempts, Weighted({"correct": exact}), problems=150)

every, pairs = TokenMean(), OneOfEach(weighting=TokenMean())
sides = OneOfEach(weighting=ByOutcome(right=1.0, wrong=0.5))


def train(objective, weighting: Weighting, kept: Weighting = pairs, wait: int = 0):
    near = Auxiliary(KL("k3", ratio=False), kept, 0.01)
    return Train(objective, weighting, lr=falling(LR, wait), auxiliary={"kl": near})


reinforce = RL(
    sums,
    rollout=attempts,
    reward=right,
    train={"policy": train(Reinforce(), every, every)},
    advantage=LeaveOneOut(),
    curriculum=ByPassRate(pool=512),
    filter=Mixed("correct"),
    tracks=[Logprobs()],
    problems=12,
    steps=UPDATES,
)
scorer = Train(OutcomeScore(), OneOfEach(weighting=SequenceMean()), lr=falling(4 * LR), rows="policy")
oreal = replace(
    reinforce,
    train={"policy": train(CloneAndRepel(), sides, wait=WAIT), "scorer": scorer},
    models={"scorer": Critic()},
    tracks=[Logprobs(), TokenWeights()],
    callbacks=[TokenScores(error)],
    steps=WAIT + UPDATES,
)
clone = train(CloneAndRepel(track=None), OneOfEach(weighting=ByOutcome(wrong=0.0)))
rise = Overall("score/rise")

recipe = Recipe(
    paper=Paper("088", "OREAL", "Cloning right replies and repelling wrong ones by token weights beats REINFORCE."),
    model=base,
    arms={
        "reinforce": [reinforce],
        "oreal": [oreal],
        "clone": [replace(reinforce, train={"policy": clone})],
        "oreal-no-weights": [replace(reinforce, train={"policy": train(CloneAndRepel(track=None), sides)})],
        "reinforce-pairs": [replace(reinforce, train={"policy": train(Reinforce(), pairs)})],
    },
    evaluate=[test],
    claim=All(
        [
            Better("oreal", than="reinforce", metric=pass_1, margin=0.02),
            Better("oreal", than="reinforce", metric=rise),
        ]
    ),
    measures=(pass_1, AreaUnder("reward/correct"), Overall("score/auc"), rise, Final("length")),
    at_scale={
        **{f"{arm}.train.policy.lr": falling(5e-7) for arm in ("reinforce", "clone", "oreal-no-weights")},
        "reinforce-pairs.train.policy.lr": falling(5e-7),
        **{"oreal.train.policy.lr": falling(5e-7, WAIT), "oreal.train.scorer.lr": falling(2e-6)},
        **{"train.policy.weight_decay": 0.01, "rollout.group": 16, "rollout.decoding.max_tokens": 16384},
    },
)
