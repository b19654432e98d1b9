"""Every attempt of a step, on disk: `rollouts/STAGE-STEP.parquet`, one line per row of a trajectory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from torch import Tensor

from whet.files import write_bytes
from whet.run import Run
from whet.scoring import totals
from whet.types import Credit, Scored, Trajectory


def record(run: Run, step: int, scored_P: Sequence[Scored], kept_P: Sequence[Scored], credit: Credit | None) -> None:
    """Write what was played for a step: text, tokens, log-probs, masks, rewards by term, and the advantage of what was
    learned from (null elsewhere)."""
    advantages = {
        id(trajectory): credit.advantages[p][g]
        for p, scored in enumerate(kept_P if credit else ())
        for g, trajectory in enumerate(scored.group.trajectories)
        if credit
    }
    lines = [
        line
        for scored in scored_P
        for g, (trajectory, total) in enumerate(zip(scored.group.trajectories, totals(scored).tolist(), strict=True))
        for line in _lines(run, step, scored, g, total, trajectory, advantages.get(id(trajectory)))
    ]
    schema = _schema(scored_P)
    table = pa.Table.from_arrays([_column([line.get(f.name) for line in lines], f.type) for f in schema], schema=schema)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    write_bytes(run.folder / "rollouts" / f"{run.number}-{step:08d}.parquet", buffer.getvalue())


def _lines(
    run: Run, step: int, scored: Scored, attempt: int, total: float, trajectory: Trajectory, advantage: Tensor | None
) -> list[dict[str, Any]]:
    shared = {
        "stage": run.number,
        "step": step,
        "problem": scored.group.problem.id,
        "group": scored.group.name,
        "slot": scored.group.slot,
        "attempt": attempt,
        "answer": None if scored.group.problem.answer is None else str(scored.group.problem.answer),
        "stop": trajectory.stop,
        "error": trajectory.info.get("error"),
        "kept": advantage is not None,
        "reward": total,
        **{f"term/{name}": float(values[attempt]) for name, values in scored.terms.items()},
        **{f"outcome/{name}": words[attempt] for name, words in scored.outcomes.items()},
    }
    lines, start = [], 0
    for i, row in enumerate(trajectory.rows):
        here = slice(start, start + len(row))
        start += len(row)
        turns = [turn for turn in trajectory.turns if turn.row == i]
        lines.append(
            shared
            | {
                "row": i,
                "model": row.model,
                "prompt": "".join(turn.text for turn in turns if turn.role == "prompt"),
                "text": "".join(turn.text for turn in turns if turn.role != "prompt"),
                "turns": [{"role": t.role, "start": t.start, "stop": t.stop, "text": t.text} for t in turns],
                "tokens": row.tokens,
                "sampled": row.sampled,
                "trained": row.trained,
                "logprobs": row.logprobs,
                "versions": row.versions,
                "rewards": scored.rewards[attempt][here],
                "advantages": None if advantage is None else advantage[here],
            }
        )
    return lines


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """One column; the tensors of a column of lists are laid end to end, so that no number becomes an object."""
    if not isinstance(kind, pa.ListType) or pa.types.is_struct(kind.value_type):
        return pa.array(values, kind)
    ends = np.cumsum([0, *(0 if value is None else value.shape[0] for value in values)], dtype=np.int32)
    known = [value for value in values if value is not None]
    flat = pa.array(torch.cat(known).numpy() if known else [], from_pandas=False).cast(kind.value_type)
    missing = pa.array([value is None for value in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(ends), flat, mask=missing)


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
        "row": whole,
        **dict.fromkeys(("model", "prompt", "text"), text),
        "turns": pa.list_(turn),
        "tokens": pa.list_(whole),
        **dict.fromkeys(("sampled", "trained"), pa.list_(pa.bool_())),
        "logprobs": floats,
        "versions": pa.list_(whole),
        **dict.fromkeys(("rewards", "advantages"), floats),
    }
    return pa.schema(list(fields.items()))
