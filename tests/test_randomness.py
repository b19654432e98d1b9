import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.randomness import generator, stream, uniforms


@given(st.integers(0, 2**40), st.lists(st.one_of(st.text(max_size=5), st.integers(0, 99)), min_size=1, max_size=4))
def test_a_stream_is_a_function_of_its_names(seed: int, parts: list[str | int]) -> None:
    assert stream(seed, *parts) == stream(seed, *parts)
    assert 0 <= stream(seed, *parts) < 2**63
    assert stream(seed, *parts) != stream(seed + 1, *parts)


def test_names_are_not_glued_together() -> None:
    assert len({stream(0, "a", 1), stream(0, "a1"), stream(0, "a", "1"), stream(0, 1, "a")}) == 4


def test_neighbouring_seeds_share_no_draw() -> None:
    ours = {stream(42, "problem", i) for i in range(1000)}
    theirs = {stream(43, "problem", i) for i in range(1000)}
    assert not ours & theirs


def test_numpy_integers_name_the_same_stream() -> None:
    assert stream(0, "row", int(np.int64(3))) == stream(0, "row", np.int64(3))  # type: ignore[arg-type]


def test_a_longer_row_has_the_same_first_draws() -> None:
    assert np.array_equal(uniforms(7, 5), uniforms(7, 50)[:5])
    assert generator(7).random() == generator(7).random()


def test_a_stream_needs_a_name() -> None:
    with pytest.raises(ValueError, match="what the draw is for"):
        stream(0)
