"""The tokens of SQL, and how alike two queries are by them. Everything here is linear in the text's length."""

from __future__ import annotations

import re

LONGEST = 10_000  # our choice: characters of a query that are looked at

KEYWORDS = frozenset(
    [
        *("all", "and", "as", "asc", "avg", "between", "by", "case", "cast", "count", "desc", "distinct", "else"),
        *("end", "except", "exists", "from", "full", "group", "having", "in", "inner", "intersect", "is", "join"),
        *("left", "like", "limit", "max", "min", "not", "null", "offset", "on", "or", "order", "outer", "over"),
        *("partition", "right", "select", "sum", "then", "union", "when", "where", "with"),
    ]
)

# Text, name in quotes, comment, word or number, sign. What is opened and never closed goes to the end.
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*'?) | (?P<name>"(?:[^"]|"")*"? | `[^`]*`?) | (?P<remark>--[^\n]* | /\*.*?(?:\*/|\Z))
    | [0-9]+\.[0-9]+ | \w+ | <= | >= | <> | != | == | \|\| | :: | \S""",
    re.DOTALL | re.VERBOSE,
)


def tokens(query: str) -> list[str]:
    """Words and names in lower case, names without their quotes, texts as they stand, signs; no comments. A name in
    quotes can not be told from a word."""
    found = []
    for match in _TOKEN.finditer(query[:LONGEST]):
        if match["name"]:
            found.append(match["name"][1:].removesuffix(match["name"][0]).lower())
        elif not match["remark"]:
            found.append(match[0] if match["text"] else match[0].lower())
    return found


def ordered(query: str) -> bool:
    """Whether the query has an ORDER BY outside of all parentheses."""
    depth, before = 0, ""
    for token in tokens(query):
        depth += (token == "(") - (token == ")")
        if depth == 0 and (before, token) == ("order", "by"):
            return True
        before = token
    return False


def ngram_overlap(a: str, b: str, size: int = 2) -> float:
    """|A & B| / |A | B| for the sets A and B of the runs of `size` tokens of two queries; 0 where there are none."""
    return _jaccard(_ngrams(tokens(a), size), _ngrams(tokens(b), size))


def keyword_overlap(a: str, b: str) -> float:
    """|A & B| / |A | B| for the sets A and B of the `KEYWORDS` of two queries; 0 where there are none."""
    return _jaccard(KEYWORDS.intersection(tokens(a)), KEYWORDS.intersection(tokens(b)))


def _ngrams(parts: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(parts[k : k + size]) for k in range(len(parts) - size + 1)}


def _jaccard(a: set | frozenset, b: set | frozenset) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0
