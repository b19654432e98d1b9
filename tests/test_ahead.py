import asyncio

import pytest

from whet.ahead import ahead, version


def _trace(start: int, steps: int, k: int) -> tuple[list[tuple[int, int]], list[int]]:
    """(step, newest version published when it was played) in order of playing, and the steps yielded."""
    played, learned, published = [], [], start

    async def play(step: int) -> int:
        played.append((step, published))
        return step

    async def main() -> None:
        nonlocal published
        async for step, got in ahead(play, start, steps, k):
            assert got == step
            learned.append(step)
            published = step + 1

    asyncio.run(main())
    return played, learned


@pytest.mark.parametrize("k", [0, 1, 2, 9])
def test_ahead_k_plays_with_exactly_the_version_k_steps_old(k: int) -> None:
    played, learned = _trace(0, 6, k)
    assert played == [(s, version(s, k)) for s in range(6)]
    assert learned == list(range(6))


def test_resume_plays_the_steps_ahead_again() -> None:
    played, learned = _trace(3, 6, 2)
    assert [s for s, _ in played] == [3, 4, 5]
    assert learned == [3, 4, 5]


def test_nothing_is_played_beyond_the_last_step() -> None:
    assert _trace(0, 1, 5)[0] == [(0, 0)]


def test_a_negative_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        _trace(0, 2, -1)
