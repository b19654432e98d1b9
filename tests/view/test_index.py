from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from helpers.played import Attempt, Told, said, write_step

from bench.many_rollouts import write
from whet.view.index import TEXT, Index
from whet.view.search import Filter, found, of, words


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, list[dict[str, object]]]]:
    """An index of 1,024 attempts, and the same as lists."""
    folder = tmp_path_factory.mktemp("many") / "run"
    write(folder, 1024)
    rows = [row for file in sorted((folder / "rollouts").iterdir()) for row in parquet.read_table(file).to_pylist()]
    index = Index(folder)
    index.refresh(60)
    yield index, rows
    index.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path)
    yield opened
    opened.close()


def test_every_filter_finds_what_a_plain_search_does(many: tuple[Index, list[dict[str, object]]]) -> None:
    index, rows = many

    def total(**asked: str) -> int:
        return found(index, of(asked))["total"]

    def count(test: object) -> int:
        expected = sum(test(row) for row in rows)  # type: ignore[operator]
        assert 0 < expected < len(rows)
        return expected

    assert total() == len(rows) == 1024
    assert total(text="Check ONE") == count(lambda r: "check one" in r["text"])
    assert total(text="3+", where="prompt") == count(lambda r: "3+" in r["prompt"])
    assert total(problem="sums/train/37") == count(lambda r: r["problem"] == "sums/train/37")
    assert total(step_from="1", step_to="2") == count(lambda r: 1 <= r["step"] <= 2)
    assert total(reward_from="0.5") == count(lambda r: r["reward"] >= 0.5)
    assert total(term="format", reward_to="0.25") == count(lambda r: r["term/format"] <= 0.25)
    assert total(outcome="timed out") == count(lambda r: r["outcome/correct"] == "timed out")
    assert total(stop="length") == count(lambda r: r["stop"] == "length")
    assert total(length_from="40", length_to="60") == count(lambda r: 40 <= sum(r["sampled"]) <= 60)
    both = total(outcome="wrong", stop="eos", length_from="100")
    assert both == count(lambda r: r["outcome/correct"] == "wrong" and r["stop"] == "eos" and sum(r["sampled"]) >= 100)
    assert total(learned="yes") == 1024 and total(learned="no") == 0 and total(group="direct") == 1024


def test_pages_follow_one_another_in_the_order_that_was_asked_for(many: tuple[Index, list[dict[str, object]]]) -> None:
    index, rows = many
    pages = [found(index, Filter(sort="longest", page=str(page))) for page in range(21)]
    lengths = [row["length"] for page in pages for row in page["rows"]]
    assert {page["pages"] for page in pages} == {21}
    assert lengths == sorted((sum(row["sampled"]) for row in rows), reverse=True)  # type: ignore[arg-type]
    assert found(index, Filter(page="9999"))["page"] == 20


def test_words_that_break_out_of_sql_are_searched_for(many: tuple[Index, list[dict[str, object]]]) -> None:
    index, _ = many
    for word in ("' OR 1=1 --", '"; DROP TABLE attempts; --', "%", "_", "\\"):
        for name in (
            "text",
            "problem",
            "stop",
            "outcome",
            "group",
            "term",
            "stage",
            "reward_from",
            "page",
            "where",
            "sort",
        ):
            answer = found(index, of({name: word, "text": word}))
            assert answer["total"] == 0, (name, word)
    assert found(index, Filter())["total"] == 1024


def test_numbers_that_are_none_are_told_and_left_out() -> None:
    filter = of({"reward_from": "x", "step_to": " 3 ", "page": "nan"})
    assert filter.wrong == ("reward from must be a number, got 'x'", "page must be a number, got 'nan'")
    assert (filter.reward_from, filter.step_to, filter.page) == ("", "3", "0")
    assert of({"sort": "x; drop", "where": "file"}) == Filter()


def test_the_database_opens_no_file(many: tuple[Index, list[dict[str, object]]]) -> None:
    index, _ = many
    for sql in ("SELECT * FROM read_text('/etc/passwd')", "ATTACH '/tmp/x.db'", "COPY attempts TO '/tmp/x.csv'"):
        with pytest.raises(Exception, match="disabled"):
            index.ask(sql)
    with pytest.raises(Exception, match="locked"):
        index.ask("SET enable_external_access = true")


def test_the_newest_step_comes_first_and_the_others_follow(tmp_path: Path) -> None:
    write(tmp_path / "run", 256 * 40)
    index = Index(tmp_path / "run")
    index.refresh(0)
    assert index.waiting == 39 and found(index, Filter())["rows"][0]["step"] == 39
    index.refresh(60)
    assert index.waiting == 0 and found(index, Filter())["total"] == 256 * 40
    index.close()


