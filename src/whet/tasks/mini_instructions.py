"""Instructions of many constraints on a few words: "2 words; if 4 is even then (first red) else (last blue)"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks.splits import REDRAWS, check_place, pick, span, split_of, worked
from whet.types import Problem
from whet.verifiers.constraints import active

CATEGORIES: dict[str, tuple[str, ...]] = {  # the lookup table that says what a word means
    "animal": ("cat", "dog", "fox", "hen", "owl", "pig", "cow", "bee", "ant", "bat"),
    "colour": ("red", "blue", "green", "black", "white", "pink", "gold", "grey", "brown", "teal"),
    "fruit": ("fig", "plum", "pear", "apple", "grape", "lemon", "lime", "melon", "peach", "cherry"),
    "tool": ("saw", "axe", "drill", "hammer", "nail", "rope", "spade", "rake", "broom", "knife"),
    "place": ("park", "farm", "cave", "barn", "lake", "hill", "shop", "town", "beach", "forest"),
    "sky": ("sun", "moon", "star", "rain", "snow", "wind", "cloud", "storm", "fog", "hail"),
}
VOCABULARY = tuple(word for words in CATEGORIES.values() for word in words)  # 60
_SAYING = (
    "words",
    "at",
    "least",
    "most",
    "has",
    "no",
    "before",
    "first",
    "last",
    "some",
    "if",
    "is",
    "even",
    "then",
    "else",
)
WORDS = (*VOCABULARY, *CATEGORIES, *_SAYING)  # all that prompts and solutions are written with, beside ();/| and digits

KINDS = ("length", "include", "starts", "ends", "order", "category", "exclude")
SEPARATORS = {2: "/", 3: "|"}  # of a chain at that depth, so that an inner one is not cut by an outer one
QUOTE = 2  # our choice: two words in a row as the instruction has them are a copy of it

Made = tuple[dict[str, Any], str, str, str]  # constraint, in words, its composition, a text that meets it


def category(word: str) -> str | None:
    """The judge of meaning: the category of a word of the vocabulary, None for any other."""
    return next((name for name, words in CATEGORIES.items() if word in words), None)


@dataclass(frozen=True)
class MiniInstructions:
    """Write words of a vocabulary of 60 so that constraints hold, which are composed `depth` deep:

        1   1 to 3 atoms: "2 words", "at most 3 words", "has cat", "no cat", "first red", "last blue",
            "cat before dog", "some colour" (a word of that category, by the lookup table `CATEGORIES`)
        2   what to write in two parts, "(2 words) / (has cat)"; or one of two, "if 4 is even then (...) else (...)",
            beside which there may be an atom; of constraints of depth 1
        3   the same of constraints, of which one has depth 2; the parts of a chain stand apart by "|"

    Every problem is made around a text that meets it: of a block, `words` different words. What a check of that text by
    the verifier does not confirm is drawn again, so none is unsatisfiable. An active atom always asks for a word, so
    neither the empty answer nor a copy of the instruction meets all. The answer is the JSON text for the verifier
    `constraints`, with the instruction in it: two words or more that are copied from there count for no keyword.

    `info`: "depth"; "composition", which kinds of atoms are composed how, "if(starts,and(include,length))" say;
    "direct", that text behind an empty block of thought; "restated", behind a shallow thought that repeats the first
    `restated` words of the instruction; "solution", a share `direct` of times the former; "wrong", a copy of the
    instruction and a word that is none of the vocabulary. Problems of "test" have
    compositions that no problem of "train" or "validation" has; these two share no question.

    Source: a small world for RAIF (Qin et al. 2025, arXiv 2506.01413). The vocabulary, kinds and shares are our choice.
    Raises ValueError for a depth outside 1 .. 3, fewer than one word, or a share outside [0, 1].
    """

    depth: int | tuple[int, int] = (1, 3)
    words: int | tuple[int, int] = (1, 3)
    direct: Number = 0.5
    restated: Count = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if span("MiniInstructions.depth", self.depth, 1)[1] > 3:
            raise ValueError(f"MiniInstructions.depth must lie in 1 .. 3, got {self.depth}")
        if span("MiniInstructions.words", self.words, 1)[1] > 10:
            raise ValueError(f"MiniInstructions.words must lie in 1 .. 10, got {self.words}")
        if isinstance(self.direct, int | float) and not 0 <= self.direct <= 1:
            raise ValueError(f"MiniInstructions.direct is a share and must lie in [0, 1], got {self.direct}")
        if isinstance(self.restated, int | float) and self.restated < 1:
            raise ValueError(f"MiniInstructions.restated must be at least 1 word, got {self.restated}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        check_place("mini_instructions", split, i)
        rng = generator(self.seed, "task", "mini_instructions", split, i)
        for _ in range(REDRAWS):
            depth = pick(rng, *span("depth", self.depth, 1))
            constraint, text, composition, witness = self._composed(rng, depth)
            if _split(text, composition) == split and all(held for _, held in active(constraint, witness, text, QUOTE)):
                break
        else:
            raise ValueError(
                f"mini_instructions: none of {REDRAWS} draws was for the {split!r} split; give more depth or words"
            )
        solved = {
            "direct": "<think></think>" + worked("", witness),
            "restated": worked(" ".join(text.split()[: int(self.restated)]), witness),
        }
        return Problem(
            id=f"mini_instructions/{split}/{i}",
            prompt=[{"role": "user", "content": text}],
            answer=json.dumps({"constraints": [constraint], "instruction": text, "quote": QUOTE}),
            info={
                "solution": solved["direct" if rng.random() < self.direct else "restated"],
                **solved,
                "wrong": [worked("", said) for said in (text, "xyzzy", "xyzzy " * 3)],
                "depth": depth,
                "composition": composition,
            },
        )

    def _composed(self, rng: np.random.Generator, depth: int) -> Made:
        if depth == 1:
            return self._block(rng)
        deep, other = self._composed(rng, depth - 1), self._composed(rng, pick(rng, 1, depth - 1))
        first, second = (deep, other) if pick(rng, 0, 1) else (other, deep)
        if pick(rng, 0, 1):
            mark = SEPARATORS[depth]
            constraint = {"type": "chain", "separator": mark, "parts": [first[0], second[0]]}
            witness = f"{first[3]} {mark} {second[3]}"
            return constraint, f"({first[1]}) {mark} ({second[1]})", f"chain({first[2]},{second[2]})", witness
        number = pick(rng, 0, 9)
        even = number % 2 == 0
        witness = (first if even else second)[3]
        made = {"type": "if", "condition": even, "then": first[0], "else": second[0]}
        text, composition = f"if {number} is even then ({first[1]}) else ({second[1]})", f"if({first[2]},{second[2]})"
        if pick(rng, 0, 1):
            said = [word for word in witness.split() if word in VOCABULARY]
            kinds = _kinds(said)
            kind = kinds[pick(rng, 0, len(kinds) - 1)]
            atom, told = _atom(rng, kind, said)
            made, text = {"type": "and", "parts": [atom, made]}, f"{told}; {text}"
            composition = f"and({kind},{composition})"
        return made, text, composition, witness

    def _block(self, rng: np.random.Generator) -> Made:
        """One to three atoms of different kinds that hold of words drawn at random; the first asks for a word."""
        said = [VOCABULARY[at] for at in rng.permutation(len(VOCABULARY))[: pick(rng, *span("words", self.words, 1))]]
        possible = _kinds(said)
        asking = [kind for kind in possible if kind not in ("length", "exclude")]
        kinds = [asking[pick(rng, 0, len(asking) - 1)]]
        possible.remove(kinds[0])
        kinds += [possible.pop(pick(rng, 0, len(possible) - 1)) for _ in range(pick(rng, 0, 2))]
        made = [_atom(rng, kind, said) for kind in kinds]
        constraint = made[0][0] if len(made) == 1 else {"type": "and", "parts": [atom for atom, _ in made]}
        composition = kinds[0] if len(kinds) == 1 else f"and({','.join(sorted(kinds))})"
        return constraint, "; ".join(told for _, told in made), composition, " ".join(said)


def _kinds(said: list[str]) -> list[str]:
    """The kinds of atoms that can hold of these words."""
    return [kind for kind in KINDS if kind != "order" or len(set(said)) > 1]


def _atom(rng: np.random.Generator, kind: str, said: list[str]) -> tuple[dict[str, Any], str]:
    """A constraint of that kind that holds of these words, and its own words."""
    if kind == "length":
        bound = ("exactly", "at_least", "at_most")[pick(rng, 0, 2)]
        count = len(said) + {"exactly": 0, "at_least": -pick(rng, 0, 1), "at_most": pick(rng, 0, 1)}[bound]
        count = max(1, count)
        told = {"exactly": "", "at_least": "at least ", "at_most": "at most "}[bound]
        return {"type": "length", "unit": "words", bound: count}, f"{told}{count} words"
    if kind == "starts":
        return {"type": "starts", "text": said[0]}, f"first {said[0]}"
    if kind == "ends":
        return {"type": "ends", "text": said[-1]}, f"last {said[-1]}"
    if kind == "exclude":
        others = [word for word in VOCABULARY if word not in said]
        word = others[pick(rng, 0, len(others) - 1)]
        return {"type": "exclude", "keywords": [word]}, f"no {word}"
    if kind == "order":
        once = list(dict.fromkeys(said))
        at = pick(rng, 1, len(once) - 1)
        first, then = once[pick(rng, 0, at - 1)], once[at]
        return {"type": "order", "keywords": [first, then]}, f"{first} before {then}"
    word = said[pick(rng, 0, len(said) - 1)]
    if kind == "category":
        name = category(word)
        assert name is not None
        return {"type": "count", "keywords": list(CATEGORIES[name]), "at_least": 1}, f"some {name}"
    return {"type": "include", "keywords": [word]}, f"has {word}"


def _split(text: str, composition: str) -> str:
    """A composition whose hash is of "test" is there alone; other questions are of "validation" or "train" by their
    own hash."""
    if split_of(composition) == "test":
        return "test"
    return "validation" if split_of(text) == "validation" else "train"
