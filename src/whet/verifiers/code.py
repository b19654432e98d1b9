"""Whether a program passes tests. It runs in the sandbox, and sees of a test only what goes in: what should come out
stays outside, so no program can read it, print it or change how it is compared.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from whet.sandbox.bubblewrap import PYTHON
from whet.sandbox.language import Language, language
from whet.sandbox.limits import Limits, Result
from whet.sandbox.pool import Program, Sandbox, shared
from whet.verifiers.gold import BadGold

_SPOKEN = {"error": "crashed", "killed": "crashed"}  # the sandbox's words that have another one among verdicts

_CALL = """\
import io, json, os, sys
asked = json.loads(sys.stdin.read())
told = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.stdin = io.StringIO()

PLAIN
import answer
told.write(json.dumps(plain(getattr(answer, asked["call"])(*asked["args"]))))
told.flush()
"""


class Case(NamedTuple):
    """With `call`, the function of that name gets `args` and should return `value`; without, the program gets `stdin`
    and should print `stdout`."""

    stdin: str = ""
    stdout: str = ""
    call: str = ""
    args: Sequence[Any] = ()
    value: Any = None


@dataclass(frozen=True)
class Checked:
    """`passed`: for each test. `outcome`: "right" if all are, else of the first that is not: "wrong", "crashed", "timed
    out", "out of memory", "output too long"; "not compiled" if none was run. `detail`: the end of what it said.
    `seconds`: the wall clock of all tests together, the build apart."""

    outcome: str
    passed: tuple[bool, ...]
    detail: str = ""
    seconds: float = field(default=0.0, compare=False)


async def check(
    code: str,
    tests: Sequence[Case],
    name: str = "python",
    limits: Limits | None = None,
    tolerance: float = 0.0,
    sandbox: Sandbox | None = None,
) -> Checked:
    """Run `code`, in the language `name`, on every test, each in a process of its own; after one that times out the
    others are not run. Exit codes other than 0 are failures, whatever was printed.

    SandboxError if the sandbox cannot do it; BadGold for tests of functions in another language than Python.
    """
    kind = language(name)
    results, built = await _results(code, tests, kind, limits or Limits(), sandbox or shared())
    if built is not None and built.outcome != "ok":
        return Checked("not compiled", (False,) * len(tests), _end(built))
    passed, outcome, detail = [], "right", ""
    for test, result in zip(tests, results, strict=True):
        fine = result.outcome == "ok" and agrees(result.stdout, test, tolerance)
        passed.append(fine)
        if not fine and outcome == "right":
            outcome = "wrong" if result.outcome == "ok" else _SPOKEN.get(result.outcome, result.outcome)
            detail = _end(result)
    return Checked(outcome, tuple(passed), detail, sum(result.seconds for result in results))


def _harness() -> str:
    return _CALL.replace("PLAIN\n", inspect.getsource(plain).replace(": Any", "").replace(" -> Any", ""))


async def _results(
    code: str, tests: Sequence[Case], kind: Language, limits: Limits, sandbox: Sandbox
) -> tuple[list[Result], Result | None]:
    """Those of all tests in order, and that of the build."""
    calls = [i for i, test in enumerate(tests) if test.call]
    if calls and kind.name != "python":
        raise BadGold(f"functions can be called in python only, not in {kind.name}; give tests with stdin and stdout")
    found: dict[int, Result] = {}
    built = None
    for program, chosen in (
        (Program({"main.py": _harness(), "answer.py": code}, (PYTHON, "/box/main.py")), calls),
        (kind.program(code), [i for i in range(len(tests)) if i not in set(calls)]),
    ):
        if chosen:
            ran = await sandbox.run(program, [_given(tests[i]) for i in chosen], limits)
            built = built or ran.built
            found |= dict(zip(chosen, ran.results, strict=False))
    return [found[i] for i in sorted(found)], built


def _given(test: Case) -> str:
    return json.dumps({"call": test.call, "args": list(test.args)}) if test.call else test.stdin


def _end(result: Result) -> str:
    return f"{result.detail} {result.stderr.strip()[-300:]}".strip()


def agrees(stdout: str, test: Case, tolerance: float = 0.0) -> bool:
    """Whether that is what should come out: of a function the same value, 1 and 1.0 alike, a tuple like a list; of a
    program the same lines, but for blanks at their ends and empty lines at the end. With `tolerance` words that are
    numbers may differ by so much, absolutely or relatively."""
    if test.call:
        try:
            return _same(json.loads(stdout), plain(test.value), tolerance)
        except (ValueError, RecursionError):
            return False
    said, wanted = _lines(stdout), _lines(test.stdout)
    if not tolerance:
        return said == wanted
    return len(said) == len(wanted) and all(
        len(a) == len(b) and all(_near(x, y, tolerance) for x, y in zip(a, b, strict=True))
        for a, b in ((a.split(), b.split()) for a, b in zip(said, wanted, strict=True))
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _near(said: str, wanted: str, tolerance: float) -> bool:
    try:
        return math.isclose(float(said), float(wanted), rel_tol=tolerance, abs_tol=tolerance)
    except ValueError:
        return said == wanted


def _same(said: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(said, list) and isinstance(wanted, list):
        return len(said) == len(wanted) and all(_same(a, b, tolerance) for a, b in zip(said, wanted, strict=True))
    if isinstance(said, dict) and isinstance(wanted, dict):
        return said.keys() == wanted.keys() and all(_same(said[key], wanted[key], tolerance) for key in said)
    if tolerance and isinstance(said, (int, float)) and isinstance(wanted, (int, float)):
        return math.isclose(said, wanted, rel_tol=tolerance, abs_tol=tolerance)
    return said == wanted


def plain(value: Any) -> Any:
    """A Python value as JSON values; the source of this function is also what tells it in the sandbox."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((plain(each) for each in value), key=repr)}
    if isinstance(value, dict):
        return {"dict": sorted(([plain(key), plain(each)] for key, each in value.items()), key=repr)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"object": repr(value)}


