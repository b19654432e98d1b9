"""Tables from disk or hub: rows of named columns, with errors that say where."""

from __future__ import annotations

import csv
import json
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

Record = dict[str, Any]
Table = Sequence[Record]


def read_tables(path: str, subset: str = "") -> dict[str, Table]:
    """{split: table} of a JSONL, JSON, CSV, Parquet or Arrow file (one table, "train"), of a folder that `datasets`
    saved or can load, or of a data set on the hub (extra `data`), where `subset` is its configuration.

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


def _arrow(path: Path) -> Table:
    """A file of the kind that `datasets` keeps: a stream of record batches, or an Arrow file."""
    import pyarrow

    with path.open("rb") as file:
        try:
            if file.read(6) == b"ARROW1":
                return pyarrow.ipc.open_file(path).read_all().to_pylist()
            file.seek(0)
            return pyarrow.ipc.open_stream(file).read_all().to_pylist()
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{path}: not an Arrow file: {error}") from error


def _datasets(path: Path | str, subset: str) -> dict[str, Table]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError(f'{path}: needs the datasets library; run: pip install "whet[data]"') from error
    try:
        if isinstance(path, Path):
            found = _from_disk(datasets, path, subset)
        else:
            with _quick_where_offline(datasets):
                found = datasets.load_dataset(path, subset or None)
    except Exception as error:  # the library raises many kinds
        here = f"no file of a known kind ({', '.join(READERS)}), and the datasets library can not load it"
        if not isinstance(path, Path):
            here = "no such file or folder, and no data set that can be had from the hub"
            if _offline():
                here += " (this machine is offline, and the data set was not loaded on it before)"
        raise ValueError(f"{path}: {here}: {error}") from error
    return {str(k): _Lazy(v) for k, v in found.items()} if isinstance(found, dict) else {"train": _Lazy(found)}


def _from_disk(datasets: Any, path: Path, subset: str) -> Any:
    """What `save_to_disk` wrote, or a folder of files."""
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        return datasets.load_from_disk(str(path))
    return datasets.load_dataset(str(path), subset or None)


@contextmanager
def _quick_where_offline(datasets: Any) -> Iterator[None]:
    """Where the hub can not be reached, do not try it for half a minute: what was loaded before is found all the
    same."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if _offline():
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _offline() -> bool:
    """Whether the user said so, or the hub's name can not be resolved (and no proxy does that)."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return True
    if getproxies():
        return False
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return True
    return False


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
    ".arrow": _arrow,
}
