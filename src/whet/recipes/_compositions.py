"""Functions of texts by meaningless names, and a small model that has learned what each does and nothing of their
compositions: no text that it has read has a result as an argument.

It has read questions again, of any depth, with no results. Then it works single functions, up to three side by side:
in a list, in a pipe, where a text replaces what came before ("abc>f0>cde>f2" is two problems), or of one text
("abc>f0,abc>f2"); and it says again what has nothing to be worked, texts without a function and functions without a
text. So its way through a question does not rest on places, which compositions shift.
"""

from dataclasses import dataclass, replace

from whet.models.tiny import TinyQwen
from whet.objectives.likelihood import Likelihood
from whet.randomness import generator
from whet.recipe import Made
from whet.schedule import Linear
from whet.stages.learning import Train
from whet.stages.sft import SFT
from whet.tasks.mixture import Mixture
from whet.tasks.restyled import Restyled, question
from whet.tasks.side_by_side import SideBySide
from whet.tasks.splits import pick, split_of, worked
from whet.tasks.string_functions import FUNCTIONS, StringFunctions
from whet.types import Problem

COPYING, WORK = 100, 560  # updates

# Our choice of atoms: of six different letters they make six different letters of the same eight, and of the 25
# compositions of two only 3 are what one of them does alone, or nothing: who skips a step is seldom right.
ATOMS = ("reverse", "rotate", "swap_ends", "swap_case", "evens_first")
NAMES = {name: f"f{list(FUNCTIONS).index(name)}" for name in ATOMS}
one = StringFunctions(1, 6, ATOMS, alphabet="abcdABCD", hidden=True, piped=True, distinct=True)


@dataclass(frozen=True)
class Listed:
    """One to three functions, each of the same text: "abc>f0,abc>f2", and the results in turn; or, without a `text`,
    their names alone: "f0>f2", said again."""

    text: bool = True
    seed: int = 0

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        rng = generator(self.seed, "listed", split, i)
        text, _ = one.problem(split, i).prompt[0]["content"].split(">")  # type: ignore[index]
        own = [name for name in ATOMS if split_of(f"{(name,)} {text}") == split]  # as `one` has it: no test question
        chosen = [own[pick(rng, 0, len(own) - 1)] for _ in range(pick(rng, 1, 3))]
        results = [FUNCTIONS[name][0](text) for name in chosen]
        asked = [f"{text}>{NAMES[name]}" for name in chosen]
        thought, answer = ",".join(f"{a}={result}" for a, result in zip(asked, results, strict=True)), results[-1]
        if not self.text:
            asked = [thought := (answer := ">".join(NAMES[name] for name in chosen))]
        prompt = [{"role": "user", "content": ",".join(asked)}]
        return Problem(f"listed/{split}/{i}", prompt, answer, {"solution": worked(thought, answer)})


copied = Restyled(SideBySide(replace(one, depth=(1, 3)), (1, 2)), {"copy": question}, {"copy": 1.0})
texts, runs = replace(one, depth=0, length=(1, 6)), Listed(text=False)
piped = Mixture({"single": one, "texts": texts}, {"single": 0.8, "texts": 0.2})  # a text in a pipe replaces what was
parts = Mixture({"single": one, "texts": texts, "names": runs}, {"single": 0.7, "texts": 0.1, "names": 0.2})
singles = Mixture(
    {"pipe": SideBySide(piped, separator=">"), "list": SideBySide(parts), "one text": Listed()},
    {"pipe": 0.4, "list": 0.4, "one text": 0.2},
)

names = tuple(NAMES.values())
letters = "abcdABCD>=,"
tiny = TinyQwen(64, layers=3, heads=2, kv_heads=2, context=128, tokenizer="word", alphabet=letters, words=names)
learn = Train(Likelihood(), lr=4e-3, warmup=20, betas=(0.9, 0.98))
fading = replace(learn, lr=Linear(4e-3, 4e-4, WORK))
base = Made(
    tiny,
    [SFT(copied, COPYING, problems=24, train=learn), SFT(singles, WORK, problems=24, train=fading)],
)
