"""One number against another, exactly: no float is involved."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from whet.verifiers.gold import BadGold

LONGEST = 1200  # our choice: characters of an answer that may still be one number
LARGEST = 400  # our choice: the exponent beyond which "1e..." is no answer but an attack on our memory

_ADORNMENT = " \t\r\n*_\"'`$€£¥₹=≈~:\\()[]{}"
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WHOLE = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+"
_NUMBER = re.compile(rf"({_WHOLE})?(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{{1,6}}))?")
_OVER = re.compile(rf"\s*/\s*({_WHOLE})")
_AND_OVER = re.compile(r"\s+([0-9]+)\s*/\s*([0-9]+)")
_UNIT = re.compile(r"(?:[^\W\d_]|[\s/°'\".,²³$€£¥()·*_`\\\]}!-])*(?:[^\W\d_]\^?[23])?")  # "km/h", "m^2", "apples."


class Read(NamedTuple):
    value: Fraction  # as written: a percent sign has not divided it by 100 yet
    percent: bool


def verify(answer: str, gold: str, relative: float = 0.0, absolute: float = 0.0) -> str:
    """Says "right" iff |answer - gold| <= max(absolute, relative * |gold|), in exact rational arithmetic.

    Reads signs, thousands' commas, decimals, fractions ("3/4", "1 1/2"), exponents, percents, currency signs, number
    words for scale ("2 million") and a unit of up to three words behind the number. Where only one side has a percent
    sign it may be dropped or applied: gold "50%" takes "50%", "50" and "0.5". Anything with a second number in it is
    "unparseable", so a list of guesses scores nothing.
    Raises BadGold when the gold is not one number.
    """
    meant = read(gold)
    if meant is None:
        raise BadGold(f"the gold answer must be one number, got {gold[:80]!r}")
    said = read(answer)
    if said is None:
        return "unparseable"
    pairs = [(said.value, meant.value)]
    if said.percent != meant.percent:
        pairs.append((said.value / 100, meant.value) if said.percent else (said.value, meant.value / 100))
    widest, share = Fraction(str(absolute)), Fraction(str(relative))
    return "right" if any(abs(a - b) <= max(widest, share * abs(b)) for a, b in pairs) else "wrong"


def read(text: str) -> Read | None:
    """The one number in `text`, or None if there is none, more than one, or one too large to be meant."""
    if len(text) > LONGEST:
        return None
    text = text.replace("−", "-").replace("\\%", "%").lstrip(_ADORNMENT)
    text = text.removeprefix("boxed{").lstrip(_ADORNMENT)
    negative = text.startswith("-")
    text = text.removeprefix("-") if negative else text.removeprefix("+")
    text = text.lstrip(_ADORNMENT)  # "-$5" as well as "$-5"
    match = _NUMBER.match(text)
    value = _value(match) if match else None
    if match is None or value is None:
        return None
    value, rest = _with_fraction(value, match, text[match.end() :])
    if value is None:
        return None
    percent = rest.lstrip(_ADORNMENT).startswith("%")
    words = rest.replace("%", "", 1).split() if percent else rest.split()
    if len(words) > 3 or not _UNIT.fullmatch(" ".join(words)):
        return None
    scale = _SCALES.get(words[0].strip(_ADORNMENT + ".,!").casefold(), 1) if words else 1
    return Read((-value if negative else value) * scale, percent)


def _value(match: re.Match[str]) -> Fraction | None:
    whole, decimals, exponent = match.groups()
    if not whole and not decimals:
        return None
    if exponent and abs(int(exponent)) > LARGEST:
        return None
    digits = (whole or "").replace(",", "") + (decimals or "")
    return Fraction(int(digits)) * Fraction(10) ** (int(exponent or 0) - len(decimals or ""))


def _with_fraction(value: Fraction, match: re.Match[str], rest: str) -> tuple[Fraction | None, str]:
    """A denominator ("3/4"), or a fraction behind a whole number ("1 1/2"); None where something is divided by 0."""
    if over := _OVER.match(rest):
        below = int(over[1].replace(",", ""))
        return (value / below if below else None), rest[over.end() :]
    plain = match[2] is None and match[3] is None
    if plain and (over := _AND_OVER.match(rest)):
        above, below = int(over[1]), int(over[2])
        return (value + Fraction(above, below) if below else None), rest[over.end() :]
    return value, rest
