"""Code that a policy writes amid its text, and what it prints: <code> ... </code><interpreter> ... </interpreter>."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from whet.sandbox.language import language
from whet.sandbox.limits import Limits, Result
from whet.sandbox.pool import shared
from whet.schedule import Count

_MUTED = "import io, sys\n_shown, sys.stdout = sys.stdout, io.StringIO()\n{before}\nsys.stdout = _shown\n{code}\n"


@dataclass(frozen=True)
class Interpreter:
    """One session per attempt: a text that ends with {opens}code{closes} -> {says}what it printed{said}; None for one
    that does not. Let actions end there by `decoding.stop`: (closes, says), for a model that writes the interpreter's
    part itself must not be believed; such a text calls nothing.

    Every snippet is run in the sandbox. With `shared_names` it finds the names of the attempt's earlier ones that ended
    well (Python only: they are run again in front of it, unheard); without, it has none. An error is told by its last
    line, a run that was ended by its outcome ("timed out"); what comes back has at most `longest` characters.

    Source: ReTool (096: Feng et al. 2025, arXiv 2504.11536), with a limit of time and of what comes back by us.
    Raises ValueError for an unknown language, for `shared_names` in another one than Python, and for `longest` below 1.
    """

    limits: Limits = Limits(seconds=1.0)
    longest: Count = 256  # our choice: characters
    shared_names: bool = True
    language: str = "python"
    opens: str = "<code>"
    closes: str = "</code>"
    says: str = "<interpreter>"
    said: str = "</interpreter>"

    def __post_init__(self) -> None:
        language(self.language)
        if self.shared_names and self.language != "python":
            raise ValueError(f"Interpreter.shared_names needs python, the language is {self.language}; set it to False")
        if isinstance(self.longest, int | float) and self.longest < 1:
            raise ValueError(f"Interpreter.longest must be at least 1 character, got {self.longest}")

    def session(self) -> Callable[[str], Awaitable[str | None]]:
        before: list[str] = []

        async def answer(text: str) -> str | None:
            code = self.snippet(text)
            if code is None:
                return None
            whole = _MUTED.format(before="\n".join(before), code=code) if before else code
            (result,) = (await shared().run(language(self.language).program(whole), limits=self.limits)).results
            if self.shared_names and result.outcome == "ok":
                before.append(code)
            return f"{self.says}{self._told(result)}{self.said}"

        return answer

    def snippet(self, text: str) -> str | None:
        """The code that a text ends with; None if it does not, or has a part that the interpreter would have said."""
        if self.says in text or not text.rstrip().endswith(self.closes):
            return None
        inside = text.rstrip().removesuffix(self.closes).rpartition(self.opens)
        return inside[2].strip("\n") if inside[1] else None

    def _told(self, result: Result) -> str:
        last = result.stderr.strip().splitlines()[-1:]
        parts = [result.stdout.strip()]
        if result.outcome != "ok":
            parts += last if result.outcome == "error" and last else [result.outcome]
        text = "\n".join(part for part in parts if part)
        for tag in (self.opens, self.closes, self.says, self.said):  # what it prints is no part of the conversation
            text = text.replace(tag, "")
        return text[: int(self.longest)]
