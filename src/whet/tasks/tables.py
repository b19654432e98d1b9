"""Tables from disk or hub: rows of named columns, with errors that say where."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Table = Sequence[Record]


def read_tables(path: str, subset: str = "") -> dict[str, Table]:
    """{split: table} of a JSONL, JSON, CSV or Parquet file (one table, "train"), of a folder that `datasets` saved or
    can load, or of a data set on the hub (extra `data`), where `subset` is its configuration.

    A JSON file holds a list of objects, or an object with one such list in it. Every table has at least one row.
    ValueError: no such thing, nothing in it, text that is not what the ending says (with its line).
    """
    place = Path(path).expanduser()
    reader = READERS.get(place.suffix.lower())
    if reader and not place.is_dir():
        if not place.is_file():
            raise ValueError(f"{path}: no such file; give the path of a {', '.join(READERS)} file that exists")
        try:
            tables: dict[str, Table] = {"train": reader(place)}
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error}); convert it to UTF-8") from error
    else:
        tables = _datasets(place if place.exists() else path, subset)
    for split, table in tables.items():
        if not len(table):
            raise ValueError(f"{path}: the data set is empty ({split!r} has no rows)")
    return tables


def plain(value: Any) -> Any:
    """`value` as JSON values: lists and objects of text, numbers, bools and None. NaN becomes None; what JSON does not
    know (dates, bytes) becomes text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def _jsonl(path: Path) -> Table:
    records = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                records.append(_object(_json(line, f"{path}, line {number}"), f"{path}, line {number}"))
    return records


def _json_list(path: Path) -> Table:
    held = _json(path.read_text(encoding="utf-8-sig"), str(path))
    if isinstance(held, dict):
        lists = {key: value for key, value in held.items() if isinstance(value, list)}
        if len(lists) != 1:
            raise ValueError(f"{path}: expected one list of rows, found {sorted(lists) or 'none'} among {sorted(held)}")
        held = next(iter(lists.values()))
    if not isinstance(held, list):
        raise ValueError(f"{path}: expected a list of rows, got {type(held).__name__}")
    return [_object(record, f"{path}, row {number}") for number, record in enumerate(held, 1)]


def _csv(path: Path) -> Table:
    records = []
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        for record in reader:
            if None in record or None in record.values():
                wanted = len(reader.fieldnames or ())
                raise ValueError(f"{path}, line {reader.line_num}: expected {wanted} columns, got more or fewer")
            records.append(dict(record))
    return records


def _parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file: {error}") from error


def _datasets(path: Path | str, subset: str) -> dict[str, Table]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError(f'{path}: needs the datasets library; run: pip install "whet[data]"') from error
    try:
        if isinstance(path, Path) and ((path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists()):
            found = datasets.load_from_disk(str(path))
        else:
            found = datasets.load_dataset(str(path), subset or None)
    except Exception as error:  # the library raises many kinds
        raise ValueError(
            f"{path}: no file of a known kind ({', '.join(READERS)}), and the datasets library can not load it: {error}"
        ) from error
    return {str(k): _Lazy(v) for k, v in found.items()} if isinstance(found, dict) else {"train": _Lazy(found)}


class _Lazy(Sequence[Record]):
    """Rows that stay in the library's memory map until they are asked for."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, i: Any) -> Any:
        return self.held[i]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where}: bad JSON: {error}") from error


def _object(value: Any, where: str) -> Record:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object with named columns, got {type(value).__name__}")
    return value


READERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": _jsonl,
    ".json": _json_list,
    ".csv": _csv,
    ".parquet": _parquet,
}
