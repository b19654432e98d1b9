"""The pictures of the tour in the docs: `python -m bench.tour RUN` (or `make screenshots`, after `make train`).

RUN is what `make train` made. Each picture is of the page that the tour speaks of, in the browser, as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.browser import looking
from whet.view.index import Index
from whet.view.render import to

PICTURES = Path("docs/assets")


def main() -> None:
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart/grpo-seed0")
    key = _mixed(run)
    attempt = key.pop("attempt")
    group = {"run": run.resolve().name, **key}
    pages = [
        ("runs", "/", ""),
        ("run", to("/run", run=group["run"]), ""),
        ("step", to("/step", run=group["run"], stage=key["stage"], step=key["step"]), ""),
        ("group", to("/group", **group), ""),
        ("tokens", to("/tokens", **group, attempt=attempt, colour="advantages"), _LAST),
    ]
    with looking([run], height=620) as (page, home):
        for number, (name, address, then) in enumerate(pages, 1):
            page.goto(home + address)
            page.wait_for_selector("html[data-ready]")
            page.wait_for_timeout(300)
            if then:
                page.evaluate(then)
            page.screenshot(path=PICTURES / f"view-{number}-{name}.png")
            print(PICTURES / f"view-{number}-{name}.png")


# Point at the last token that the policy wrote.
_LAST = """[...document.querySelectorAll(".by-policy .t")].at(-1)
  .dispatchEvent(new MouseEvent("mouseover", {bubbles: true}))"""


def _mixed(run: Path) -> dict[str, Any]:
    """A right attempt, not a short one, of a group with right and wrong ones, from the middle of the run."""
    index = Index(run)
    index.refresh(60)
    sql = """WITH mixed AS (SELECT stage, step, slot, "group" FROM attempts GROUP BY ALL
             HAVING min(reward) < max(reward) AND count(*) = 8 AND abs(avg(reward) - 0.5) < 0.3)
             SELECT stage, step, slot, "group", attempt FROM attempts JOIN mixed USING (stage, step, slot, "group")
             WHERE reward = 1 AND kept ORDER BY abs(step - (SELECT max(step) / 2 FROM attempts)), length DESC LIMIT 1"""
    found = index.ask(sql)
    index.close()
    if not found:
        sys.exit(f"{run} has no group with right and wrong attempts; give a run of `make train`")
    return found[0]


if __name__ == "__main__":
    main()
