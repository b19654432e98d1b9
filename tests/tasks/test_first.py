"""The first problems of a task as a data set."""

from __future__ import annotations

import pytest

from whet.tasks.api_calls import ApiCalls
from whet.tasks.first import First


def test_training_ends_after_the_first_problems_and_the_test_is_the_tasks_own():
    few = First(ApiCalls(), 3)
    assert few.size("train") == 3 and few.size("test") is None
    assert [few.problem("train", i) for i in range(3)] == [ApiCalls().problem("train", i) for i in range(3)]
    assert few.problem("test", 9) == ApiCalls().problem("test", 9)


def test_a_task_that_is_smaller_stays_as_it_is():
    assert First(First(ApiCalls(), 3), 8).size("train") == 3


def test_a_place_beyond_the_first_is_refused():
    with pytest.raises(ValueError, match="first 3 problems of 'train', got place 3"):
        First(ApiCalls(), 3).problem("train", 3)


@pytest.mark.parametrize("count", [0, -1])
def test_a_set_of_no_problems_is_refused(count: int):
    with pytest.raises(ValueError, match=r"First\.count must be at least 1"):
        First(ApiCalls(), count)
