"""The small model on which cot-passk and limit-of-rlvr are judged. It adds modulo 10 in written steps, learned from
traces of which three of ten have a step that is wrong and end in the right answer nevertheless. With ten answers there
are, a guess is often right.
"""

import re
from collections.abc import Mapping

from whet.callbacks.sound_share import SoundShare
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.randomness import generator
from whet.recipe import Made
from whet.rewards.reasoned import steps
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled
from whet.tasks.splits import worked
from whet.types import Decoding, Problem, Term

STEPS, TOKENS = 60, 44  # updates of RL; the longest attempt


def told(problem: Problem) -> str:
    """The solution as it is."""
    return problem.info["solution"]


def slipped(problem: Problem) -> str:
    """The solution with one result wrong. Every other time the steps behind take it up, else they go on as if nothing
    had been; the answer is the right one either way."""
    rng = generator(0, "slip", problem.id)
    results = re.findall(r"(\d)([-+])(\d)=(\d)", problem.info["solution"])
    at, off, taken_up = int(rng.integers(len(results))), int(rng.integers(1, 10)), rng.random() < 0.5
    written, wrong = [], 0  # `wrong`: by how much the result before is
    for i, (a, sign, b, result) in enumerate(results):
        start = (int(a) + wrong * taken_up) % 10
        wrong = off if i == at or (taken_up and i > at) else 0
        written.append(f"{start}{sign}{b}={(int(result) + wrong) % 10}")
    return worked(";".join(written), str(problem.answer))


def chains(few: float) -> Mixture:
    """Chains of three and four numbers, a share `few` of them, and of five and six."""
    sums = {name: ChainSum(terms=terms, largest=5, modulus=10) for name, terms in (("few", (3, 4)), ("many", (5, 6)))}
    return Mixture(sums, {"few": few, "many": 1 - few})


task = chains(0.5)
noisy = Restyled(chains(0.9), {"told": told, "slipped": slipped}, {"told": 0.7, "slipped": 0.3})
tiny = TinyQwen(width=96, layers=3, context=72, alphabet="0123456789+-()=?; mod")
learn = Train(Likelihood(), lr=4e-3, warmup=20, betas=(0.9, 0.98))
base = Made(tiny, [SFT(noisy, steps=350, problems=32, train=learn, enough=0.2)])  # half learned, whatever the seed

attempts = Sample(group=8, decoding=Decoding(max_tokens=TOKENS))
terms: Mapping[str, Term] = {"correct": exact, "reasoned": steps}
answers = Weighted(terms, {"reasoned": 0.0})  # what is rewarded: nobody learns from the reasoning
rl = RL(
    task,
    rollout=attempts,
    reward=answers,
    train={"policy": Train(Clip(), lr=3e-4, clip_norm=0.5)},
    callbacks=[SoundShare()],
    steps=STEPS,
)
