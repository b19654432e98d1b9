"""Each page and what can be done on it, in a real browser, on what `make train` makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browsing import Watched, looking, serving, texts, until
from helpers.played import Attempt, Told, said, write_log, write_step

from whet.files import append_json, write_json

RUN = "run=quickstart/grpo-seed0"
GROUP = f"{RUN}&stage=1&step=3&slot=0&group=direct"
ADDRESSES = [
    "/",
    f"/run?{RUN}",
    f"/rollouts?{RUN}",
    f"/step?{RUN}",
    f"/verifiers?{RUN}",
    f"/group?{GROUP}",
    f"/tokens?{GROUP}&attempt=0",
    f"/compare?{RUN}&run=quickstart/grpo-seed1",
]


@pytest.fixture(scope="module")
def served(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    results = tmp_path_factory.mktemp("results")
    found = {
        "statement": "grpo is above base",
        "verdict": "reproduced",
        "measure": "pass@1",
        "difference": {"value": 0.2},
    }
    run = {"findings": [found], "verdict": "reproduced", "date": "2026-01-01"}
    write_json(results / "quickstart.json", {"recipe": "quickstart", "runs": [run]})
    with serving(runs, results=results) as started:
        yield started


@pytest.fixture
def site(browser: Any, served: Any) -> Iterator[Watched]:
    with looking(browser, served) as watched:
        yield watched
        assert watched.wrong == []
        assert all(url.startswith((watched.home, "data:")) for url in watched.asked)  # nothing leaves the machine


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_readable(browser: Any, served: Any, width: int, scheme: str) -> None:
    with looking(browser, served, width, scheme) as site:
        for address in ADDRESSES:
            page = site.go(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            assert page.evaluate(_CONTRAST) >= 4.5, address
        assert site.wrong == []


def test_runs_are_listed_filtered_and_chosen_to_be_compared(site: Watched) -> None:
    page = site.go("/")
    assert sorted(texts(page, "td.name a")) == ["quickstart/grpo-seed0", "quickstart/grpo-seed1"]
    assert set(texts(page, ".state")) == {"done"} and page.locator(".spark").count() == 2
    assert "reproduced" in texts(page, ".verdict")
    page.fill("[name=q]", "seed1")
    until(page, "document.querySelectorAll('td.name').length === 1")
    assert "q=seed1" in page.url
    page.fill("[name=q]", "")
    until(page, "document.querySelectorAll('td.name').length === 2")
    assert page.locator("[data-compare-button]").is_disabled()
    for box in page.locator("td.pick input").all():
        box.check()
    page.click("[data-compare-button]")
    page.wait_for_url("**/compare?**")
    assert "2 seeds" in page.inner_text(".arms")
    labels = page.evaluate("JSON.parse(document.querySelector('#curves').dataset.curves)[0].series.map(s => s.label)")
    assert labels == ["quickstart/grpo"] and page.locator(".plot canvas").count() > 10
    assert "None, but for seeds." in page.inner_text("main")


def test_a_run_shows_its_curves_results_and_settings(site: Watched) -> None:
    page = site.go(f"/run?{RUN}")
    titles = [text.split("\n")[0] for text in texts(page, "figcaption")]
    for title in ("Reward, by term", "Verifier outcomes", "Entropy", "Clipped", "Gradient norm", "Length", "Speed"):
        assert any(text.startswith(title) for text in titles), (title, titles)
    assert page.locator(".plot canvas").count() >= 10
    assert "pass@1" in page.inner_text("section table")
    page.click("text=Settings")
    assert "train.policy.lr" in page.inner_text(".pairs")
    page.click("text=more metrics")
    page.wait_for_selector("[data-plots] canvas")


def test_a_curve_tells_the_value_under_the_pointer(site: Watched) -> None:
    page = site.go(f"/run?{RUN}")
    wanted = page.evaluate("JSON.parse(document.querySelector('#curves').dataset.curves)[0].series[0].y")
    over = page.locator(".plot").first.locator(".u-over")
    over.hover(position={"x": 2, "y": 60})
    legend = page.locator(".plot").first.locator(".u-value:visible").first
    until(
        page, f"document.querySelector('.plot .u-series:not([hidden]) .u-value').textContent === '{_short(wanted[0])}'"
    )
    page.mouse.move(5, 5)
    assert legend.inner_text() in (_short(wanted[0]), _short(wanted[-1]))


def test_rollouts_are_searched_while_typing(site: Watched) -> None:
    page = site.go(f"/rollouts?{RUN}")
    until(page, "!document.querySelector('.reading')")
    assert _total(page) == 4 * 4 * 8
    page.fill("[name=text]", "<answer>")
    until(page, "document.querySelector('#count b').textContent !== '128'")
    assert 0 < _total(page) < 128 and "text=" in page.url
    assert all("<answer>" in text for text in texts(page, "td.text"))
    page.fill("[name=text]", "")
    until(page, "document.querySelector('#count b').textContent === '128'")
    page.select_option("[name=outcome]", "wrong")
    until(page, "document.querySelector('#count b').textContent !== '128'")
    assert {text.split()[0] for text in texts(page, ".attempts td:nth-child(6)")} == {"wrong"}
    page.fill("[name=step_from]", "much")
    page.wait_for_selector(".note")
    assert "step from must be a number" in page.inner_text(".note")


def test_an_address_with_a_filter_shows_the_same_again(site: Watched) -> None:
    page = site.go(f"/rollouts?{RUN}&outcome=wrong&step_from=2&step_to=2")
    assert page.input_value("[name=step_from]") == "2" and page.input_value("[name=outcome]") == "wrong"
    assert set(texts(page, ".attempts td:first-child")) == {"2"}


def test_from_an_attempt_to_its_tokens_siblings_and_problem(site: Watched) -> None:
    page = site.go(f"/rollouts?{RUN}")
    page.locator("tr.row [data-open]").nth(2).click()
    page.wait_for_selector(".tokens")
    assert "group mean" in page.inner_text("main") and "GroupMean" in page.inner_text("main")
    page.click("text=side by side")
    page.wait_for_selector(".siblings article")
    assert page.locator(".siblings article").count() == 8
    page.click("[data-up]")
    page.wait_for_selector("h1")
    assert page.locator(".cells .reward").count() % 8 == 0


def test_a_step_shows_problems_by_attempts(site: Watched) -> None:
    page = site.go(f"/step?{RUN}")
    assert page.inner_text(".facts b") == "step 3"
    assert page.locator("tr.row").count() == 4 and page.locator(".cells .reward").count() == 32
    page.keyboard.press("[")
    until(page, "document.querySelector('.facts b').textContent === 'step 2'")
    page.fill("[name=step]", "0")
    page.press("[name=step]", "Enter")
    until(page, "document.querySelector('.facts b').textContent === 'step 0'")


def test_tokens_are_coloured_by_any_array_and_tell_all_of_them(site: Watched, runs: Path) -> None:
    page = site.go(f"/tokens?{GROUP}&attempt=0&colour=logprobs")
    options = page.eval_on_selector_all("#colour option", "all => all.map(o => o.value)")
    wanted = [
        "advantages",
        "logprobs",
        "ratio",
        "learned/clipped",
        "learned/entropy",
        "learned/weights",
        "learned/gradient",
        "who",
    ]
    assert set(wanted) <= set(options)
    assert page.input_value("#colour") == "logprobs"
    data = json.loads(page.get_attribute("#data", "data-rows"))[0]["arrays"]
    lowest = min((i for i, v in enumerate(data["logprobs"]) if v is not None), key=lambda i: data["logprobs"][i])
    assert "q6" in page.get_attribute(f'[data-i="0.{lowest}"]', "class")
    page.hover(f'[data-i="0.{lowest}"]')
    look = page.inner_text("#look")
    for label in (
        "advantage",
        "log-prob (sampler)",
        "ratio",
        "entropy",
        "weight in the loss",
        "gradient",
        "written by",
        "staleness",
    ):
        assert label in look
    assert _short(data["logprobs"][lowest]) in look
    for name in options:
        page.select_option("#colour", name)
        assert page.inner_text("#legend")
    page.select_option("#colour", "who")
    assert page.locator(".by-policy .w-policy").count() == page.locator(".by-policy .t").count() > 0
    page.keyboard.press("Escape")
    page.locator("#colour").blur()
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(".t.here", "data-i") == f"0.{lowest + 1}"


def test_keys_move_open_search_and_tell_themselves(site: Watched) -> None:
    page = site.go(f"/rollouts?{RUN}")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("[...document.querySelectorAll('tr.row')].findIndex(r => r.classList.contains('here'))") == 0
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "text"
    page.keyboard.type("j")
    assert page.input_value("[name=text]") == "j"
    page.fill("[name=text]", "")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    before = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != before
    until(page, "document.querySelectorAll('tr.row').length > 1")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tokens")
    page.keyboard.press("]")
    page.wait_for_url("**attempt=1**")


def test_a_run_that_goes_on_is_followed(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "going"
    write_log(folder, [{"step": 0, "reward/mean": 0.125}])
    write_step(folder, 0, [Told([said("one")])])
    with serving(tmp_path) as served, looking(browser, served) as site:
        page = site.go("/run?run=going")
        assert page.inner_text(".state") == "running"
        first = page.locator(".plot canvas").count()
        alert = {"name": "reward std 0", "message": "all rewards of a group are <b>equal</b>"}
        append_json(
            folder / "metrics.jsonl", {"stage": "rl", "number": 0, "step": 1, "reward/mean": 0.875, "alerts": [alert]}
        )
        until(page, "document.querySelector('#live').textContent.includes('0.875')")
        assert "reward std 0" in page.inner_text(".alertlist") and "<b>equal</b>" in page.inner_text(".alertlist")
        assert page.locator(".plot canvas").count() == first  # the same plots, with a point more
        until(page, "document.querySelector('.plot .u-series:not([hidden]) .u-value').textContent === '0.875'")
        write_json(folder / "report.json", {"before": {}, "after": {}, "difference": {}})
        until(page, "document.querySelector('#live .state').textContent === 'done'")
        assert page.get_attribute("#live", "hx-get") is None
        assert site.wrong == []


def test_rows_turns_and_tool_calls_of_an_attempt_are_told_apart(browser: Any, tmp_path: Path) -> None:
    call = [("prompt", "q" * 200), ("policy", "call(1)"), ("env", "result " * 40), ("policy", "so 4")]
    attempt = Attempt([call, [("prompt", "shorter"), ("policy", "done")]], 1.0, outcome="right", advantage=0.5)
    write_step(tmp_path / "a", 0, [Told([attempt, said("no", advantage=-0.5)])])
    with serving(tmp_path) as served, looking(browser, served) as site:
        page = site.go("/tokens?run=a&stage=0&step=0&slot=0&group=direct&attempt=0")
        assert ["row 1 of 2" in texts(page, "h2")[0], "row 2 of 2" in texts(page, "h2")[1]] == [True, True]
        assert texts(page, ".turn summary b") == ["prompt", "policy", "env", "policy", "prompt", "policy"]
        opened = page.eval_on_selector_all(".turn", "all => all.map(t => t.open)")
        assert opened == [False, True, False, True, True, True]
        page.locator(".turn summary").nth(2).click()
        assert page.locator(".turn").nth(2).locator(".t").first.is_visible()
        assert "no tokenizer" in page.inner_text(".note") and site.wrong == []


def test_states_of_runs_that_have_little_to_show(browser: Any, tmp_path: Path) -> None:
    import os

    write_log(tmp_path / "empty", [])
    write_log(tmp_path / "stopped", [{"step": 7, "reward/mean": 0.5}])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.json").write_text("{")
    (tmp_path / "broken" / "metrics.jsonl").write_bytes(b"\xff\xfe{\n[1]\n{}\n" + b'{"step": "x", "stage": [1]}\n')
    for file in tmp_path.rglob("*"):
        os.utime(file, (1, 1))
    with serving(tmp_path) as served, looking(browser, served) as site:
        page = site.go("/")
        rows = {row.split("\t")[0].split()[0]: row for row in texts(page, "tr.row")}
        assert "stopped" in rows["stopped"] and "empty" in rows["empty"] and len(rows) == 3
        assert "recipe.json unreadable" in page.inner_text("main")
        assert "whet resume" in site.go("/run?run=stopped").inner_text(".note")
        assert "taken no step" in site.go("/run?run=empty").inner_text(".blank")
        assert "no rollouts" in site.go("/rollouts?run=stopped").inner_text(".blank")
        assert "taken no step" in site.go("/step?run=empty").inner_text(".blank")
        assert (
            "No verifier" in site.go("/verifiers?run=stopped").inner_text("main") or site.page.locator(".blank").count()
        )
        assert "recipe.json" in site.go("/run?run=broken").inner_text(".note >> nth=-1")
        assert site.wrong == []
        site.go("/run?run=nobody")
        assert "there is no run" in site.page.inner_text(".blank")
    none = tmp_path / "none"
    none.mkdir()
    with serving(none) as served, looking(browser, served) as site:
        assert "make train" in site.page.inner_text(".blank")


def test_an_attempt_of_an_older_format_is_shown_as_text(browser: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    (tmp_path / "old" / "rollouts").mkdir(parents=True)
    table = pa.table(
        {"step": pa.array([0, 0], pa.int32()), "text": ["first", "second"], "prompt": ["q", "q"], "reward": [0.0, 1.0]}
    )
    parquet.write_table(table, tmp_path / "old" / "rollouts" / "0-00000000.parquet")
    with serving(tmp_path) as served, looking(browser, served) as site:
        page = site.go("/rollouts?run=old")
        assert "older format" in page.inner_text(".note") and page.locator("tr.row").count() == 2
        page.locator("[data-open]").nth(1).click()
        page.wait_for_selector(".blank")
        assert "older format" in page.inner_text(".blank") and "second" in texts(page, ".said")
        assert site.wrong == []


def test_what_differs_between_arms_is_listed(browser: Any, tmp_path: Path) -> None:
    for arm, lr in (("a", 0.1), ("b", 0.2)):
        write_log(tmp_path / f"{arm}-seed0", [{"step": 0, "reward/mean": lr}], arm=arm)
        told = json.loads((tmp_path / f"{arm}-seed0" / "recipe.json").read_text())
        write_json(tmp_path / f"{arm}-seed0" / "recipe.json", {**told, "stages": [{"lr": lr, "same": 1}]})
    with serving(tmp_path) as served, looking(browser, served) as site:
        page = site.go("/compare?run=a-seed0&run=b-seed0")
        cells = [re.split(r"\t+", row) for row in texts(page, ".diff tbody tr")]
        assert ["stages.0.lr", "0.1", "0.2"] in cells and not any("same" in row[0] for row in cells)


def _total(page: Any) -> int:
    return int(re.sub(r"\D", "", page.inner_text("#count b")))


def _short(value: float) -> str:
    """As view.js writes numbers."""
    text = f"{float(f'{value:.4g}'):g}"
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}e{int(exponent):+d}"
    return text.replace("-", "−")


# The least contrast (WCAG) of a text on the page with what is behind it.
_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => {
    const [r, g, b] = c.map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const says = (node) => [...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim());
  let least = 99;
  for (const node of document.querySelectorAll("main *")) {
    if (!node.offsetParent || node.disabled || !says(node)) continue;
    let at = node, back = [0, 0, 0, 0];
    while (at && back[3] === 0) { back = rgb(getComputedStyle(at).backgroundColor); at = at.parentElement; }
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(back)].sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
}"""
