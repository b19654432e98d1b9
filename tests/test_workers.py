from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from whet.workers import pool


def nothing() -> None:
    pass


def told() -> tuple[int, str | None, bool]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS"), "torch" in sys.modules


def test_workers_are_other_processes_with_one_thread_that_need_not_import(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pool(2, nothing) as crew:
        found = [crew.submit(told).result(timeout=60) for _ in range(2)]
    assert all(pid != os.getpid() and threads == "1" and ready for pid, threads, ready in found)
    assert "OMP_NUM_THREADS" not in os.environ


SLOW = """
import os, time
from whet.workers import pool
from waiting import nothing, wait

if __name__ == "__main__":
    with pool(1, nothing) as crew:
        crew.submit(wait).result()
"""
WAIT = """
import os, time
def nothing(): pass
def wait():
    open("pid", "w").write(str(os.getpid()))
    time.sleep(300)
"""


def test_a_worker_ends_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAIT)
    (tmp_path / "slow.py").write_text(SLOW)
    ran = subprocess.Popen([sys.executable, "slow.py"], cwd=tmp_path)
    until = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until, "no worker came"
        time.sleep(0.1)
    worker = int((tmp_path / "pid").read_text())
    ran.send_signal(signal.SIGKILL)
    ran.wait()
    until = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
