"""One attempt, token by token: what each is in text, who wrote it, and every number that was kept of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from whet.view.folders import Missing
from whet.view.sound import listed
from whet.view.words import Words

MOST = 3000  # our choice: tokens of a row that are shown at first
_FOLD = 120  # our choice: a stretch that the policy did not write is folded from so many tokens on
_TEXTS = ("attempt", "row", "prompt", "text", "answer", "error")
_OF_ROW = ("model", "prompt", "text", "turns", "row")

# Names for people, in the order of the list; what a file has beside these comes behind them under its own name.
NAMES = {
    "advantages": "advantage",
    "logprobs": "log-prob (sampler)",
    "learned/logprobs": "log-prob (learner)",
    "ratio": "ratio",
    "learned/clipped": "clipped",
    "reference gap": "reference gap",
    "learned/entropy": "entropy",
    "learned/weights": "weight in the loss",
    "learned/gradient": "gradient",
    "rewards": "reward",
    "staleness": "staleness",
    "trained": "seen by the loss",
    "sampled": "sampled",
    "versions": "weights' version",
}
# How numbers become colours: "around" 0 or 1, "low" or "high" is the strong end, "flag".
SCALES = {
    "advantages": "around 0",
    "rewards": "around 0",
    "learned/gradient": "around 0",
    "ratio": "around 1",
    "reference gap": "around 0",
    "logprobs": "low",
    "learned/logprobs": "low",
    "learned/clipped": "flag",
    "trained": "flag",
    "sampled": "flag",
}


@dataclass(frozen=True)
class Stretch:
    """Tokens `start : stop` of a row that one side wrote."""

    role: str
    start: int
    stop: int
    tokens: Sequence[tuple[int, str]]  # (place in the row, text)
    open: bool

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.tokens[:60])

    @property
    def by(self) -> str:
        return "policy" if self.role in ("policy", "assistant") else "prompt" if self.role == "prompt" else "env"


@dataclass(frozen=True)
class Shown:
    """One row: a context as the model saw it."""

    number: int
    model: str
    total: int  # tokens in all
    stretches: Sequence[Stretch]
    arrays: Mapping[str, Sequence[float | None]]  # of the tokens that are shown
    ids: Sequence[int]
    prompt: str
    text: str


def attempt_rows(
    file: Path, stage: int, step: int, slot: int, group: str, attempt: int | None = None, texts: bool = False
) -> list[dict[str, Any]]:
    """The lines of an attempt in its file (of the whole group without `attempt`), in the order of attempts and rows;
    their `texts` alone, or all. Missing if there is none."""
    try:
        whole = parquet.ParquetFile(file)
        names = whole.schema_arrow.names
        where = {"stage": stage, "step": step, "slot": slot, "group": group}
        where |= {} if attempt is None else {"attempt": attempt}
        keys = whole.read([name for name in where if name in names], use_threads=False)
        columns = {name: listed(keys[name]) for name in keys.column_names}
        place = [i for i in range(keys.num_rows) if all(columns[n][i] == where[n] for n in columns)]
        if "attempt" not in names and attempt is not None:  # an older format, see `Index`
            place = place[attempt : attempt + 1]
        if not place:
            raise Missing("there is no such attempt")
        wanted = [name for name in names if not texts or name in _TEXTS]
        rows = whole.read(wanted, use_threads=False).take(pa.array(place))
    except (pa.ArrowException, OSError) as error:
        raise Missing(f"{file.name} can not be read: {str(error).splitlines()[0]}") from error
    values = {name: listed(rows[name]) for name in rows.column_names}
    lines = [{name: column[i] for name, column in values.items()} for i in range(len(place))]
    for i, line in enumerate(lines):
        line.setdefault("attempt", i if attempt is None else attempt)
    return sorted(lines, key=lambda line: (line["attempt"], line.get("row") or 0))


def shown(line: Mapping[str, Any], words: Words, most: int = MOST) -> Shown:
    """A row as it is shown: its first `most` tokens. A file of an older format, without tokens, gives none."""
    ids = [int(i) for i in line.get("tokens") or []]
    total, ids = len(ids), ids[:most]
    texts = words.pieces(ids)
    arrays = _arrays(line, len(ids), total)
    stretches = []
    for role, start, stop in _turns(line, total):
        inside = [(i, texts[i]) for i in range(start, min(stop, len(ids)))]
        if inside:
            short = stop - start < _FOLD
            stretches.append(Stretch(role, start, stop, inside, short or role in ("policy", "assistant")))
    said = {name: str(line.get(name) or "") for name in ("model", "prompt", "text")}
    return Shown(int(line.get("row") or 0), said["model"], total, stretches, arrays, ids, said["prompt"], said["text"])


def _turns(line: Mapping[str, Any], total: int) -> list[tuple[str, int, int]]:
    """(role, start, stop) without gaps: what no turn names is the policy's where it was sampled, else the prompt's."""
    found, at = [], 0
    sampled = line.get("sampled") or []

    def gap(to: int) -> None:
        nonlocal at
        while at < to:
            mine = bool(sampled[at]) if at < len(sampled) else False
            stop = at
            while stop < to and (bool(sampled[stop]) if stop < len(sampled) else False) == mine:
                stop += 1
            found.append(("policy" if mine else "prompt", at, stop))
            at = stop

    for turn in sorted(line.get("turns") or [], key=lambda turn: turn.get("start") or 0):
        start, stop = max(at, int(turn.get("start") or 0)), min(total, int(turn.get("stop") or 0))
        if stop > start:
            gap(start)
            found.append((str(turn.get("role") or ""), start, stop))
            at = stop
    gap(total)
    return found


def _arrays(line: Mapping[str, Any], most: int, total: int) -> dict[str, list[float | None]]:
    """Every list that has one number per token, and what follows from two: the ratio, and how old the weights were."""
    found: dict[str, list[float | None]] = {}
    for name, value in line.items():
        if name not in ("tokens", "turns", *_OF_ROW) and isinstance(value, list) and len(value) == total:
            found[name] = [_plain(x) for x in value[:most]]
    trained, old, new = (found.get(name) for name in ("trained", "logprobs", "learned/logprobs"))
    if trained and old and new:
        found["ratio"] = [
            _plain(math.exp(min(50.0, b - a))) if t and a is not None and b is not None else None
            for t, a, b in zip(trained, old, new, strict=True)
        ]
    sampled, reference = found.get("sampled"), found.get("track/reference")
    if sampled and old and reference:  # log pi - log pi_ref of what was sampled
        found["reference gap"] = [
            _plain(a - b) if s and a is not None and b is not None else None
            for s, a, b in zip(sampled, old, reference, strict=True)
        ]
    if (versions := found.get("versions")) and line.get("step") is not None:
        found["staleness"] = [line["step"] - v if v is not None and v >= 0 else None for v in versions]
    for name in found:
        if trained and name.startswith("learned/"):  # 0 where the loss does not look: no number
            found[name] = [x if t else None for x, t in zip(found[name], trained, strict=True)]
    if sampled and "logprobs" in found:
        found["logprobs"] = [x if s else None for x, s in zip(found["logprobs"], sampled, strict=True)]
    order = [name for name in NAMES if name in found]
    return {name: found[name] for name in [*order, *(name for name in found if name not in NAMES)]}


def _plain(value: Any) -> float | None:
    if value is None or isinstance(value, (str, dict, list)):
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else None
