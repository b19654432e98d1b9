"""Small programs, in any language: the same questions in each."""

from __future__ import annotations

from dataclasses import dataclass

from whet.randomness import generator
from whet.sandbox.language import language
from whet.schedule import Count, Number
from whet.tasks.program_families import FAMILIES, FENCE, query, statement, texts
from whet.tasks.splits import drawn, pick
from whet.types import Problem


@dataclass(frozen=True)
class Programs:
    """A statement in, a program out: "read a count, then per line two numbers; print for each their sum plus 7. r"
    asks for a program in a block of ``` that is marked as "r". The statement does not depend on `language`, which is
    one of `program_languages`; with `hint`, the sentence of the sandbox on reading and writing follows.

    A question is a family and a number k of 2 .. `largest`. It belongs to one split in all languages.

    The answer is what `whet.verifiers.code.read_tests` reads: one test with `queries` queries, so that a program is
    started once, drawn anew for every problem, the same in every language, and never shown. `info["solution"]` has the
    program; of a share `wrong` of the problems with one slip of the language in it, and `info["slip"]` is True. A slip
    can not be seen in 1 of 100 tests or so, `queries` being 12. `info["family"]`, `info["language"]`.

    Source: the task records of Agnostics (011); families, slips and numbers are our own. Raises ValueError for a
    language without programs, unknown families, `largest` below 2, no query, and a share outside [0, 1].
    """

    language: str = "python"
    families: tuple[str, ...] = tuple(FAMILIES)
    largest: Count = 30
    queries: Count = 12
    wrong: Number = 0.0
    hint: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        texts(self.language)
        if not self.families or any(name not in FAMILIES for name in self.families):
            raise ValueError(f"Programs.families must be some of {', '.join(FAMILIES)}, got {self.families}")
        for name, value, least in (("largest", self.largest, 2), ("queries", self.queries, 1)):
            if isinstance(value, int | float) and value < least:
                raise ValueError(f"Programs.{name} must be at least {least}, got {value}")
        if isinstance(self.wrong, int | float) and not 0 <= self.wrong <= 1:
            raise ValueError(f"Programs.wrong is a share and must lie in [0, 1], got {self.wrong}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        def draw(rng):
            return self.families[pick(rng, 0, len(self.families) - 1)], pick(rng, 2, int(self.largest))

        name, k = drawn("programs", self.seed, split, i, draw, lambda made: f"{made[0]} {made[1]}")
        kind, told = language(self.language), texts(self.language)
        rng = generator(self.seed, "task", f"programs slip {self.language}", split, i)
        slips = told.slips[name]
        slip = slips[pick(rng, 0, len(slips) - 1)] if rng.random() < self.wrong else ("", "")
        hint = f" {kind.hint}" if self.hint else ""
        return Problem(
            id=f"programs/{self.language}/{split}/{i}",
            prompt=[{"role": "user", "content": f"{statement(name, k)}{self.language}{hint}"}],
            answer=[self._test(split, i, name, k)],
            info={
                "solution": f"{FENCE}{kind.fences[0]}\n{told.code(name, k, slip)}\n{FENCE}",
                "slip": slip != ("", ""),
                "family": name,
                "language": self.language,
            },
        )

    def _test(self, split: str, i: int, name: str, k: int) -> dict[str, str]:
        rng = generator(self.seed, "task", "programs test", split, i)
        family = FAMILIES[name]
        queries = [query(rng, family.kind) for _ in range(int(self.queries))]
        lines = [str(len(queries)), *(" ".join(map(str, one)) for one in queries)]
        values = [str(family.value(k, *one)) for one in queries]
        return {"stdin": "".join(f"{line}\n" for line in lines), "stdout": "\n".join(values)}
