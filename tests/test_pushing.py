"""`whet push`: what is prepared of a run, that nothing leaves without a name, and what arrives at a hub."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.hub import TOKEN, Hub, hub
from helpers.model_small import shaken
from typer.testing import CliRunner

from whet.cli import app
from whet.files import write_json
from whet.launch import Order, start
from whet.metrics import plots
from whet.models.lm import load, save
from whet.models.tiny import TinyQwen
from whet.pushing import check_name, prepare, upload
from whet.report import rows
from whet.run import Silent

RECIPE = """
from helpers.runs import sums
from helpers.shapes import odd
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Recipe
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding

sample = Sample(group=2, decoding=Decoding(max_tokens=4))
reward = Weighted({"correct": odd})
loop = RL(sums(3), sample, reward, {"policy": Train(Clip())}, problems=2, steps=1)
recipe = Recipe(TinyQwen(), {"grpo": [loop]}, [Evaluate(sums(4), sample, reward, problems=3)])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("pushed")
    (place / "my_recipe.py").write_text(RECIPE)
    save(shaken(TinyQwen(width=16, layers=1, heads=2, kv_heads=1, context=64)), place / "base")
    return place


def trained(place: Path, run: str, **more: Any) -> Path:
    if not (place / run).exists():
        order = Order(str(place / "my_recipe.py"), "grpo", model=str(place / "base"), **more)
        start(order, place / run, Silent())
    return place / run


@pytest.fixture(scope="module")
def run(place) -> Path:
    return trained(place, "run")


@pytest.fixture
def near(monkeypatch, tmp_path) -> Iterator[Hub]:
    with hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the other tests ask nobody
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def whet(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["push", *map(str, words)])
    return done.exit_code, done.output


