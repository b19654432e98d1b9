from dataclasses import dataclass, field
from typing import Any

import pytest

from whet.schedule import Cosine, Linear, Number, Proportional, Steps, at


@dataclass(frozen=True)
class Part:
    low: Number = 0.2
    inner: Any = None
    state: dict[str, Any] = field(default_factory=dict)


def test_linear_cosine_and_steps_give_their_formula() -> None:
    assert [Linear(1.0, 0.0, 4).value(s) for s in (0, 1, 4, 9)] == [1.0, 0.75, 0.0, 0.0]
    assert [round(Cosine(0.04, 0.0, 2).value(s), 12) for s in (0, 1, 2, 5)] == [0.04, 0.02, 0.0, 0.0]
    assert [Steps(0.0, {10: 0.5, 20: 1.0}).value(s) for s in (9, 10, 19, 20)] == [0.0, 0.5, 0.5, 1.0]


def test_at_puts_numbers_in_place_at_any_depth() -> None:
    tree = {"a": Part(Linear(0, 1, 10)), "b": [Part(inner=(Steps(1, {5: 2}), "x"))]}
    there = at(tree, 5)
    assert there["a"].low == 0.5
    assert there["b"][0].inner == (2, "x")
    assert isinstance(tree["a"].low, Linear)


def test_parts_without_schedules_stay_the_same_object() -> None:
    still, moving = Part(), Part(Linear(0, 1, 2))
    there = at([still, moving], 1)
    assert there[0] is still
    assert there[1].state is moving.state


def test_states_are_put_in_by_identity() -> None:
    part = Part(state={"seen": 3})
    assert at([part], 0, {id(part.state): {"seen": 1}})[0].state == {"seen": 1}
    assert part.state == {"seen": 3}


def test_a_schedule_of_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Linear(0, 1, 0)


@pytest.mark.parametrize(
    ("kl", "target", "after"), [(-0.2, 0.1, 0.098), (0.11, 0.1, 0.101), (0.1, 0.1, 0.1), (9, None, 0.1)]
)
def test_a_coefficient_goes_up_where_the_metric_is_above_its_target(
    kl: float, target: float | None, after: float
) -> None:
    part = Proportional(start=0.1, target=target)
    assert part.value(0) == 0.1
    part.observe(0, [], {"reward/kl": -kl})
    assert part.value(1) == pytest.approx(after)


def test_a_step_without_the_metric_changes_nothing() -> None:
    part = Proportional(start=0.1, target=0.5, metric="kl", sign=1.0)
    part.observe(0, [], {})
    part.observe(1, [], {"kl": float("nan")})
    assert part.value(2) == 0.1
    part.observe(2, [], {"kl": 0.5 * 1.1})
    part.observe(3, [], {"kl": 0.5 * 1.1})
    assert part.value(4) == pytest.approx(0.1 * 1.01**2)


def test_a_number_that_learns_has_the_value_of_the_version_that_plays() -> None:
    part = Part(low=Proportional(start=0.1, target=0.5, metric="kl", sign=1.0))
    early = dict(part.low.state)
    part.low.observe(0, [], {"kl": 2.0})
    assert at(part, 1).low == pytest.approx(0.102)
    assert at(part, 1, {id(part.low.state): early}).low == 0.1


def test_a_target_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Proportional(start=0.1, target=0.0)
