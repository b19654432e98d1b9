"""The command line, on real runs of very small models."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from whet.cli import app
from whet.machines.profile import TESTED

COMMANDS = ("run", "train", "eval", "compare", "replay", "play", "doctor", "explain", "resume", "track", "list", "show")
COMMANDS += ("version",)

RECIPE = '''
"""A recipe of two steps."""

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
a = RL(task=task, rollout=attempts, reward=reward, train={"policy": Train(Clip())}, problems=2, steps=2)
b = replace(a, problems=3)
recipe = Recipe(
    model=TinyQwen(width=16, layers=1, heads=2, context=48),
    arms={"a": [a], "b": [b]},
    evaluate=[Evaluate(task=task, rollout=attempts, reward=reward, problems=2)],
    at_scale={"train.policy.lr": 1e-6},
)
'''

SMALL = shlex.split(
    "--no-doctor --steps 2 --group 2 --problems 2 --max-tokens 3 --samples 2 --test-problems 2 --sft-steps 0"
)


def whet(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def started(*words: str | Path) -> subprocess.Popen[str]:
    """The command in a process of its own, as a user starts it."""
    line = [sys.executable, "-c", "from whet.cli import main; main()", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(result: Any, *said: str) -> None:
    """Exit code 2, and one clear line that says what was expected."""
    assert result.exit_code == 2, (result.output, result.exception)
    last = result.stderr.strip().splitlines()[-1]
    for words in said:
        assert words in result.stderr, (words, result.stderr)
    assert "Traceback" not in result.stderr
    assert last.startswith("error: ") or "error: " in result.stderr


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mini.py"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as a user has one; its context holds 64 tokens."""
    from whet.models.lm import save
    from whet.models.tiny import TinyQwen

    return save(TinyQwen(width=16, layers=1, heads=2, context=64).build(0), tmp_path_factory.mktemp("model") / "small")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    rows = [{"question": f"{i}+1=", "answer": f"It is one more.\n#### {i + 1}", "level": i} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# -- help -------------------------------------------------------------------------------------------------------------


def test_help_comes_without_torch() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom whet.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert not {'torch', 'transformers', 'numpy', 'rich'} & set(sys.modules), 'slow imports'\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_that_parses(command: str) -> None:
    shown = whet(command, "--help")
    examples = [line.strip() for line in shown.output.splitlines() if line.startswith("    whet ")]
    assert shown.exit_code == 0
    assert examples, shown.output
    for example in examples:
        words = shlex.split(example)
        assert words[1] == command
        group: Any = typer.main.get_command(app)
        group.commands[command].make_context(command, words[2:])  # raises for an option that is not there


def test_the_version_is_told_both_ways() -> None:
    assert whet("--version").output == whet("version").output
    assert re.fullmatch(r"whet \d+\.\d+\.\d+\n", whet("version").output)


# -- list and show ----------------------------------------------------------------------------------------------------


def test_list_names_the_quickstart_with_its_docstring() -> None:
    shown = whet("list")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^quickstart +\w+", shown.output, re.MULTILINE)


def test_show_gives_paths_that_set_takes(recipe: Path) -> None:
    shown = whet("show", recipe, "--set", "train.policy.lr=0.25")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"train\.policy\.lr +0\.25", shown.output)
    assert re.search(r"train\.policy\.objective +\(objectives\.clip\.Clip\)", shown.output)
    assert re.search(r"rollout\.group +2", shown.output)


def test_diff_shows_only_what_differs(recipe: Path) -> None:
    shown = whet("show", recipe, "--diff", "a", "b")
    assert shown.output.split() == ["problems", "2", "->", "3"]
    assert "nothing" in whet("show", recipe, "--diff", "a", "a").output
    refused(whet("show", recipe, "--diff", "a", "c"), "'c'", "a, b")


# -- run --------------------------------------------------------------------------------------------------------------


