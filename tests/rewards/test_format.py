from __future__ import annotations

from collections.abc import Callable

import pytest

from whet.rewards.format import TagFormat, TagOccurs
from whet.types import Group


@pytest.mark.parametrize(
    "text", ["<think>a</think><answer>5</answer>", " <think>\na < b\n</think>\n\n<answer> 5 </answer>\n"]
)
def test_the_tags_in_order_hold(text: str):
    assert TagFormat().holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "<think>a</think>",
        "<answer>5</answer>",
        "<answer>5</answer><think>a</think>",
        "<think></think><answer>5</answer>",
        "<think>a</think><answer> </answer>",
        "<think>a</think><answer>5</answer> so",
        "so <think>a</think><answer>5</answer>",
        "<think>a</think> so <answer>5</answer>",
        "<think>a<answer>5</answer></think>",
        "<think>a</think><answer>5</answer><answer>6</answer>",
        "<think>a<think>b</think></think><answer>5</answer>",
        "<think>a</think><answer>5",
        "think>a</think><answer>5</answer>",
        "<Think>a</Think><answer>5</answer>",
        "a</think><answer>5</answer>",
    ],
)
def test_anything_else_does_not(text: str):
    assert not TagFormat().holds(text)


def test_a_group_gets_one_value_each(texts: Callable[..., Group]):
    group = texts("<think>a</think><answer>5</answer>", "5", "a</think><answer>5</answer>")
    assert TagFormat()(group).tolist() == [1, 0, 0]


def test_a_thought_that_the_template_opened_counts(texts: Callable[..., Group]):
    assert TagFormat()(texts("a</think><answer>5</answer>", opened="<think>")).tolist() == [1]


def test_other_tags_can_be_asked_for(texts: Callable[..., Group]):
    assert TagFormat(("plan", "code", "check")).holds("<plan>a</plan><code>b</code><check>c</check>")


def test_a_broken_format_can_cost_something(texts: Callable[..., Group]):
    group = texts("<think>a</think><answer>5</answer>", "5", "<think></think><answer>5</answer>")
    assert TagFormat(broken=-1)(group).tolist() == [1, -1, -1]
    assert TagFormat(broken=-1, blank=("think",))(group).tolist() == [1, -1, 1]


def test_only_the_tags_that_are_named_may_be_blank():
    assert TagFormat(blank=("think",)).holds("<think>a</think><answer>5</answer>")
    assert TagFormat(blank=("think",)).holds("<think> \n</think><answer>5</answer>")
    assert not TagFormat(blank=("think",)).holds("<think></think><answer></answer>")
    assert not TagFormat(blank=("think",)).holds("<think></think>a<answer>5</answer>")
    with pytest.raises(ValueError, match=r"TagFormat\.blank"):
        TagFormat(blank=("thought",))


@pytest.mark.parametrize("tags", [(), ("a", "a"), ("a b",), ("<a>",), ("",)])
def test_senseless_tags_are_refused(tags: tuple[str, ...]):
    with pytest.raises(ValueError, match=r"TagFormat\.tags"):
        TagFormat(tags)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("<think>a\nb</think> 5", True),
        ("so <think></think><think>", True),
        ("</think><think>a</think>", True),
        ("<think>a<think>b</think>", True),
        ("", False),
        ("<think>a", False),
        ("a</think>", False),
        ("</think> a <think>", False),
        ("<Think>a</Think>", False),
    ],
)
def test_a_block_that_occurs_somewhere_is_enough_for_tag_occurs(text: str, holds: bool):
    assert TagOccurs().holds(text) is holds


def test_a_block_that_the_template_opened_occurs(texts: Callable[..., Group]):
    assert TagOccurs()(texts("a</think> 5", "a", opened="<think>")).tolist() == [1, 0]
    assert TagOccurs("plan")(texts("<plan>a</plan>", "<think>a</think>")).tolist() == [1, 0]


@pytest.mark.parametrize("tag", ["", "<a>", "a b"])
def test_a_senseless_tag_is_refused(tag: str):
    with pytest.raises(ValueError, match=r"TagOccurs\.tag"):
        TagOccurs(tag)
