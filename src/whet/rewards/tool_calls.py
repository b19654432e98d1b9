"""ToolRL's reward: whether a reply has the form that it should have, and how nearly it calls the right tools."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from typing import get_args

import torch

from whet.rewards.format import TagFormat
from whet.rewards.text import response
from whet.types import Group, Judged, Problem
from whet.verifiers.calls import Call, Style, parse
from whet.verifiers.gold import BadGold
from whet.verifiers.tool_calls import Detail, Matching, check, gold_calls, same, share


@dataclass(frozen=True)
class CallFormat:
    """value_g = 1 if the response is <think>...</think>, then <tool_call>...</tool_call> iff the gold has calls, then
    <response>...</response> iff the gold has one, each once, not blank, and nothing else outside (`TagFormat`); else
    0.

    The gold is `group.problem.answer`: a worked reply, whose tags say what it has, or a JSON list of calls, which has
    no response unless the list is empty. It is no matter whether the calls can be read. A tag that is only quoted in
    the thought is not the field. NaN, with the outcome "failed", for all where the gold can not be read.

    Source: R_format of ToolRL (Qian et al. 2025, arXiv 2504.13958), section 3.3. That blank fields do not count is
    ours.
    """

    def __call__(self, group: Group) -> Judged:
        gold = _gold(group.problem)
        if gold is None:
            return _no_verdict(group)
        text, calls = gold
        answers = "<response>" in text or not calls
        form = TagFormat(("think", *(["tool_call"] if calls else []), *(["response"] if answers else [])))
        held = [form.holds(response(trajectory)) for trajectory in group.trajectories]
        return Judged(torch.tensor([float(one) for one in held]), tuple("right" if one else "wrong" for one in held))


@dataclass(frozen=True)
class CallMatch:
    """value_g = 6 S / S_max - 3 in [-3, 3], with S / S_max = `verifiers.tool_calls.share` of the gold calls and those
    in attempt g's response; 0 for all where the gold has no calls.

    -3 where nothing is called, or a call is malformed ("unparseable"); "right" where the calls are the gold's, in any
    order. The gold is `group.problem.answer`, see `verifiers.tool_calls.gold_calls`; where it can not be read all
    values are NaN, with the outcome "failed". `style`: how the policy writes calls, see `verifiers.calls.parse`.
    `detail`, `matching` and `values` are those of `share`: "coarse" is 3 or -3, "whole" takes name and arguments as
    one.

    Source: R_correct of ToolRL (Qian et al. 2025, arXiv 2504.13958), section 3.3. There R = R_format + R_correct:
    `Weighted({"format": CallFormat(), "calls": CallMatch()})`, in [-3, 4]. Its scales are weights (1/3 for equal
    largest values) and its schedules are schedules of these: `weights={"format": Linear(2, 1, 150), "calls":
    Linear(2 / 3, 1, 150)}`. An attempt that says nothing at all is -3 and not 0, which `Verified` would give it.

    Raises ValueError for an unknown style, detail or matching.
    """

    detail: Detail = "fine"
    matching: Matching = "optimal"
    values: bool = True
    style: Style = "tags"

    def __post_init__(self) -> None:
        check(self.detail, self.matching)
        if self.style not in get_args(Style):
            raise ValueError(f"CallMatch.style must be one of {', '.join(get_args(Style))}, got {self.style!r}")

    def __call__(self, group: Group) -> Judged:
        gold = _gold(group.problem)
        if gold is None:
            return _no_verdict(group)
        judged = [self._one(gold[1], response(trajectory)) for trajectory in group.trajectories]
        return Judged(torch.tensor([value for value, _ in judged]), tuple(word for _, word in judged))

    def _one(self, gold: list[Call], text: str) -> tuple[float, str]:
        said = parse(text, self.style)
        word = "unparseable" if said.malformed else "right" if same(gold, said.calls) else "wrong"
        if not gold:
            return 0.0, word
        part = 0.0 if said.malformed else share(gold, said.calls, self.detail, self.matching, self.values)
        return 6 * part - 3, word


_warned: list[str] = []  # the problem of the one warning: how often it happens is in the metrics


def _gold(problem: Problem) -> tuple[str, list[Call]] | None:
    """The gold as text and its calls; None, with a warning, if it can not be read. ValueError if there is none."""
    if problem.answer is None:
        raise ValueError(f"problem {problem.id!r} has no answer: give it the gold calls, or [] for none")
    text = problem.answer if isinstance(problem.answer, str) else json.dumps(problem.answer)
    try:
        return text, gold_calls(text)
    except BadGold as error:
        if not _warned:
            _warned.append(problem.id)
            message = f"no verdict on {problem.id!r}, and all such attempts are left out: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
        return None


def _no_verdict(group: Group) -> Judged:
    count = len(group.trajectories)
    return Judged(torch.full((count,), math.nan), ("failed",) * count)
