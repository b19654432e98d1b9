"""A run of 100,000 rollouts stays usable. How fast it is, `bench.view` measures; here it has to work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers.browsing import looking, serving, texts, until

from bench.many_rollouts import write


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    assert write(folder / "many", 100_000) == 100_096
    return folder


def test_a_hundred_thousand_rollouts_are_searched_and_looked_at(browser: Any, root: Path) -> None:
    with serving(root) as served, looking(browser, served) as site:
        page = site.go("/rollouts?run=many")
        assert page.locator("tr.row").count() == 50  # of the newest step, while the others are read
        until(page, "!document.querySelector('.reading')", 60)
        assert _total(page) == 100_096
        page.fill("[name=problem]", "sums/train/37")
        until(page, "document.querySelector('#count b').textContent.length < 6")
        assert 0 < _total(page) < 1000 and set(texts(page, "td.problem")) == {"sums/train/37"}
        page.fill("[name=text]", "no such words anywhere")
        until(page, "document.querySelector('#count b').textContent === '0'")
        assert "No attempt is like that." in page.inner_text("#found")
        page = site.go("/rollouts?run=many&sort=longest")
        page.keyboard.press("]")
        page.wait_for_url("**page=1**")
        assert "page 2 of" in page.inner_text(".pages")
        site.go("/problem?run=many&problem=sums/train/37")
        assert page.locator(".plot canvas").count() == 2 and page.locator("tr.row").count() >= 3
        site.go("/step?run=many&stage=0&step=17")
        assert page.locator("tr.row").count() == 32 and page.locator(".cells .reward").count() == 256
        page.locator(".cells .reward").first.click()
        page.wait_for_selector(".tokens")
        site.go("/run?run=many")
        assert page.locator(".plot canvas").count() > 5
        assert site.wrong == []


def _total(page: Any) -> int:
    return int(re.sub(r"\D", "", page.inner_text("#count b")))
