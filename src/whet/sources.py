"""What a user names on the command line, as a task: files, data sets, several of them mixed, environments."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whet.tasks.columns import Columns, find_columns
from whet.tasks.gymnasium import Gymnasium
from whet.tasks.mixture import Mixture
from whet.tasks.rows import Rows
from whet.tasks.tables import READERS, read_tables
from whet.tasks.verifiers_env import VerifiersEnv

ENVIRONMENTS = ("gymnasium", "verifiers")  # KIND of --env KIND:NAME


def there(name: str, what: str) -> str:
    """`name`, or ValueError where it can only be a path (it begins with ".", "/" or "~") and nothing is there."""
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().exists():
        raise ValueError(f"there is no {what} {name}; give the path of one, or a name on the hub")
    return name


def rows_of(data: str, prompt: str = "", answer: str | None = None, needed: bool = True, **fields: Any) -> Rows:
    """The rows of a file, folder or hub data set (NAME, or NAME:CONFIGURATION), columns found by name where they are
    not given (`find_columns`; `needed`: something compares with the answer). `fields` are those of `Rows`.

    ValueError where data or columns can not be found.
    """
    path, subset = _configured(there(data, "data file or folder"))
    if prompt and answer is not None:
        columns = Columns(prompt, answer)
    else:
        tables = read_tables(path, subset)
        first = tables.get("train") or next(iter(tables.values()))
        columns = find_columns(first[0], prompt, answer, data, needed)
    return Rows(path, columns.prompt, columns.answer, columns.solution, subset=subset, **fields)


def mixed(sources: Sequence[Rows], weights: str = "") -> Rows | Mixture:
    """One task of several sources, drawn by "2,1", ... or, without weights, each problem as often as another.

    ValueError for weights that are no numbers, or not as many as the sources.
    """
    shares = [_number(word) for word in weights.split(",")] if weights.strip() else []
    if shares and len(shares) != len(sources):
        raise ValueError(
            f"--weights gives {len(shares)} numbers ({weights}) for {len(sources)} --data; give one for each, as in 2,1"
        )
    if len(sources) == 1:
        return sources[0]
    names = _names(sources)
    return Mixture(dict(zip(names, sources, strict=True)), dict(zip(names, shares, strict=True)) if shares else {})


def environment(said: str, arguments: Sequence[str] = (), system: str = "") -> Gymnasium | VerifiersEnv:
    """The environment "gymnasium:NAME" or "verifiers:NAME", made with arguments "name=value" (values are JSON, or
    text). ValueError for another kind, and for whatever the environment objects to."""
    kind, _, name = said.partition(":")
    if kind not in ENVIRONMENTS or not name:
        raise ValueError(f"--env is {' or '.join(f'{known}:NAME' for known in ENVIRONMENTS)}, got {said!r}")
    config = dict(_argument(argument) for argument in arguments)
    if kind == "gymnasium":
        return Gymnasium(name, config, system=system)
    if system:
        raise ValueError("--system can not be given with a verifiers environment: its tasks have their own")
    return VerifiersEnv(name, config)


def _configured(data: str) -> tuple[str, str]:
    """A path as it is; the name of a hub data set, and its configuration where one follows a colon."""
    name, colon, subset = data.rpartition(":")
    if not colon or Path(data).expanduser().exists() or Path(data).suffix.lower() in READERS:
        return data, ""
    return name, subset


def _names(sources: Sequence[Rows]) -> list[str]:
    """A name for each source, from its path; names that meet are numbered."""
    names: list[str] = []
    for source in sources:
        stem, number = Path(source.path).stem, 1
        name = stem
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    return names


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"--weights are numbers of 0 or more, one for each --data, as in 2,1; got {word.strip()!r}")
    return number


def _argument(said: str) -> tuple[str, Any]:
    name, equals, value = said.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"--env-arg is name=value, got {said!r}; write for example map_name=8x8")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value