def test_run_trains_every_arm_and_shows_what_came_of_it(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = whet("run", recipe, "--no-doctor", "--out", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    for arm in ("a", "b"):
        report = json.loads((out / arm / "report.json").read_text())
        assert {"before", "after", "difference"} <= set(report)
        assert (out / arm / "model" / "model.safetensors").exists()
        assert str(out / arm / "model") in shown.stdout
    assert "pass@1" in shown.stdout and "pass@2" in shown.stdout and "training time" in shown.stdout
    assert shown.stdout.count("attempt") >= 4
    assert "RL 2/2" in shown.stderr and "RL" not in shown.stdout
    refused(whet("run", recipe, "--out", out), str(out / "a"), "choose another --out")
    refused(whet("run", recipe, "--arm", "a", "--out", out / "b"), "not empty")


def test_a_model_that_was_trained_can_be_put_in_and_evaluated(recipe: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = whet("run", recipe, "--no-doctor", "--arm", "a", "--model", model, "--out", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    told = json.loads((out / "recipe.json").read_text())
    assert told["model"]["name"] == str(model)
    assert told["stages"][0]["train"]["policy"]["lr"] == 1e-6
    found = whet(
        *("eval", out / "model", "--task", "chain-sum", "--samples", "4", "--problems", "3", "--max-tokens", "3"),
        *("--set", "terms=2", "--json"),
    )
    assert found.exit_code == 0, (found.output, found.exception)
    metrics = json.loads(found.stdout)["metrics"]
    assert set(metrics) == {"pass@1", "pass@2", "pass@4", "length"}
    assert all(value["low"] <= value["value"] <= value["high"] for value in metrics.values())


def test_an_unknown_recipe_suggests_near_names() -> None:
    refused(whet("run", "quickstrat"), "'quickstrat'", "did you mean quickstart", "whet list")
    refused(whet("show", "nowhere.py"), "nowhere.py", "no recipe file")


def test_a_misspelt_setting_lists_the_nearest(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(whet("run", recipe, "--set", "train.polcy.lr=1", "--out", out), "train.polcy.lr", "train.policy.lr")
    refused(whet("run", recipe, "--set", "problems=many", "--out", out), "problems", "a whole number", "many")
    refused(whet("run", recipe, "--set", "problems", "--out", out), "path=value")
    refused(whet("run", recipe, "--arm", "c", "--out", out), "'c'", "a, b")
    refused(whet("run", recipe, "--arm", "a", "--machine", "abacus", "--out", out), "abacus", "cpu")
    assert not out.exists()


def test_a_file_that_is_no_recipe_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("recipe = (\n")
    refused(whet("run", path), "broken.py", "line 1")
    path.write_text("x = 1\n")
    refused(whet("run", path), "must define `recipe = Recipe(...)`")


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHET_DEBUG", "1")
    assert isinstance(whet("run", "quickstrat").exception, ValueError)


def test_a_terminal_gets_bars_and_a_file_gets_a_few_lines() -> None:
    from io import StringIO

    from rich.console import Console

    from whet.screen import BarScreen, LineScreen, screen_for

    for terminal, kind in ((True, BarScreen), (False, LineScreen)):
        told = StringIO()
        screen = screen_for(Console(file=told, force_terminal=terminal, width=120))
        assert isinstance(screen, kind)
        screen.begin("RL", 200, 0)
        for step in range(200):
            screen.advance(step + 1, {"reward/mean": 0.5, "loss": float("nan"), "tokens": 100.0 * step})
        screen.warn("careful")
        screen.end()
        assert "reward 0.500" in told.getvalue() and "tokens/s" in told.getvalue() and "careful" in told.getvalue()
        assert "nan" not in told.getvalue()
        assert terminal or len(told.getvalue().splitlines()) == 12


def test_a_machine_profile_without_results_says_that_it_is_untested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(TESTED, "cuda")
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    for machine, told in (("cpu", False), ("cuda,device=cpu,precision=fp32", True)):
        shown = whet("run", recipe, "--no-doctor", "--arm", "a", "--machine", machine, "--out", tmp_path / machine[:3])
        assert shown.exit_code == 0, shown.output
        assert ("untested" in " ".join(shown.output.split())) is told


def test_a_device_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    recipe, out = tmp_path / "mine.py", tmp_path / "run"
    recipe.write_text(RECIPE)
    refused(
        whet("run", recipe, "--arm", "a", "--machine", "cpu,device=cuda:99", "--out", out), "'cuda:99'", "--machine cpu"
    )
    assert not out.exists()


def test_two_warnings_that_differ_in_numbers_are_shown_once() -> None:
    from whet.screen import Once

    once = Once()
    assert [once.first(text) for text in ("step 1: none", "step 22: none", "another")] == [True, False, True]


# -- train ------------------------------------------------------------------------------------------------------------


def test_a_tiny_model_is_made_for_the_data_and_trained(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [*SMALL[:-1], "2"]  # two supervised steps before
    shown = whet("train", "--model", "tiny", "--data", data, "--reward", "gsm8k", *words, "--out", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    order = json.loads((out / "recipe.json").read_text())["order"]
    assert order["own"]["data"] == str(data)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert sum(lines[0][f"outcome/{word}"] for word in ("right", "wrong", "unparseable")) == 1
    assert (out / "model" / "tokenizer.json").exists()


def test_a_function_of_ones_own_is_a_reward(data: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def score(prompts, completions, level, **columns):\n"
        "    assert prompts[0][0]['role'] == 'user' and isinstance(level[0], int)\n"
        "    return [float(len(c[0]['content']) % 2) for c in completions]\n"
    )
    out = tmp_path / "out"
    shown = whet("train", "--model", model, "--data", data, "--reward", f"{file}:score", *SMALL, "--out", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert json.loads((out / "recipe.json").read_text())["order"]["own"]["reward"] == f"{file}:score"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no luck')", "no luck"),
        ("return [1.0]", "1 values for 2 completions"),
        ("return ['good' for _ in completions]", "no finite number"),
        ("import time; time.sleep(60)", "did not return within 1 s"),
    ],
)
def test_a_reward_that_goes_wrong_is_named_with_problem_and_value(
    body: str, said: str, data: Path, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"def score(prompts, completions, **columns):\n    {body}\n")
    reward = ("--reward", f"{file}:score", "--reward-deadline", "1")
    shown = whet("train", "--model", model, "--data", data, *reward, *SMALL, "--out", tmp_path / "out")
    refused(shown, said, "mine.py:score", "sums/test/")


def test_wrong_data_is_an_error_before_anything_is_written(data: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"question": "1+1="\n')

    def train(*words: str | Path) -> Any:
        return whet("train", "--model", model, *words, *SMALL, "--out", out)

    refused(train("--data", tmp_path / "none.jsonl"), "none.jsonl")
    refused(train("--data", empty), "empty")
    refused(train("--data", torn), "torn.jsonl, line 1", "bad JSON")
    refused(train("--data", data, "--prompt", "questoin"), "'questoin'", "did you mean 'question'", "level")
    refused(train("--data", data, "--test", tmp_path / "none.jsonl"), "none.jsonl")
    refused(train("--data", data, "--reward", "numerik"), "'numerik'", "numeric")
    refused(train("--data", data, "--reward", "none.py:score"), "none.py")
    refused(train("--data", data, "--reward", "exact", "--answer", ""), "--answer")
    refused(train("--data", data, "--reward", "numeric", "--answer", "question"), "numeric", "'question'")
    refused(train("--data", data, "--reward", "gsm8k", "--set", "train.policy.rate=1"), "train.policy.rate", "lr")
    assert not out.exists()


def test_a_model_that_can_not_be_used_is_an_error(data: Path, model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text((model / "config.json").read_text())
    out = tmp_path / "out"

    def train(model: Path, data: Path) -> Any:
        return whet("train", "--model", model, "--data", data, "--reward", "gsm8k", *SMALL, "--out", out)

    refused(train(bare, data), "no tokenizer")
    refused(train(tmp_path / "none", data), "there is no model folder")
    long = tmp_path / "long.jsonl"
    rows = [{"question": "1+" * (40 if i == 7 else 1) + "1=", "answer": str(i)} for i in range(20)]
    long.write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused(train(model, long), "context holds 64", "long/")
    assert not out.exists()


# -- eval -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reward"),
    [
        ({"question": "1+1=", "answer": "Two.\n#### 2"}, "gsm8k"),
        ({"problem": "Find $x$.", "solution": "So \\boxed{2}.", "level": "Level 1"}, "math"),
        ({"ID": "2024-I-1", "Problem": "Find it.", "Solution": "Thus.", "Answer": 204}, "math"),
        ({"input": "not True", "target": "False"}, "exact"),
    ],
)
def test_columns_of_published_problem_sets_are_found(
    row: dict[str, Any], reward: str, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    found = whet("eval", model, "--task", file, "--samples", "2", "--max-tokens", "2", "--json")
    assert found.exit_code == 0, (found.output, found.exception)
    told = json.loads(found.stdout)
    assert (told["reward"], told["problems"], set(told["metrics"])) == (reward, 2, {"pass@1", "pass@2", "length"})


def test_eval_refuses_what_it_does_not_know(model: Path, tmp_path: Path) -> None:
    refused(whet("eval", model, "--task", "chain-sums"), "'chain-sums'", "did you mean chain-sum")
    refused(whet("eval", model, "--task", "chain-sum", "--set", "trems=2"), "trems", "terms")
    refused(whet("eval", tmp_path / "none", "--task", "chain-sum"), "there is no model folder")
    file = tmp_path / "odd.jsonl"
    file.write_text('{"q": "1", "a": "2"}\n')
    refused(whet("eval", model, "--task", file), "q, a", "--prompt")


# -- stopping and going on --------------------------------------------------------------------------------------------


def test_ctrl_c_finishes_the_step_and_resume_goes_on(recipe: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "out", 120
    run = started(
        "run", recipe, "--no-doctor", "--arm", "a", "--set", f"steps={steps}", "--set", "save.every=1000", "--out", out
    )
    wait_for(out / "metrics.jsonl", run)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert f"whet resume {out}" in told
    assert "Traceback" not in told
    done = len((out / "metrics.jsonl").read_text().splitlines())
    assert 1 <= done < steps
    assert list((out / "checkpoints").glob("*"))
    assert (out / "tokenizer" / "tokenizer.json").exists()  # there before there is a model
    shown = whet("resume", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(steps))
    assert (out / "report.json").exists()
    refused(whet("resume", tmp_path), "is no run folder")


def test_a_second_ctrl_c_stops_at_once_and_own_data_goes_on_from_anywhere(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, mark = tmp_path / "slow.py", tmp_path / "mark"
    file.write_text(
        "import os, pathlib, time\n"
        "def score(completions, **columns):\n"
        f"    pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(50)\n"
    )
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)  # every path is given as it is from here
    here = ("--data", data.name, "--reward", "slow.py:score", "--out", "out")
    run = started("train", "--model", model, *here, *SMALL)
    wait_for(mark, run)
    run.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert run.poll() is None  # the step goes on
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=10)
    assert run.returncode == 130, told
    assert "Ctrl-C again stops at once" in told
    end = time.monotonic() + 10
    while Path(f"/proc/{mark.read_text()}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert time.monotonic() < end, "a worker was left"
    file.write_text("def score(completions, **columns):\n    return [0.0 for _ in completions]\n")
    monkeypatch.chdir(tmp_path.parent)
    shown = whet("resume", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2


def wait_for(file: Path, run: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not (file.exists() and file.read_text()):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_entry_point_exits_with_the_code_of_its_errors() -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    line = [sys.executable, "-c", "from whet.cli import main; main()", "run", "quickstrat"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
