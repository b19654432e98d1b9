from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from whet.tasks.overlap import overlap
from whet.tasks.rows import Rows, last_boxed, split_solution
from whet.tasks.tables import plain

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RECORDS = [{"question": f"What is {k}+1?", "answer": str(k + 1), "level": k % 3} for k in range(40)]


def lines(path: Path, records: list[Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def write(folder: Path, kind: str) -> str:
    path = folder / f"sums.{kind}"
    if kind == "jsonl":
        return lines(path, RECORDS)
    if kind == "json":
        path.write_text(json.dumps({"about": "sums", "rows": RECORDS}))
    elif kind == "csv":
        path.write_text(
            "question,answer,level\n" + "".join("{question},{answer},{level}\n".format(**r) for r in RECORDS)
        )
    elif kind == "arrow":
        table = pa.Table.from_pylist(RECORDS)
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    else:
        parquet.write_table(pa.Table.from_pylist(RECORDS), path)
    return str(path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "arrow"])
def test_every_kind_of_file_gives_the_same_problems(tmp_path: Path, kind: str):
    task = Rows(write(tmp_path, kind))
    problem = task.problem("all", 3)
    assert problem.id == "sums/all/3"
    assert problem.prompt == [{"role": "user", "content": "What is 3+1?"}]
    assert problem.answer == "4"
    assert problem.info == {"columns": {"answer": "4", "level": "0" if kind == "csv" else 0}}
    assert task.size("all") == 40 and task.problem("all", 3) == problem


def test_a_saved_datasets_folder_is_read_with_its_own_splits(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    both = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(RECORDS), "test": datasets.Dataset.from_list(RECORDS[:5])}
    )
    both.save_to_disk(str(tmp_path / "saved"))
    task = Rows(str(tmp_path / "saved"), holdout=0.0)
    assert (task.size("train"), task.size("test"), task.size("validation")) == (40, 5, 0)
    assert task.problem("test", 4).answer == "5"
    datasets.Dataset.from_list(RECORDS).save_to_disk(str(tmp_path / "one"))
    assert Rows(str(tmp_path / "one")).size("all") == 40


def test_held_out_rows_are_a_share_and_never_overlap(tmp_path: Path):
    records = [{"question": f"q{k % 300}", "answer": str(k)} for k in range(600)]  # each question twice
    task = Rows(lines(tmp_path / "x.jsonl", records), holdout=0.2)
    sizes = {split: task.size(split) for split in ("train", "validation", "test")}
    assert sum(size or 0 for size in sizes.values()) == 600
    assert 80 < (sizes["test"] or 0) < 160 and 80 < (sizes["validation"] or 0) < 160
    assert not overlap(task) and not overlap(task, "train", "validation") and not overlap(task, "validation", "test")


def test_what_is_held_out_stays_held_out_when_the_file_grows(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    records = [{"question": f"q{k}", "answer": "1"} for k in range(400)]
    task = Rows(lines(path, records[:200]))
    before = {str(task.problem("test", i).prompt) for i in range(task.size("test") or 0)}
    lines(path, records)
    after = {str(task.problem("test", i).prompt) for i in range(task.size("test") or 0)}
    assert task.size("all") == 400
    assert before < after


@given(count=st.integers(3, 12))
def test_a_few_rows_still_have_one_in_each_split(tmp_path_factory: pytest.TempPathFactory, count: int):
    path = tmp_path_factory.mktemp("few") / "few.jsonl"
    task = Rows(lines(path, [{"question": f"q{k}", "answer": "1"} for k in range(count)]))
    sizes = [task.size(split) or 0 for split in ("train", "validation", "test")]
    assert min(sizes) >= 1 and sum(sizes) == count


def test_separate_files_are_taken_as_they_are(tmp_path: Path):
    train, test = lines(tmp_path / "a.jsonl", RECORDS), lines(tmp_path / "b.jsonl", RECORDS[:7])
    task = Rows(train, test_path=test, holdout=0.0)
    assert (task.size("train"), task.size("test")) == (40, 7)
    with pytest.raises(ValueError, match="'validation' has 0 rows, got index 0; raise holdout"):
        task.problem("validation", 0)


def test_a_boxed_answer_and_a_solution_column_are_understood(tmp_path: Path):
    math = lines(tmp_path / "math.jsonl", [{"problem": "1/2?", "solution": "Half, so $\\boxed{\\frac{1}{2}}$."}])
    problem = Rows(math, "problem", "solution").problem("all", 0)
    assert problem.answer == "\\frac{1}{2}"
    assert problem.info["solution"] == ("<think>Half, so $\\boxed{\\frac{1}{2}}$.</think><answer>\\frac{1}{2}</answer>")
    aime = lines(tmp_path / "aime.jsonl", [{"problem": "6*7?", "answer": 42, "solution": "Six sevens."}])
    problem = Rows(aime, "problem").problem("all", 0)
    assert problem.answer == "42"
    assert problem.info["solution"] == "<think>Six sevens.</think><answer>42</answer>"


def test_solutions_are_split_from_answers():
    assert split_solution("a <<1+1=2>>2.\n#### 2,125") == ("2125", "a 2.")
    assert split_solution("#### 5") == ("5", "")
    assert split_solution(" plain ") == ("plain", "")
    assert split_solution("\\boxed{3}") == ("3", "")
    assert split_solution("see #### above\nand below") == ("see #### above\nand below", "")
    assert last_boxed("\\boxed{1} or \\boxed{a{b}c}") == "a{b}c"
    assert last_boxed("\\boxed{open") is None and last_boxed("none") is None


def test_prompts_may_be_text_with_a_system_message_or_chat(tmp_path: Path):
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    path = lines(tmp_path / "x.jsonl", [{"question": "q", "answer": "1"}, {"question": chat, "answer": "1"}])
    assert Rows(path, system="be brief").problem("all", 0).prompt == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q"},
    ]
    assert Rows(path).problem("all", 1).prompt == chat
    assert Rows(path, chat=False).problem("all", 0).prompt == "q"


