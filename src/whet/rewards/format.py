"""Whether the attempt keeps to the tags it was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.rewards.text import response
from whet.schedule import Number
from whet.types import Group


@dataclass(frozen=True)
class TagFormat:
    """value_g = 1 if the response is <t1>...</t1> <t2>...</t2> ... for the `tags` in order, else `broken`.

    Strict: each tag exactly once, none inside another, nothing blank inside but of a tag in `blank`, and nothing but
    blank space before, between and behind them. A template that opens the first tag itself counts for it
    (`rewards.text.response`).
    Source: the format reward of DeepSeek-R1 (2025, section 2.2.2), which leaves the details open: they are our choice.
    RAIF (Qin et al. 2025, arXiv 2506.01413, equation 4) has `broken` = -1.

    Raises ValueError if there are no tags, one comes twice, one is not a plain word, or `blank` names another.
    """

    tags: tuple[str, ...] = ("think", "answer")
    broken: Number = 0.0
    blank: tuple[str, ...] = ()  # tags that may have nothing inside

    def __post_init__(self) -> None:
        if not self.tags or len(set(self.tags)) < len(self.tags):
            raise ValueError(f"TagFormat.tags must be one or more different words, got {self.tags!r}")
        if set(self.blank) - set(self.tags):
            raise ValueError(f"TagFormat.blank must name some of the tags {self.tags!r}, got {self.blank!r}")
        for tag in self.tags:
            if not _plain(tag):
                raise ValueError(f"TagFormat.tags must be plain words such as 'think', got {tag!r}")

    def __call__(self, group: Group) -> Tensor:
        held = [self.holds(response(trajectory)) for trajectory in group.trajectories]
        return torch.tensor([1.0 if holds else float(self.broken) for holds in held])

    def holds(self, text: str) -> bool:
        marks = [mark for tag in self.tags for mark in (f"<{tag}>", f"</{tag}>")]
        rest = text
        for i, mark in enumerate(marks):
            if text.count(mark) != 1:
                return False
            between, found, rest = rest.partition(mark)
            inside = i % 2 == 1  # each odd mark closes a tag
            if not found or (inside != bool(between.strip()) and not (inside and self.tags[i // 2] in self.blank)):
                return False
        return not rest.strip()


@dataclass(frozen=True)
class TagOccurs:
    """value_g = 1 if the response has <tag>...</tag> somewhere, else 0.

    Loose where `TagFormat` is strict: the block may be empty, come twice, and stand anywhere. A template that opens the
    tag itself counts for it. Source: the reasoning block of "Surrogate Signals from Format and Length" (Xin et al.
    2025, arXiv 2505.19439). Raises ValueError if the tag is not a plain word.
    """

    tag: str = "think"

    def __post_init__(self) -> None:
        if not _plain(self.tag):
            raise ValueError(f"TagOccurs.tag must be a plain word such as 'think', got {self.tag!r}")

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([float(self.holds(response(trajectory))) for trajectory in group.trajectories])

    def holds(self, text: str) -> bool:
        return f"</{self.tag}>" in text.partition(f"<{self.tag}>")[2]


def _plain(tag: str) -> bool:
    return tag.replace("_", "").replace("-", "").isalnum()
