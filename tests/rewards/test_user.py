from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from whet.contracts import check_reward
from whet.rewards.user import UserReward
from whet.scoring import Weighted
from whet.types import Group, Media

REWARDS = """
def plain(prompts, completions, answer, **columns):
    return [float(p == "p" and text == gold) for p, text, gold in zip(prompts, completions, answer)]

def chat(prompts, completions, **columns):
    said = [{"role": "assistant", "content": "5"}]
    return [float(p[0]["content"] == "q" and c == said) for p, c in zip(prompts, completions)]

def columns(completions, **columns):
    columns.pop("prompts")
    return [float(sum(len(name) for name in columns))] * len(completions)

def unsure(completions, **columns):
    return [None if text == "?" else 1.0 for text in completions]

def bad(completions, **columns):
    return ["good" for text in completions]
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("user") / "rewards.py"
    file.write_text(REWARDS)
    return str(file)


def test_a_text_prompt_gives_texts(path: str, texts: Callable[..., Group]):
    assert asyncio.run(UserReward(f"{path}:plain")(texts("5", "6", answer="5"))).tolist() == [1, 0]


def test_a_chat_prompt_gives_messages(path: str, texts: Callable[..., Group]):
    group = texts("5", "6", prompt=[{"role": "user", "content": "q"}])
    assert asyncio.run(UserReward(f"{path}:chat")(group)).tolist() == [1, 0]


def test_the_data_rows_columns_are_given_or_picked(path: str, texts: Callable[..., Group]):
    group = texts("5", answer="5", columns={"ab": 1, "c": [2]})
    assert asyncio.run(UserReward(f"{path}:columns")(group)).tolist() == [len("answer" + "ab" + "c")]
    assert asyncio.run(UserReward(f"{path}:columns", columns=("ab",))(group)).tolist() == [2]
    with pytest.raises(ValueError, match="no column 'abc'; it has answer, ab, c"):
        asyncio.run(UserReward(f"{path}:columns", columns=("abc",))(group))


def test_none_is_no_verdict(path: str, texts: Callable[..., Group]):
    values = asyncio.run(UserReward(f"{path}:unsure")(texts("5", "?")))
    assert values.isnan().tolist() == [False, True]


def test_an_error_names_reward_problem_and_value(path: str, texts: Callable[..., Group]):
    reward = Weighted({"mine": UserReward(f"{path}:bad")})
    with pytest.raises(ValueError, match=r"(?s)'mine'.*'task/1'.*rewards\.py:bad.*'good'"):
        asyncio.run(reward({}, texts("5", "6")))


def test_it_keeps_the_promises_of_a_reward(path: str):
    check_reward(UserReward(f"{path}:columns"))


def test_media_can_not_be_given(path: str, texts: Callable[..., Group]):
    import torch

    group = texts("5", prompt=["look", Media("image", torch.zeros(1), 1)])
    with pytest.raises(ValueError, match="media"):
        asyncio.run(UserReward(f"{path}:plain")(group))


@pytest.mark.parametrize("function", ["plane", "absent.py:f"])
def test_a_wrong_path_is_an_error_before_any_work(path: str, function: str):
    with pytest.raises(ValueError, match="no f"):
        UserReward(function if ":" in function else f"{path}:{function}")


def test_a_deadline_must_be_positive(path: str):
    with pytest.raises(ValueError, match="deadline"):
        UserReward(f"{path}:plain", deadline=0)
