"""Constraints on a text that are no composition of others: which there are, what they take, when they hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from whet.verifiers import forms
from whet.verifiers.gold import BadGold
from whet.verifiers.texts import lines, occurrences, paragraphs, place, sentences, words

Constraint = Mapping[str, Any]


class Said(NamedTuple):
    """A text, and the same with what it quotes from the instruction blanked."""

    whole: str
    own: str


class Kind(NamedTuple):
    """What a field must be."""

    words: str
    fits: Callable[[Any], bool]


class Atom(NamedTuple):
    """A type of constraint: its fields, those that may be left out, and when it holds."""

    needs: Mapping[str, Kind]
    may: Mapping[str, Kind]
    holds: Callable[[Any, Said], bool]
    bounded: bool = False  # it needs one of the bounds


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_phrase(value: Any) -> bool:
    return isinstance(value, str) and bool(words(value))


def _is_phrases(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_phrase, value))


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)) and value[0] <= value[1]


def _one_of(*known: str) -> Kind:
    return Kind(f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known)


_COUNT = Kind("a whole number from 0", _is_count)
_PHRASE = Kind("a text with a word in it", _is_phrase)
_PHRASES = Kind("a list of texts with a word in each", _is_phrases)
_YES_NO = Kind("true or false", lambda value: isinstance(value, bool))
_CODE = Kind(
    'the code of a language, such as "en"',
    lambda value: isinstance(value, str) and re.fullmatch("[a-z]{2,3}", value) is not None,
)
BOUNDS = {
    "at_least": _COUNT,
    "at_most": _COUNT,
    "exactly": _COUNT,
    "between": Kind("two whole numbers [low, high]", _is_range),
}

_UNITS: dict[str, Callable[[str], int]] = {
    "words": lambda text: len(words(text)),
    "characters": lambda text: len(text.strip()),
    "sentences": sentences,
    "lines": lambda text: len(lines(text)),
    "paragraphs": paragraphs,
}
_ITEMS: dict[str, Callable[[str], list[str]]] = {
    "words": words,
    "lines": lines,
    "bullets": forms.bullets,
    "numbered": forms.numbered,
}
_COUNTED: dict[str, Callable[[str], int]] = {
    "bullets": lambda text: len(forms.bullets(text)),
    "numbered": lambda text: len(forms.numbered(text)),
    "highlights": forms.highlights,
}
_FORMS: dict[str, Callable[[str], bool]] = {
    "json": forms.is_json,
    "xml": forms.is_xml,
    "title": forms.has_title,
    "no_commas": lambda text: "," not in text and "，" not in text,
}


def bounds(constraint: Constraint) -> tuple[int, float]:
    """(low, high) of a constraint's bound, both included; from 1 on where it has none."""
    if "exactly" in constraint:
        return constraint["exactly"], constraint["exactly"]
    if "between" in constraint:
        return tuple(constraint["between"])
    unbounded = "at_most" not in constraint and "at_least" not in constraint
    return constraint.get("at_least", int(unbounded)), constraint.get("at_most", float("inf"))


def keywords(constraint: Constraint) -> list[str]:
    """The words that a constraint speaks of."""
    spoken = [*constraint.get("keywords", ()), *([constraint["text"]] if "text" in constraint else ())]
    return [word for phrase in spoken for word in words(phrase)]


def check(constraint: Constraint) -> None:
    """BadGold unless the constraint is of a type in `ATOMS`, with that type's fields and no others."""
    name = constraint["type"]
    atom = ATOMS[name]
    fields = {**atom.needs, **atom.may}
    for field, value in constraint.items():
        if field != "type" and field not in fields:
            raise BadGold(f"a constraint {name!r} has no field {field!r}; it has {', '.join(fields)}")
        if field != "type" and not fields[field].fits(value):
            raise BadGold(f"{field!r} of a constraint {name!r} must be {fields[field].words}, got {str(value)[:80]!r}")
    missing = [field for field in atom.needs if field not in constraint]
    if missing:
        raise BadGold(f"a constraint {name!r} needs {', '.join(missing)}; got {sorted(constraint)}")
    given = [field for field in BOUNDS if field in constraint]
    if len(given) > 1 or (atom.bounded and not given):
        raise BadGold(f"a constraint {name!r} takes one of {', '.join(BOUNDS)}, got {given or 'none'}")
    if given and name == "format" and constraint["format"] not in _COUNTED:
        raise BadGold(f"a form that can be counted is one of {', '.join(_COUNTED)}, not {constraint['format']!r}")