def read_tests(gold: Any) -> list[Case]:
    """Tests from what a problem has as its answer: a list of {"stdin": ..., "stdout": ...}, of {"call": ..., "args":
    ..., "value": ...}, or of texts "assert f(1, 2) == 3"; or that list as JSON. BadGold for anything else, and for an
    empty list, which every program would pass."""
    if isinstance(gold, str):
        try:
            gold = json.loads(gold)
        except ValueError as error:
            raise BadGold(f"tests must be a list, or one as JSON, got {gold[:80]!r}: {error}") from None
    if not isinstance(gold, list) or not gold:
        raise BadGold(f"tests must be a list with at least one in it, got {str(gold)[:80]!r}")
    return [_test(each) for each in gold]


def _test(told: Any) -> Case:
    if isinstance(told, str):
        return asserted(told)
    if isinstance(told, dict) and set(told) in ({"stdin", "stdout"}, {"call", "args", "value"}):
        texts = ("stdin", "stdout", "call")
        if all(isinstance(told[key], str) for key in texts if key in told) and isinstance(told.get("args", []), list):
            return Case(**told)
    raise BadGold(
        f'a test must be {{"stdin": text, "stdout": text}} or {{"call": name, "args": list, "value": any}}, '
        f"got {str(told)[:120]!r}"
    )


def asserted(text: str) -> Case:
    """`assert f(1, 2) == 3` as a test of f. Read, not run: arguments and value must be literals. BadGold otherwise."""
    try:
        match ast.parse(text.strip()).body:
            case [ast.Assert(ast.Compare(ast.Call(ast.Name(name), arguments, []), [ast.Eq()], [value]))]:
                return Case("", "", name, [ast.literal_eval(each) for each in arguments], ast.literal_eval(value))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise BadGold(f"{text[:120]!r} is not of the form: assert f(1, 2) == 3, with literals")


def fenced(text: str, names: Iterable[str]) -> str | None:
    """The last closed block of ``` that is marked with one of `names`, upper or lower case; None if there is none."""
    wanted = {name.lower() for name in names}
    found, block = None, None
    marked = ""
    for line in text.splitlines():
        bare = line.strip()
        if not bare.startswith("```"):
            if block is not None:
                block.append(line)
        elif block is None:
            marked, block = bare[3:].strip().lower(), []
        elif bare == "```":
            if marked in wanted:
                found = "\n".join(block)
            block = None
        else:
            block.append(line)
    return found
