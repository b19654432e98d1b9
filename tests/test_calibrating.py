"""Levels that suit a model, from what it solves."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from whet.calibrating import band, model, pass_rate
from whet.cli import app
from whet.models.lm import save
from whet.models.tiny import TinyQwen
from whet.rollouts.sample import Sample
from whet.tasks.logic import SIGNS, WORDS, Logic
from whet.types import Decoding

TINY = TinyQwen(width=16, layers=1, heads=2, kv_heads=1, context=64, tokenizer="word", alphabet=SIGNS, words=WORDS)


def test_a_model_that_has_learned_nothing_has_no_band() -> None:
    lm = TINY.build(0)
    rate = pass_rate([lm, lm], Logic("dyck"), Sample(group=2, decoding=Decoding(max_tokens=4)), problems=3)
    assert rate == 0.0
    found = band("dyck", [lm], problems=3, attempts=2, max_tokens=4, most=1)
    assert found == (None, None, {0: 0.0, 1: 0.0})
    with pytest.raises(ValueError, match="must be one of"):
        band("chess", [lm])


def test_the_command_takes_a_folder_and_says_which_levels(tmp_path: Path) -> None:
    save(TINY.build(0), tmp_path / "model")
    assert model(str(tmp_path / "model")).context == TINY.context
    asked = ["calibrate", str(tmp_path / "model"), "--family", "dyck", "--problems", "2", "--samples", "1"]
    done = CliRunner().invoke(app, [*asked, "--max-tokens", "4", "--most", "1"])
    assert done.exit_code == 0, done.output
    assert "dyck" in done.output and "none" in done.output
