"""ReTool: a policy that writes code amid its text, has it run, and goes on with what came back, against RL on text
alone. The model that all start from has read texts with code and without. One arm then imitates work by hand alone,
the others either way half of the time; the reward looks at the answer only. Products and remainders are hard by hand
and one line of code; ten times a number needs none.
"""

from dataclasses import replace

from whet.advantages.gae import GAE
from whet.bounds import Above
from whet.callbacks.code_use import CodeUse
from whet.callbacks.validate import Validate
from whet.claims import All, Better, Sooner
from whet.metrics.measures import Before, During, Final, Overall, Rise, pass_1
from whet.models.derived import Critic
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.value import Value
from whet.recipe import Made, Paper, Recipe
from whet.rewards.calls import Calls
from whet.rewards.signed import Signed
from whet.rollouts.interact import Interact
from whet.rollouts.sample import Sample
from whet.schedule import Linear
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.calculations import Calculations
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled, question
from whet.tools.interpreter import Interpreter
from whet.tracks.values import Values
from whet.types import Decoding

STEPS = 30


def problems(code: float) -> Mixture:
    """Two of three need the interpreter; the share `code` of the solutions has it."""
    products = Calculations(code=code)
    remainders = Calculations(second=(11, 99), signs="%", code=code)
    hard = Mixture({"products": products, "remainders": remainders}, {"products": 0.5, "remainders": 0.5})
    return Mixture({"hard": hard, "easy": Calculations(second=10, code=code)}, {"hard": 2.0, "easy": 1.0})


by_hand, either = problems(0.0), problems(0.5)
words = ("code", "interpreter", "print", "Error", "NameError", "SyntaxError", "ZeroDivisionError")
words = (*words, "name", "is", "not", "defined", "invalid", "syntax", "timed", "out")
tiny = TinyQwen(width=64, layers=2, heads=2, kv_heads=1, context=160, tokenizer="word", words=words)
learn = Train(Likelihood(), lr=Linear(4e-3, 4e-4, 400), warmup=20, betas=(0.9, 0.98))
again = Restyled(by_hand, {"again": question}, {"again": 1.0})  # the question once more: it can copy, as any model can
read = Mixture({"again": again, "work": problems(0.7)}, {"again": 0.3, "work": 0.7})  # either way, as any model has
base = Made(tiny, [SFT(read, steps=400, problems=32, train=learn)])
more = SFT(by_hand, steps=60, problems=32, train=replace(learn, lr=Linear(1e-3, 1e-4, 60), warmup=5))
cold = replace(more, task=either)

tool = Interpreter(longest=48)
line = Decoding(max_tokens=32)
text = Sample(group=8, decoding=line)
calling = Interact(tool, group=8, decoding=replace(line, stop=(tool.closes, tool.says)), turns=4, role=None)
right = Weighted({"correct": Signed(), "calls": Calls()}, weights={"calls": 0.0})
usual = Train(Clip(), lr=3e-4, warmup=3)


def arm(rollout: Sample | Interact, first: SFT, rl: RL | None = None) -> list[SFT | Evaluate | RL]:
    """What it imitates, what it is then, what it learns, and what has come of that."""
    test = Evaluate(by_hand, replace(rollout, group=1), right, problems=100)
    if rl is None:
        return [replace(test, name="before/test"), first, replace(test, name="after/test")]
    learns = replace(rl, rollout=rollout, callbacks=[Validate(test, every=STEPS // 2), CodeUse()])
    return [first, replace(test, name="before/test"), learns, replace(test, name="after/test")]


grpo = RL(by_hand, calling, right, {"policy": usual}, problems=8, steps=STEPS)
ppo = replace(
    grpo,
    train={"policy": usual, "critic": Train(Value(), lr=2e-3, rows="policy")},
    advantage=GAE(whiten=True),
    tracks=[Values()],
    models={"critic": Critic()},
)
calls = {source: Final("calls", source=source) for source in ("hard", "easy")}
rises = {source: Rise(of, Before("calls", source=source)) for source, of in calls.items()}
seen = [of(metric, source=source) for metric in ("pass@1", "calls") for source in calls for of in (Before, Final)]
told = [Overall(f"code/{name}") for name in ("first", "passed/right", "passed/wrong", "fixed")]  # 0 where none calls

recipe = Recipe(
    paper=Paper(
        "096",
        "ReTool",
        "RL with an interpreter amid the text is better than RL on text, sooner, and comes to call it more.",
    ),
    model=base,
    arms={
        "text": arm(text, more, ppo),
        "retool": arm(calling, cold, ppo),
        "retool-grpo": arm(calling, cold, grpo),
        "cold-start": arm(calling, cold),
    },
    claim=All(
        [
            Better("retool", than="text", metric=pass_1, margin=0.2),
            Sooner("retool", than="text", early=During(STEPS // 2), late=pass_1),
            Above("retool", rises["hard"], 0.0),
        ]
    ),
    measures=(pass_1, *seen, *told),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 16384},
)
