"""From a page to HTML: live, or as one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from whet.view.site import Page
from whet.view.text import CUT, cut, plain, short, visible

STYLES = ("vendor/uplot.min.css", "view.css")
SCRIPTS = ("vendor/uplot.iife.min.js", "view.js")  # of a file; a live page has htmx, too


@lru_cache
def static() -> Mapping[str, bytes]:
    """{name: content} of what pages are made with; a request's name is looked up here and nowhere else."""
    found: dict[str, bytes] = {}

    def add(place: Traversable, before: str) -> None:
        for entry in place.iterdir():
            if entry.is_dir():
                add(entry, f"{before}{entry.name}/")
            else:
                found[before + entry.name] = entry.read_bytes()

    add(files("whet.view") / "static", "")
    return found


@lru_cache
def environment() -> Environment:
    env = Environment(
        loader=PackageLoader("whet.view"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "v": visible,
        "short": short,
        "num": num,
        "whole": whole,
        "plain": plain,
        "level": level,
        "token": token,
    }
    env.globals |= {"CUT": CUT, "cut": cut}
    return env


def html(page: Page, exported: bool = False, part: bool = False, address: str = "") -> str:
    """`part`: only what a live page asks for again. `address`: of the page, for what refers to itself."""

    def href(path: str, **query: Any) -> Markup:
        """The attribute that makes a link; none in a file, which leads nowhere."""
        return Markup("") if exported else Markup('href="{}"').format(to(path, **query))

    name = page.part if part and page.part else page.template
    values = {**page.values, "title": page.title, "exported": exported, "href": href, "to": to, "address": address}
    values |= {"styles": "", "scripts": "", "policy": "", "pagename": page.template.removesuffix(".html")}
    if exported:
        styles, scripts = ([static()[n].decode() for n in names] for names in (STYLES, SCRIPTS))
        policy = f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}"
        values |= {"styles": [Markup(s) for s in styles], "scripts": [Markup(s) for s in scripts], "policy": policy}
    return environment().get_template(name).render(values)


def _hashes(sources: list[str]) -> str:
    """For a policy that lets these run and nothing else."""
    assert not any(re.search(r"</(script|style)", source, re.I) for source in sources)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in sources)


def to(path: str, **query: Any) -> str:
    """An address of ours."""
    asked = {key: value for key, value in query.items() if value is not None and value != ""}
    return path + (f"?{urlencode(asked, doseq=True, errors='replace')}" if asked else "")


def num(value: Any, digits: int = 3) -> Markup:
    """A number to read, with a real minus; a thin dash for none."""
    if value is None or isinstance(value, str):
        return escape(value or "–")
    return escape(f"{value:.{digits}g}".replace("-", "−") if abs(value) < 1e5 else f"{value:.2e}".replace("-", "−"))


def whole(value: Any) -> Markup:
    """A count with narrow spaces: 100 096."""
    return escape("–" if value is None else f"{value:,.0f}".replace(",", "\u202f"))


def level(value: float | None, scale: tuple[float, float]) -> str:
    """The class of a reward's colour: "r0" (least of the run) to "r6" (largest), "rx" for none."""
    if value is None:
        return "rx"
    low, high = scale
    return f"r{min(6, max(0, round(6 * (value - low) / (high - low))))}" if high > low else "r3"


def token(text: str) -> Markup:
    """A token's text; a newline is shown, and so is a token without any text."""
    return visible(text).replace("\n", _NEWLINE) if text else _NOTHING


_NEWLINE, _NOTHING = Markup('<span class="unseen">⏎</span>\n'), Markup('<span class="unseen">∅</span>')
