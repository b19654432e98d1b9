"""Rewards and gold answers: can they be reached, told apart, and judged right?"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from whet.batching import collate
from whet.describe import walk
from whet.doctor.case import Case
from whet.doctor.finding import Finding
from whet.doctor.playing import learns
from whet.schedule import at
from whet.scoring import judged, totals
from whet.types import Group, Problem, Row, Scored, Trajectory

_GOLDS = 8  # our choice: problems whose gold answers are judged
_CUT = 0.9  # our choice: share of attempts that are cut off
_DIFFERENT = 8  # our choice: so many problems say something of a column
_LONG = 200  # our choice: characters of what may be an answer
_ANSWERS = ("answer", "solution", "target", "label", "ground_truth", "final_answer", "gold", "output", "expected")
_BLANK = "no answer"


def limit(case: Case) -> Iterator[Finding]:
    """What the reward holds for the best can be written within the limit, and what is left of the context."""
    lm, most = case.lm, max((decoding.max_tokens for decoding in case.decodings), default=0)
    room = []
    for scored in case.golds if most else ():
        right = _verdicts(scored)
        if right is None:
            *values, nonsense = totals(scored).nan_to_num(-math.inf).tolist()
            right = [value == max(values) > nonsense for value in values]
        best = [attempt for attempt, good in zip(scored.group.trajectories, right, strict=False) if good]
        if not best:
            continue
        rows = min((_longest(case, attempt) for attempt in best), key=lambda row: int(row.trained.sum()))
        written = int(rows.trained.sum())
        room.append((written, min(most, lm.context - (len(rows) - written))))
    short = [(needed, there) for needed, there in room if needed > there]
    if short:
        needed, there = min(short)
        yield Finding(
            "length",
            "gold answers are shorter than the limit on an attempt",
            f"{len(short)} of {len(room)} that are longer, the shortest of {needed} tokens against {there}",
            "raise Decoding.max_tokens" if there == most else "take a model with a longer context",
            "error" if len(short) == len(room) else "warning",
        )


def _longest(case: Case, attempt: Trajectory) -> Row:
    """Of the rows in which the rollout would have written it, the one with the most to write."""
    cut = next((part.rows for _, part in walk(case.stage.rollout) if callable(getattr(part, "rows", None))), None)
    rows = (cut(attempt) if cut else attempt).rows
    return max(rows, key=lambda row: int(row.trained.sum()))


def ending(case: Case) -> Iterator[Finding]:
    """Attempts come to an end by themselves."""
    stops = [attempt.stop for scored in case.played for attempt in scored.group.trajectories]
    cut = stops.count("length") / max(len(stops), 1)
    if not (case.short or case.warmed) and case.solo and cut >= _CUT:
        yield Finding(
            "length",
            "attempts come to an end",
            f"{cut:.0%} that were cut off at {case.decodings[0].max_tokens} tokens or by the context",
            "raise Decoding.max_tokens, or teach the model to end its answers first (SFT)",
            "warning",
        )


def nan(case: Case) -> Iterator[Finding]:
    """Every attempt gets a verdict."""
    missing = [math.isnan(reward) for reward in case.rewards]
    if any(missing):
        share = sum(missing) / len(missing)
        yield Finding(
            "NaN reward",
            "every attempt gets a reward",
            f"NaN, which means no verdict, for {sum(missing)} of {len(missing)}: {_words(case.played)}these leave "
            "group and loss",
            "mend the reward, or the tool that it asks",
            "error" if share > 0.5 else "warning",
        )


def gold(case: Case) -> Iterator[Finding]:
    """The reward calls gold answers right, and does not give the same to everything."""
    known = case.golds
    verdicts = [right for scored in known for right in [_right(scored)] if right is not None]
    if verdicts and not all(verdicts):
        problem = next(s.group.problem for s in known if _right(s) is False)
        yield Finding(
            "gold answers",
            "the reward calls a gold answer right in one of its usual forms",
            f"{verdicts.count(False)} of {len(verdicts)} that it does not; the first: problem {problem.id!r} with "
            f"the answer {_short(str(problem.answer))}",
            "look whether answer, verifier and Verified.extract belong together (`whet play` shows how it judges)",
            "warning" if any(verdicts) else "error",
        )
    given = [value for scored in known for value in totals(scored).tolist() if not math.isnan(value)]
    rewards = [*given, *(value for value in case.rewards if not math.isnan(value))]
    if len(given) > 1 and len(set(rewards)) == 1 and not any(verdicts):
        yield Finding(
            "constant reward",
            "a gold answer gets another reward than none",
            f"{rewards[0]:g} for all {len(rewards)} attempts, gold answers and nonsense among them",
            "mend the reward: nothing can be learned from it",
        )


def columns(case: Case) -> Iterator[Finding]:
    """The gold answers are answers, and not another column of the data."""
    golds = [str(problem.answer) for problem in case.problems if problem.answer is not None]
    if len(golds) < _DIFFERENT:
        return
    prompts = [_text(problem) for problem in case.problems]
    asking = sum(answer.rstrip().endswith("?") for answer in golds)
    longer = sum(len(answer) > len(prompt) for answer, prompt in zip(golds, prompts, strict=False))
    if asking > len(golds) / 2 and longer > len(golds) / 2:
        yield Finding(
            "columns",
            "the answer column holds answers",
            f"{asking} of {len(golds)} that end in a question mark and are longer than the question",
            "swap the columns: --prompt names the questions, --answer the answers",
        )
    other = _better(case.problems) if _scores(golds) else ""
    if other:
        yield Finding(
            "columns",
            "the answer column holds answers",
            f"nothing but {', '.join(sorted(set(golds)))} in {len(golds)} problems, as in a column of scores, while "
            f"the column {other!r} differs from problem to problem",
            f"say --answer {other}",
        )


def spread(case: Case) -> Iterator[Finding]:
    """Attempts at one problem differ in their rewards, so that there is something to learn."""
    kept = judged(list(case.played))
    if case.short or case.warmed or not kept:
        return
    credit = case.stage.advantage(kept)
    if any(bool((advantages != 0).any()) for group in credit.advantages for advantages in group):
        return
    if any(learns(case, name, train, collate(kept, credit)) for name, train in at(case.stage, 0).train.items()):
        return
    if max(len(scored.group.trajectories) for scored in kept) < 2:
        why, do = "groups of one attempt", "raise the rollout's group to 2 or more"
    else:
        values = sorted({value for scored in kept for value in totals(scored).tolist()})
        same = f"{values[0]:g} for every attempt" if len(values) == 1 else "the same for all attempts at a problem"
        why = f"rewards that are {same} in all {len(kept)} groups, {_words(kept)}so that the loss would be 0"
        do = "take easier (or harder) problems, a better start, a larger group, or a reward that tells more"
    yield Finding("reward spread", "rewards differ within a group", why, do, "warning")


# ------------------------------------------------------------------------------------------------------- gold answers


def golds(case: Case) -> tuple[Scored, ...]:
    """Of the first problems the worked solution, or where that is not right the answer in its usual forms, too, and a
    nonsense behind them, scored by the stage's own reward. None where an environment is to be answered."""
    problems = case.problems[: 0 if case.episodes else _GOLDS]
    found = _scored(case, [(problem, _solutions(problem)) for problem in problems])
    done = {id(scored.group.problem) for scored in found if _right(scored)}
    rest = [problem for problem in problems if id(problem) not in done]
    more = _scored(case, [(problem, [*_solutions(problem), *_forms(problem)]) for problem in rest])
    return (*(scored for scored in found if id(scored.group.problem) in done), *more)