def test_chat_messages_may_be_text_to_go_on_from(tmp_path: Path):
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert Rows(lines(tmp_path / "x.jsonl", [{"question": chat, "answer": "1"}]), chat=False).problem(
        "all", 0
    ).prompt == ("s\n\nu")


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "saved"])
def test_the_layout_of_verl_is_read_by_paths(tmp_path: Path, kind: str):
    records = [
        {
            "data_source": "openai/gsm8k",
            "prompt": [{"role": "user", "content": f"{k}+1?"}],
            "reward_model": {"style": "rule", "ground_truth": str(k + 1)},
            "extra_info": {"index": k, "answer": f"One more than {k}.\n#### {k + 1}"},
        }
        for k in range(5)
    ]
    path = tmp_path / f"verl.{kind}"
    if kind == "jsonl":
        lines(path, records)
    elif kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(records), path)
    else:
        pytest.importorskip("datasets").Dataset.from_list(records).save_to_disk(str(path))
    problem = Rows(str(path), "prompt", "reward_model.ground_truth", "extra_info.answer").problem("all", 2)
    assert problem.prompt == [{"role": "user", "content": "2+1?"}]
    assert problem.answer == "3"
    assert problem.info["solution"] == "<think>One more than 2.</think><answer>3</answer>"
    assert problem.info["columns"]["data_source"] == "openai/gsm8k"
    assert problem.info["columns"]["reward_model"] == {"style": "rule", "ground_truth": "3"}


def test_an_arrow_file_may_be_of_either_kind(tmp_path: Path):
    table = pa.Table.from_pylist(RECORDS)
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as file:
        file.write_table(table)
    assert Rows(str(tmp_path / "x.arrow")).size("all") == 40


def test_a_hub_name_that_can_not_be_reached_says_so_at_once(tmp_path: Path):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match=r"^nobody/nothing: no such file or folder, and .*this machine is offline"):
        Rows("nobody/nothing").size("train")


def test_data_without_answers_is_fine_for_rewards_that_need_none(tmp_path: Path):
    path = lines(tmp_path / "x.jsonl", [{"question": "q"}])
    problem = Rows(path, answer="").problem("all", 0)
    assert problem.answer is None and problem.info == {"columns": {}}


def test_a_task_is_small_to_pickle_and_equal_by_its_fields(tmp_path: Path):
    task = Rows(write(tmp_path, "jsonl"))
    task.problem("train", 0)
    assert pickle.loads(pickle.dumps(task)) == task == Rows(task.path)
    assert len(pickle.dumps(task)) < 1000


