"""The same as the warden, with a container of Docker or Podman for each run: `python -m whet.sandbox.container PARENT
PROVIDER`, PROVIDER as in `provider`. For machines on which bubblewrap cannot work; a run costs what an engine takes to
start and remove a container, many times what bubblewrap takes.

Promises that are the engine's: its filter of system calls, and what its image lets be seen. /tmp is not there to write
to: programs find /scratch in TMPDIR.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whet.sandbox.bubblewrap import BOX, ENVIRONMENT, PYTHON, SCRATCH
from whet.sandbox.jobs import Exchange, Files, ended, serve
from whet.sandbox.limits import Limits, Result, SandboxError
from whet.verifiers.worker import die_with

ENGINES = ("docker", "podman")
IMAGE = "python:3.12-slim"  # our choice
_USER = "61184:61184"  # of those that systemd sets aside for users who exist only while something runs
START = 10.0  # our choice: seconds that an engine may take to start and to end a container
_MANY = 4096  # our choice: processes of all containers together; each has its own limit besides
_TICK = 0.2  # our choice: seconds between two looks at the clock
_COMMAND = 60.0  # our choice: seconds that any other command of it may take


def provider(told: str) -> tuple[str, str]:
    """(engine, image) of "docker", "podman" or "docker:IMAGE". ValueError for another word; SandboxError where the
    engine is not installed, does not answer, or has no such image: none is ever fetched here."""
    engine, _, image = told.partition(":")
    if engine not in ENGINES:
        raise ValueError(f"a sandbox is bubblewrap, {', '.join(ENGINES)}, or 'docker:IMAGE', got {told!r}")
    if shutil.which(engine) is None:
        raise SandboxError(f"the sandbox was to run in {engine}, and there is no {engine} on the PATH; install it")
    image = image or IMAGE
    if _asked(engine, "info").returncode:
        raise SandboxError(f"{engine} does not answer; is its service running, and may you use it?")
    if _asked(engine, "image", "inspect", image).returncode:
        raise SandboxError(f"{engine} has no image {image}; run: {engine} pull {image}")
    return engine, image


def main() -> None:
    die_with(int(sys.argv[1]))
    serve(Containers(*provider(sys.argv[2])).run)


class Containers:
    """Runs one program at a time, each in a container of its own that is gone afterwards."""

    def __init__(self, engine: str, image: str) -> None:
        self.engine, self.image = engine, image
        self.count = 0
        left = _asked(engine, "ps", "--all", "--filter", "name=whet-", "--format", "{{.Names}}").stdout.decode().split()
        for name in left:  # by processes that were killed
            pid = name.split("-")[1]
            if name.startswith("whet-") and pid.isdigit() and not Path(f"/proc/{pid}").exists():
                _removed(engine, name)

    def run(self, argv: list[str], files: Files, stdin: bytes, limits: Limits, most: int) -> tuple[Result, bytes]:
        """One program; see `jobs.Run`. Its seconds are those of the container, without its start."""
        self.count += 1
        name = f"whet-{os.getpid()}-{self.count}"
        with tempfile.TemporaryDirectory(prefix="whet-box-") as box:
            _put(files, Path(box))
            line = command(self.engine, self.image, name, argv, box, limits)
            process = subprocess.Popen(  # in `box`, as an engine may leave a file where it is started
                line, cwd=box, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            pipes = Exchange(*(os.dup(pipe.fileno()) for pipe in (process.stdin, process.stdout, process.stderr)))
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()
            try:
                until = time.monotonic() + START + limits.seconds
                look = self._clock(name, limits.seconds)
                why = pipes.hold(stdin, until, (most, limits.output), look=look, tick=_TICK)
                if not why:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(START)
                state = self._state(name)
            finally:
                process.kill()  # the engine's client
                process.wait()
                pipes.close()
                _removed(self.engine, name)
        return self._result(why, state, pipes, limits), bytes(pipes.said[0])

    def _clock(self, name: str, seconds: float) -> Callable[[], str]:
        """Says "timed out" once the container has run for so long."""
        began: datetime | None = None

        def look() -> str:
            nonlocal began
            if began is None:
                state = self._state(name)
                began = _moment(state["StartedAt"]) if state.get("Status") == "running" else None
            over = began is not None and (datetime.now(UTC) - began).total_seconds() > seconds
            return "timed out" if over else ""

        return look

    def _state(self, name: str) -> dict[str, Any]:
        """What the engine says of the container. {} if it made none."""
        said = _asked(self.engine, "inspect", "--type", "container", "--format", "{{json .State}}", name)
        return {} if said.returncode else json.loads(said.stdout)

    def _result(self, why: str, state: dict[str, Any], pipes: Exchange, limits: Limits) -> Result:
        out, err = pipes.texts()
        if state.get("Error") or (not why and state.get("Status") != "exited"):
            said = state.get("Error") or err.strip()[-500:] or "it does not say why"
            raise SandboxError(f"{self.engine} did not run the program: {said}")
        took = limits.seconds
        if not why:
            took = (_moment(state["FinishedAt"]) - _moment(state["StartedAt"])).total_seconds()
            why = "out of memory" if state["OOMKilled"] else "timed out" if took > limits.seconds else ""
        outcome, code, detail = (why, None, "") if why else ended(state["ExitCode"], err)
        return Result(outcome, out, err, code, round(took, 6), detail)


def command(engine: str, image: str, name: str, argv: list[str], box: str, limits: Limits) -> list[str]:
    """`argv` in a container that is called `name`; it finds the folder `box` as /box."""
    line = [engine, "run", "--name", name, "--interactive", "--pull", "never", "--log-driver", "none"]
    line += ["--network", "none", "--hostname", "box", "--read-only", "--user", _USER, "--workdir", SCRATCH]
    line += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ipc", "private"]
    line += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory)]
    line += ["--pids-limit", str(limits.processes), "--shm-size", str(limits.scratch)]
    line += ["--tmpfs", f"{SCRATCH}:rw,exec,nosuid,nodev,mode=1777,size={limits.scratch}"]
    line += ["--mount", f"type=bind,source={box},destination={BOX},readonly"]
    seconds = math.ceil(limits.seconds)
    for kind, soft, hard in (
        ("cpu", seconds, seconds + 1),
        ("core", 0, 0),
        ("nofile", 256, 256),
        ("nproc", _MANY, _MANY),
    ):
        line += ["--ulimit", f"{kind}={soft}:{hard}"]
    for key, value in ENVIRONMENT.items():
        line += ["--env", f"{key}={value}"]
    return [*line, "--entrypoint", "", image, *("python3" if word == PYTHON else word for word in argv)]


def _put(files: Files, box: Path) -> None:
    for name, (data, executable) in files.items():
        (box / name).write_bytes(data)
        (box / name).chmod(0o555 if executable else 0o444)
    box.chmod(0o755)


def _removed(engine: str, name: str) -> None:
    """A container is ended at once, where `rm` alone might ask it to end and wait, and taken away."""
    _asked(engine, "kill", name)
    _asked(engine, "rm", "--force", name)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _asked(engine: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([engine, *words], capture_output=True, timeout=_COMMAND, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise SandboxError(f"{engine} {words[0]} took longer than {_COMMAND:g} s") from None


if __name__ == "__main__":
    main()
