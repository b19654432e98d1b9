"""Containers as places to run in: the same promises, where an engine runs and has the image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whet.cli import app
from whet.sandbox.bubblewrap import PYTHON
from whet.sandbox.container import ENGINES, IMAGE, command, provider
from whet.sandbox.language import language
from whet.sandbox.limits import MIB, Limits, Result, SandboxError
from whet.sandbox.pool import Program, Sandbox


@pytest.fixture(scope="module", params=ENGINES)
def place(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    try:
        provider(request.param)
    except SandboxError as error:
        pytest.skip(str(error))
    sandbox = Sandbox(1, request.param)
    yield sandbox
    sandbox.close()


def ran(place: Sandbox, code: str, stdin: str = "", **limits: float) -> Result:
    program = Program({"main.py": code}, (PYTHON, "/box/main.py"))
    return place.run_now(program, [stdin], Limits(**limits)).results[0]  # type: ignore[arg-type]


def test_a_program_reads_and_prints_and_its_exit_code_counts(place: Sandbox) -> None:
    assert ran(place, "print(int(input()) + 1)", "41\n")[:2] == ("ok", "42\n")
    assert ran(place, "print('ä')\nraise SystemExit(3)")[:4] == ("error", "ä\n", "", 3)


def test_hanging_and_busy_programs_are_ended(place: Sandbox) -> None:
    assert ran(place, "import time\ntime.sleep(60)", seconds=1).outcome == "timed out"
    assert ran(place, "while True: pass", seconds=1).outcome == "timed out"


def test_memory_output_files_and_processes_have_limits(place: Sandbox) -> None:
    greedy = ran(place, "x = bytearray(10**8)\nx[::4096] = bytes(len(x[::4096]))\nprint(1)", memory=48 * MIB)
    assert greedy.outcome in ("out of memory", "killed") and greedy.stdout == ""  # not every engine says why
    assert ran(place, "while True: print(1)", output=4096).outcome == "output too long"
    full = ran(place, "open('x', 'wb').write(bytes(2**21))", scratch=2**20)
    assert "No space left" in full.stderr
    fork = "import os, time\nn = 0\ntry:\n  while n < 9:\n    os.fork() or time.sleep(5) or os._exit(0)\n    n += 1\n"
    assert ran(place, f"{fork}except OSError: print(n)", processes=4).stdout == "3\n"


def test_there_is_no_network_and_nothing_to_write_to_but_scratch(place: Sandbox) -> None:
    assert "unreachable" in ran(place, "import socket\nsocket.create_connection(('192.0.2.1', 80), 2)").stderr
    assert "Read-only" in ran(place, "open('/box/main.py', 'w')").stderr
    assert "Read-only" in ran(place, "import os\nos.mkdir('/new')").stderr
    assert ran(place, "open('left', 'w').write('x')").outcome == "ok"
    assert ran(place, "open('left')").outcome == "error"


def test_it_is_another_user_without_capabilities(place: Sandbox) -> None:
    said = ran(place, "import os\nprint(os.getuid())\nprint(open('/proc/self/status').read())").stdout
    assert said.startswith("61184\n") and "CapEff:\t0000000000000000" in said and "NoNewPrivs:\t1" in said


def test_no_container_is_left(place: Sandbox) -> None:
    ran(place, "import time\ntime.sleep(60)  # once more", seconds=1)
    engine = place.provider.partition(":")[0]
    shown = subprocess.run(
        [engine, "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    assert "whet-" not in shown.stdout


def test_what_the_image_lacks_is_our_fault_and_not_the_programs(place: Sandbox) -> None:
    with pytest.raises(SandboxError, match="did not run the program"):
        place.run_now(Program({"main.lua": ""}, ("no-such-language", "/box/main.lua")))


@pytest.mark.parametrize("wrong", ["chroot", "docker2", ""])
def test_another_word_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="docker, podman"):
        provider(wrong)


def test_an_engine_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="no docker on the PATH"):
        Sandbox(provider="docker:python:3.12-slim")
    monkeypatch.setenv("WHET_SANDBOX", "podman")
    (tmp_path / "a.py").write_text("print(1)")
    told = CliRunner().invoke(app, ["sandbox", str(tmp_path / "a.py")])
    assert told.exit_code != 0 and "no podman on the PATH" in told.stderr
    assert language("lua").installed()  # says the image


def test_a_container_has_every_limit_and_no_rights() -> None:
    line = command("docker", IMAGE, "whet-1-1", [PYTHON, "/box/main.py"], "/tmp/x", Limits(seconds=1.5, processes=7))
    said = " ".join(line)
    for part in ("--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--pull never"):
        assert part in said
    assert "--pids-limit 7" in said and "--ulimit cpu=2:3" in said and f"--memory {512 * MIB}" in said
    assert line[-3:] == [IMAGE, "python3", "/box/main.py"]
