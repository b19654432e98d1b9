"""Preferences from your own data: columns of texts that are better and worse."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from whet.tasks.columns import lookup, missing
from whet.types import Content, Message, Problem, Task


@dataclass(frozen=True)
class Pairs:
    """The problems of `rows`, such as `Rows("pairs.jsonl", prompt="prompt", answer="")`, with `info["chosen"]` and
    `info["rejected"]` from columns of these names: what `Preference`, `Feedback` and `RewardModel` learn from.

    A column holds a text, or chat messages that end with the assistant's; those with which the prompt begins them are
    left out. Where the prompt is nowhere but in both columns, `Rows(path, prompt="chosen", answer="")` makes it what
    the two conversations have in common; what is held out is then told by the chosen one.

    With `label`, the column `chosen` holds a single text and `label` true or false, 1 or 0, whether it is good: it
    becomes `info["chosen"]` or `info["rejected"]`, for `Feedback`. The column `margin`, where there is one, says by how
    much the chosen text is better.

    Raises ValueError for a row without the columns, with an empty text, with messages that do not go on from the
    prompt, or with another label.
    """

    rows: Task
    chosen: str = "chosen"
    rejected: str = "rejected"
    label: str = ""
    margin: str = "margin"

    def size(self, split: str) -> int | None:
        return self.rows.size(split)

    def problem(self, split: str, i: int) -> Problem:
        problem = self.rows.problem(split, i)
        columns = problem.info.get("columns", {})
        if self.label:
            return self._labelled(problem, columns)
        rejected = _held(problem, columns, self.rejected)
        if self.chosen not in columns and _ends_said(problem.prompt):  # the prompt column is the chosen conversation
            chosen = list(problem.prompt)
            problem = replace(problem, prompt=_common(problem, chosen, rejected))
        else:
            chosen = _held(problem, columns, self.chosen)
        info: dict[str, Any] = {"chosen": _said(problem, chosen), "rejected": _said(problem, rejected)}
        with suppress(KeyError, TypeError, ValueError):  # no such column, or no number in it
            info["margin"] = float(lookup(columns, self.margin))
        return replace(problem, info={**problem.info, **info})

    def _labelled(self, problem: Problem, columns: Any) -> Problem:
        label = _held(problem, columns, self.label)
        if label not in (0, 1):
            raise ValueError(f"{problem.id}: {self.label!r} must be true or false, 1 or 0, got {label!r}")
        text = _said(problem, _held(problem, columns, self.chosen))
        return replace(problem, info={**problem.info, "chosen" if label else "rejected": text})


def _held(problem: Problem, columns: Any, column: str) -> Any:
    try:
        return lookup(columns, column)
    except KeyError:
        raise ValueError(f"{problem.id} has {missing(columns, column)}") from None


def _ends_said(prompt: Content) -> bool:
    last = prompt[-1] if not isinstance(prompt, str) and prompt else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def _common(problem: Problem, chosen: Sequence[Any], rejected: Any) -> list[Message]:
    """The messages with which both conversations begin."""
    if not isinstance(rejected, list):
        raise ValueError(
            f"{problem.id}: the prompt is a conversation, so the rejected one must be, got {rejected!r:.80}"
        )
    lead = chosen[0].get("role") == "system" and chosen[0] not in rejected  # ours, before the chosen one alone
    other, count = [*chosen[:1], *rejected] if lead else rejected, 0
    while count < min(len(chosen), len(other)) - 1 and chosen[count] == other[count]:
        count += 1
    return list(chosen[:count])


def _said(problem: Problem, held: Any) -> str | list[Message]:
    """What goes on from the prompt: a text, or messages where there are several."""
    if isinstance(held, str):
        if not held:
            raise ValueError(f"{problem.id}: a text is empty; leave the row out")
        return held
    messages = list(held) if isinstance(held, list) else []
    prompt = [m for m in problem.prompt if isinstance(m, dict)] if not isinstance(problem.prompt, str) else []
    for start in (prompt, prompt[1:]):  # a data set's own messages may lack the system's
        if start and messages[: len(start)] == start:
            messages = messages[len(start) :]
            break
    if not messages or messages[0].get("role") != "assistant" or messages[-1].get("role") != "assistant":
        raise ValueError(
            f"{problem.id}: expected a text, or messages that go on from the prompt and end with the assistant's, "
            f"got {held!r:.80}"
        )
    return messages[0]["content"] if len(messages) == 1 else messages


EXAMPLES: list[Pairs] = []  # there is none without a file
