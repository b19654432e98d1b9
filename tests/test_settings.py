"""Any field of a tree can be set by its path, and nothing wrong can."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.schedule import Count, Linear, Number, Steps
from whet.settings import override, override_arms, paths, put, put_arms
from whet.types import Decoding, ModelName


@dataclass(frozen=True)
class Clip:
    low: Number = 0.2
    high: Number = 0.28

    def __post_init__(self) -> None:
        if isinstance(self.low, float) and isinstance(self.high, float) and self.low > self.high:
            raise ValueError(f"Clip.low must be at most Clip.high, got {self.low} and {self.high}")


@dataclass(frozen=True)
class Train:
    objective: Callable[..., Any] | Clip = Clip()
    lr: Number = 1e-3
    epochs: Count = 1
    norm: float | None = None
    bf16: bool = False
    betas: tuple[float, float] = (0.9, 0.95)
    model: ModelName = "policy"


@dataclass(frozen=True)
class Weighted:
    terms: Mapping[str, Callable[..., Any]]
    weights: Mapping[str, Number] = field(default_factory=dict)
    how: Literal["sum", "product"] = "sum"


@dataclass(frozen=True)
class Learner:
    rate: float = 0.1
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    steps: int = 60
    name: str = "rl"
    data: Path | None = None
    train: Mapping[str, Train] = field(default_factory=lambda: {"policy": Train()})
    reward: Weighted = field(default_factory=lambda: Weighted({"correct": len}))
    decoding: Decoding = field(default_factory=Decoding)
    curriculum: Learner = field(default_factory=Learner)
    callbacks: tuple[Callable[..., Any], ...] = (len,)
    extra: Any = 3
    size: int | float = 1


STAGE = Stage()


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("steps", "5", 5),
        ("name", "sft", "sft"),
        ("name", '"sft"', "sft"),
        ("name", "7", "7"),
        ("data", "a/b.jsonl", Path("a/b.jsonl")),
        ("data", "null", None),
        ("train.policy.lr", "3e-4", 3e-4),
        ("train.policy.lr", "1", 1.0),
        ("train.policy.norm", "2", 2.0),
        ("train.policy.norm", "Infinity", float("inf")),
        ("train.policy.bf16", "true", True),
        ("train.policy.betas", "[0.5, 1]", (0.5, 1.0)),
        ("train.policy.betas.1", "0.99", (0.9, 0.99)),
        ("train.policy.model", "critic", "critic"),
        ("reward.how", "product", "product"),
        ("reward.weights.length", "0.5", 0.5),
        ("reward.weights", '{"length": 1}', {"length": 1.0}),
        ("decoding.stop", '["###"]', ("###",)),
        ("decoding.max_tokens", " 16 ", 16),
        ("callbacks", "[]", ()),
        ("extra", "0.5", 0.5),
        ("size", "2", 2),
        ("size", "2.5", 2.5),
    ],
)
def test_a_value_is_set_as_its_field_is_typed(path: str, text: str, value: Any):
    found = override(STAGE, [f"{path}={text}"])
    for part in path.removesuffix(".1").split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)
    assert Stage() == STAGE, "the tree itself never changes"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("steps=3.0", "steps takes a whole number, got 3.0"),
        ("steps=true", "steps takes a whole number, got true"),
        ('steps="3"', 'steps takes a whole number, got "3"'),
        ("steps=null", "steps takes a whole number, got null"),
        ("train.policy.lr=fast", "train.policy.lr takes a number, got fast"),
        ("train.policy.lr=true", "takes a number, got true"),
        ("train.policy.lr=NaN", "takes a number, got NaN"),
        ("train.policy.epochs=1.5", "takes a whole number, got 1.5"),
        ("train.policy.bf16=1", "takes true or false, got 1"),
        ("train.policy.norm=x", "takes a number or null, got x"),
        ("train.policy.betas=[0.5]", "takes a list of a number, a number, got [0.5]"),
        ("reward.how=mean", "takes one of 'sum', 'product', got mean"),
        ("reward.weights.length=x", "takes a number, got x"),
        ("decoding.stop=###", "takes a list whose items are text, got ###"),
        ("extra=x", "extra takes a whole number or a number, got x"),
        (
            "decoding=3",
            "decoding holds types.Decoding, which 3 can not replace: set one of its parts: decoding.max_tok",
        ),
        ("train.policy=null", "Train, which null can not replace"),
        ("train=[1]", "train holds several components, which [1] can not replace: set one of its parts: train.pol"),
        ("reward.terms.correct=1", "reward.terms.correct holds builtins.len, which 1 can not replace: change it in a"),
        ("decoding.top_p=2", "decoding.top_p=2 is refused: Decoding.top_p must lie in (0, 1], got 2.0"),
        ("steps", "a setting is path=value, got 'steps'"),
        ("=3", "a setting is path=value"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(assignment: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        override(STAGE, [assignment])


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("train.policy.rl", "train.policy.lr"),
        ("train.polcy.lr", "train.policy.lr"),
        ("lr", "train.policy.lr"),
        ("decoding.max_token", "decoding.max_tokens"),
        ("max_tokens", "decoding.max_tokens"),
        ("step", "steps"),
        ("steps.more", "steps"),
        ("reward.terms.new", "reward"),
        ("train.critic", "train"),
        ("curriculum.state", "curriculum.rate"),
        ("betas.2", "train.policy.betas"),
    ],
)
def test_a_wrong_path_lists_the_nearest(path: str, nearest: str):
    with pytest.raises(ValueError, match=re.escape(f"there is no {path} to set: ") + f".*{re.escape(nearest)}"):
        override(STAGE, [f"{path}=1"])


def test_a_schedule_gives_way_to_a_number_and_its_parts_can_be_set():
    stage = replace(STAGE, train={"policy": Train(lr=Linear(1.0, 0.0, 10), epochs=Steps(1, {100: 2}))})
    assert override(stage, ["train.policy.lr=0.5"]).train["policy"].lr == 0.5
    assert override(stage, ["train.policy.lr.stop=0.5"]).train["policy"].lr == Linear(1.0, 0.5, 10)
    assert override(stage, ["train.policy.epochs.then.100=3"]).train["policy"].epochs == Steps(1, {100: 3.0})
    assert override(stage, ["train.policy.epochs.then.200=4"]).train["policy"].epochs == Steps(1, {100: 2, 200: 4.0})
    with pytest.raises(ValueError, match="steps must be at least 1"):
        override(stage, ["train.policy.lr.steps=0"])
    with pytest.raises(ValueError, match="as a whole and in part"):
        override(stage, ["train.policy.lr=0.5", "train.policy.lr.stop=0.5"])


def test_all_are_set_at_once_and_the_last_one_counts():
    made = override(STAGE, ["train.policy.objective.low=0.5", "train.policy.objective.high=0.9", "steps=1", "steps=2"])
    assert made.train["policy"].objective == Clip(0.5, 0.9)
    assert made.steps == 2
    with pytest.raises(ValueError, match=r"objective.low=0.5 is refused: Clip.low must be at most"):
        override(STAGE, ["train.policy.objective.low=0.5"])


def test_what_is_not_on_the_path_is_the_same_object():
    made = override(STAGE, ["train.policy.lr=0.5"])
    assert made.reward is STAGE.reward
    assert made.curriculum is STAGE.curriculum
    assert made.train["policy"].objective is STAGE.train["policy"].objective
    assert override(STAGE, []) is STAGE


def test_lists_and_mappings_are_trees_too():
    tree = {"a": [STAGE, STAGE], "b.c": {"d": 1}}
    made = override(tree, ["a.1.steps=5", "b.c.d=2"])
    assert made["a"][0] is STAGE
    assert made["a"][1].steps == 5
    assert made["b.c"] == {"d": 2}
    with pytest.raises(ValueError, match=r"there is no a\.2\.steps"):
        override(tree, ["a.2.steps=5"])


def test_at_scale_may_put_a_component_in_place():
    made = put(STAGE, {"decoding": Decoding(max_tokens=7), "train.policy.objective": min, "steps": 9})
    assert made.decoding.max_tokens == 7
    assert made.train["policy"].objective is min
    with pytest.raises(ValueError, match="decoding holds"):
        put(STAGE, {"decoding": Clip()})
    with pytest.raises(ValueError, match="takes a whole number, got '9'"):
        put(STAGE, {"steps": "9"})


def test_paths_are_what_can_be_set():
    found = paths(STAGE)
    assert found["train.policy.lr"] == 1e-3
    assert found["reward.weights"] == {}
    assert found["train.policy.betas"] == (0.9, 0.95)
    assert found["data"] is None
    for path in (
        "train",
        "train.policy",
        "reward.terms",
        "reward.terms.correct",
        "decoding",
        "callbacks",
        "callbacks.0",
    ):
        assert path not in found
    again = override(STAGE, [f"{path}={json.dumps(value)}" for path, value in found.items()])
    assert again == STAGE, "every path takes the value that it has"


SHARED = Learner(rate=0.5)
ARMS = {
    "grpo": [Stage(name="sft", curriculum=SHARED), Stage(curriculum=SHARED)],
    "gppo": [Stage(curriculum=SHARED), Learner()],
}


def test_a_path_without_an_arm_applies_to_every_stage_that_has_it():
    made = override_arms(ARMS, ["steps=5"])
    assert [stage.steps for stage in made["grpo"]] == [5, 5]
    assert made["gppo"][0].steps == 5
    assert made["gppo"][1] is ARMS["gppo"][1]
    assert [stage.steps for stage in ARMS["grpo"]] == [60, 60]


def test_an_arm_and_a_place_narrow_a_path_down():
    made = override_arms(ARMS, ["steps=5", "gppo.steps=6", "grpo.1.steps=7", "0.name=first"])
    assert [stage.steps for stage in made["grpo"]] == [5, 7]
    assert made["gppo"][0].steps == 6
    assert [made["grpo"][0].name, made["grpo"][1].name, made["gppo"][0].name] == ["first", "rl", "first"]


def test_one_object_in_several_stages_stays_one():
    made = override_arms(ARMS, ["curriculum.rate=0.9"])
    assert made["grpo"][0].curriculum.rate == 0.9
    assert made["grpo"][0].curriculum is made["grpo"][1].curriculum is made["gppo"][0].curriculum
    made = override_arms(ARMS, ["grpo.curriculum.rate=0.9"])
    assert made["gppo"][0].curriculum is SHARED
    assert made["grpo"][0].curriculum is made["grpo"][1].curriculum is not SHARED


def test_an_arm_named_like_a_field_hides_no_path():
    made = override_arms({"train": [STAGE], "b": [STAGE]}, ["train.policy.lr=0.5", "train.steps=5"])
    assert [made[name][0].train["policy"].lr for name in ("train", "b")] == [0.5, 0.5]
    assert [made[name][0].steps for name in ("train", "b")] == [5, 60]


@pytest.mark.parametrize(
    ("path", "nearest"), [("gpo.steps", "gppo.steps"), ("gppo.1.steps", "steps"), ("stps", "steps")]
)
def test_a_path_that_no_stage_has_is_an_error(path: str, nearest: str):
    with pytest.raises(ValueError, match=f"there is no {path} to set: .*{nearest}"):
        override_arms(ARMS, [f"{path}=1"])


def test_arms_take_the_papers_own_numbers():
    assert put_arms(ARMS, {"train.policy.lr": 1e-6})["gppo"][0].train["policy"].lr == 1e-6


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_does_more_than_set_or_complain(path: str, text: str):
    try:
        made = override(STAGE, [f"{path}={text}"])
    except ValueError:
        return
    assert isinstance(made, Stage)


@given(st.integers() | st.floats(allow_nan=False))
def test_every_number_can_be_set_where_numbers_are_taken(number: float):
    if isinstance(number, float) or abs(number) < 1e300:
        made = override(STAGE, [f"train.policy.lr={json.dumps(number)}"])
        assert made.train["policy"].lr == float(number)
