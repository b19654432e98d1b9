"""Comparing runs and models: on evaluations whose numbers are known, and on real runs of very small models."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from whet.cli import app
from whet.comparing import by_seed, compared, found, stored, verdict, wanted
from whet.files import write_json
from whet.metrics.intervals import paired
from whet.metrics.versus import effect, holm, settling, versus

RECIPE = """
from dataclasses import replace

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

task = ChainSum(terms=2)
attempts = Sample(group=2, decoding=Decoding(max_tokens=3))
reward = Weighted({"correct": exact})
a = RL(task=task, rollout=attempts, reward=reward, train={"policy": Train(Clip())}, problems=2, steps=1)
recipe = Recipe(
    model=TinyQwen(width=16, layers=1, heads=2, context=48),
    arms={"a": [a], "b": [replace(a, problems=3)]},
    evaluate=[Evaluate(task=task, rollout=attempts, reward=reward, problems=4)],
)
"""


def run(folder: Path, seed: int, correct: Sequence[Sequence[float]], task: str = "sums", **more: Any) -> Path:
    """What a run leaves that has these verdicts [P][n] at its end; as files, since it takes hours to make them."""
    told = {"name": "test", "task": {"is": task}, "split": "test", "reward": {"is": "exact"}, "correct": "correct"}
    told |= {"rollout": {"is": "Sample"}, **more.pop("told", {})}
    write_json(folder / "recipe.json", {"seed": seed, "model": {}, "stages": [more], "evaluate": [told]})
    write_json(folder / "report.json", {})
    problems = [f"p{i}" for i in range(len(correct))]
    lengths = [[10 + i for _ in row] for i, row in enumerate(correct)]
    write_json(
        folder / "evaluations" / "after" / "test.json", {"problems": problems, "correct": correct, "lengths": lengths}
    )
    return folder


def verdicts(rate: float, seed: int, problems: int = 40, attempts: int = 4) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    return (rng.random((problems, attempts)) < rate).astype(float).tolist()


def arms(folder: Path, rates: dict[str, float], seeds: int, problems: int = 40) -> list[str]:
    """Runs ARM-seedN of arms whose attempts are right this often."""
    for number, (arm, rate) in enumerate(rates.items()):
        for seed in range(seeds):
            run(folder / f"{arm}-seed{seed}", seed, verdicts(rate, 100 * number + seed, problems), arm=arm)
    return [str(folder / f"{arm}-*") for arm in rates]


def whet(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def refused(*words: str | Path) -> str:
    result = whet(*words)
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.stderr
    return result.stderr


def pair(told: dict[str, Any], metric: str = "pass@1", of: str = "") -> dict[str, Any]:
    return next(p for p in told["pairs"] if p["metric"] == metric and of in p["of"])


# --------------------------------------------------------------------------------------------------- the statistics


def test_the_numbers_of_one_seed_are_those_of_the_paired_test() -> None:
    before, after = [0.0, 0.25, 0.5, 0.5, 1.0, 0.0], [0.5, 0.25, 0.75, 1.0, 0.75, 1.0]
    told = versus([before], [after])
    d = np.array(after) - np.array(before)
    assert told.difference == paired(before, after)
    assert told.effect == pytest.approx(d.mean() / d.std(ddof=1))
    assert (told.wins, told.ties, told.losses) == (4, 1, 1)
    assert (told.unit, told.seeds, told.problems) == ("problems", 1, 6)


def test_with_seeds_the_methods_are_compared() -> None:
    rng = np.random.default_rng(0)
    than = rng.random((4, 30))
    told = versus(than, than + np.array([[0.3], [0.32], [0.28], [0.3]]))
    assert (told.unit, told.seeds, told.settled, told.needed) == ("seeds", 4, True, [])
    assert told.difference.value == pytest.approx(0.3)
    assert told.effect == pytest.approx(0.3 / np.std([0.3, 0.32, 0.28, 0.3], ddof=1))
    assert (told.wins, told.ties, told.losses) == (30, 0, 0)


def test_what_is_needed_would_settle_it_by_a_t_test() -> None:
    d = np.array([[0.5, -0.5, 0.5, -0.25, 0.5, 0.25, -0.5, 0.5]])
    told = versus(np.full_like(d, 0.5), 0.5 + d)
    n, mean, spread = told.needed[0]["problems"], d.mean(), d.std(ddof=1)
    assert not told.settled and n > 8 and told.needed == [{"problems": n}]
    assert stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n) < mean
    assert stats.t.ppf(0.975, n - 2) * spread / math.sqrt(n - 1) >= mean


def drawn(seeds: int, problems: int, by_seed: float, by_problem: float) -> np.ndarray:
    """Differences of mean 0.1 with effects of seeds and of problems of exactly these spreads."""
    rng = np.random.default_rng(seeds + problems)
    effects = (rng.normal(size=(seeds, 1)), rng.normal(size=(1, problems)))
    each, every = (s * (x - x.mean()) / x.std() for x, s in zip(effects, (by_seed, by_problem), strict=True))
    return 0.1 + each + every


def settled(d: np.ndarray) -> bool:
    return versus(np.zeros_like(d), d).settled


@pytest.mark.parametrize(("by_seed", "by_problem"), [(0.1, 0.1), (0.02, 0.4), (0.1, 0.5)])
def test_what_settling_says_would_settle_it(by_seed: float, by_problem: float) -> None:
    few = drawn(4, 40, by_seed, by_problem)
    assert not settled(few)
    ways = settling(few)
    for way in ways:
        seeds, problems = way.get("seeds", 4), way.get("problems", 40)
        more, less = ({"seeds": by * seeds // 10, "problems": by * problems // 10} for by in (13, 7))
        grown = [{**{"seeds": 4, "problems": 40}, **{name: n[name] for name in way}} for n in (more, less)]
        assert settled(drawn(**grown[0], by_seed=by_seed, by_problem=by_problem))
        assert not settled(drawn(**grown[1], by_seed=by_seed, by_problem=by_problem))
    # Where problems differ more than any number of seeds could make up for, or the other way round, both must grow.
    assert [list(way) for way in ways] == {
        (0.1, 0.1): [["seeds"]],
        (0.02, 0.4): [["problems"]],
        (0.1, 0.5): [["seeds", "problems"]],
    }[by_seed, by_problem]


def test_equal_sides_show_no_difference_and_need_nothing() -> None:
    told = versus([[0.5, 1.0, 0.0]], [[0.5, 1.0, 0.0]])
    assert told.difference.value == 0 and told.difference.p == 1
    assert (told.wins, told.ties, told.losses, told.needed, told.settled) == (0, 3, 0, [], False)
    assert math.isnan(told.effect)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=12), st.integers(1, 3))
def test_turning_the_sides_round_turns_the_signs_round(both: list[tuple[float, float]], seeds: int) -> None:
    x, y = (np.tile(np.array(side), (seeds, 1)) for side in zip(*both, strict=True))
    one, other = versus(x, y), versus(y, x)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.effect == pytest.approx(-other.effect, nan_ok=True)


def test_a_problem_without_a_verdict_is_left_out() -> None:
    told = versus([[0.0, math.nan, 0.5]], [[1.0, 1.0, 0.5]])
    assert (told.wins, told.ties, told.losses, told.problems) == (1, 1, 0, 2)
    assert told.difference.value == 0.5


def test_sides_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same seeds and problems"):
        versus([[0.0, 1.0]], [[0.0, 1.0, 1.0]])


def test_the_effect_of_no_spread_is_not_known() -> None:
    assert effect([1.0, 2.0, 3.0]) == 2.0
    assert math.isnan(effect([0.5, 0.5])) and math.isnan(effect([0.5]))


def test_holm_makes_small_p_values_larger_in_steps() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert math.isnan(holm([math.nan, 0.02])[0]) and holm([math.nan, 0.02])[1] == 0.02


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_helps(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    order = np.argsort(ps, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)


def test_a_verdict_is_in_words() -> None:
    assert verdict("b", "pass@4", 0.1, True) == "b is better"
    assert verdict("b", "pass@4", -0.1, True) == "b is worse"
    assert verdict("b", "length", -3.0, True) == "b is shorter"
    assert verdict("b", "length", 3.0, False) == "no difference shown"


# -------------------------------------------------------------------------------------------------- who is compared


def test_runs_that_differ_in_their_seed_are_one_side(tmp_path: Path) -> None:
    arms(tmp_path / "x", {"grpo": 0.3, "gppo": 0.5}, seeds=11, problems=4)
    for words in (
        [str(tmp_path / "x")],
        [str(tmp_path / "x" / "gppo-*"), str(tmp_path / "x" / "grpo-*")],
        [str(p) for p in sorted((tmp_path / "x").iterdir())],
    ):
        gppo, grpo = found(words)
        assert (gppo.name, grpo.name) == ("gppo", "grpo")
        assert sorted(m.seed for m in grpo.members) == list(range(11))  # type: ignore[type-var]


def test_a_second_run_of_the_same_seed_is_another_side(tmp_path: Path) -> None:
    one = run(tmp_path / "grpo-seed0", 0, verdicts(0.5, 0))
    two = run(tmp_path / "grpo-seed0-2", 0, verdicts(0.5, 1), lr=2)
    assert [arm.name for arm in found([str(one), str(two)])] == ["grpo", "grpo-2"]


def test_sides_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        run(tmp_path / folder / "grpo-seed0", 0, verdicts(0.5, 0))
    assert [arm.name for arm in found([str(tmp_path / "x"), str(tmp_path / "y")])] == ["x/grpo", "y/grpo"]


def test_seeds_are_paired_where_both_have_them(tmp_path: Path) -> None:
    words = arms(tmp_path, {"a": 0.3, "b": 0.6}, seeds=4)
    run(tmp_path / "b-seed9", 9, verdicts(0.6, 77), arm="b")
    told = compared(stored(found(words)))
    assert pair(told)["seeds"] == 4
    assert any("[9]" in note and "left out" in note for note in told["notes"])
    a, b = ([np.array(verdicts(rate, 100 * i + s)).mean() for s in range(4)] for i, rate in enumerate((0.3, 0.6)))
    assert pair(told)["value"] == pytest.approx(np.mean(b) - np.mean(a))


def test_arms_by_seeds_are_a_table(tmp_path: Path) -> None:
    words = arms(tmp_path, {"a": 0.3, "b": 0.6}, seeds=2)
    run(tmp_path / "b-seed9", 9, verdicts(0.6, 77), arm="b")
    told = compared(stored(found(words)))
    header, (a, b) = by_seed(told, "pass@1")
    assert header == ("pass@1", "seed 0", "seed 1", "seed 9", "all")
    assert a[0] == "a" and a[3] == "" and b[3] == f"{100 * float(np.mean(verdicts(0.6, 77))):.1f} %"
    assert a[1] == f"{100 * float(np.mean(verdicts(0.3, 0))):.1f} %" and a[4].endswith("]")
    assert told["sides"][0]["by_seed"]["length"] == told["sides"][1]["by_seed"]["length"][:2]
    assert "seed 9" in whet(*words).stdout
    alone = compared(stored(found([str(tmp_path / "a-seed0"), str(tmp_path / "b-seed0")])))
    assert by_seed(alone, "pass@1") == ((), [])


# ------------------------------------------------------------------------------------------------------ the command


def test_a_large_difference_is_found_and_a_small_one_is_left_open(tmp_path: Path) -> None:
    words = arms(tmp_path, {"a": 0.30, "b": 0.80, "c": 0.32}, seeds=3)
    told = json.loads(whet(*words, "--json").stdout)
    large, small = pair(told, of="b"), pair(told, of="c")
    assert large["verdict"] == "b is better" and large["needed"] == [] and large["low"] > 0
    assert small["verdict"] == "no difference shown" and small["low"] < 0 < small["high"]
    assert all(way["seeds"] > 3 and way["problems"] > 40 for way in small["needed"])
    assert large["p_holm"] >= large["p"]
    assert [side["name"] for side in told["sides"]] == ["a", "b", "c"]
    assert told["sides"][1]["metrics"]["pass@1"]["value"] == pytest.approx(0.8, abs=0.06)
    assert pair(told, "length", "b")["value"] == 0


def test_the_table_says_what_would_settle_it(tmp_path: Path) -> None:
    one = run(tmp_path / "a-seed0", 0, verdicts(0.40, 1, problems=30))
    two = run(tmp_path / "b-seed0", 0, verdicts(0.48, 3, problems=30))
    result = whet(one, two)
    assert result.exit_code == 0, result.output
    told = compared(stored(found([str(one), str(two)])))
    need = pair(told)["needed"][0]["problems"]
    assert "no difference shown" in result.stdout and "one seed" in result.stdout
    assert f"pass@1: about {need} problems (there are 30) would settle it" in result.stdout and need > 30
    assert wanted(pair(told, "length")) == "no difference was seen at all"


def test_several_sides_have_wider_intervals_than_two(tmp_path: Path) -> None:
    words = arms(tmp_path, {"a": 0.3, "b": 0.5, "c": 0.4}, seeds=3)
    two, three = (compared(stored(found(words[:count]))) for count in (2, 3))
    assert pair(three, of="b")["low"] < pair(two, of="b")["low"]
    assert pair(three, of="b")["high"] > pair(two, of="b")["high"]


def test_the_differences_are_drawn(tmp_path: Path) -> None:
    words = arms(tmp_path / "runs", {"a": 0.3, "b": 0.5}, seeds=2)
    assert whet(*words, "--plot", tmp_path / "d.png").exit_code == 0
    assert (tmp_path / "d.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ".png" in refused(*words, "--plot", tmp_path / "d.pdf")


def test_runs_and_their_models_are_compared_for_real(tmp_path: Path) -> None:
    recipe = tmp_path / "mini.py"
    recipe.write_text(RECIPE)
    for seed in ("0", "1"):
        words = ["run", str(recipe), "--no-doctor", "--seed", seed, "--out", str(tmp_path / "all" / seed)]
        assert CliRunner().invoke(app, words).exit_code == 0
        for arm in "ab":
            (tmp_path / "all" / seed / arm).rename(tmp_path / f"{arm}-seed{seed}")
    a, b = tmp_path / "a-seed?", tmp_path / "b-seed?"
    told = json.loads(whet(a, b, "--json").stdout)
    assert [len(side["places"]) for side in told["sides"]] == [2, 2]
    assert (told["problems"], told["attempts"], pair(told)["unit"]) == (4, 2, "seeds")
    asked = ["--task", "chain-sum", "--problems", "6", "--samples", "2", "--max-tokens", "3", "--json"]
    model = tmp_path / "a-seed0" / "model"
    told = json.loads(whet(model, a, b, *asked).stdout)
    assert told["problems"] == 6 and [len(side["places"]) for side in told["sides"]] == [1, 2, 2]
    same = json.loads(whet(model, tmp_path / "a-seed0", *asked).stdout)  # one model asked twice says the same
    assert pair(same)["value"] == 0 and pair(same, "length")["value"] == 0


# ------------------------------------------------------------------------------------------------------ wrong input


def test_one_side_is_no_comparison(tmp_path: Path) -> None:
    words = arms(tmp_path, {"a": 0.3}, seeds=2)
    assert "two sides, got only a with 2 seeds" in refused(*words)


def test_words_that_name_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "nothing matches" in refused(str(tmp_path / "no-*"), str(tmp_path))
    assert "holds no runs" in refused(tmp_path / "empty", tmp_path / "empty")
    assert "there is no run or model" in refused(tmp_path / "none", tmp_path / "empty")
    one = run(tmp_path / "a-seed0", 0, verdicts(0.5, 0))
    assert "--task" in refused(one, "some/model")


def test_a_run_that_is_not_done_says_how_to_go_on(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, 0, verdicts(0.5, 0)) for name in ("a-seed0", "b-seed0"))
    (two / "report.json").unlink()
    assert f"whet resume {two}" in refused(one, two).replace("\n", " ")
    assert "whet resume" in refused(one, two, "--task", "chain-sum").replace("\n", " ")


def test_other_problems_can_not_be_paired(tmp_path: Path) -> None:
    one = run(tmp_path / "a-seed0", 0, verdicts(0.5, 0, problems=20))
    two = run(tmp_path / "b-seed0", 0, verdicts(0.5, 0, problems=30))
    said = refused(one, two)
    assert "other problems" in said and "a-seed0" in said and "b-seed0" in said and "--task" in said


def test_other_tasks_can_not_be_paired_though_their_problems_have_the_same_names(tmp_path: Path) -> None:
    one = run(tmp_path / "a-seed0", 0, verdicts(0.5, 0))
    two = run(tmp_path / "b-seed0", 0, verdicts(0.5, 0), task="games")
    assert "another task" in refused(one, two)


def test_seeds_of_other_recipes_are_no_seeds_of_one_arm(tmp_path: Path) -> None:
    run(tmp_path / "a-seed0", 0, verdicts(0.5, 0), lr=1)
    run(tmp_path / "a-seed1", 1, verdicts(0.5, 0), lr=2)
    run(tmp_path / "b-seed0", 0, verdicts(0.5, 0))
    assert "their recipes differ" in refused(tmp_path)


def test_sides_without_a_common_seed_can_not_be_paired(tmp_path: Path) -> None:
    for arm, first in (("a", 0), ("b", 5)):
        for seed in (first, first + 1):
            run(tmp_path / f"{arm}-seed{seed}", seed, verdicts(0.5, seed), arm=arm)
    assert "none in common" in refused(tmp_path)


def test_attempts_made_in_other_ways_are_noted(tmp_path: Path) -> None:
    one = run(tmp_path / "a-seed0", 0, verdicts(0.5, 0))
    two = run(tmp_path / "b-seed0", 0, verdicts(0.5, 1), told={"rollout": {"is": "Chunked"}})
    assert "in different ways" in whet(one, two).stdout
