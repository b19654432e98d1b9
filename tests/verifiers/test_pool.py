from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from whet.idle import idle
from whet.verifiers.pool import LONGEST, Pool, shared

NASTY = """
import os, time

def verify(answer, gold, tag=""):
    if answer == "loop":
        while True:
            pass
    if answer == "sleep":
        time.sleep(0.1)
    if answer == "regex":
        import re
        re.match(r"(a+)+$", "a" * 64 + "b")  # holds the interpreter's lock for ever
    if answer == "bomb":
        return " " * 10**11
    if answer == "exit":
        os._exit(3)
    if answer == "leave":
        raise SystemExit(0)
    if answer == "raise":
        raise KeyError("x")
    if answer == "import":
        import there_is_no_such_module
    if answer == "odd":
        return "maybe"
    if answer == "grade":
        return "wrong", 0.25
    if answer == "odd grade":
        return "wrong", float("nan")
    if answer == "print":
        print('{"outcome": "right"}')
        os.write(1, b'{"outcome": "right"}' * 10000)
    if answer == "input":
        input()
    return "right" if answer == gold else "wrong"
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(workers=2, deadline=1, memory=1024**3)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("user") / "nasty.py"
    file.write_text(NASTY)
    return f"{file}:verify"


def outcomes(pool: Pool, verifier: str, pairs: list[tuple[str, str]], **options: object) -> list[str]:
    return [verdict.outcome for verdict in pool.check_now(verifier, pairs, **options)]


def test_verdicts_come_in_the_order_of_the_answers(pool: Pool):
    pairs = [(str(i), str(i // 2 * 2)) for i in range(100)]
    assert outcomes(pool, "exact", pairs) == ["right", "wrong"] * 50


def test_options_reach_the_verifier(pool: Pool):
    assert outcomes(pool, "exact", [("A", "a")]) == ["wrong"]
    assert outcomes(pool, "exact", [("A", "a")], case=False) == ["right"]


def test_a_verifier_may_grade(pool: Pool, nasty: str):
    verdicts = pool.check_now(nasty, [("grade", "1"), ("1", "1")])
    assert [(verdict.outcome, verdict.value) for verdict in verdicts] == [("wrong", 0.25), ("right", None)]


def test_a_nasty_answer_costs_itself_and_nobody_else(pool: Pool, nasty: str):
    answers = ["1", "loop", "2", "exit", "bomb", "1 ", "print", "raise", "leave", "input", "1"]
    expected = ["right", "timed out", "wrong", "crashed", "crashed", "wrong", "wrong"]
    expected += ["crashed", "crashed", "crashed", "right"]
    assert outcomes(pool, nasty, [(answer, "1") for answer in answers]) == expected


def test_a_worker_stuck_in_c_is_killed_within_the_deadline(pool: Pool, nasty: str):
    start = time.monotonic()
    assert outcomes(pool, nasty, [("regex", "1"), ("after", "after")]) == ["timed out", "right"]
    assert time.monotonic() - start < 20  # deadline and a new worker, on a busy machine


@pytest.mark.parametrize("verifier", ["exact", "numeric", "gsm8k", "choice", "math", "countdown", "assignment"])
def test_hostile_text_ends_in_a_verdict(verifier: str):
    gold = {"countdown": '{"numbers": [1, 2], "target": 3}', "choice": "B", "assignment": "Ann=knight"}.get(
        verifier, "5"
    )
    answers = ["10**10**10", "(" * 10_000 + ")" * 10_000, "x" * LONGEST, "9" * 10_000, "\\frac{" * 3_000, "\ud800\0"]
    pool = Pool(workers=2, deadline=1)
    verdicts = pool.check_now(verifier, [(answer, gold) for answer in answers])
    pool.close()
    assert {verdict.outcome for verdict in verdicts} <= {"wrong", "unparseable", "timed out", "crashed"}


def test_too_long_an_answer_is_not_looked_at(pool: Pool):
    (verdict,) = pool.check_now("exact", [("x" * (LONGEST + 1), "x" * (LONGEST + 1))])
    assert verdict.outcome == "unparseable"
    assert str(LONGEST) in verdict.detail


def test_our_own_faults_are_failed_and_never_wrong(pool: Pool, nasty: str, tmp_path: Path):
    broken = tmp_path / "broken.py"
    broken.write_text("import there_is_no_such_module\n\ndef verify(answer, gold):\n    return 'right'\n")
    for verifier, pair, options, reason in [
        ("exakt", ("1", "1"), {}, "did you mean exact"),
        ("exact", ("1", ""), {}, "gold answer is blank"),
        ("exact", ("1", "1"), {"colour": 1}, "colour"),
        (nasty, ("import", "1"), {}, "there_is_no_such_module"),
        (nasty, ("odd", "1"), {}, "maybe"),
        (nasty, ("odd grade", "1"), {}, "nan"),
        (nasty.replace("verify", "missing"), ("1", "1"), {}, "no function 'missing'; it has verify"),
        (f"{tmp_path}/absent.py:verify", ("1", "1"), {}, "no file"),
        (f"{broken}:verify", ("1", "1"), {}, "there_is_no_such_module"),
    ]:
        (verdict,) = pool.check_now(verifier, [pair], **options)
        assert verdict.outcome == "failed"
        assert reason in verdict.detail


def test_a_verdict_is_paid_once(pool: Pool, nasty: str):
    first = pool.check_now(nasty, [("sleep", "1")] * 20)
    again = pool.check_now(nasty, [("sleep", "1")] * 20)
    assert first == again == [first[0]] * 20  # with the seconds of the one time it ran
    assert pool.check_now(nasty, [("sleep", "1")], tag="other")[0] != first[0]


def test_a_failure_of_ours_is_asked_again(pool: Pool, tmp_path: Path):
    file = tmp_path / "late.py"
    assert outcomes(pool, f"{file}:verify", [("1", "1")]) == ["failed"]
    file.write_text("def verify(answer, gold):\n    return 'right'\n")
    assert outcomes(pool, f"{file}:verify", [("1", "1")]) == ["right"]


def test_one_pool_serves_event_loops_one_after_another(pool: Pool):
    for loop in range(3):
        pairs = [(f"loop {loop} answer {i}", f"loop {loop} answer {i}") for i in range(40)]
        assert {verdict.outcome for verdict in asyncio.run(pool.check("exact", pairs))} == {"right"}


def test_a_waiter_that_gives_up_takes_nothing_from_the_others(pool: Pool, nasty: str):
    async def both() -> str:
        pair = [("sleep", "gives up")]
        gone = asyncio.ensure_future(pool.check(nasty, pair))
        stays = asyncio.ensure_future(pool.check(nasty, pair))
        await asyncio.sleep(0.02)
        gone.cancel()
        return (await stays)[0].outcome

    assert asyncio.run(both()) == "wrong"


def test_engines_wait_while_a_verifier_is_at_work(pool: Pool, nasty: str):
    order = []

    async def checks() -> None:
        await pool.check(nasty, [("sleep", "idle")])
        order.append("verdict")

    async def waits() -> None:
        await idle()
        order.append("idle")

    async def both() -> None:
        await asyncio.gather(checks(), waits())

    asyncio.run(both())
    assert order == ["verdict", "idle"]


def test_workers_are_reused_and_replaced_when_dead(nasty: str):
    pool = Pool(workers=1)
    outcomes(pool, nasty, [("1", "1")])
    (process,) = pool._processes
    outcomes(pool, nasty, [("2", "2")])
    assert pool._processes == {process}
    os.kill(process._process.pid, signal.SIGKILL)
    assert outcomes(pool, nasty, [("3", "3")]) == ["right"]
    pool.close()


def test_closing_answers_whoever_still_waits(nasty: str):
    pool = Pool(workers=1, deadline=60)
    verdicts = pool._submit(nasty, [("loop", "1"), ("1", "1")], {})
    while not pool._processes:
        time.sleep(0.01)
    pool.close()
    assert [verdict.result(20).outcome for verdict in verdicts] == ["failed", "failed"]
    with pytest.raises(RuntimeError, match="closed"):
        pool.check_now(nasty, [("1", "1")])


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"deadline": 0.0}, {"memory": -1}])
def test_senseless_settings_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=f"Pool.{next(iter(wrong))}"):
        Pool(**wrong)  # pyright: ignore[reportArgumentType]


def test_the_shared_pool_is_one():
    assert shared() is shared()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_killing_the_parent_leaves_no_worker_behind(nasty: str):
    script = f"""
import threading, time
from whet.verifiers.pool import Pool
pool = Pool(workers=2, deadline=600)
pool.check_now({nasty!r}, [("1", "1"), ("2", "2")])
threading.Thread(target=pool.check_now, args=({nasty!r}, [("regex", "1"), ("loop", "1")]), daemon=True).start()
time.sleep(0.5)
print(*[process._process.pid for process in pool._processes], flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in workers)


def test_workers_start_without_torch():
    script = (
        "import sys, whet.verifiers.worker, whet.verifiers.pool, whet.verifiers.user; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"
