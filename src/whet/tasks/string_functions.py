"""Composed string functions: "rotate(reverse(abcd))=?", or "abcd>reverse>rotate"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from math import gcd
from typing import Literal

import numpy as np

from whet.schedule import Count
from whet.tasks.splits import drawn, pick, span, split_of, worked
from whet.types import Problem


def _squeeze(s: str) -> str:
    return "".join(c for k, c in enumerate(s) if k == 0 or c != s[k - 1])


def _alternate(s: str) -> str:
    return "".join(c.upper() if k % 2 else c.lower() for k, c in enumerate(s))


def _shift(s: str) -> str:
    """The next letter of the alphabet, case kept, z -> a; other characters stay."""
    low, high = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return s.translate(str.maketrans(low + high, low[1:] + "a" + high[1:] + "A"))


def rotate(s: str, n: int) -> str:
    """The first n mod |s| characters go to the end."""
    n %= max(len(s), 1)
    return s[n:] + s[:n]


def shuffle(s: str) -> str:
    """Character i of the result is character i m mod |s|, with m the first of 3, 5, 7, ... coprime with |s|."""
    m = 3
    while gcd(m, len(s)) > 1 and s:
        m += 2
    return "".join(s[i * m % len(s)] for i in range(len(s)))


def interlace(a: str, b: str) -> str:
    """Characters of a and b in turn, a's first; what the longer one has more comes last."""
    return "".join(c + d for c, d in zip_longest(a, b, fillvalue=""))


def palindrome(s: str, depth: int) -> str:
    """s s^R, and again of that, `depth` times; a palindrome stays as it is, so only the first time tells."""
    return palindrome(s + s[::-1], depth - 1) if depth > 0 and s != s[::-1] else s