def _scored(case: Case, texts: Sequence[tuple[Problem, Sequence[str]]]) -> list[Scored]:
    models, me = case.run.models(), at(case.stage, 0)

    def written(problem: Problem, said: Sequence[str]) -> tuple[Trajectory, ...]:
        every = [_said(case, problem, text) for text in (*said, _BLANK)]
        # a track reads with a model, which can not read beyond its context
        return tuple(one for one in every if not me.tracks or len(one.rows[-1]) <= case.lm.context)

    made = [(problem, written(problem, said)) for problem, said in texts if said]
    groups = [Group(problem, attempts) for problem, attempts in made if len(attempts) > 1]

    async def score() -> list[Scored]:
        seen = groups
        for track in me.tracks:
            seen = await track(models, seen)
        return list(await asyncio.gather(*(me.reward(models, group) for group in seen)))

    return asyncio.run(score()) if groups else []


def _solutions(problem: Problem) -> list[str]:
    solution = problem.info.get("solution")
    return [solution] if isinstance(solution, str) and solution else []


def _forms(problem: Problem) -> list[str]:
    return [] if problem.answer is None else list(dict.fromkeys(form(str(problem.answer)) for form in _FORMS))


_FORMS: Sequence[Callable[[str], str]] = (
    lambda answer: answer,
    lambda answer: f"<answer>{answer}</answer>",
    lambda answer: f"<think>so</think>\n<answer>{answer}</answer>",
    lambda answer: f"\\boxed{{{answer}}}",
    lambda answer: f"<think>so</think>\n\\boxed{{{answer}}}",
    lambda answer: f"```python\n{answer}\n```",
)


