"""Languages: the same small problem in each, and nothing about any of them but its TOML file."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import whet
from whet.cli import app
from whet.sandbox.language import known, language, of_file
from whet.sandbox.limits import Limits, SandboxError
from whet.sandbox.pool import shared

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

SUM = {  # of two integers on one line
    "python": "a, b = map(int, input().split())\nprint(a + b)",
    "lua": 'local a, b = io.read("n", "n")\nprint(a + b)',
    "r": "x <- scan(file('stdin'), quiet = TRUE)\ncat(sum(x), '\\n')",
    "ocaml": 'let () = Scanf.scanf " %d %d" (fun a b -> Printf.printf "%d\\n" (a + b))',
    "fortran": "program p\ninteger :: a, b\nread(*,*) a, b\nwrite(*,'(i0)') a + b\nend program",
    "c": '#include <stdio.h>\nint main() { int a, b; scanf("%d %d", &a, &b); printf("%d\\n", a + b); return 0; }',
    "cpp": "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }",
    "javascript": "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\nconsole.log(a + b);",
    "julia": "a, b = parse.(Int, split(readline()))\nprintln(a + b)",
}


def test_every_language_is_tried_here() -> None:
    assert set(SUM) == set(known())


@needs_sandbox
@pytest.mark.parametrize("name", SUM)
def test_a_sum_is_the_same_in_every_language(name: str) -> None:
    kind = language(name)
    if not kind.installed():
        with pytest.raises(SandboxError, match=name):
            kind.program(SUM[name])
        pytest.skip(f"{name} is not installed")
    ran = shared().run_now(kind.program(SUM[name]), ["3 4\n", "-5 2\n"], Limits(seconds=10))
    assert ran.built is None or ran.built.outcome == "ok", ran.built
    assert [(result.outcome, result.stdout.strip()) for result in ran.results] == [("ok", "7"), ("ok", "-3")]


@needs_sandbox
@pytest.mark.parametrize("name", ["c", "fortran", "ocaml"])
def test_what_does_not_compile_says_why_and_is_not_run(name: str) -> None:
    kind = language(name)
    if not kind.installed():
        pytest.skip(f"{name} is not installed")
    ran = shared().run_now(kind.program("this is no program"), ["3 4\n"])
    assert ran.results == () and ran.built is not None and ran.built.outcome == "error" and ran.built.stderr


@needs_sandbox
def test_a_hostile_source_does_not_get_past_the_compiler() -> None:
    if not language("c").installed():
        pytest.skip("c is not installed")
    shown = shared().run_now(language("c").program('#include "/etc/shadow"\nint main() {}'))
    assert shown.built is not None and "No such file" in shown.built.stderr
    large = shared().run_now(
        language("c").program("char x[1u << 28] = {1}; int main() { return 0; }"), build=Limits(seconds=20)
    )
    assert large.built is not None and large.built.outcome in ("error", "output too long", "out of memory")


def test_no_code_but_the_files_knows_a_language() -> None:
    others = {name for name in known() if name not in ("python", "c", "r")}  # words of their own
    for room in ("sandbox", "rewards", "verifiers"):
        for file in (Path(whet.__path__[0]) / room).glob("*.py"):
            assert not others & set(re.findall(r"[a-z]+", file.read_text().lower())) - {"julia"}, file


def test_an_unknown_language_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'luaa'.*did you mean lua"):
        language("luaa")
    with pytest.raises(ValueError, match=r"no language has files like 'x\.abc'"):
        of_file(Path("x.abc"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extension = 'x'", "missing"),
        ("extension = 'x'\nfences = ['x']\nrun = 'x'", "list of words"),
        ("extension = 'x'\nfences = []\nrun = ['x']", "needs an extension"),
        ("extension = 'x'\nfences = ['x']\nrun = ['x']\ncolour = 1", "colour"),
        ("extension =", "does not describe"),
    ],
)
def test_a_file_that_describes_no_language_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        language(str(tmp_path / "own.toml"))


@needs_sandbox
def test_the_command_prints_an_outcome_as_json(tmp_path: Path) -> None:
    (tmp_path / "sum.py").write_text(SUM["python"])
    (tmp_path / "numbers").write_text("3 4\n")
    ran = CliRunner().invoke(app, ["sandbox", str(tmp_path / "sum.py"), "--stdin", str(tmp_path / "numbers")])
    told = json.loads(ran.stdout)
    assert ran.exit_code == 0 and (told["language"], told["stage"], told["outcome"]) == ("python", "run", "ok")
    assert told["stdout"] == "7\n" and told["code"] == 0
    ran = CliRunner().invoke(app, ["sandbox", str(tmp_path / "sum.py"), "--seconds", "0.3", "--stdin", "-"], input="3")
    assert ran.exit_code == 1 and json.loads(ran.stdout)["outcome"] == "error"


def test_a_file_that_is_not_there_and_limits_without_room_are_refused(tmp_path: Path) -> None:
    assert "there is no file" in CliRunner().invoke(app, ["sandbox", "nowhere.py"]).stderr
    (tmp_path / "x.py").write_text("")
    for wrong in (["--seconds", "0"], ["--memory", "1"], ["--processes", "0"], ["--language", "latin"]):
        ran = CliRunner().invoke(app, ["sandbox", str(tmp_path / "x.py"), *wrong])
        assert ran.exit_code == 2 and ran.stderr.strip()
