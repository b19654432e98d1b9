import pytest

from bench.soak import broken, judged, watched


def looks(memory: list[int], files: list[int]) -> list[dict[str, int]]:
    return [
        {"step": 200 + 20 * i, "memory_bytes": m, "open_files": f, "threads": 4, "children": 1}
        for i, (m, f) in enumerate(zip(memory, files, strict=True))
    ]


def test_growth_is_from_the_first_looks_after_the_start_to_the_last() -> None:
    early = {"step": 20, "memory_bytes": 1, "open_files": 0, "threads": 1, "children": 0}
    found = judged([early, *looks([100] * 5 + [101] * 5, [9] * 10)])
    assert found["memory_growth_percent"] == pytest.approx(1)
    assert found["grown"] == {"open_files": 0, "threads": 0, "children": 0}


def test_broken_bounds_are_named() -> None:
    found = {**judged(looks([100] * 5 + [110] * 5, [*range(10)])), "left_behind": {"processes": 2, "exit_code": 0}}
    said = " ".join(broken(found))
    assert "memory grew by 10.0 %" in said
    assert "open_files grew by 9" in said
    assert "2 processes outlived the run" in said
    assert "threads" not in said


def test_a_short_run_is_watched_and_leaves_nothing() -> None:
    found = watched(40)
    assert [look["step"] for look in found["looks"]] == [20, 40]
    assert found["left_behind"] == {"processes": 0, "exit_code": 0}
    assert found["looks"][0]["memory_bytes"] > 2**26