def _said(case: Case, problem: Problem, text: str) -> Trajectory:
    """As if the policy had written it."""
    lm = case.lm
    return lm.codec.answer(lm.codec.open(problem, lm.context), text)


def _right(scored: Scored) -> bool | None:
    """Whether one of the gold's forms is right; None where no verifier speaks."""
    found = _verdicts(scored)
    return None if found is None else any(found)


def _verdicts(scored: Scored) -> list[bool] | None:
    """Whether each of the gold's forms is right; None where no verifier speaks."""
    for words in scored.outcomes.values():
        if {"right", "parsed", "wrong", "unparseable", "timed out", "crashed"} & set(words[:-1]):
            return [word in ("right", "parsed") for word in words[:-1]]
    values = scored.terms["correct"].tolist() if "correct" in scored.terms else []
    if values and set(values) <= {0.0, 1.0}:  # others are grades, of which none need reach 1
        return [value == 1 for value in values[:-1]]
    return None


def _words(scored_P: Sequence[Scored]) -> str:
    """What the verifiers say, "32 wrong, 1 right, "; empty where none speaks."""
    said = [word for scored in scored_P for words in scored.outcomes.values() for word in words]
    return "".join(f"{said.count(word)} {word}, " for word in dict.fromkeys(said))


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONG else f"{text[:_LONG]} ...")


def _scores(golds: Sequence[str]) -> bool:
    """Whether these look like a column of rewards: one or two values, numbers in [-1, 1] or truth values."""

    def is_score(text: str) -> bool:
        try:
            return -1 <= float(text) <= 1
        except ValueError:
            return text.lower() in ("true", "false")

    return len(set(golds)) <= 2 and all(is_score(gold) for gold in set(golds))


def _better(problems: Sequence[Problem]) -> str:
    """A column that looks like the answers; "" if there is none."""
    held = [problem.info.get("columns", {}) for problem in problems]
    names = [name for name in _ANSWERS if all(name in columns for columns in held)]
    for name in names:
        values = [str(columns[name]) for columns in held]
        if len(set(values)) > len(values) / 2 and all(len(value) <= _LONG for value in values):
            return name
    return ""


def _text(problem: Problem) -> str:
    prompt: Any = problem.prompt
    if isinstance(prompt, str):
        return prompt
    parts = (part.get("content", "") if isinstance(part, dict) else part for part in prompt)
    return "\n".join(part for part in parts if isinstance(part, str))


CHECKS: Sequence[Any] = (limit, nan, gold, columns, ending, spread)
