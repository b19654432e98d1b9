"""Constraints on a text, as JSON data: atoms, and And, Chain and Selection of them, nested in one another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from whet.verifiers import atoms, forms
from whet.verifiers.atoms import ATOMS, Constraint, Said
from whet.verifiers.gold import BadGold
from whet.verifiers.texts import unquoted

DEEPEST = 50  # our choice: compositions inside one another
QUOTE = 5  # our choice: so many words in a row that the instruction has, too, are a quote

_COMPOSED = {  # type: (fields that it needs, fields that may be left out)
    "and": ({"parts"}, set()),
    "chain": ({"parts"}, {"separator"}),
    "if": ({"condition", "then"}, {"else"}),
}


class Rules(NamedTuple):
    """What a gold answer says."""

    constraints: list[Constraint]
    instruction: str = ""
    quote: int = QUOTE


def verify(answer: str, gold: str, graded: bool = False) -> str | tuple[str, float]:
    """Says "right" iff every active constraint holds. With `graded` there is a grade beside the word: the share of the
    active constraints that hold.

    `gold` is one constraint, a list of constraints that must all hold, or, where the model was told them in words,
    {"constraints": [...], "instruction": "...", "quote": 5}, all as JSON; see `active`. A blank answer is
    "unparseable".

    Source of the compositions: RAIF (Qin et al. 2025, arXiv 2506.01413), after ComplexBench (Wen et al. 2024, arXiv
    2407.03978); of many atoms: IFEval (Zhou et al. 2023, arXiv 2311.07911).
    Raises BadGold for a gold answer that can not be read, or of which nothing is active.
    """
    rules = read(gold)
    if not answer or answer.isspace():
        return ("unparseable", 0.0) if graded else "unparseable"
    held = [holds for _, holds in active(rules.constraints, answer, rules.instruction, rules.quote)]
    if not held:
        raise BadGold("no constraint is active: give every 'if' without an 'else' a constraint beside it")
    word = "right" if all(held) else "wrong"
    return (word, sum(held) / len(held)) if graded else word


def active(
    constraints: Constraint | Sequence[Constraint], text: str, instruction: str = "", quote: int = QUOTE
) -> list[tuple[Constraint, bool]]:
    """The atoms that bind this text, in order, and whether each of them holds.

        {"type": "and", "parts": [...]}                     all of them
        {"type": "chain", "parts": [...], "separator": s}   part k of the text keeps to constraint k
        {"type": "if", "condition": c, "then": x, "else": y}   x where c holds, else y, which may be left out

    A chain's text is split at `separator` (a line end, where none is given), blank parts are left out, and the last
    constraint is about all that is left; what is said of a part that is not there does not hold. A condition is true or
    false, where it is known beforehand, or a constraint on the text. It is no demand itself, and of the branch that is
    not taken nothing is active. Types of atoms and their fields: `atoms.ATOMS`.

    Words that the text quotes from `instruction` (`texts.unquoted`, runs of `quote` words and more) count for no
    keyword that is asked for, at the start or the end neither; for one that is forbidden they do.
    Raises BadGold for a constraint of an unknown type, or with fields that its type does not have.
    """
    listed: list[Any] = [constraints] if isinstance(constraints, dict) else list(constraints)
    for constraint in listed:
        check(constraint)
    known = {word for constraint in listed for atom in _atoms(constraint) for word in atoms.keywords(atom)}
    said = Said(text, unquoted(text, instruction, known, quote))
    return [found for constraint in listed for found in _walk(constraint, said)]


def piecewise(held: Sequence[bool], full: float = 2.0, none: float = -2.0) -> float:
    """`full` if all hold; `none` if none does; else the share that holds. For [T, T, T] 2, for [T, F, F, F] 0.25, for
    [F, F] -2. The step from 1 - 1/C to 2 is meant. Source: RAIF, equation 5. ValueError where there are none."""
    if not held:
        raise ValueError("no constraint is active, so nothing can be rewarded; leave such a problem out")
    if all(held):
        return full
    return sum(held) / len(held) if any(held) else none


def read(gold: str) -> Rules:
    """The gold answer of `verify`, checked. Raises BadGold."""
    try:
        told = json.loads(gold)
    except (ValueError, RecursionError) as error:
        raise BadGold(f"constraints must be JSON, got {gold[:80]!r} ({error})") from error
    fields: dict[str, Any] = told if isinstance(told, dict) and "type" not in told else {"constraints": told}
    if "constraints" not in fields or set(fields) - set(Rules._fields):
        raise BadGold(f"a gold answer has {', '.join(Rules._fields)}; got {sorted(fields)}")
    rules = Rules(**fields)
    listed: Any = [rules.constraints] if isinstance(rules.constraints, dict) else rules.constraints
    if not isinstance(listed, list) or not listed:
        raise BadGold(f"constraints must be a list of one or more, got {gold[:80]!r}")
    if not isinstance(rules.instruction, str) or isinstance(rules.quote, bool) or not isinstance(rules.quote, int):
        raise BadGold("of a gold answer 'instruction' must be a text and 'quote' a whole number")
    if rules.quote < 1:
        raise BadGold(f"of a gold answer 'quote' must be at least 1 word, got {rules.quote}")
    for constraint in listed:
        check(constraint)
    return rules._replace(constraints=listed)


def check(constraint: Any, depth: int = 0) -> None:
    """BadGold, with the reason, unless this is a constraint."""
    name = constraint.get("type") if isinstance(constraint, dict) else None
    if not isinstance(name, str) or (name not in ATOMS and name not in _COMPOSED):
        known = ", ".join([*ATOMS, *_COMPOSED])
        raise BadGold(f"a constraint is an object with a type of {known}; got {str(constraint)[:80]!r}")
    if depth > DEEPEST:
        raise BadGold(f"compositions may be nested {DEEPEST} deep, and these are deeper")
    if name in ATOMS:
        return atoms.check(constraint)
    needs, may = _COMPOSED[name]
    fields = set(constraint) - {"type"}
    if needs - fields or fields - needs - may:
        raise BadGold(f"a constraint {name!r} has {', '.join(sorted(needs | may))}; got {', '.join(sorted(fields))}")
    if "parts" in needs and not (isinstance(constraint["parts"], list) and constraint["parts"]):
        raise BadGold(f"'parts' of a constraint {name!r} must be a list of constraints, one at least")
    separator = constraint.get("separator", "\n")
    if not isinstance(separator, str) or not separator:
        raise BadGold(f"'separator' of a constraint 'chain' must be a text, got {separator!r}")
    for part in _parts(constraint):
        check(part, depth + 1)


def prepare(golds: list[str]) -> None:
    """Import what takes long, so that no answer's deadline pays for it."""
    if any('"language"' in gold for gold in golds):
        forms.language("")


