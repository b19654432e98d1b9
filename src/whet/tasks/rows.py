"""Problems from your own data: a column of questions and a column of answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from whet.tasks.columns import lookup, missing
from whet.tasks.splits import held_out, worked
from whet.tasks.tables import Record, Table, plain, read_tables
from whet.types import Content, Message, Problem


@dataclass(frozen=True)
class Rows:
    r"""The rows of a table: a .jsonl, .json, .csv, .parquet or .arrow file, a `datasets` folder, a hub name (`tables`).

    The answer is the text of the `answer` column ("": there is none). Where that text is a worked solution, its end is
    the answer: what follows "####" (GSM8K, thousands' commas removed) or the last \boxed{} (MATH). `info["solution"]`
    is the worked solution with its answer, in tags, where there is one: that text, or the `solution` column.
    `info["columns"]` holds the row's other columns, and the answer column as it stands, as JSON values.

    A column may be a path into nested ones: "reward_model.ground_truth".

    A text becomes one user message, after `system` if that is set; `chat=False` leaves it a text to go on from. A
    prompt column may hold chat messages too, which `chat=False` makes one text, a blank line between two.

    Splits: "test" and "validation" are `test_path`, `validation_path`, or splits that the data set has under these
    names; where there are none, each holds out the share `holdout` of the distinct prompts, by their hash (at least
    one), and "train" is the rest: rows of one prompt never part. "all" is `path` before anything is held out.

    Files are read when first needed, and again when they change. ValueError then for a missing or empty file, a missing
    column (with those there are), a row that has no prompt or answer though others do, a split that has no rows.
    """

    path: str
    prompt: str = "question"
    answer: str = "answer"
    solution: str = "solution"
    test_path: str = ""
    validation_path: str = ""
    holdout: float = 0.1
    subset: str = ""
    system: str = ""
    chat: bool = True

    def __post_init__(self) -> None:
        if not self.path or not self.prompt:
            raise ValueError(f"Rows needs a path and a prompt column, got {self.path!r} and {self.prompt!r}")
        if not 0 <= self.holdout < 0.5:
            raise ValueError(f"Rows.holdout is the share of test and of validation, in [0, 0.5), got {self.holdout}")
        if self.system and not self.chat:
            raise ValueError("Rows.system is a chat message: leave it empty, or set chat=True")

    def size(self, split: str) -> int | None:
        return len(self._places(split)[1])

    def problem(self, split: str, i: int) -> Problem:
        table, places = self._places(split)
        if not 0 <= i < len(places):
            hint = "raise holdout, or give a path for it" if not places else f"they are numbered 0 to {len(places) - 1}"
            raise ValueError(f"{self.path}: {split!r} has {len(places)} rows, got index {i}; {hint}")
        row = places[i]
        record = table[row]
        gold, solution = self._solved(record)
        info: dict[str, Any] = {"columns": {k: plain(v) for k, v in record.items() if k != self.prompt}}
        return Problem(
            id=f"{Path(self.path).stem}/{split}/{row}",
            prompt=self._content(plain(lookup(record, self.prompt))),
            answer=gold,
            info=info | ({"solution": solution} if solution else {}),
        )

    def _places(self, split: str) -> tuple[Table, Sequence[int]]:
        """The table that a split lies in, and the numbers of its rows there."""
        stamps = tuple(_stamp(path) for path in (self.path, self.test_path, self.validation_path))
        splits = _splits(self, stamps)
        if split not in splits:
            raise ValueError(f"{self.path}: no split {split!r}; there are {', '.join(sorted(splits))}")
        return splits[split]

    def _content(self, held: str | list[Message]) -> Content:
        if not self.chat:
            return held if isinstance(held, str) else "\n\n".join(str(message["content"]) for message in held)
        messages = [{"role": "user", "content": held}] if isinstance(held, str) else held
        return ([{"role": "system", "content": self.system}] if self.system else []) + messages

    def _solved(self, record: Record) -> tuple[str | None, str]:
        """The answer as text, and a completion to imitate ("" where there is none)."""
        if not self.answer:
            return None, ""
        held = plain(lookup(record, self.answer))
        text = held if isinstance(held, str) else json.dumps(held)
        gold, thought = split_solution(text)
        if not thought and self.solution and self.solution != self.answer:
            thought = _thought(record, self.solution)
        return gold, worked(thought, gold) if thought else ""


def split_solution(text: str) -> tuple[str, str]:
    r"""The answer and the solution in `text`: "... #### 42" (GSM8K, without its <<48/2=24>> notes) or
    "... \boxed{42} ..."; else (text, "")."""
    before, mark, after = text.rpartition("####")
    if mark and after.strip() and "\n" not in after.strip():
        return after.strip().replace(",", ""), re.sub(r"<<[^<>\n]*>>", "", before).strip()
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed, text.strip() if text.strip() != f"\\boxed{{{boxed}}}" else ""
    return text.strip(), ""


def _thought(record: Record, column: str) -> str:
    """The worked solution in a column, without its "#### 42"; "" where there is none."""
    try:
        held = lookup(record, column)
    except KeyError:
        return ""
    return (split_solution(held)[1] or held.strip()) if isinstance(held, str) else ""


def last_boxed(text: str) -> str | None:
    r"""What the last \boxed{...} holds, braces balanced; None where there is none."""
    start = text.rfind("\\boxed{")
    depth = 0
    for k in range(start + 6, len(text)) if start >= 0 else ():
        depth += (text[k] == "{") - (text[k] == "}")
        if depth == 0:
            return text[start + 7 : k].strip()
    return None


def _stamp(path: str) -> tuple[int, int]:
    """Changes when a file does."""
    try:
        found = Path(path).expanduser().stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _splits(rows: Rows, stamps: tuple[tuple[int, int], ...]) -> dict[str, tuple[Table, Sequence[int]]]:
    tables = read_tables(rows.path, rows.subset)
    if "train" not in tables and len(tables) == 1:
        tables = {"train": next(iter(tables.values()))}
    for split, path in (("test", rows.test_path), ("validation", rows.validation_path)):
        if path:
            found = read_tables(path, rows.subset)
            tables[split] = found.get(split) or next(iter(found.values()))
    for split, table in tables.items():
        _check(rows, split, table)
    splits: dict[str, tuple[Table, Sequence[int]]] = {k: (table, range(len(table))) for k, table in tables.items()}
    if "train" in tables:
        splits["all"] = splits["train"]
        absent = [split for split in ("validation", "test") if split not in tables]
        prompts = [_key(lookup(record, rows.prompt)) for record in tables["train"]]
        for split, places in held_out(prompts, absent, rows.holdout).items():
            splits[split] = (tables["train"], places)
    return splits


def _key(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(plain(prompt), sort_keys=True)


def _check(rows: Rows, split: str, table: Table) -> None:
    """ValueError for the first row that can not become a problem, before any work is done with the others."""
    for k, record in enumerate(table):
        where = f"{rows.path} ({split}), row {k + 1}"
        held, answer = (_held(record, column, where, others=k > 0) for column in (rows.prompt, rows.answer))
        if not (held.strip() if isinstance(held, str) else _is_chat(held)):
            raise ValueError(f"{where}: {rows.prompt!r} must hold text or chat messages, got {held!r:.80}")
        if rows.answer and answer in (None, ""):
            raise ValueError(f"{where}: {rows.answer!r} is empty; remove the row or fill it in")


def _held(record: Record, column: str, where: str, others: bool) -> Any:
    """What the row holds in that column; None where none is asked for."""
    try:
        return lookup(record, column) if column else None
    except KeyError:
        mixed = "; the rows before it have one: give rows of other columns as a file of their own" if others else ""
        raise ValueError(f"{where} has {missing(record, column)}{mixed}") from None


def _is_chat(held: Any) -> bool:
    said = isinstance(held, list) and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in held)
    return said and held != []


EXAMPLES: list[Rows] = []  # there is none without a file
