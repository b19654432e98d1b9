"""Every attempt of a step, on disk: `rollouts/STAGE-STEP.parquet`, one line per row of a trajectory."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from torch import Tensor

from whet.files import write_bytes
from whet.run import Run
from whet.scoring import totals
from whet.stages.looked import ARRAYS, Looked, by_row
from whet.types import Credit, Scored, Trajectory

_ARRAYS = ("tokens", "sampled", "trained", "logprobs", "versions")  # of a row


def record(
    run: Run,
    step: int,
    scored_P: Sequence[Scored],
    kept_P: Sequence[Scored],
    credit: Credit | None,
    looked: Mapping[str, Looked],
) -> None:
    """Write what was played for a step: text, tokens, log-probs, masks, rewards by term, tracks ("track/..."), and of
    what was learned from (null elsewhere) the advantage, and as "learned/..." what learning saw of its tokens."""
    learned = by_row(looked, kept_P)
    advantages = {
        id(trajectory): credit.advantages[p][g]
        for p, scored in enumerate(kept_P if credit else ())
        for g, trajectory in enumerate(scored.group.trajectories)
        if credit
    }
    schema = _schema(scored_P)
    kinds = dict(zip(schema.names, schema.types, strict=True))
    columns: dict[str, list[Any]] = {name: [] for name in kinds}
    for scored in scored_P:
        said = _columns(scored, advantages, learned) | {"stage": run.number, "step": step}
        count = sum(len(attempt.rows) for attempt in scored.group.trajectories)
        for name, column in columns.items():
            values = said.get(name)
            column += values if isinstance(values, list) else [values] * count
    lengths = np.array([len(tokens) for tokens in columns["tokens"]], dtype=np.int64)
    table = pa.Table.from_arrays([_column(columns[n], kind, lengths) for n, kind in kinds.items()], schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
    write_bytes(run.folder / "rollouts" / f"{run.number}-{step:08d}.parquet", buffer.getvalue())


def _columns(
    scored: Scored, advantages: Mapping[int, Tensor], learned: Mapping[tuple[int, int], Mapping[str, Tensor]]
) -> dict[str, Any]:
    """{name: a value for each row of a group's attempts, or one for all}."""
    group, attempts = scored.group, scored.group.trajectories
    places = [(g, i) for g, attempt in enumerate(attempts) for i in range(len(attempt.rows))]
    rows = [attempts[g].rows[i] for g, i in places]
    turns = [[turn for turn in attempts[g].turns if turn.row == i] for g, i in places]
    credits = [advantages.get(id(attempt)) for attempt in attempts]
    of_attempts: dict[str, Sequence[Any]] = {
        "stop": [attempt.stop for attempt in attempts],
        "error": [attempt.info.get("error") for attempt in attempts],
        "kept": [credit is not None for credit in credits],
        "reward": totals(scored).tolist(),
        **{f"term/{name}": values.tolist() for name, values in scored.terms.items()},
        **{f"outcome/{name}": words for name, words in scored.outcomes.items()},
        **{f"seconds/{name}": took for name, took in scored.seconds.items()},
    }
    return {
        "problem": group.problem.id,
        "group": group.name,
        "slot": group.slot,
        "answer": None if group.problem.answer is None else str(group.problem.answer),
        "attempt": [g for g, _ in places],
        "row": [i for _, i in places],
        **{name: [values[g] for g, _ in places] for name, values in of_attempts.items()},
        **{name: [getattr(row, name) for row in rows] for name in _ARRAYS},
        "model": [row.model for row in rows],
        "prompt": ["".join(turn.text for turn in row if turn.role == "prompt") for row in turns],
        "text": ["".join(turn.text for turn in row if turn.role != "prompt") for row in turns],
        "turns": [[{"role": t.role, "start": t.start, "stop": t.stop, "text": t.text} for t in row] for row in turns],
        "rewards": _by_row(scored.rewards, attempts),
        "advantages": _by_row(credits, attempts),
        **{
            f"track/{name}": _by_row([_track(attempt, name) for attempt in attempts], attempts)
            for name in _tracks([scored])
        },
        **{f"learned/{name}": [learned.get((id(attempts[g]), i), {}).get(name) for g, i in places] for name in ARRAYS},
    }


def _tracks(scored_P: Sequence[Scored]) -> list[str]:
    """The names of all tracks with one number per token."""
    tracks = (t.tracks.items() for scored in scored_P for t in scored.group.trajectories)
    return sorted({name for items in tracks for name, value in items if value.dim() == 1})


def _track(attempt: Trajectory, name: str) -> Tensor | None:
    value = attempt.tracks.get(name)
    return None if value is None or value.dim() != 1 else value.detach().float().cpu()


def _by_row(values: Sequence[Tensor | None], attempts: Sequence[Trajectory]) -> list[Tensor | None]:
    """What each attempt's tokens have, [T] or None, taken apart into its rows."""
    out: list[Tensor | None] = []
    for value, attempt in zip(values, attempts, strict=True):
        if value is None or len(attempt.rows) == 1:
            out += [value] * len(attempt.rows)
        else:
            out += value.split([len(row) for row in attempt.rows])
    return out


def _column(values: list[Any], kind: pa.DataType, lengths: np.ndarray) -> pa.Array:
    """One column; the tensors of a column of lists, of `lengths` entries, are laid end to end, so that no number
    becomes an object."""
    if not isinstance(kind, pa.ListType) or pa.types.is_struct(kind.value_type):
        return pa.array(values, kind)
    missing = np.array([value is None for value in values])
    ends = pa.array(np.cumsum([0, *np.where(missing, 0, lengths)], dtype=np.int32))
    known = [value for value in values if value is not None]
    flat = pa.array(torch.cat(known).numpy() if known else [], from_pandas=False).cast(kind.value_type)
    return pa.ListArray.from_arrays(ends, flat, mask=pa.array(missing))


def _schema(scored_P: Sequence[Scored]) -> pa.Schema:
    text, whole, real, floats = pa.string(), pa.int32(), pa.float32(), pa.list_(pa.float32())
    turn = pa.struct({"role": text, "start": whole, "stop": whole, "text": text})
    fields = {
        **dict.fromkeys(("stage", "step"), whole),
        **dict.fromkeys(("problem", "group"), text),
        **dict.fromkeys(("slot", "attempt"), whole),
        **dict.fromkeys(("answer", "stop", "error"), text),
        "kept": pa.bool_(),
        "reward": real,
        **{f"term/{name}": real for name in sorted({n for s in scored_P for n in s.terms})},
        **{f"outcome/{name}": text for name in sorted({n for s in scored_P for n in s.outcomes})},
        **{f"seconds/{name}": real for name in sorted({n for s in scored_P for n in s.seconds})},
        "row": whole,
        **dict.fromkeys(("model", "prompt", "text"), text),
        "turns": pa.list_(turn),
        "tokens": pa.list_(whole),
        **dict.fromkeys(("sampled", "trained"), pa.list_(pa.bool_())),
        "logprobs": floats,
        "versions": pa.list_(whole),
        **dict.fromkeys(("rewards", "advantages"), floats),
        **{f"track/{name}": floats for name in _tracks(scored_P)},
        **{f"learned/{name}": floats for name in ARRAYS},
    }
    return pa.schema(list(fields.items()))