def _parts(constraint: Constraint) -> list[Any]:
    """The constraints that stand right inside a composition."""
    if constraint["type"] != "if":
        return constraint["parts"]
    condition = constraint["condition"]
    inside = [] if isinstance(condition, bool) else [condition]
    return [*inside, constraint["then"], *([constraint["else"]] if "else" in constraint else [])]


def _atoms(constraint: Constraint) -> Iterator[Constraint]:
    """All of them, active or not."""
    if constraint["type"] in ATOMS:
        yield constraint
    else:
        for part in _parts(constraint):
            yield from _atoms(part)


def _walk(constraint: Constraint, said: Said | None) -> Iterator[tuple[Constraint, bool]]:
    """`active` of a checked constraint; None: a part of the text that is not there."""
    kind = constraint["type"]
    if kind in ATOMS:
        yield constraint, said is not None and ATOMS[kind].holds(constraint, said)
    elif kind == "if":
        condition = constraint["condition"]
        taken = condition if isinstance(condition, bool) else all(held for _, held in _walk(condition, said))
        branch = constraint["then"] if taken else constraint.get("else")
        if branch is not None:
            yield from _walk(branch, said)
    else:
        count = len(constraint["parts"])
        split = [said] * count if kind == "and" else _split(said, constraint.get("separator", "\n"), count)
        for part, piece in zip(constraint["parts"], split, strict=True):
            yield from _walk(part, piece)


def _split(said: Said | None, separator: str, count: int) -> list[Said | None]:
    """`count` parts of a text; the last one takes all that is left, and None stands for those that are missing."""
    pieces: list[Said | None] = []
    start, end = 0, len(said.whole) if said else 0
    while said and start < end and len(pieces) < count:
        found = said.whole.find(separator, start)
        stop = found if found >= 0 else end
        if said.whole[start:stop].strip():
            stop = end if len(pieces) == count - 1 else stop
            pieces.append(Said(said.whole[start:stop], said.own[start:stop]))
        start = stop + len(separator)
    return [*pieces, *[None] * (count - len(pieces))]