def test_rows_of_an_attempt_are_one_line(index: Index, tmp_path: Path) -> None:
    attempt = Attempt(
        [[("prompt", "ab"), ("policy", "first")], [("prompt", "c"), ("policy", "second!")]], 1.0, advantage=0.5
    )
    write_step(tmp_path, 0, [Told([attempt, said("x", advantage=-0.5)])])
    index.refresh()
    one, two = found(index, Filter())["rows"]
    assert (one["rows"], one["length"], one["text"], one["prompt"]) == (2, 12, "first\nsecond!", "ab")
    assert (one["reward"], one["advantage"]) == (1.0, 0.5) and (two["rows"], two["advantage"]) == (1, -0.5)


def test_an_attempt_without_a_verdict_is_in_no_mean_and_no_range(index: Index, tmp_path: Path) -> None:
    write_step(tmp_path, 0, [Told([said("a", reward=float("nan")), said("b", reward=1.0)], kept=False)])
    index.refresh()
    answer = found(index, Filter())
    assert answer["total"] == 2 and answer["reward"] == 1.0
    assert found(index, Filter(reward_from="0"))["total"] == 1
    assert found(index, Filter(sort="reward, low first"))["rows"][-1]["reward"] is None


def test_a_step_that_is_played_again_or_taken_back_is_noticed(index: Index, tmp_path: Path) -> None:
    write_step(tmp_path, 0, [Told([said("old")])])
    last = write_step(tmp_path, 1, [Told([said("gone")])])
    index.refresh()
    assert [row["text"] for row in found(index, Filter())["rows"]] == ["gone", "old"]
    last.unlink()
    changed = write_step(tmp_path, 0, [Told([said("newer")])])
    os.utime(changed, (1, 1))
    index.refresh()
    assert [row["text"] for row in found(index, Filter())["rows"]] == ["newer"]


def test_bytes_that_are_no_text_and_megabytes_are_read(index: Index, tmp_path: Path) -> None:
    file = write_step(tmp_path, 0, [Told([said("x"), said("y" * 3_000_000)])])
    table = parquet.read_table(file)
    broken = pa.array([b"\xff\xfe<b>", b"y" * 3_000_000], pa.binary()).view(pa.string())
    place = table.column_names.index("text")
    parquet.write_table(table.set_column(place, "text", broken), file)
    index.refresh()
    assert [row["text"][:20] for row in found(index, Filter())["rows"]] == ["\ufffd\ufffd<b>", "y" * 20]
    assert index.ask("SELECT max(length(text)) AS n FROM attempts")[0]["n"] == TEXT


def test_a_file_that_is_no_parquet_is_left_out_and_named(index: Index, tmp_path: Path) -> None:
    write_step(tmp_path, 0, [Told([said("fine")])])
    (tmp_path / "rollouts" / "0-00000001.parquet").write_bytes(b"nonsense")
    parquet.write_table(pa.table({"reward": ["much"], "text": ["x"]}), tmp_path / "rollouts" / "0-00000002.parquet")
    index.refresh()
    assert [row["text"] for row in found(index, Filter())["rows"]] == ["fine"]
    assert list(index.unreadable) == ["0-00000002.parquet", "0-00000001.parquet"]


def test_an_older_format_is_read_as_far_as_it_goes(index: Index, tmp_path: Path) -> None:
    (tmp_path / "rollouts").mkdir()
    old = pa.table({"step": pa.array([3, 3], pa.int32()), "text": ["a", "b"], "reward": [0.0, 1.0]})
    parquet.write_table(old, tmp_path / "rollouts" / "0-00000003.parquet")
    index.refresh()
    rows = found(index, Filter())["rows"]
    assert [(row["step"], row["attempt"], row["text"], row["length"]) for row in rows] == [
        (3, 0, "a", None),
        (3, 1, "b", None),
    ]
    assert {"sampled", "turns", "problem"} <= index.missing and not index.unreadable


def test_columns_with_hostile_names_are_columns(index: Index, tmp_path: Path) -> None:
    name = 'x" FROM attempts; DROP TABLE attempts; --'
    write_step(tmp_path, 0, [Told([said("a"), said("b")], terms={name: (0.0, 2.0)})])
    index.refresh()
    assert index.terms == ["correct", name]
    assert found(index, Filter(term=name, reward_from="1"))["total"] == 1


def test_words_of_a_column_are_the_most_frequent_first(index: Index, tmp_path: Path) -> None:
    write_step(tmp_path, 0, [Told([said("a", stop="length"), said("b", stop="eos"), said("c", stop="length")])])
    index.refresh()
    assert words(index, "stop") == ["length", "eos"]