def test_columns_become_json_values():
    import datetime

    import numpy as np

    assert plain({"a": np.int64(3), "b": np.array([1.5]), "c": float("nan"), "d": (1, None)}) == {
        "a": 3,
        "b": [1.5],
        "c": None,
        "d": [1, None],
    }
    assert plain(datetime.date(2024, 1, 2)) == "2024-01-02"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.jsonl", '{"question": "q", "answer": "1"}\n{"question": \n', r"x.jsonl, line 2: bad JSON"),
        ("x.jsonl", "[1, 2]\n", "line 1: expected an object with named columns, got list"),
        ("x.jsonl", "\n\n", "the data set is empty"),
        ("x.json", "[]", "the data set is empty"),
        ("x.json", '{"a": [], "b": []}', "expected one list of rows"),
        ("x.json", "3", "expected a list of rows, got int"),
        ("x.json", '[{"question": "q", "answer": "1"}, 4]', "row 2: expected an object"),
        ("x.csv", "question,answer\nq\n", "line 2: expected 2 columns"),
        ("x.csv", "question,answer\n", "the data set is empty"),
        ("x.parquet", "not parquet", "not a Parquet file"),
        ("x.arrow", "not arrow", "not an Arrow file"),
        ("x.jsonl", '{"question": [{"role": "user"}], "answer": "1"}\n', "must hold text or chat messages"),
        (
            "x.jsonl",
            '{"questoin": "q", "answer": "1"}\n',
            "no column 'question'; its columns are questoin, answer; did you mean 'questoin'",
        ),
        ("x.jsonl", '{"question": "q", "gold": "1"}\n', "no column 'answer'; its columns are question, gold"),
        (
            "x.jsonl",
            '{"question": "q", "answer": "1"}\n{"answer": "1"}\n',
            "row 2 has no column 'question'; its columns are answer; the rows before it have one",
        ),
        ("x.jsonl", '{"question": "q", "answer": null}\n', "row 1: 'answer' is empty"),
        ("x.jsonl", '{"question": 3, "answer": "1"}\n', "'question' must hold text or chat messages, got 3"),
        ("x.jsonl", '{"question": " ", "answer": "1"}\n', "must hold text or chat messages, got ' '"),
    ],
)
def test_wrong_files_are_errors_that_say_where(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text)
    task = Rows(str(tmp_path / name))
    with pytest.raises(ValueError, match=message):
        task.problem("all", 0)


def test_missing_files_and_other_encodings_are_errors(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nope.jsonl: no such file"):
        Rows(str(tmp_path / "nope.jsonl")).size("train")
    (tmp_path / "x.jsonl").write_bytes(b'{"question": "\xff"}')
    with pytest.raises(ValueError, match="not UTF-8"):
        Rows(str(tmp_path / "x.jsonl")).size("train")


def test_a_folder_that_is_no_data_set_is_an_error(tmp_path: Path):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="can not load it"):
        Rows(str(tmp_path)).size("train")


def test_unknown_splits_and_indices_are_errors(tmp_path: Path):
    task = Rows(write(tmp_path, "jsonl"))
    with pytest.raises(ValueError, match="no split 'dev'; there are all, test, train, validation"):
        task.problem("dev", 0)
    with pytest.raises(ValueError, match="numbered 0 to 39"):
        task.problem("all", 40)


@pytest.mark.parametrize(
    "wrong", [{"path": ""}, {"path": "x", "prompt": ""}, {"path": "x", "holdout": 0.5}, {"path": "x", "holdout": -0.1}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="Rows"):
        Rows(**wrong)
    with pytest.raises(ValueError, match="system is a chat message"):
        Rows("x", system="s", chat=False)


@pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason="the GSM8K files are not here")
def test_gsm8k_is_read_whole():
    task = Rows(str(DATA / "gsm8k" / "train.jsonl"), test_path=str(DATA / "gsm8k" / "test.jsonl"))
    assert (task.size("all"), task.size("test")) == (7473, 1319)
    first = task.problem("all", 0)
    assert first.answer == "72"
    assert first.info["solution"] == (
        "<think>Natalia sold 48/2 = 24 clips in May.\n"
        "Natalia sold 48+24 = 72 clips altogether in April and May.</think><answer>72</answer>"
    )
    for i in range(1319):
        problem = task.problem("test", i)
        float(problem.answer)
        assert "<<" not in problem.info["solution"] and "####" not in problem.info["solution"]
        assert problem.info["columns"]["answer"].endswith(problem.answer) or "," in problem.info["columns"]["answer"]
    assert overlap(task, "train", "validation", count=7473) == []


@pytest.mark.skipif(not (DATA / "bbh").is_dir(), reason="the BIG-Bench-Hard files are not here")
@pytest.mark.parametrize("path", sorted((DATA / "bbh").glob("*.json")), ids=lambda path: path.stem)
def test_bbh_is_read_whole(path: Path):
    task = Rows(str(path), prompt="input", answer="target")
    assert task.size("all") == 250
    assert all(task.problem("all", i).answer for i in range(250))
    assert overlap(task, count=250) == []
