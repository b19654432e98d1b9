"""Right completions that differ, as texts to imitate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from whet.rewards.text import response, tagged
from whet.types import Problem, Scored

_WORD = re.compile(r"\w+")


def different(texts: Sequence[str], most: int = 6, below: float = 0.7) -> list[int]:
    """The places of up to `most` texts whose words differ: a text is taken, in order, if

        |A & B| / |A | B| < below     for its set A of words and B of each text taken before

    Words are runs of letters and digits in lower case. Two texts without any are the same. ValueError unless `most` is
    1 or more and `below` lies in (0, 1].
    """
    if most < 1 or not 0 < below <= 1:
        raise ValueError(f"different needs most of 1 or more and below in (0, 1], got {most} and {below}")
    taken: dict[int, set[str]] = {}
    for place, text in enumerate(texts):
        if len(taken) == most:
            break
        words = set(_WORD.findall(text.lower()))
        if all(_jaccard(words, other) < below for other in taken.values()):
            taken[place] = words
    return list(taken)


def positives(
    scored_P: Sequence[Scored], most: int = 6, below: float = 0.7, term: str = "correct", thought: str = "think"
) -> list[Problem]:
    """Up to `most` problems for each question, the question with one of its right attempts as `info["solution"]`: those
    whose `term` is 1 or more, in order, and whose thoughts are `different`. A thought is what stands in the tag
    `thought`, else the whole response.

    Groups of one problem are taken together. Source: the positive sampling of CogniSQL-R1-Zero (2025), which keeps six
    paths of reasoning per query; that paths differ if the Jaccard index of their words is below 0.7 is our choice.
    ValueError for a term that a group was not scored by.
    """
    right: dict[str, list[tuple[Problem, str]]] = {}
    for scored in scored_P:
        if term not in scored.terms:
            raise ValueError(f"positives: there is no term {term!r}; there are {', '.join(sorted(scored.terms))}")
        problem = scored.group.problem
        for trajectory, value in zip(scored.group.trajectories, scored.terms[term].tolist(), strict=True):
            if value >= 1:  # not so for NaN
                right.setdefault(problem.id, []).append((problem, response(trajectory)))
    return [
        _shown(*attempts[place]) for attempts in right.values() for place in _places(attempts, most, below, thought)
    ]


def _places(attempts: Sequence[tuple[Problem, str]], most: int, below: float, thought: str) -> list[int]:
    return different([tagged(text, thought) or text for _, text in attempts], most, below)


def _shown(problem: Problem, text: str) -> Problem:
    return replace(problem, info={**problem.info, "solution": text})


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0
