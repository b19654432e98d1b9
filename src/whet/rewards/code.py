"""Whether an attempt's program passes the problem's tests."""

from __future__ import annotations

import math
import warnings
from asyncio import gather
from dataclasses import dataclass

import torch

from whet.rewards.text import response
from whet.sandbox.language import language
from whet.sandbox.limits import Limits, SandboxError
from whet.types import Group, Judged
from whet.verifiers.code import check, fenced, read_tests
from whet.verifiers.gold import BadGold


@dataclass(frozen=True)
class PassesTests:
    """value_g = 1 if attempt g's program passes all of the problem's tests, else 0; with `partial`, the share that it
    passes. The program is the last closed block of ``` in the reply, behind any "</think>", that is marked as
    `language`, a name of `sandbox/languages` or a TOML file of your own; with "" as what `problem.info["language"]`
    names, so that problems in several languages can be mixed. The tests are `problem.answer`, see
    `whet.verifiers.code.read_tests`.

    Outcomes: "right", "wrong", "unparseable" (no such block), "not compiled", "crashed", "timed out", "out of memory",
    "output too long"; "failed", and NaN, where the sandbox itself failed or the tests can not be read. `limits` are
    those of each test. `tolerance`: how far printed numbers may be off, absolutely or relatively; 0: not at all.

    Source: one verifier for all languages by what programs print, from Agnostics (011), there with `partial` False.
    Raises ValueError for an unknown language; SandboxError if it, or bubblewrap, is not installed.
    """

    language: str = "python"
    partial: bool = False
    limits: Limits = Limits()
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"PassesTests.tolerance must be 0 or more, got {self.tolerance}")
        if self.language:
            language(self.language)

    async def __call__(self, group: Group) -> Judged:
        if group.problem.answer is None:
            raise ValueError(f"problem {group.problem.id!r} has no tests as its answer; give it some")
        try:
            wanted = read_tests(group.problem.answer)
        except BadGold as error:
            _warn(str(error))
            count = len(group.trajectories)
            return Judged(torch.full((count,), math.nan), ("failed",) * count)
        name = self.language or group.problem.info.get("language")
        if not name:
            raise ValueError(
                f"problem {group.problem.id!r} names no language in its info; name one in PassesTests.language"
            )
        kind = language(name)
        kind.check()
        replies = [response(trajectory).rpartition("</think>")[2] for trajectory in group.trajectories]
        programs = [fenced(reply, kind.fences) for reply in replies]

        async def judged(code: str | None) -> tuple[float, str, float]:
            if code is None:
                return 0.0, "unparseable", 0.0
            try:
                checked = await check(code, wanted, name, self.limits, self.tolerance)
            except SandboxError as error:
                _warn(str(error))
                return math.nan, "failed", 0.0
            share = sum(checked.passed) / len(checked.passed)
            return share if self.partial else float(checked.outcome == "right"), checked.outcome, checked.seconds

        values, outcomes, seconds = zip(*await gather(*(judged(code) for code in programs)), strict=True)
        return Judged(torch.tensor(values), outcomes, seconds)


def _warn(why: str) -> None:
    warnings.warn(f"programs could not be tested, and such attempts are left out: {why}", RuntimeWarning, stacklevel=3)
