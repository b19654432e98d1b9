"""Files that are there whole or not at all.

A file or folder is made under a temporary name beside its target, flushed to the disk, and renamed into place: a run
that is killed at any moment leaves the old content or the new, never half of either. What a killed process leaves is
named `.NAME.xxxxxxxx.part`; `sweep` removes it.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

_PART = ".part"


def write_bytes(path: str | Path, data: bytes) -> None:
    """`data` as the whole content of `path`, whose folder is made if need be. OSError naming `path` if it can not be
    written; the old content then stays."""
    path = Path(path)
    part = _part(path)
    with _explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            _sync_folder(path.parent)
        finally:
            with suppress(OSError):
                part.unlink()


def write_text(path: str | Path, text: str) -> None:
    """`text` in UTF-8 as the whole content of `path`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """`value` as indented JSON; a number that is not finite becomes null, as JSON has none."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: str | Path, text: str) -> None:
    """`text` as one more line of `path`, in a single write and on the disk when this returns. A line that does not fit
    is taken back. A last line that was cut short by somebody else is ended first, so that it spoils no other."""
    if "\n" in text:
        raise ValueError(f"append_line() writes one line, got {text.count(chr(10)) + 1}: append them one by one")
    path = Path(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            data = (b"\n" if torn else b"") + text.encode() + b"\n"
            written = -1
            try:
                written = os.write(file, data)
                os.fsync(file)
            finally:
                if written != len(data):
                    os.ftruncate(file, size)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)


def append_json(path: str | Path, value: Any) -> None:
    """`value` as one more line of JSON."""
    append_line(path, json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def read_json(path: str | Path) -> Any:
    """The value in a JSON file. ValueError naming the file if it holds none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} should hold JSON, got {error}: mend or remove the file") from error


def read_lines(path: str | Path) -> list[Any]:
    """The values of a file with one JSON value per line; none if there is no file. A torn line (a write that the
    machine lost) is left out."""
    if not Path(path).exists():
        return []
    values = []
    for line in Path(path).read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError):
            values.append(json.loads(line))
    return values


Exists = Literal["refuse", "replace", "keep"]


@contextmanager
def folder(path: str | Path, exists: Exists = "refuse") -> Iterator[Path]:
    """A temporary folder to fill, which becomes `path` at the end. If the body raises, nothing stays behind.

    Where `path` is there already and not empty: "refuse" is a ValueError before any work, "replace" puts the new
    folder in its place, "keep" throws the new one away (somebody else made the same, and was faster).
    """
    path = Path(path)
    if exists == "refuse" and _filled(path):
        raise ValueError(f"{path} exists already and is not empty: remove it or choose another folder")
    part = _part(path)
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.mkdir()
        with _explained(path, inside=part):
            yield part
        with _explained(path):
            _sync_tree(part)
            _put(part, path, exists)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def new_run_folder(out: str | Path) -> Path:
    """An empty folder at `out`. ValueError if something is there: a run is never overwritten."""
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"the run folder {out} is a file: choose another --out")
    if _filled(out):
        raise ValueError(
            f"the run folder {out} exists and is not empty, and a run is never overwritten: "
            f"choose another --out, remove it, or go on with it by `whet resume {out}`"
        )
    with _explained(out):
        out.mkdir(parents=True, exist_ok=True)
    return out


@contextmanager
def alone(path: str | Path) -> Iterator[None]:
    """Hold a folder for this process. ValueError if another one holds it: two that write into one run would spoil it.
    The system lets go of it when the process ends, however it ends."""
    with _explained(Path(path)):
        held = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process works in {path}: wait until it is done, or stop it and go on with its run"
            ) from None
        yield
    finally:
        os.close(held)


def sweep(path: str | Path) -> None:
    """Remove, at any depth below `path`, what a killed process left half-made. Only for a folder with one owner."""
    for part in sorted(Path(path).rglob(f".*{_PART}")):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def cache() -> Path:
    """Where made models and remote answers are kept: $WHET_CACHE, else whet/ under the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("WHET_CACHE") or Path(home) / "whet")


def plain(value: Any) -> Any:
    """`value` with only what JSON has: arrays and tuples become lists, dataclasses and mappings objects, paths text,
    numbers that are not finite null."""
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if (to_list := getattr(value, "tolist", None)) is not None:  # arrays and tensors, and their scalars
        return plain(to_list())
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f"{type(value).__name__} can not be written as JSON: turn it into numbers, text, lists or dicts")


def _part(path: Path) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}{_PART}"


def _filled(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _put(part: Path, path: Path, exists: Exists) -> None:
    try:
        os.rename(part, path)  # succeeds where `path` is missing or an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    if exists == "refuse":
        raise ValueError(f"{path} was made by somebody else meanwhile: remove it or choose another folder")
    if exists == "replace":
        old = _part(path)
        os.rename(path, old)
        os.rename(part, path)
        shutil.rmtree(old, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for place, _, names in os.walk(root):
        for name in names:
            if (file := Path(place) / name).is_file():
                _sync_folder(file)
        _sync_folder(Path(place))


def _sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _explained(path: Path, inside: Path | None = None) -> Iterator[None]:
    """Say which file could not be written, and what to do. With `inside`, only for errors that are about space or that
    name a file in there: another error of the body is none of ours."""
    try:
        yield
    except Exception as error:
        cause = _os_error(error)
        if cause is None:
            raise
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        ours = inside is None or (cause.filename is not None and str(cause.filename).startswith(str(inside)))
        if not (full or ours):
            raise
        do = "free some space or choose another folder" if full else "check the folder and its permissions"
        raise OSError(cause.errno, f"could not write {path}: {os.strerror(cause.errno or 0)}; {do}") from error


def _os_error(error: BaseException) -> OSError | None:
    """What the system said: the libraries that write weights put errors of their own around it."""
    if isinstance(error, OSError):
        return error
    if isinstance(error.__context__, OSError):  # torch.save into a file
        return error.__context__
    if found := re.search(r"\(os error (\d{1,5})\)", str(error)):  # safetensors
        return OSError(int(found[1]), os.strerror(int(found[1])))
    return None