def _length(c: Constraint, said: Said) -> bool:
    low, high = bounds(c)
    return low <= _UNITS[c["unit"]](said.whole) <= high


def _count(c: Constraint, said: Said) -> bool:
    """The lower bound must be reached without quotes, and the upper one not be passed with them."""
    own, whole = words(said.own), words(said.whole)
    phrases = [words(phrase) for phrase in c["keywords"]]
    low, high = bounds(c)
    return low <= sum(occurrences(p, own) for p in phrases) and sum(occurrences(p, whole) for p in phrases) <= high


def _include(c: Constraint, said: Said) -> bool:
    own = words(said.own)
    return all(place(words(phrase), own) >= 0 for phrase in c["keywords"])


def _exclude(c: Constraint, said: Said) -> bool:
    whole = words(said.whole)
    return all(place(words(phrase), whole) < 0 for phrase in c["keywords"])


def _order(c: Constraint, said: Said) -> bool:
    own, at = words(said.own), 0
    for phrase in map(words, c["keywords"]):
        if (at := place(phrase, own, at)) < 0:
            return False
        at += len(phrase)
    return True


def _starts(c: Constraint, said: Said) -> bool:
    phrase = words(c["text"])
    return all(words(text)[: len(phrase)] == phrase for text in said)


def _ends(c: Constraint, said: Said) -> bool:
    phrase = words(c["text"])
    return all(words(text)[-len(phrase) :] == phrase for text in said)


def _sorted(c: Constraint, said: Said) -> bool:
    items = [item.casefold() for item in _ITEMS[c["of"]](said.whole)]
    pairs = pairwise(items[::-1] if c.get("descending") else items)
    return len(items) > 1 and all(first <= second for first, second in pairs)


def _case(c: Constraint, said: Said) -> bool:
    text = said.whole
    if c["case"] == "title":
        starts = [found[0] for found in re.finditer(r"(?<![\w'’-])[^\W\d_]", text)]
        return bool(starts) and all(letter == letter.title() for letter in starts)
    other = text.swapcase() != text and (text.lower() if c["case"] == "lower" else text.upper())
    return other == text


def _format(c: Constraint, said: Said) -> bool:
    if c["format"] in _FORMS:
        return _FORMS[c["format"]](said.whole)
    low, high = bounds(c)
    return low <= _COUNTED[c["format"]](said.whole) <= high


ATOMS = {
    "length": Atom({"unit": _one_of(*_UNITS)}, BOUNDS, _length, bounded=True),
    "count": Atom({"keywords": _PHRASES}, BOUNDS, _count, bounded=True),
    "include": Atom({"keywords": _PHRASES}, {}, _include),
    "exclude": Atom({"keywords": _PHRASES}, {}, _exclude),
    "order": Atom({"keywords": _PHRASES}, {}, _order),
    "starts": Atom({"text": _PHRASE}, {}, _starts),
    "ends": Atom({"text": _PHRASE}, {}, _ends),
    "sorted": Atom({"of": _one_of(*_ITEMS)}, {"descending": _YES_NO}, _sorted),
    "case": Atom({"case": _one_of("lower", "upper", "title")}, {}, _case),
    "format": Atom({"format": _one_of(*_FORMS, *_COUNTED)}, BOUNDS, _format),
    "language": Atom({"language": _CODE}, {}, lambda c, said: forms.language(said.whole) == c["language"]),
}
