"""How fast the pages are with 100,000 rollouts: `python -m bench.view [FILE.json]` (`make pagespeed`).

First paint: from asking for the page of rollouts, of a run that was not opened before, to the browser's first
contentful paint. Filter: from the last key that is typed to the table of what was found, the 80 ms that the page waits
for a further key included. Both in headless Chromium on this machine, over `REPEATS`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.browser import looking
from bench.many_rollouts import write
from whet.files import plain, write_json
from whet.launch import environment

ROLLOUTS, REPEATS = 100_000, 5
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_FILTERS = {
    "text": ("[name=text]", "check one check"),
    "problem": ("[name=problem]", "sums/train/37"),
    "length, from": ("[name=length_from]", "150"),
    "reward, to": ("[name=reward_to]", "0.5"),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        count = 0
        for number in range(REPEATS):
            count = write(root / f"run{number}", ROLLOUTS, seed=number) if number == 0 else count
            if number:
                (root / f"run{number}").symlink_to(root / "run0")
        names = [f"run{number}" for number in range(REPEATS)]
        roots = [root / name for name in names]
        with looking(roots) as (page, home):
            paints = [_paint(page, f"{home}/rollouts?run={name}") for name in _keys(roots)]
            page.goto(f"{home}/rollouts?run={_keys(roots)[-1]}")
            started = time.monotonic()
            _until(page, "!document.querySelector('.reading')", 120)
            all_read = time.monotonic() - started
            filters = {name: _filter(page, *what) for name, what in _FILTERS.items()}
    found = {
        "command": "python -m bench.view",
        "rollouts": count,
        "first paint, ms": _told(paints),
        "filter, ms": {name: _told(times) for name, times in filters.items()},
        "all read after, s": round(all_read, 1),
        "environment": environment(),
    }
    if len(sys.argv) > 1:
        write_json(sys.argv[1], found)
    print(json.dumps(plain(found), indent=2))


def _keys(roots: list[Path]) -> list[str]:
    from whet.view.folders import Runs

    return list(Runs(roots).all())


def _paint(page: Any, address: str) -> float:
    page.goto(address)
    _until(page, f"{_PAINT.removesuffix('.startTime')} !== undefined", 30)
    return page.evaluate(_PAINT)


def _filter(page: Any, box: str, text: str) -> list[float]:
    times = []
    for _ in range(REPEATS):
        before = _found(page)
        times.append(_changed(page, lambda: page.fill(box, text), before))
        _changed(page, lambda: page.fill(box, ""), _found(page))
    return times


def _found(page: Any) -> str:
    return page.inner_text("#count b")


def _changed(page: Any, act: Callable[[], None], before: str) -> float:
    """Milliseconds from the act to another count, by the page's own clock: asking it from here would cost time."""
    page.evaluate(
        """before => { window.took = null; let start = null;
        document.addEventListener("input", () => { start = performance.now(); }, {once: true});
        const look = () => { const now = document.querySelector("#count b");
          if (start !== null && now && now.textContent !== before) window.took = performance.now() - start;
          else requestAnimationFrame(look); };
        requestAnimationFrame(look); }""",
        before,
    )
    act()
    _until(page, "window.took !== null", 30)
    return page.evaluate("window.took")


def _until(page: Any, condition: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"still not so after {seconds} s: {condition}")
        page.wait_for_timeout(20)


def _told(times: list[float]) -> dict[str, int]:
    return {"median": round(statistics.median(times)), "largest": round(max(times))}


if __name__ == "__main__":
    main()
