"""A run folder with as many rollouts as asked, in the format of a real one: for the speed and tests of `whet view`.

python -m bench.many_rollouts FOLDER 100000
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch

from whet.files import append_json, write_json
from whet.stages.record import _schema  # the format is the run's own
from whet.types import Group, Problem, Scored

PROBLEMS, GROUP, TOKENS = 32, 8, 160  # a step's problems, attempts at each, most sampled tokens
_WORDS = np.array(
    [
        "so",
        "then",
        "we",
        "add",
        "two",
        "and",
        "three",
        "which",
        "gives",
        "five",
        "carry",
        "the",
        "one",
        "check",
        "again",
        "wait",
        "no",
        "yes",
        "sum",
        "is",
    ]
)
_STOPS, _OUTCOMES = np.array(["eos", "length", "env"]), np.array(["right", "wrong", "unparseable", "timed out"])


def schema() -> pa.Schema:
    """What `record` writes for a reward of two terms, one of which asks a verifier."""
    group = Group(Problem("", "", ""), ())
    zero = torch.zeros(0)
    return _schema([Scored(group, (), {"correct": zero, "format": zero}, {"correct": ()})])


def write(folder: Path, rollouts: int, name: str = "synthetic", seed: int = 0) -> int:
    """Fill `folder`; the number of rollouts, which is `rollouts` rounded up to whole steps."""
    steps = -(-rollouts // (PROBLEMS * GROUP))
    (folder / "rollouts").mkdir(parents=True)
    order = {"recipe": name, "arm": "grpo", "seed": seed, "model": "", "machine": "cpu", "settings": []}
    write_json(folder / "recipe.json", {"order": order, "arm": "grpo", "seed": seed, "stages": [{"lr": 1e-4}]})
    lines, rng, kind = [], np.random.default_rng(seed), schema()
    for step in range(steps):
        table = _step(rng, step, steps, kind)
        parquet.write_table(
            table, folder / "rollouts" / f"0-{step:08d}.parquet", compression="zstd", use_dictionary=False
        )
        lines.append(_line(table, step))
    for line in lines:
        append_json(folder / "metrics.jsonl", line)
    write_json(folder / "report.json", {"before": {}, "after": {}, "difference": {}})
    return steps * PROBLEMS * GROUP


def _step(rng: np.random.Generator, step: int, steps: int, kind: pa.Schema) -> pa.Table:
    count = PROBLEMS * GROUP
    share = 0.2 + 0.6 * step / steps
    right = rng.random(count) < share
    sampled = rng.integers(8, TOKENS, count)
    prompt = 12
    lengths = sampled + prompt
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    place = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
    chosen = place >= prompt
    advantage = np.where(right, 1 - share, -share).astype(np.float32)

    def lists(values: np.ndarray, of: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(values).cast(of))

    def floats(values: np.ndarray) -> pa.Array:
        return lists(np.where(chosen, values, 0).astype(np.float32), pa.float32())

    noise = rng.standard_normal(ends[-1]).astype(np.float32)
    said = [" ".join(_WORDS[rng.integers(0, len(_WORDS), n // 2)]) for n in sampled]
    text = [f"{words} <answer>{'42' if ok else '41'}</answer>" for words, ok in zip(said, right, strict=True)]
    asked = [f"<user>{p}+{step % 7}=?<assistant>" for p in range(PROBLEMS) for _ in range(GROUP)]
    turns = [
        [
            {"role": "prompt", "start": 0, "stop": prompt, "text": q},
            {"role": "policy", "start": prompt, "stop": int(n), "text": t},
        ]
        for q, t, n in zip(asked, text, lengths, strict=True)
    ]
    words = np.where(right, "right", _OUTCOMES[rng.integers(1, 4, count)])
    columns = {
        "stage": np.zeros(count, np.int32),
        "step": np.full(count, step, np.int32),
        "problem": [f"sums/train/{(p * 37 + step // 3) % 400}" for p in range(PROBLEMS) for _ in range(GROUP)],
        "group": ["direct"] * count,
        "slot": np.repeat(np.arange(PROBLEMS, dtype=np.int32), GROUP),
        "attempt": np.tile(np.arange(GROUP, dtype=np.int32), PROBLEMS),
        "answer": ["42"] * count,
        "stop": _STOPS[rng.integers(0, 3, count)],
        "error": [None] * count,
        "kept": np.ones(count, bool),
        "reward": right.astype(np.float32),
        "term/correct": right.astype(np.float32),
        "term/format": rng.random(count).astype(np.float32),
        "outcome/correct": words,
        "row": np.zeros(count, np.int32),
        "model": ["policy"] * count,
        "prompt": asked,
        "text": text,
        "turns": turns,
        "tokens": lists(rng.integers(0, 120, ends[-1]), pa.int32()),
        "sampled": lists(chosen, pa.bool_()),
        "trained": lists(chosen, pa.bool_()),
        "versions": lists(np.where(chosen, step, -1), pa.int32()),
        "logprobs": floats(-np.abs(noise)),
        "rewards": floats(np.where(place == np.repeat(lengths, lengths) - 1, np.repeat(right, lengths), 0)),
        "advantages": floats(np.repeat(advantage, lengths)),
        "learned/logprobs": floats(-np.abs(noise) + 0.02 * rng.standard_normal(ends[-1])),
        "learned/entropy": floats(np.abs(noise[::-1])),
        "learned/weights": floats(np.full(ends[-1], 1 / ends[-1])),
        "learned/gradient": floats(-np.repeat(advantage, lengths) / ends[-1]),
        "learned/clipped": floats(np.abs(noise) > 2.5),
    }
    return pa.table({name: pa.array(columns[name], of) for name, of in zip(kind.names, kind.types, strict=True)})


def _line(table: pa.Table, step: int) -> dict[str, object]:
    reward = float(np.mean(table["reward"].to_numpy()))
    words = table["outcome/correct"].to_pylist()
    length = float(np.mean([sum(row) for row in table["sampled"].to_pylist()]))
    line: dict[str, object] = {"stage": "rl", "number": 0, "step": step, "reward/mean": reward}
    line |= {"reward/correct": reward, "length/mean": length, "entropy": 2.0 - reward, "clip_fraction": 0.01}
    line |= {f"outcome/{word}": words.count(word) / len(words) for word in _OUTCOMES.tolist()}
    line |= {"grad_norm": 0.5, "groups": PROBLEMS, "groups/kept": PROBLEMS, "tokens": 20000 * (step + 1)}
    return line | {"time/play": 1.0, "time/learn": 0.5}


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2])), "rollouts")
