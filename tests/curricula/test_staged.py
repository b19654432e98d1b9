"""One source after another."""

from __future__ import annotations

import pytest
from helpers.sources import mixture, played

from whet.curricula.staged import Staged


def test_a_stage_ends_after_its_steps_and_the_last_does_not() -> None:
    part = Staged(("b", "a"), steps=2)
    seen = []
    for step in range(6):
        seen.append(part.odds("ab"))
        part.observe(step, [played("b", 0), played("a", 0)], {})
    assert seen == [{"a": 0.0, "b": 1.0}] * 2 + [{"a": 1.0, "b": 0.0}] * 4


def test_a_source_that_is_mastered_ends_its_stage_sooner() -> None:
    part = Staged(("a", "b"), steps=9, enough=0.75, window=4)
    part.observe(0, [played("a", 1, 1)], {})
    assert part.state["stage"] == 0  # too few to know
    part.observe(1, [played("a", 1, 0), played("b", 0, 0)], {})
    assert part.state["stage"] == 1 and part.state["recent"] == []


def test_earlier_sources_share_what_is_left_for_them() -> None:
    part = Staged(("a", "b", "c"), earlier=0.4, state={"stage": 2})
    assert part.odds("cab") == {"c": pytest.approx(0.6), "a": 0.2, "b": 0.2}
    assert Staged(("a", "b"), earlier=0.4).odds("ab") == {"a": 1.0, "b": 0.0}


def test_it_draws_of_its_source_and_tells_where_it_is() -> None:
    part, task = Staged(("a", "b"), state={"stage": 1}), mixture("a", "b")
    assert {p.info["source"] for p in part.draw(task, 8, 3)} == {"b"}
    assert part.told(task) == {"P/a": 0.0, "P/b": 1.0, "stage": 1.0}


def test_an_order_of_other_sources_is_refused() -> None:
    with pytest.raises(ValueError, match="each once"):
        Staged(("a", "c")).draw(mixture("a", "b"), 1, 0)


@pytest.mark.parametrize("fields", [{"order": ()}, {"steps": 0}, {"window": 0}, {"earlier": 2.0}])
def test_numbers_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Staged"):
        Staged(**{"order": ("a",), **fields})  # type: ignore[arg-type]
