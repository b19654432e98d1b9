"""Families of problems by rules: every answer is found again by another way."""

from __future__ import annotations

import re
from itertools import permutations, product

import pytest

from whet.tasks.rules import FAMILIES, SIGNS, Rules
from whet.types import Problem

COUNT = 150


def problems(family: str) -> list[Problem]:
    return [Rules(family, seed=3).problem("train", i) for i in range(COUNT)]


def question(problem: Problem) -> str:
    return str(problem.prompt[-1]["content"])  # type: ignore[index]


def closed(rules: list[tuple[set[str], set[str], str]], known: set[str]) -> set[str]:
    """All that follows from (premises, what must not be known, conclusion)."""
    while new := {end for needs, without, end in rules if needs <= known and not without & known} - known:
        known = known | new
    return known


def opposite(literal: str) -> str:
    return literal[1:] if literal.startswith("-") else f"-{literal}"


def solve(family: str, asked: str) -> str:
    if family in ("chain", "both", "default", "negation"):
        rules, facts = asked.removesuffix("?").split(";")
        made = []
        for rule in rules.split(","):
            left, _, right = rule.partition(">")
            end, _, unless = right.partition("!")
            made.append((set(left.split("&")), {unless} - {""}, end))
        known = closed(made, set(facts.split(",")))
        assert not {opposite(literal) for literal in known} & known
        start = facts.split(",")[0]
        new = known - set(facts.split(",")) | {start}
        used = {x for needs, without, end in made if needs <= known and not without & known for x in needs}
        (last,) = new - used  # what nothing follows from
        return last
    if family == "sets":
        given, formula = asked.removesuffix("?").split(";")
        sets = {part[0]: set(part[2:]) for part in given.split(",")}
        found = sets[formula[0]]
        for sign, name in re.findall("([&|-])([A-E])", formula):
            other = sets[name]
            found = {"&": found & other, "|": found | other, "-": found - other}[sign]
        return "".join(sorted(found)) or "0"
    if family == "rewrite":
        rules, text = asked.split(";")
        for rule in rules.split(","):
            text = "".join(rule[2] if c == rule[0] else c for c in text)
        return text
    if family in ("order", "largest"):
        facts, _ = asked.split(";")
        pairs = [tuple(fact.split("<")) for fact in facts.split(",")]
        names = sorted({name for pair in pairs for name in pair})
        fitting = [p for p in permutations(names) if all(p.index(a) < p.index(b) for a, b in pairs)]
        assert len(fitting) == 1
        return fitting[0][0 if family == "order" else -1]
    if family in ("table", "inverse"):
        table, ask = asked.split(";")
        to = dict(pair.split("=") for pair in table.split(","))
        to = to if "+" in ask else {b: a for a, b in to.items()}
        place = ask[0]
        for _ in range(int(ask[2:])):
            place = to[place]
        return place
    claims = [claim.partition(":") for claim in asked.split(",")]
    fitting = ["".join(roles) for roles in product("+-", repeat=len(claims)) if _fits(claims, "".join(roles))]
    assert len(fitting) == 1
    return fitting[0]


def _fits(claims: list[tuple[str, str, str]], roles: str) -> bool:
    of = dict(zip("ABC", roles, strict=False))
    for speaker, _, said in claims:
        true = of[said[0]] == said[1] if said[1:] in ("+", "-") else (of[said[0]] == of[said[2]]) == (said[1] == "=")
        if true != (of[speaker] == "+"):
            return False
    return True


@pytest.mark.parametrize("family", FAMILIES)
def test_every_answer_is_the_only_one_that_follows(family: str) -> None:
    for problem in problems(family):
        assert solve(family, question(problem)) == problem.answer, question(problem)
        assert problem.info["solution"].endswith(f"<answer>{problem.answer}</answer>")


@pytest.mark.parametrize("family", FAMILIES)
def test_deeper_problems_are_longer_and_all_signs_are_known(family: str) -> None:
    lengths = []
    for depth in (1, 4):
        asked = [question(Rules(family, depth).problem("train", i)) for i in range(20)]
        lengths.append(sum(map(len, asked)))
        assert set("".join(asked)) <= set(SIGNS)
    assert lengths[0] < lengths[1] or family in ("table", "inverse")


def test_unknown_families_and_depths_are_refused() -> None:
    with pytest.raises(ValueError, match="chain, negation"):
        Rules("syllogism")
    with pytest.raises(ValueError, match="at most 4"):
        Rules(depth=5)
