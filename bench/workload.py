"""What both sides do: the sizes, the problems and their order, the rule that judges, and the law of lengths."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from whet.models.tiny import TinyQwen
from whet.randomness import generator
from whet.rewards.text import response
from whet.types import Group, Problem, Scored, Task

PROBLEMS, GROUP = 16, 8  # of one step
LONGEST = {"add": 24, "long": 128}  # completion tokens

_ALPHABET = string.digits + string.ascii_lowercase + "+-=;?,.: ()!'*/<>"  # with the tags, 64 tokens
_CONTEXT = 192

# Lengths of "long": the logarithm is normal with these, which makes a mean of 31 and one attempt in forty that is cut.
_LOG_MEDIAN, _LOG_SPREAD = 2.85, 0.95


def model(size: str, longest: int = 128) -> TinyQwen:
    """S is about 1M parameters, M about 6M, L, which is for GPUs, about 290M."""
    width, layers, heads = {"S": (128, 4, 4), "M": (256, 6, 8), "L": (896, 24, 14)}[size]
    context = max(_CONTEXT, longest + 64)
    return TinyQwen(
        width, layers, heads, heads // 2, inter=4 * width, context=context, tokenizer="char", alphabet=_ALPHABET
    )


@dataclass(frozen=True)
class Sums:
    """a + b of numbers with as many digits.

    "add" writes the sum out: the sum of each column from the right with its carry, then the result ("95+17=?":
    "12,11:112"). Completions have 4 to 22 tokens, 12 in the mean, for 1 to 5 digits.

    "long" says the result and goes on to recite the alphabet ("112:abcdef...") for a length of its own, whatever the
    question: exp(normal) letters, so that most are short and few very long. An attempt of `longest` tokens is cut.
    """

    kind: Literal["add", "long"] = "add"
    longest: int = 128  # only of "long"
    seed: int = 0

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        rng = generator(self.seed, "bench", self.kind, split, i)
        digits = int(rng.integers(1, 6)) if self.kind == "add" else 2
        a, b = (int(n) for n in rng.integers(10 ** (digits - 1), 10**digits, 2))
        if self.kind == "add":
            solution = f"{columns(a, b)}:{a + b}"
        else:
            letters = min(int(rng.lognormal(_LOG_MEDIAN, _LOG_SPREAD)), self.longest)
            solution = f"{a + b}:" + (string.ascii_lowercase * (letters // 26 + 1))[:letters]
        prompt = [{"role": "user", "content": f"{a}+{b}=?"}]
        return Problem(f"{self.kind}/{split}/{i}", prompt, str(a + b), {"solution": solution})


def columns(a: int, b: int) -> str:
    """The sums of the columns of a + b from the right, each with its carry."""
    sums, carry = [], 0
    while a or b:
        sums.append(a % 10 + b % 10 + carry)
        a, b, carry = a // 10, b // 10, sums[-1] // 10
    return ",".join(map(str, sums))


def right(text: str, answer: str) -> bool:
    """A piece between colons is the answer. Both sides judge by this."""
    return answer in text.split(":")


@dataclass(frozen=True)
class Right:
    """value_g = 1 if attempt g is right, else 0."""

    def __call__(self, group: Group) -> Tensor:
        answer = str(group.problem.answer)
        return torch.tensor([float(right(response(t), answer)) for t in group.trajectories])


@dataclass(frozen=True)
class InOrder:
    """The problems by number, so that another library can be given the same ones in the same order."""

    state: dict[str, Any] = field(default_factory=lambda: {"next": 0})

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        first = int(self.state["next"])
        return [task.problem("train", i) for i in range(first, first + count)]

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        self.state["next"] += len(scored_P)


@dataclass(frozen=True)
class Case:
    """One line of the table: a model and a task."""

    size: str
    kind: Literal["add", "long"]
    steps: int  # of one measured block, about two seconds of the slower side
    trained: int  # steps of imitation that give the model its lengths; with 0 an attempt ends by chance
    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: the training step's forward pass is autocast, on both sides

    @property
    def name(self) -> str:
        return f"{self.size} {self.kind}"

    @property
    def task(self) -> Sums:
        return Sums(self.kind)

    @property
    def longest(self) -> int:
        return LONGEST[self.kind]


_EVERYWHERE = (Case("S", "add", 4, 200), Case("S", "long", 1, 100), Case("M", "add", 1, 100))
_LARGE = Case("L", "long", 1, 0, precision="bf16")
CASES = {
    "cpu": {case.name: case for case in _EVERYWHERE},
    "cuda": {case.name: replace(case, device="cuda") for case in (*_EVERYWHERE, _LARGE)},
}  # by device
