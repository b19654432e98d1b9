from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as parquet
from helpers.played import Told, said, write_step

from bench.many_rollouts import write


def test_its_files_have_the_columns_of_a_runs_own(tmp_path: Path) -> None:
    assert write(tmp_path / "many", 300) == 512
    own = parquet.read_schema(write_step(tmp_path / "own", 0, [Told([said("a")], terms={"format": (0.0,)})]))
    many = parquet.read_schema(tmp_path / "many" / "rollouts" / "0-00000000.parquet")
    assert many.equals(own)


def test_its_arrays_have_an_entry_for_each_token(tmp_path: Path) -> None:
    write(tmp_path / "many", 1)
    (file,) = (tmp_path / "many" / "rollouts").iterdir()
    for row in parquet.read_table(file).to_pylist():
        lists = [value for name, value in row.items() if isinstance(value, list) and name != "turns"]
        assert {len(value) for value in lists} == {len(row["tokens"])} == {row["turns"][-1]["stop"]}
        assert sum(row["rewards"]) == row["reward"]
