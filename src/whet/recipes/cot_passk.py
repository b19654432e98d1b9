"""CoT-pass@k: a base and the same after RL that rewards answers alone, counted by answers, where guesses catch up as k
grows, and by answers whose written steps are true, too. Judges of the steps that err at a known rate, one alone and
three that vote, count beside the exact checker. The model is that of limit-of-rlvr.
"""

from dataclasses import replace

from whet.bounds import Above, Below
from whet.claims import All
from whet.metrics.course import EarlyRise
from whet.metrics.measures import Before, Rise, pass_1
from whet.metrics.reach import Counted, SoundShare
from whet.recipe import Paper, Recipe
from whet.recipes._chains import attempts, base, rl, task, terms
from whet.rewards.flipped import Flipped
from whet.rewards.reasoned import steps
from whet.rewards.votes import Rule, Votes
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate

RATE, KS = 0.1, (1, 2, 4, 8, 16, 32, 64)  # how often a judge errs, our choice; k as on the page

judges = [Flipped(steps, RATE, call) for call in range(3)]
rules: tuple[Rule, ...] = ("any", "all", "majority")
judged = {"one": judges[0], **{rule: Votes(judges, rule) for rule in rules}}
reward = Weighted({**terms, **judged}, dict.fromkeys(("reasoned", *judged), 0.0))


def gain(k: int, term: str) -> Rise:
    """What training has added to pass@k, with the reasoning that `term` finds right."""
    return Rise(Counted(k, term), Counted(k, term, "before"))


recipe = Recipe(
    paper=Paper(
        "074",
        "RLVR Implicitly Incentivizes Correct Reasoning (CoT-Pass@K)",
        "By pass@k a base catches up with RL at large k; by CoT-pass@k, RL is above it at all k, from early on.",
    ),
    model=base,
    arms={"grpo": [rl]},
    evaluate=[Evaluate(task, replace(attempts, group=KS[-1]), reward, problems=80)],
    claim=All(
        [
            Below("grpo", gain(KS[-1], ""), 0.03),
            *(Above("grpo", gain(k, "reasoned"), 0.0) for k in KS),
            Above("grpo", EarlyRise("sound/share"), 0.0),
        ]
    ),
    measures=(
        pass_1,
        Before(),
        *(Counted(k, "reasoned", when) for when in ("before", "after") for k in (1, 0)),
        *(SoundShare(when=when) for when in ("before", "after")),
        *(gain(0, term) for term in judged),
    ),
    at_scale={"train.policy.lr": 1e-6, "rollout.decoding.max_tokens": 8192},
)
