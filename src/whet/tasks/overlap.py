"""Do two splits of a task share problems?"""

from __future__ import annotations

import json
from typing import Any

from whet.types import Media, Task


def overlap(task: Task, a: str = "train", b: str = "test", count: int = 1000) -> list[str]:
    """The prompts, as text and in order, that are among the first `count` problems of `a` and of `b`; [] is good.

    A finite split is looked at up to its size. Compared is what the policy sees, so two questions that differ in
    wording only count as two.
    """
    if count < 1:
        raise ValueError(f"overlap: count must be at least 1, got {count}")
    return sorted(_prompts(task, a, count) & _prompts(task, b, count))


def _prompts(task: Task, split: str, count: int) -> set[str]:
    size = task.size(split)
    return {_text(task.problem(split, i).prompt) for i in range(count if size is None else min(count, size))}


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=_plain)


def _plain(part: Any) -> Any:
    if isinstance(part, Media):
        return [part.kind, part.start, part.length, part.values.tolist()]
    return repr(part)
