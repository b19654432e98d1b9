from __future__ import annotations

import pytest

from whet.metrics.band import Band, calibrate


def test_a_pass_rate_of_one_over_one_more_than_the_level_is_within_a_fifth_and_two_fifths_at_2_to_4():
    found = calibrate(20, lambda level: 1 / (1 + level), (0.2, 0.4))
    assert (found.first, found.last) == (2, 4)
    assert found.rates == {level: 1 / (1 + level) for level in found.rates} and len(found.rates) < 10


def test_no_level_is_asked_twice_and_few_are_asked():
    asked: list[int] = []

    def rate(level: int) -> float:
        asked.append(level)
        return 0.5

    assert calibrate(64, rate)[:2] == (0, 63)
    assert len(asked) == len(set(asked)) <= 12


@pytest.mark.parametrize("target", [(0.0, 1.0), (0.1, 0.7), (0.3, 0.3), (0.9, 1.0)])
@pytest.mark.parametrize("levels", [1, 2, 5, 8])
def test_the_band_is_what_going_through_all_levels_finds(levels: int, target: tuple[float, float]):
    for top in (0.05, 0.3, 0.8, 1.0):
        rates = [top * 0.6**level for level in range(levels)]
        inside = [level for level, rate in enumerate(rates) if target[0] <= rate <= target[1]]
        found = calibrate(levels, rates.__getitem__, target)
        assert found[:2] == ((inside[0], inside[-1]) if inside else (None, None))


def test_too_easy_and_too_hard_ladders_have_no_band():
    assert calibrate(4, lambda level: 1.0) == Band(None, None, {2: 1.0, 3: 1.0})
    assert calibrate(4, lambda level: 0.0)[:2] == (None, None)


def test_targets_that_are_no_shares_are_refused():
    for levels, target in ((0, (0.1, 0.7)), (3, (0.7, 0.1)), (3, (-0.1, 0.5)), (3, (0.1, 1.5))):
        with pytest.raises(ValueError, match="calibrate needs"):
            calibrate(levels, lambda level: 0.5, target)