# name -> (function, what it does). The place in this table is the meaningless name (f0, f1, ...): append only.
FUNCTIONS: dict[str, tuple[Callable[[str], str], str]] = {
    "reverse": (lambda s: s[::-1], "write backwards"),
    "upper": (str.upper, "make all letters upper case"),
    "rotate": (lambda s: s[1:] + s[:1], "move the first character to the end"),
    "repeat": (lambda s: s + s, "write twice"),
    "drop_first": (lambda s: s[1:], "remove the first character"),
    "drop_last": (lambda s: s[:-1], "remove the last character"),
    "sort": (lambda s: "".join(sorted(s)), "sort the characters, upper case first"),
    "swap_case": (str.swapcase, "turn upper case into lower case and back"),
    "every_second": (lambda s: s[::2], "keep every second character, from the first on"),
    "double": (lambda s: "".join(c + c for c in s), "write each character twice"),
    "mirror": (lambda s: s + s[::-1], "append the text written backwards"),
    "shift": (_shift, "replace each letter by the next one, z by a"),
    "squeeze": (_squeeze, "of equal neighbours keep one"),
    "swap_ends": (lambda s: s[-1:] + s[1:-1] + s[:1] if len(s) > 1 else s, "swap the first and the last character"),
    "alternate": (_alternate, "make letters lower and upper case in turn"),
    "no_vowels": (lambda s: "".join(c for c in s if c not in "aeiouAEIOU"), "remove the vowels"),
    "vowel_digits": (lambda s: s.translate(str.maketrans("aeiouAEIOU", "1234512345")), "replace a e i o u by 1 to 5"),
    "unrotate": (lambda s: s[-1:] + s[:-1], "move the last character to the front"),
    "shuffle": (shuffle, "take every third character, going round; if this meets some twice, every fifth, and so on"),
    "interlace": (lambda s: interlace(s, s[::-1]), "put the text written backwards between the characters"),
    "rotate_two": (lambda s: rotate(s, 2), "move the first two characters to the end"),
    "rotate_three": (lambda s: rotate(s, 3), "move the first three characters to the end"),
    "make_even": (lambda s: s[: len(s) // 2 * 2], "remove the last character if their number is odd"),
    "palindrome": (lambda s: palindrome(s, 1), "append the text written backwards unless that is the same"),
    "evens_first": (lambda s: s[::2] + s[1::2], "put every second character first, from the first on"),
    "odds_first": (lambda s: s[1::2] + s[::2], "put every second character first, from the second on"),
    "outside_in": (lambda s: interlace(s, s[::-1])[: len(s)], "take characters from both ends in turn"),
}
TRIES = 2000  # our choice: compositions drawn before the settings count as impossible
UNSEEN = ("validation", "test")  # a pair of functions is unseen when its hash is in the held-out fifth of `split_of`


@dataclass(frozen=True)
class StringFunctions:
    """f_d(...f_1(x)) for d in `depth` functions of `functions` and x of `length` letters of `alphabet`; x itself where
    d is 0.

    The worked solution goes from the inside out: "reverse(abc)=cba;rotate(cba)=bac". Nothing on the way is empty or
    longer than `longest`. With `hidden` the functions carry meaningless names (f0, f1, ..., fixed by their place in
    `FUNCTIONS`), so that what they do must be learned; `define` adds what each does to the prompt.

    `piped` writes the functions behind the text, in the order in which they work: "abc>reverse>rotate", and the worked
    solution is this with every result: "abc>reverse=cba>rotate=bac". `distinct` draws x without a letter twice.

    `pairs` says which compositions are made: "any"; "seen": no two neighbours f(g(.)) are a held-out pair; "unseen":
    all neighbours are. A fifth of the ordered pairs is held out, by hash of their names. (Yuan et al., "From f(x) and
    g(x) to f(g(x))", 2025, train on some pairs and test on others and on deeper compositions.)
    """

    depth: int | tuple[int, int] = (1, 2)
    length: int | tuple[int, int] = (3, 5)
    functions: tuple[str, ...] = ("reverse", "upper", "rotate", "repeat", "drop_first", "sort", "swap_case", "mirror")
    alphabet: str = "abcdefgh"
    hidden: bool = False
    define: bool = False
    pairs: Literal["any", "seen", "unseen"] = "any"
    longest: Count = 24
    piped: bool = False
    distinct: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        span("StringFunctions.depth", self.depth, 0)
        length = span("StringFunctions.length", self.length, 1)
        unknown = [name for name in self.functions if name not in FUNCTIONS]
        if unknown or not self.functions:
            raise ValueError(f"StringFunctions.functions must be some of {', '.join(FUNCTIONS)}; got {unknown or '()'}")
        if not self.alphabet or not (self.alphabet.isascii() and self.alphabet.isalnum()):
            raise ValueError(f"StringFunctions.alphabet must be ASCII letters and digits, got {self.alphabet!r}")
        if self.pairs not in ("any", "seen", "unseen"):
            raise ValueError(f"StringFunctions.pairs must be any, seen or unseen, got {self.pairs!r}")
        if isinstance(self.longest, int | float) and self.longest < length[1]:
            raise ValueError(f"StringFunctions.longest must be at least length ({length[1]}), got {self.longest}")
        if self.distinct and length[1] > len(set(self.alphabet)):
            raise ValueError(
                f"StringFunctions.distinct needs {length[1]} different letters, and the alphabet {self.alphabet!r} has "
                f"{len(set(self.alphabet))}; give more, or a smaller length"
            )
        names = self.functions
        if self.pairs != "any" and not any(held_out(g, f) == (self.pairs == "unseen") for g in names for f in names):
            raise ValueError(
                f"StringFunctions: no two of {names} make a pair that is {self.pairs}; name more functions"
            )

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        names, text = drawn("string_functions", self.seed, split, i, self._draw, lambda made: f"{made[0]} {made[1]}")
        steps, value = [], text
        for name in names:
            result = FUNCTIONS[name][0](value)
            steps.append(f"{self._shown(name)}={result}" if self.piped else f"{self._shown(name)}({value})={result}")
            value = result
        thought = ">".join([text, *steps]) if self.piped else ";".join(steps)
        return Problem(
            id=f"string_functions/{split}/{i}",
            prompt=[{"role": "user", "content": self._question(names, text)}],
            answer=value,
            info={"solution": worked(thought, value), "functions": list(names), "depth": len(names)},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[tuple[str, ...], str]:
        for _ in range(TRIES):
            text = self._text(rng, pick(rng, *span("", self.length, 1)))
            names = self._names(rng, pick(rng, *span("", self.depth, 0)))
            if names is not None and self._fits(names, text):
                return names, text
        raise ValueError(
            f"StringFunctions: none of {TRIES} drawn compositions of depth {self.depth} stays between 1 and "
            f"{self.longest} characters with {self.pairs} pairs; name other functions, or raise longest"
        )

    def _text(self, rng: np.random.Generator, length: int) -> str:
        if self.distinct:
            return "".join(rng.permutation(sorted(set(self.alphabet)))[:length])
        return "".join(self.alphabet[pick(rng, 0, len(self.alphabet) - 1)] for _ in range(length))

    def _names(self, rng: np.random.Generator, depth: int) -> tuple[str, ...] | None:
        """A chain of functions, innermost first, whose neighbours are pairs of the wanted kind; None at a dead end."""
        names: list[str] = []
        for _ in range(depth):
            fit = [f for f in self.functions if not names or self._wanted(names[-1], f)]
            if not fit:
                return None
            names.append(fit[pick(rng, 0, len(fit) - 1)])
        return tuple(names)

    def _wanted(self, inner: str, outer: str) -> bool:
        return self.pairs == "any" or held_out(inner, outer) == (self.pairs == "unseen")

    def _fits(self, names: tuple[str, ...], text: str) -> bool:
        for name in names:
            text = FUNCTIONS[name][0](text)
            if not 0 < len(text) <= int(self.longest):
                return False
        return True

    def _shown(self, name: str) -> str:
        return f"f{list(FUNCTIONS).index(name)}" if self.hidden else name

    def _question(self, names: tuple[str, ...], text: str) -> str:
        for name in names:
            text = f"{text}>{self._shown(name)}" if self.piped else f"{self._shown(name)}({text})"
        meanings = [f"{self._shown(name)}: {FUNCTIONS[name][1]}. " for name in dict.fromkeys(names)]
        return f"{''.join(meanings) if self.define else ''}{text}{'' if self.piped else '=?'}"


def held_out(inner: str, outer: str) -> bool:
    """Whether outer(inner(.)) is one of the held-out pairs."""
    return split_of(f"pair {inner} {outer}") in UNSEEN
