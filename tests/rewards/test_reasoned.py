"""Reasoning beside the answer: checked, judged with errors, and judged several times."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
import torch
from helpers.examples import attempt, row

from whet.rewards.flipped import Flipped
from whet.rewards.reasoned import Reasoned, steps
from whet.rewards.votes import Votes, combined
from whet.scoring import Weighted
from whet.types import Group, Problem, Trajectory, Turn

NAN = math.nan


def said(*texts: str, prompt: Any = "(3+4-2) mod 10=?") -> Group:
    problem = Problem("p", prompt, "5")
    rows = attempt(row([1, 2, 3], [0, 1, 1])).rows
    return Group(problem, tuple(Trajectory(problem, rows, (Turn("policy", text, 0, 1, 3),)) for text in texts))


def worth(term: Any, group: Group) -> list[float]:
    return asyncio.run(Weighted({"it": term})({}, group)).terms["it"].tolist()


SOUND = "<think>3+4=7;7-2=5</think><answer>5</answer>"
SLIPPED = "<think>3+4=8;7-2=5</think><answer>5</answer>"


def test_reasoning_is_judged_whatever_the_answer() -> None:
    group = said(SOUND, SLIPPED, "<think>3+4=7;7-2=5</think><answer>9</answer>", "<answer>5</answer>", "")
    judged = asyncio.run(steps(group))
    assert judged.values.tolist() == [1, 0, 1, 0, 0]
    assert judged.outcomes == ("right", "wrong", "right", "unparseable", "unparseable")


def test_the_question_is_the_last_message() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "(3+4-2) mod 10=?"}]
    assert worth(Reasoned(), said(SOUND, SLIPPED, prompt=chat)) == [1, 0]


def test_a_question_that_no_steps_answer_gives_no_verdict() -> None:
    with pytest.warns(RuntimeWarning, match="steps"):
        assert math.isnan(worth(Reasoned(), said(SOUND, prompt="Who was it?"))[0])
    with pytest.raises(ValueError, match="asks no text"):
        worth(Reasoned(), said(SOUND, prompt=[7]))
    with pytest.raises(ValueError, match="no verifier 'stops'"):
        Reasoned("stops")


def test_a_judge_that_never_errs_and_one_that_always_does() -> None:
    group = said(SOUND, SLIPPED)
    assert worth(Flipped(rate=0.0), group) == [1, 0]
    assert worth(Flipped(rate=1.0), group) == [0, 1]


def test_a_judge_errs_at_its_rate_and_says_the_same_when_asked_again() -> None:
    group = said(*(f"{SOUND}{n}" for n in range(2000)))
    first, second = (worth(Flipped(rate=0.1, call=call), group) for call in (0, 1))
    assert abs(sum(first) / 2000 - 0.9) < 0.03  # four standard deviations are 0.027
    assert first == worth(Flipped(rate=0.1), group)
    both = sum(a == b == 0 for a, b in zip(first, second, strict=True)) / 2000
    assert abs(both - 0.01) < 0.01  # independent of one another


def test_only_verdicts_can_be_flipped_and_no_verdict_stays_none() -> None:
    assert math.isnan(worth(Flipped(lambda group: torch.tensor([NAN]), rate=1.0), said("a"))[0])
    with pytest.raises(ValueError, match="verdicts of 0 and 1"):
        worth(Flipped(lambda group: torch.tensor([0.5])), said("a"))
    with pytest.raises(ValueError, match=r"\[0, 1\], got 2"):
        Flipped(rate=2)


def test_verdicts_are_combined_by_any_all_and_majority() -> None:
    three = torch.tensor([[1.0], [0.0], [1.0]])
    assert [combined(three, rule).tolist() for rule in ("any", "all", "majority")] == [[1], [0], [1]]
    tie = torch.tensor([[1.0], [0.0]])
    assert [combined(tie, rule).tolist() for rule in ("any", "all", "majority")] == [[1], [0], [0]]


def test_who_says_nothing_has_no_vote() -> None:
    verdicts = torch.tensor([[1.0, NAN, NAN], [NAN, NAN, 0.0], [1.0, NAN, 1.0]])
    assert combined(verdicts, "all").tolist()[0] == 1 and math.isnan(float(combined(verdicts, "all")[1]))
    assert combined(verdicts, "majority").tolist()[2] == 0


def test_majorities_err_less_than_single_judges_and_any_judge_praises_more() -> None:
    wrong = said(*(f"{SLIPPED}{n}" for n in range(1000)))
    judges = [Flipped(rate=0.2, call=call) for call in range(3)]
    praise = {rule: sum(worth(Votes(judges, rule), wrong)) / 1000 for rule in ("any", "all", "majority")}
    assert praise["all"] == pytest.approx(0.008, abs=0.01)  # 0.2^3
    assert praise["majority"] == pytest.approx(0.104, abs=0.04)  # 3 * 0.2^2 * 0.8 + 0.2^3
    assert praise["any"] == pytest.approx(0.488, abs=0.065)  # 1 - 0.8^3


def test_judges_that_ask_models_may_vote() -> None:
    class Asking:
        asks_models = True

        async def __call__(self, models: Any, group: Group) -> torch.Tensor:
            return torch.tensor([models["worth"]] * len(group.trajectories))

    votes = Votes([Asking(), steps], rule="any", least=0.5)
    assert votes.asks_models and not Votes([steps]).asks_models
    found = asyncio.run(Weighted({"it": votes})({"worth": 0.7}, said(SLIPPED)))  # type: ignore[dict-item]
    assert found.terms["it"].tolist() == [1]


def test_votes_without_judges_and_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="is empty"):
        Votes([])
    with pytest.raises(ValueError, match="'most'"):
        Votes(rule="most")  # type: ignore[arg-type]
