"""A programming language, as far as it matters here: how a file of it is named, built and run.

One TOML file in `languages/` is one language, with these keys:

    extension   of its files, without a dot
    fences      what may stand behind ``` in front of code; the first is the usual one
    hint        a sentence for prompts: how to read and write so that nothing but the answer is printed
    build       optional: a command that leaves `main` in its folder
    run         a command; in it `{source}` is the file, `{artifact}` what was built, `{python}` this process's Python
    tool        optional: the program that must be there; else the first word of `build` or `run`
    package     optional: what Debian calls it
"""

from __future__ import annotations

import difflib
import shutil
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from whet.sandbox.bubblewrap import BOX, PYTHON
from whet.sandbox.limits import SandboxError
from whet.sandbox.pool import BUBBLEWRAP, Program, chosen

_FOLDER = Path(__file__).parent / "languages"
_ARTIFACT = "main"


@dataclass(frozen=True)
class Language:
    """See the module. ValueError for keys that are missing, unknown or of another kind."""

    name: str
    extension: str
    fences: tuple[str, ...]
    run: tuple[str, ...]
    hint: str = ""
    build: tuple[str, ...] = ()
    tool: str = ""
    package: str = ""

    def __post_init__(self) -> None:
        for field in ("fences", "run", "build"):
            value = getattr(self, field)
            if not isinstance(value, tuple) or not all(isinstance(word, str) and word for word in value):
                raise ValueError(f"language {self.name!r}: {field} must be a list of words, got {value!r}")
        if not self.extension or not self.fences or not self.run:
            raise ValueError(f"language {self.name!r} needs an extension, fences and a command to run")

    def program(self, code: str) -> Program:
        """`code` as a program. SandboxError if the language is not installed."""
        self.check()
        source = f"main.{self.extension}"
        at = {"{source}": f"{BOX}/{source}", "{artifact}": f"{BOX}/{_ARTIFACT}", "{python}": PYTHON}

        def filled(line: tuple[str, ...]) -> tuple[str, ...]:
            for mark, value in at.items():
                line = tuple(word.replace(mark, value) for word in line)
            return line

        return Program({source: code}, filled(self.run), filled(self.build), _ARTIFACT if self.build else "")

    def installed(self) -> bool:
        """Whether it can be run here; where containers are used, their image decides, and this is True."""
        return chosen() != BUBBLEWRAP or self._tool == PYTHON or shutil.which(self._tool, path=_PATH) is not None

    def check(self) -> None:
        """SandboxError if it is not installed."""
        if not self.installed():
            how = f"; on Debian and Ubuntu: apt-get install {self.package}" if self.package else ""
            raise SandboxError(f"{self.name} needs {self._tool}, which is not installed{how}")

    @property
    def _tool(self) -> str:
        return (self.tool or (self.build or self.run)[0]).replace("{python}", PYTHON)


_PATH = "/usr/local/bin:/usr/bin:/bin"  # what the sandbox sees


@lru_cache(maxsize=1)
def known() -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


@lru_cache(maxsize=64)
def language(name: str) -> Language:
    """The language of that name, or of your own file, "path/name.toml". ValueError if there is none, with near ones."""
    if name.endswith(".toml"):
        file = Path(name)
        if not file.is_file():
            raise ValueError(f"there is no file {name!r} that describes a language")
    elif name in known():
        file = _FOLDER / f"{name}.toml"
    else:
        near = difflib.get_close_matches(name, known(), n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "or give your own as 'name.toml'"
        raise ValueError(f"there is no language {name!r}; there are {', '.join(known())}; {hint}")
    return read(file)


def read(file: Path) -> Language:
    """A language from its file. ValueError if it is none."""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
        values: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in told.items()}
        return Language(file.stem, **values)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise ValueError(f"{file} does not describe a language: {error}") from None


def of_file(file: Path) -> Language:
    """The language whose extension a file has. ValueError if there is none."""
    for name in known():
        if language(name).extension.lower() == file.suffix.removeprefix(".").lower():
            return language(name)
    raise ValueError(f"no language has files like {file.name!r}; name it with --language, one of {', '.join(known())}")
