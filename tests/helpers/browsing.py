"""`whet view` served from a thread of this process, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


class Watched:
    """A page of the browser that keeps what goes wrong on it, and every address it asks for."""

    def __init__(self, page: Any, home: str) -> None:
        self.page, self.home = page, home
        self.wrong: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))

    def go(self, address: str) -> Any:
        """The page at an address of the site, ready."""
        self.page.goto(self.home + address)
        self.page.wait_for_selector("html[data-ready]")
        return self.page


@contextmanager
def serving(*roots: Path, results: Path | None = None) -> Iterator[Any]:
    """The server, with its address."""
    from whet.view.app import serve

    served = serve(list(roots), results)
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def chromium() -> Iterator[Any]:
    """The system's Chromium, without a window; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium, or name it in $CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextmanager
def looking(browser: Any, served: Any, width: int = 1280, scheme: str = "light", **more: Any) -> Iterator[Watched]:
    """A page that has come in by the address with the token; nothing may go wrong on it."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **more)
    context.set_default_timeout(15_000)
    watched = Watched(context.new_page(), served.address.split("/?")[0])
    watched.page.goto(served.address)
    watched.page.wait_for_selector("html[data-ready]")
    try:
        yield watched
    finally:
        context.close()


def until(page: Any, condition: str, seconds: float = 15.0) -> None:
    """Wait until an expression is true. Playwright's own waiting evaluates text within the page, which ours forbid."""
    end, said = time.monotonic() + seconds, ""
    while True:
        try:
            if page.evaluate(condition):
                return
        except Exception as error:  # the page is left for the next one, or has not all of it yet
            said = f" ({error})"
        assert time.monotonic() < end, f"still not so after {seconds} s: {condition}{said}"
        page.wait_for_timeout(30)


def texts(page: Any, what: str) -> Sequence[str]:
    return [text.strip() for text in page.locator(what).all_inner_texts()]
