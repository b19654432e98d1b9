"""A JSON value: the wanted one, one that fits a JSON Schema (extra "schema"), or both."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from whet.verifiers.gold import BadGold
from whet.verifiers.strict_json import NotJson, deeper, equal, inner, kind, parse, right_keys

SHALLOW = 16  # our choice: levels of a value that no sensible schema needs Python's whole stack of 1000 calls for


def prepare(golds: list[str]) -> None:
    """Import the library, so that no answer's deadline pays for it."""
    if any('"schema"' in gold for gold in golds):
        _library()


def verify(answer: str, gold: str, around: bool = False, grade: bool = False) -> str | tuple[str, float]:
    """Says "right" iff the answer is JSON, equals the value if one is wanted, and fits the schema if there is one.

    `gold` is {"value": ...}, {"schema": {...}} or both, as JSON. The answer is read strictly (`strict_json.parse`), and
    is "unparseable" where that can not be done; with `around`, prose or a code fence around the value is passed over.
    1 equals 1.0, true does not equal 1, the order of keys is free, that of lists counts. With `grade` the number beside
    the word is the share of keys that are right (`strict_json.right_keys`); where no value is wanted, 1 if the answer
    fits, else 0.

    A schema is checked against its own draft, 2020-12 where it names none; "format" is a remark and rejects nothing. A
    "$ref" may name what the schema itself holds or a published draft: nothing is ever fetched.
    Raises BadGold for another gold, for a schema that is none, refers elsewhere or never ends, and for a wanted value
    that does not fit it; ImportError where the library is missing.
    """
    meant = _meant(gold)
    try:
        said = parse(inner(answer) if around else answer)
    except NotJson:
        return ("unparseable", 0.0) if grade else "unparseable"
    fits = _fits(said, meant["schema"]) if "schema" in meant else True
    word = "right" if fits and ("value" not in meant or equal(said, meant["value"])) else "wrong"
    if not grade:
        return word
    return word, right_keys(said, meant["value"]) if "value" in meant else float(fits)


@functools.lru_cache(maxsize=256)
def _meant(gold: str) -> dict[str, Any]:
    try:
        meant = parse(gold)
    except NotJson as error:
        raise BadGold(f"the gold answer must be JSON: {error}; got {gold[:80]!r}") from error
    if not isinstance(meant, dict) or not meant or meant.keys() - {"value", "schema"}:
        raise BadGold(f'the gold answer must be {{"value": ...}}, {{"schema": ...}} or both, got {gold[:80]!r}')
    if "schema" in meant:
        _check(meant["schema"])
        if "value" in meant and not _fits(meant["value"], meant["schema"]):
            raise BadGold(f"the wanted value does not fit the schema: {gold[:200]!r}")
    return meant


def _fits(value: Any, schema: Any) -> bool:
    """Whether a value fits. Where the validator runs out of stack, a deep value is at fault and does not fit; at a
    shallow one it follows a "$ref" in a circle."""
    from referencing.exceptions import Unresolvable

    try:
        return bool(_validator(json.dumps(schema)).is_valid(value))
    except RecursionError:
        if deeper(value, SHALLOW):
            return False
        raise BadGold('a "$ref" of the schema leads back to itself without end') from None
    except Unresolvable as error:
        raise BadGold(
            f'a "$ref" must name a part of the schema itself, and nothing is fetched: {error}'[:300]
        ) from error
    except (re.error, ValueError) as error:
        raise BadGold(f"the schema has a pattern or an address that is none: {error}"[:300]) from error


def _check(schema: Any) -> None:
    library = _library()
    if kind(schema) not in ("object", "boolean"):
        raise BadGold(f"a schema is a JSON object or true or false, got {json.dumps(schema)[:80]}")
    try:
        library.validators.validator_for(schema, default=library.Draft202012Validator).check_schema(schema)
    except (library.SchemaError, RecursionError, TypeError, AttributeError) as error:
        message = getattr(error, "message", f"{type(error).__name__}: {error}")
        raise BadGold(f"this is no JSON Schema: {message[:200]}") from error


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    """For a schema as JSON text. Its registry holds the published drafts and retrieves nothing."""
    from jsonschema_specifications import REGISTRY

    library, read = _library(), json.loads(schema)
    return library.validators.validator_for(read, default=library.Draft202012Validator)(read, registry=REGISTRY)


def _library() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise ImportError("a JSON Schema needs jsonschema: pip install 'whet[schema]'") from error
    return jsonschema
