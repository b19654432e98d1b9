"""Which attempts a page shows: what was asked for, as SQL of ours with the asked values bound to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from whet.view.index import Index, quoted

PAGE = 50  # our choice: attempts on a page
SORTS = {
    "newest": "stage DESC, step DESC, slot, attempt",
    "oldest": "stage, step, slot, attempt",
    "reward, low first": "reward NULLS LAST, stage DESC, step DESC, slot, attempt",
    "reward, high first": "reward DESC NULLS LAST, stage DESC, step DESC, slot, attempt",
    "shortest": "length NULLS LAST, stage DESC, step DESC, slot, attempt",
    "longest": "length DESC NULLS LAST, stage DESC, step DESC, slot, attempt",
}
WHERE = {"attempt": "text", "prompt": "prompt", "answer": "answer", "error": "error"}
_TOLD = 'stage, step, slot, "group", attempt, problem, answer, stop, error, kept, reward, length, advantage, rows'


@dataclass(frozen=True)
class Filter:
    """What a reader asked for; "" is anything. Names of terms that the run does not have, and words of other fields
    that there are not, are no error: they find nothing."""

    text: str = ""
    where: str = "attempt"
    problem: str = ""
    step_from: str = ""
    step_to: str = ""
    stage: str = ""
    term: str = ""  # "" is the whole reward
    reward_from: str = ""
    reward_to: str = ""
    outcome: str = ""
    stop: str = ""
    length_from: str = ""
    length_to: str = ""
    learned: str = ""  # "yes", "no"
    group: str = ""
    sort: str = "newest"
    page: str = "0"
    wrong: tuple[str, ...] = field(default=(), compare=False)  # what could not be read, in words

    @property
    def asked(self) -> dict[str, str]:
        """What differs from nothing asked, for an address."""
        return {f.name: v for f in fields(self) if f.compare and (v := getattr(self, f.name)) != f.default}


def of(query: Mapping[str, str]) -> Filter:
    """A filter from the words of an address; numbers that are none are left out, and told."""
    known = {f.name: query[f.name].strip("\n") for f in fields(Filter) if f.compare and f.name in query}
    wrong = []
    for name in [n for n in known if n.endswith(("_from", "_to")) or n in ("stage", "page")]:
        known[name] = known[name].strip()
        if known[name] and _number(known[name]) is None:
            wrong.append(f"{name.replace('_', ' ')} must be a number, got {known[name][:40]!r}")
            known[name] = "0" if name == "page" else ""
    if known.get("sort", "newest") not in SORTS:
        known["sort"] = "newest"
    if known.get("where", "attempt") not in WHERE:
        known["where"] = "attempt"
    return Filter(**known, wrong=tuple(wrong))


def found(index: Index, filter: Filter) -> dict[str, Any]:
    """One page of what a filter finds: {"rows", "total", "reward" (mean), "length" (mean), "page", "pages"}."""
    clause, values = _clause(index, filter)
    page = max(0, int(_number(filter.page) or 0))
    whole, places = _places(index, clause, values, SORTS[filter.sort], page)
    pages = max(1, -(-whole["total"] // PAGE))
    if page >= pages:
        page = pages - 1
        _, places = _places(index, clause, values, SORTS[filter.sort], page)
    columns = [quoted(c) for c in index.columns if c.startswith(("term/", "outcome/"))]
    told = ", ".join([_TOLD, "substr(text, 1, 400) AS text", "substr(prompt, 1, 400) AS prompt", *columns])
    sql = f"SELECT {told} FROM attempts WHERE rowid IN (SELECT unnest(?)) ORDER BY {SORTS[filter.sort]}"
    return {"rows": index.ask(sql, [places]), **whole, "page": page, "pages": pages}


def _places(index: Index, clause: str, values: list[Any], sort: str, page: int) -> tuple[dict[str, Any], list[int]]:
    """({"total", "reward", "length"} of all that is found, the places in the table of one page of it): texts are looked
    at once, and only a page of them is fetched."""
    sql = f"""
        WITH hit AS MATERIALIZED (
            SELECT rowid AS place, stage, step, slot, attempt, reward, length FROM attempts WHERE {clause}),
        top AS (SELECT place FROM hit ORDER BY {sort} LIMIT {PAGE} OFFSET {page * PAGE})
        SELECT (SELECT list(place) FROM top) AS places, count(*) AS total, avg(reward) AS reward, avg(length) AS length
        FROM hit"""
    (whole,) = index.ask(sql, values)
    return whole, whole.pop("places") or []


def words(index: Index, column: str) -> list[str]:
    """The different values of one of our columns, the most frequent first; at most 100."""
    assert column in index.columns
    q = quoted(column)
    sql = f"SELECT {q} AS word FROM attempts WHERE {q} IS NOT NULL GROUP BY {q} ORDER BY count(*) DESC, {q} LIMIT 100"
    return [row["word"] for row in index.ask(sql)]


def _clause(index: Index, filter: Filter) -> tuple[str, list[Any]]:
    parts: list[str] = ["true"]
    values: list[Any] = []

    def need(sql: str, *bound: Any) -> None:
        parts.append(sql)
        values.extend(bound)

    if filter.text:
        need(f"contains(lower({WHERE[filter.where]}), lower(?))", filter.text)
    if filter.problem:
        need("problem = ?", filter.problem)
    for column, name in (("step", "step"), ("length", "length")):
        for end, sign in (("from", ">="), ("to", "<=")):
            if (value := _number(getattr(filter, f"{name}_{end}"))) is not None:
                need(f"{column} {sign} ?", value)
    if (stage := _number(filter.stage)) is not None:
        need("stage = ?", stage)
    term = f"term/{filter.term}"
    column = quoted(term) if filter.term and term in index.columns else "reward" if not filter.term else "NULL"
    for end, sign in (("from", ">="), ("to", "<=")):
        if (value := _number(getattr(filter, f"reward_{end}"))) is not None:
            need(f"{column} {sign} ?", value)
    if filter.outcome:
        spoken = [quoted(f"outcome/{name}") for name in index.verified]
        need(f"({' OR '.join(f'{c} = ?' for c in spoken) or 'false'})", *[filter.outcome] * len(spoken))
    if filter.stop:
        need("coalesce(stop, '') = ?", "" if filter.stop == "open" else filter.stop)
    if filter.learned in ("yes", "no"):
        need("coalesce(kept, false) = ?", filter.learned == "yes")
    if filter.group:
        need('"group" = ?', filter.group)
    return " AND ".join(parts), values


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e15 else None