def front(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_the_card_holds_command_results_and_intervals(run):
    folder = prepare(run)
    told, text = json.loads((run / "report.json").read_text()), (folder / "README.md").read_text()
    assert "whet run my_recipe.py --arm grpo --seed 0 --model base" in text
    assert '"is": "objectives.clip.Clip"' in text
    for name, before, after, difference, _ in rows(told):
        assert f"| {name} | {before} | {after} | {difference} |" in text
        assert all("[" in cell for cell in (before, after, difference))
    head = front(folder)
    assert head["tags"] == ["whet", "reinforcement-learning"]
    assert (head["library_name"], head["pipeline_tag"]) == ("transformers", "text-generation")
    (index,) = head["model-index"]
    assert index["name"] == "my_recipe-grpo-seed0"
    (result,) = index["results"]
    assert result["dataset"] == {"name": "Listed", "type": "listed", "split": "test"}
    measured = {m["type"]: m for m in result["metrics"]}
    assert measured.keys() == told["after"].keys()
    for name, estimate in told["after"].items():
        assert measured[name]["value"] == pytest.approx(estimate["value"], abs=1e-4)
        assert measured[name]["args"]["low"] == pytest.approx(estimate["low"], abs=1e-4)
        assert measured[name]["args"]["high"] == pytest.approx(estimate["high"], abs=1e-4)


def test_a_metric_without_any_verdict_has_no_number(run, tmp_path):
    told = json.loads((run / "report.json").read_text())
    nothing = {"value": None, "low": None, "high": None}
    told |= {when: {**told[when], "pass@1": nothing} for when in ("before", "after", "difference")}
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    write_json(copied / "report.json", told)
    folder = prepare(copied)
    (result,) = front(folder)["model-index"][0]["results"]
    assert {m["type"] for m in result["metrics"]} == {"pass@2", "length"}


def test_the_folder_holds_model_and_plots_and_no_path_of_this_machine(run, place):
    folder = prepare(run)
    assert load(folder).vocab == load(run / "model").vocab
    drawn = sorted(p.name for p in (run / "plots").glob("*.png"))
    assert drawn and drawn == sorted(p.name for p in (folder / "plots").iterdir())
    text = (folder / "README.md").read_text()
    assert all(f"(plots/{name})" in text for name in drawn)
    for file in folder.rglob("*"):
        if file.is_file():
            assert str(place).encode() not in file.read_bytes(), file
    before = (run / "model" / "README.md").read_text()
    assert prepare(run) == folder  # again, in its place
    assert (run / "model" / "README.md").read_text() == before


def test_a_base_of_the_hub_is_named(run, tmp_path):
    """Here only its name is put in: the card is made of what the run wrote down."""
    told = json.loads((run / "recipe.json").read_text())
    told["model"]["name"] = "owner/base"
    copied = tmp_path / "run"
    (copied / "model").mkdir(parents=True)
    write_json(copied / "recipe.json", told)
    (copied / "report.json").write_text((run / "report.json").read_text())
    head = front(prepare(copied))
    assert (head["base_model"], head["base_model_relation"]) == ("owner/base", "finetune")
    assert "base_model" not in front(prepare(run))


def test_an_adapter_of_a_base_that_only_we_have_is_not_pushed_alone(place, monkeypatch):
    monkeypatch.setattr(plots, "draw_all", lambda *_: [])  # most of the time
    merged = trained(place, "merged", lora=2)
    assert "lora" in front(prepare(merged))["tags"]
    assert "--lora 2" in (merged / "push" / "README.md").read_text()
    apart = trained(place, "apart", lora=2, settings=("model.export=apart",))
    with pytest.raises(ValueError, match=r"a folder of this machine.*model\.export=merged"):
        prepare(apart)


def test_without_a_name_or_dry_nothing_leaves(run, near):
    code, said = whet(run)
    assert code == 0
    assert f"nothing was uploaded; upload it with: whet push {run} OWNER/NAME" in said
    code, said = whet(run, "owner/mine", "--dry-run")
    assert code == 0
    assert f"whet push {run} owner/mine" in said
    assert near.asked == []
    assert near.repositories == {}


def test_with_a_name_it_arrives_whole_and_can_be_loaded_from_there(run, near):
    code, said = whet(run, "owner/mine")
    assert code == 0, said
    assert f"uploaded to {near.url}/owner/mine" in said
    files = {str(f.relative_to(run / "push")): f.read_bytes() for f in (run / "push").rglob("*") if f.is_file()}
    assert near.repositories["owner/mine"] == files
    again = load("owner/mine")
    theirs = load(run / "model")
    assert all(a.equal(b) for a, b in zip(again.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "env", "message"),
    [
        ("owner/mine", {"HF_TOKEN": ""}, "no token"),
        ("owner/mine", {"HF_TOKEN": "hf_old"}, "does not know this token"),
        ("owner/closed", {}, "may not write there"),
        ("owner/mine", {"HF_ENDPOINT": "http://127.0.0.1:1"}, "can not be reached"),
    ],
)
def test_what_hinders_an_upload_is_one_line_and_the_folder_is_ready(
    run, near, monkeypatch, tmp_path, name, env, message
):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    code, said = whet(run, name)
    assert code == 2
    assert message in said.splitlines()[-1]
    assert f"upload it with: whet push {run} {name}" in said
    assert len(said.splitlines()) == 3
    assert near.repositories.get("owner/mine", {}) == {}


def test_offline_is_said(run, near, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="can not be reached"):
        upload(prepare(run), "owner/mine")
    assert near.asked == []


@pytest.mark.parametrize("name", ["mine", "a/b/c", "owner/", "owner/a name", "/abs/path"])
def test_a_name_without_owner_or_with_odd_characters_is_refused_before_any_work(name, tmp_path):
    with pytest.raises(ValueError, match="owner/name"):
        check_name(name)
    code, said = whet(tmp_path, name)
    assert (code, len(said.splitlines())) == (2, 1)


def test_an_unfinished_run_and_another_folder_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="is no run folder"):
        prepare(tmp_path)
    (tmp_path / "recipe.json").write_text((run / "recipe.json").read_text())
    with pytest.raises(ValueError, match=f"not finished.*whet resume {tmp_path}"):
        prepare(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.json"]
