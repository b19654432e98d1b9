"""A page as one file: it needs no server, no network and no other file, and what can be done on it still can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.browsing import looking, serving
from helpers.commands import finish
from view.conftest import SMALL

GROUP = "run=grpo-seed0&stage=1&step=3&slot=0&group=direct"
PAGES = {
    "run": "/run?run=grpo-seed0",
    "runs": "/",
    "rollouts": "/rollouts?run=grpo-seed0&outcome=wrong",
    "step": "/step?run=grpo-seed0",
    "verifiers": "/verifiers?run=grpo-seed0",
    "group": f"/group?{GROUP}",
    "tokens": f"/tokens?{GROUP}&attempt=1",
    "compare": "/compare?run=grpo-seed0",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_one_file(browser: Any, runs: Path, tmp_path: Path, name: str) -> None:
    out, log = tmp_path / "page.html", tmp_path / "log"
    words = ("view", runs / "quickstart" / "grpo-seed0", "--export", out, "--page", PAGES[name])
    assert finish(*words, log=log) == 0, log.read_text()
    page, wrong, asked = browser.new_page(), [], []
    page.on("console", lambda said: wrong.append(said.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert asked == [out.as_uri()] and wrong == []
    assert page.locator("[href], [src], [hx-get]").count() == 0
    if name in ("run", "compare"):
        assert page.locator(".plot canvas").count() > 5
    if name == "tokens":
        page.select_option("#colour", "learned/entropy")
        page.locator("#colour").blur()
        page.keyboard.press("ArrowRight")
        assert "entropy" in page.inner_text("#look")
    before = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != before
    page.close()


def test_one_run_is_exported_without_a_page_being_named(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    assert finish("view", runs / "quickstart" / "grpo-seed1", "--export", out, log=tmp_path / "log") == 0
    assert "grpo-seed1" in out.read_text() and "Reward, by term" in out.read_text()


def test_runs_that_play_ahead_are_compared_by_their_staleness_too(runs: Path, tmp_path: Path) -> None:
    made, out, log = tmp_path / "runs" / "ahead-seed0", tmp_path / "page.html", tmp_path / "log"
    words = [word for setting in (*SMALL, "grpo.0.ahead=1") for word in ("--set", setting)]
    assert finish("run", "quickstart", "--out", made, *words, log=log) == 0, log.read_text()
    assert finish("view", made, "--export", out, "--page", "/compare?run=ahead-seed0", log=log) == 0, log.read_text()
    assert "&#34;staleness&#34;, &#34;unit&#34;: &#34;updates&#34;" in out.read_text()
    on_policy = ("view", runs / "quickstart" / "grpo-seed0", "--export", out, "--page", "/compare?run=grpo-seed0")
    assert finish(*on_policy, log=log) == 0 and "&#34;staleness&#34;, &#34;unit" not in out.read_text()


def test_the_link_of_a_page_gives_the_same_file(browser: Any, runs: Path) -> None:
    with serving(runs) as served, looking(browser, served) as site:
        page = site.go("/step?run=quickstart/grpo-seed0")
        with page.expect_download() as download:
            page.keyboard.press("e")
        text = Path(download.value.path()).read_text()
        assert download.value.suggested_filename == "whet.html"
        assert "sha256-" in text and "step 3" in text and "href=" not in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("no-such-folder",), "there is no folder no-such-folder"),
        ((".", "--export", "x.png"), "writes a .html file"),
        ((".", "--export", "x.html", "--page", "/secret"), "there is no page '/secret'"),
        ((".", "--export", "x.html", "--page", "/run?run=../x"), "there is no run '../x'"),
        ((".", "--page", "/"), "--page names the page that --export"),
    ],
)
def test_what_can_not_be_is_an_error_in_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    log = tmp_path / "log"
    words = tuple(str(tmp_path) if word == "." else word for word in words)
    assert finish("view", *words, log=log) == 2
    assert says in log.read_text() and len(log.read_text().splitlines()) == 1
    assert not Path("x.html").exists()
