"""`whet view` served from a thread, and the system's Chromium to look at it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def looking(
    roots: Sequence[Path], width: int = 1280, height: int = 800, scheme: str = "light"
) -> Iterator[tuple[Any, str]]:
    """(a page of the browser that has come in, the address of the site)."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("this needs playwright: pip install playwright")
    from whet.view.app import serve

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("this needs Chromium: apt-get install chromium, or name it in $CHROMIUM")
    served = serve(roots, None)
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    try:
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()  # type: ignore[arg-type]
            page.goto(served.address)
            page.wait_for_selector("html[data-ready]")
            yield page, served.address.split("/?")[0]
            browser.close()
    finally:
        served.server.should_exit = True
        thread.join(10)
