"""Whether a text calls the right tools with the right arguments, and how nearly (ToolRL)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from whet.verifiers.calls import Call, Style, parse
from whet.verifiers.gold import BadGold
from whet.verifiers.strict_json import equal

Detail = Literal["fine", "whole", "coarse"]
Matching = Literal["optimal", "greedy_gold_order"]


def prepare(golds: list[str]) -> None:
    """Import what takes long, so that no answer's deadline pays for it."""
    import scipy.optimize  # noqa: F401


def verify(
    answer: str,
    gold: str,
    style: Style = "auto",
    graded: bool = False,
    detail: Detail = "fine",
    matching: Matching = "optimal",
    values: bool = True,
) -> str | tuple[str, float]:
    """Says "right" iff the answer's calls are the gold's, in any order, each as often; "unparseable" where a call is
    malformed. With `graded`, also `share` in [0, 1]: 1 if right, 0 if unparseable; without gold calls it is 1 or 0.

    `gold` is a JSON list of calls, [{"name": "f", "arguments": {"a": 1}}], [] for none, or a worked reply with
    <tool_call> or <response>, see `gold_calls`. `style` is that of the answer, see `calls.parse`. `detail`, `matching`
    and `values` are those of `share`. The grade is `share` and not ToolRL's 6 share - 3, since an attempt that says
    nothing is worth 0; `rewards.tool_calls.CallMatch` has that.
    Raises BadGold when the gold can not be read, ValueError for an unknown option.
    """
    meant = gold_calls(gold)
    check(detail, matching)
    said = parse(answer, style)
    if said.malformed:
        word, grade = "unparseable", 0.0
    elif same(meant, said.calls):
        word, grade = "right", 1.0
    else:
        word, grade = "wrong", share(meant, said.calls, detail, matching, values) if meant else 0.0
    return (word, grade) if graded else word


def gold_calls(gold: str) -> list[Call]:
    """The calls of a gold answer: of a JSON list, or of a worked reply as in ToolRL's data, which has none if it has a
    <response> alone. BadGold if it is neither, or a call is malformed."""
    read = parse(gold)
    if read.malformed:
        why = "; ".join(f"{why}: {text!r}" for text, why in read.malformed[:3])
        raise BadGold(f"the gold calls can not be read: {why}")
    if not read.calls and "<response>" not in gold and gold.strip() != "[]":
        raise BadGold(
            'the gold must be calls like [{"name": "f", "arguments": {"a": 1}}], [] for none, or a reply with '
            f"<tool_call> or <response>, got {gold[:80]!r}"
        )
    return read.calls


def check(detail: str, matching: str) -> None:
    """ValueError for an unknown `detail` or `matching`."""
    if detail not in get_args(Detail):
        raise ValueError(f"detail must be one of {', '.join(get_args(Detail))}, got {detail!r}")
    if matching not in get_args(Matching):
        raise ValueError(f"matching must be one of {', '.join(get_args(Matching))}, got {matching!r}")


def share(
    gold: Sequence[Call],
    said: Sequence[Call],
    detail: Detail = "fine",
    matching: Matching = "optimal",
    values: bool = True,
) -> float:
    """S / S_max in [0, 1] of predicted calls `said` against at least one gold call:

        S = jaccard(names) + sum over matched pairs (g, p) of s(g, p),   S_max = 1 + sum over g of s(g, g)
        s(g, p) = jaccard(argument names of g and p) + |arguments of g whose value p has|

    jaccard is that of multisets, so that a call too often or too seldom counts. Pairs have equal names and are
    one to one: "optimal", the matching of the largest S; "greedy_gold_order", each gold call in turn takes the unused
    prediction with the largest s, the first of several, and none where s is 0.

    `values=False` leaves the second term of s out. `detail="whole"`: s is 1 if the calls are the same, else 0;
    "coarse": 1 if all calls are the same, in any order, else 0 (there the released code wants the gold's order).

    Source: ToolRL (Qian et al. 2025, arXiv 2504.13958), section 3.3, whose correctness reward is 6 S / S_max - 3; the
    greedy matching, "whole" and "coarse" as in its released code. A further call costs through the Jaccard of names
    only: n times the right call f(a, b) is (1/n + 3) / 4.
    """
    if detail == "coarse":
        return float(same(gold, said))
    names = jaccard([call.name for call in gold], [call.name for call in said])
    rows = [[_pair(g, p, detail, values) for p in said] for g in gold]
    matched = _optimal(rows) if matching == "optimal" else _greedy(rows)
    return (names + matched) / (1 + sum(_pair(g, g, detail, values) for g in gold))


def same(gold: Sequence[Call], said: Sequence[Call]) -> bool:
    """Whether these are the same calls, in any order, each as often."""
    left = list(said)
    for call in gold:
        place = next((i for i, other in enumerate(left) if _equal(call, other)), None)
        if place is None:
            return False
        left.pop(place)
    return not left


def jaccard(a: Iterable[str], b: Iterable[str]) -> float:
    """|a and b| / |a or b| of multisets: the sum of the smaller counts over that of the larger ones; 1 if both are
    empty."""
    counts, others = Counter(iter(a)), Counter(iter(b))  # of a mapping itself it would take the values
    whole = (counts | others).total()
    return (counts & others).total() / whole if whole else 1.0


def _equal(a: Call, b: Call) -> bool:
    return a.name == b.name and equal(a.arguments, b.arguments)


def _pair(g: Call, p: Call, detail: Detail, values: bool) -> float:
    """s(g, p); 0 for calls of different tools."""
    if g.name != p.name:
        return 0.0
    if detail == "whole":
        return float(_equal(g, p))
    alike = sum(key in p.arguments and equal(value, p.arguments[key]) for key, value in g.arguments.items())
    return jaccard(g.arguments, p.arguments) + (alike if values else 0)


def _optimal(rows: list[list[float]]) -> float:
    from scipy.optimize import linear_sum_assignment

    if not rows or not rows[0]:
        return 0.0
    places = zip(*linear_sum_assignment(rows, maximize=True), strict=True)
    return sum(rows[g][p] for g, p in places)


def _greedy(rows: list[list[float]]) -> float:
    used: set[int] = set()
    total = 0.0
    for row in rows:
        free = [(score, -p) for p, score in enumerate(row) if p not in used]
        score, place = max(free, default=(0.0, 0))
        if score > 0:
            used.add(-place)
            total += score
    return total
