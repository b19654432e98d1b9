"""RAIF: thinking for instructions of many constraints, by a reward for each constraint that is met and two guards: only
problems on which some thought is no worse than none, and a cloning loss on worked answers. Against GRPO with thinking
and against answers at once. The model answers well at once and has seen little of thinking, of which it only restates.
"""

from dataclasses import replace

from whet.bounds import Above
from whet.claims import All, Better
from whet.filters.worth_thinking import WorthThinking
from whet.metrics.measures import Before, Final, Rise, pass_1
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.with_kl import WithKL
from whet.recipe import Made, Paper, Recipe
from whet.rewards.constraints import MetConstraints
from whet.rewards.format import TagFormat
from whet.rollouts.beside import Beside
from whet.rollouts.forced import Forced
from whet.rollouts.sample import Sample
from whet.rollouts.shown import Shown
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.mini_instructions import WORDS, MiniInstructions
from whet.tracks.reference import Logprobs
from whet.types import Decoding
from whet.weightings.of_groups import OfGroups

FIRST, WARM, RESTATING, STEPS = 500, 300, 30, 40  # updates: on depth 1, of answers, of shallow thoughts, of RL

task = MiniInstructions(words=(1, 2), direct=0.0)  # whose worked answers restate: they are what is cloned
deep = replace(task, depth=(2, 3))
easy = replace(task, depth=1)

usual = Train(Likelihood(), lr=4e-3, warmup=20, betas=(0.9, 0.98))
fading = replace(usual, lr=Linear(3e-3, 3e-4, WARM))
gently = replace(usual, lr=6e-4, warmup=5)
tiny = TinyQwen(width=64, layers=2, context=160, tokenizer="word", words=WORDS)
base = Made(
    tiny,
    [
        SFT(replace(easy, direct=0.5), steps=FIRST, problems=32, train=usual),  # to look words up, in short texts
        SFT(replace(task, direct=1.0), steps=WARM, problems=24, train=fading),
        SFT(replace(task, direct=0.2), steps=RESTATING, problems=24, train=gently),
    ],
)

decoding = Decoding(max_tokens=40)
think, at_once = Sample(8, decoding), Forced(group=8, decoding=decoding, name="direct")
silent = replace(at_once, name="no-think", trained=False)

# The paper's reward, -3 where the format is broken. A blank thought breaks it, or else the policy would unlearn to
# think. "met" is the accuracy of any attempt, with or without a thought, which the filter and the tests look at.
strict, lenient = TagFormat(broken=-1), TagFormat(broken=-1, blank=("think",))
met = MetConstraints(lenient)
thinking = Weighted({"format": strict, "accuracy": MetConstraints(strict), "met": met}, weights={"met": 0.0})
answering = Weighted({"format": lenient, "accuracy": met, "met": met}, weights={"met": 0.0})

train = Train(WithKL(Clip(low=0.2, high=0.2), coef=0.001), OfGroups(("direct",)), lr=5e-4, warmup=5)
clone = replace(train, auxiliary={"clone": Auxiliary(Likelihood(), OfGroups(("shown",)), 1.0)})
grpo = RL(
    task,
    rollout=think,
    reward=thinking,
    train={"policy": train},
    tracks=[Logprobs()],
    problems=12,
    steps=STEPS,
)
filtered = replace(grpo, rollout=Beside(think, silent), filter=WorthThinking("met"))
raif = replace(filtered, rollout=Shown(filtered.rollout), train={"policy": clone})

test = Evaluate(deep, replace(think, group=2), thinking, problems=150, correct="met")
tests = [
    test,
    replace(test, name="no-think", rollout=replace(silent, group=2)),
    replace(test, name="depth-1", task=easy, problems=50),
]
gap = Rise(pass_1, Final("pass@1", "no-think"))
harm = Rise(Before(evaluation="no-think"), Before())

recipe = Recipe(
    paper=Paper(
        "105",
        "Incentivizing Reasoning for Advanced Instruction-Following (RAIF)",
        "Two guards, thoughts no worse than none and cloning, make thinking follow composed instructions better.",
    ),
    model=base,
    arms={
        "direct": [replace(grpo, rollout=at_once, reward=answering)],
        "grpo": [grpo],
        "filtered": [filtered],
        "raif": [raif],
    },
    evaluate=tests,
    claim=All(
        [
            Better("raif", than="grpo", metric=pass_1, margin=0.03),
            Above("raif", harm, 0.0),  # to think is worse in the beginning, and is not in the end
            Above("raif", gap, 0.0),
        ]
    ),
    measures=(pass_1, gap, harm, Final("pass@1", "no-think"), Final("pass@1", "depth-1")),
    at_scale={
        "train.policy.lr": 1e-6,
        "problems": 128,
        "direct.rollout.decoding.max_tokens": 8192,
        "grpo.rollout.decoding.max_tokens": 8192,
        "filtered.rollout.rollout.decoding.max_tokens": 8192,
        "filtered.rollout.other.decoding.max_tokens": 8192,
        "raif.rollout.rollout.rollout.decoding.max_tokens": 8192,
        "raif.rollout.rollout.other.decoding.max_tokens": 8192,
    },
)
