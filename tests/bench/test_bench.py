import importlib.util
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench import generation, whet_arm
from bench.__main__ import app
from bench.arm import Arm, Block
from bench.race import Raced, race
from bench.table import refresh
from bench.workload import GROUP, PROBLEMS, Case
from whet.models.lm import save
from whet.models.tiny import TinyQwen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model") / "tiny"
    save(TinyQwen(width=16, layers=1, heads=2, kv_heads=1, context=64).build(0), made)
    return made


def test_a_race_of_one_pair_gives_the_figures_of_whets_side(folder: Path) -> None:
    raced = race({"whet": Arm(whet_arm.run, (Case("S", "add", 2, 0), folder))}, steps=2, pairs=1)
    [block] = raced.blocks["whet"]
    assert block.steps == 2
    assert 2 * PROBLEMS * GROUP <= block.tokens <= 2 * PROBLEMS * GROUP * 24
    figures = raced.figures("whet")
    assert figures["generation_ms"] + figures["training_ms"] == pytest.approx(figures["step_ms"])
    assert figures["tokens_per_second"] == pytest.approx(1e3 * figures["tokens_per_step"] / figures["step_ms"])
    assert 2**26 < raced.ends["whet"] < 2**33  # bytes
    assert len(raced.told["whet"]) == PROBLEMS


def test_generation_tells_the_lengths_of_its_first_steps(folder: Path) -> None:
    raced = race({"x": Arm(generation.whet, (Case("S", "add", 1, 0), folder, "reference"))}, steps=1, pairs=1)
    groups = raced.told["x"]
    assert len(groups) % PROBLEMS == 0
    assert all(len(lengths) == GROUP and max(lengths) <= 24 for _, lengths in groups)
    assert raced.blocks["x"][0].tokens >= PROBLEMS * GROUP


def test_a_ratio_is_taken_pair_by_pair() -> None:
    fast, slow = [Block(1, 100, 1.0), Block(1, 90, 1.0)], [Block(1, 50, 1.0), Block(1, 10, 1.0)]
    ratio = Raced({"a": fast, "b": slow}, {}, {}).ratio("a", "b")
    assert ratio == {"median": 5.5, "min": 2.0, "pairs": [2.0, 9.0]}


def test_an_arm_that_fails_says_so(tmp_path: Path) -> None:
    with Arm(whet_arm.run, (Case("S", "add", 1, 0), tmp_path)) as arm, pytest.raises(RuntimeError, match="ended early"):
        arm.ready()


def test_the_command_names_the_extra_or_the_cases() -> None:
    done = CliRunner().invoke(app, ["--case", "XL add"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    installed = all(importlib.util.find_spec(name) for name in ("trl", "datasets"))
    assert ("'S long'" if installed else '-e ".[bench]"') in done.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error_at_once() -> None:
    done = CliRunner().invoke(app, ["--device", "cuda"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    installed = all(importlib.util.find_spec(name) for name in ("trl", "datasets"))
    assert ("can not reach a GPU" if installed else '-e ".[bench]"') in done.output


def test_figures_stand_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- figures: make x -->\nold\n<!-- figures: end -->\nb\n<!-- figures: make y -->\n")
    refresh(page, "make x", "new \\1\nlines\n")
    assert page.read_text() == (
        "a\n<!-- figures: make x -->\nnew \\1\nlines\n<!-- figures: end -->\nb\n<!-- figures: make y -->\n"
    )


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="no place for the figures"):
        refresh(page, "make x", "new")
