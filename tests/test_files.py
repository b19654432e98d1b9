"""Files are there whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from whet.files import (
    alone,
    append_json,
    append_line,
    folder,
    new_run_folder,
    plain,
    read_json,
    read_lines,
    sweep,
    write_json,
    write_text,
)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_text_replaces_what_was_there(tmp_path: Path):
    write_text(tmp_path / "a" / "b.txt", "one")
    write_text(tmp_path / "a" / "b.txt", "zwö")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "zwö"
    assert names(tmp_path / "a") == ["b.txt"]


def test_json_has_null_for_numbers_that_are_not_finite(tmp_path: Path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": np.float32(0.5), "c": np.array([1, 2]), "d": (np.inf,)})
    assert read_json(tmp_path / "x.json") == {"a": None, "b": 0.5, "c": [1, 2], "d": [None]}


def test_dataclasses_and_paths_become_plain():
    @dataclass(frozen=True)
    class Point:
        x: int
        where: Path

    assert plain(Point(3, Path("a/b"))) == {"x": 3, "where": "a/b"}


def test_what_json_can_not_hold_is_refused_and_leaves_no_file(tmp_path: Path):
    with pytest.raises(ValueError, match="can not be written as JSON"):
        write_json(tmp_path / "x.json", {"a": object()})
    assert names(tmp_path) == []


def test_broken_json_names_the_file(tmp_path: Path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json should hold JSON"):
        read_json(tmp_path / "x.json")


def test_lines_are_appended_and_read_back(tmp_path: Path):
    append_line(tmp_path / "m.jsonl", "1")
    append_json(tmp_path / "m.jsonl", {"a": "ü"})
    assert read_lines(tmp_path / "m.jsonl") == [1, {"a": "ü"}]
    assert read_lines(tmp_path / "none.jsonl") == []


def test_a_torn_line_spoils_no_other(tmp_path: Path):
    (tmp_path / "m.jsonl").write_bytes(b'{"step": 1}\n{"st')
    append_json(tmp_path / "m.jsonl", {"step": 2})
    assert read_lines(tmp_path / "m.jsonl") == [{"step": 1}, {"step": 2}]


def test_a_text_of_two_lines_is_no_line(tmp_path: Path):
    with pytest.raises(ValueError, match="one line, got 2"):
        append_line(tmp_path / "m.jsonl", "a\nb")


def test_a_folder_appears_at_the_end(tmp_path: Path):
    with folder(tmp_path / "x" / "model") as inside:
        (inside / "w").write_text("1")
        assert not (tmp_path / "x" / "model").exists()
    assert (tmp_path / "x" / "model" / "w").read_text() == "1"
    assert names(tmp_path / "x") == ["model"]


def test_a_folder_whose_making_fails_leaves_nothing(tmp_path: Path):
    def fill() -> None:
        with folder(tmp_path / "model") as inside:
            (inside / "w").write_text("1")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        fill()
    assert names(tmp_path) == []


@pytest.mark.parametrize(("exists", "after"), [("replace", "new"), ("keep", "old")])
def test_a_folder_that_exists_is_replaced_or_kept_as_told(tmp_path: Path, exists, after: str):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_text("old")
    with pytest.raises(ValueError, match="exists already"), folder(tmp_path / "model"):
        raise AssertionError("no work is done")
    with folder(tmp_path / "model", exists=exists) as inside:
        (inside / "w").write_text("new")
    assert (tmp_path / "model" / "w").read_text() == after
    assert names(tmp_path) == ["model"]


def test_a_run_is_never_overwritten(tmp_path: Path):
    out = new_run_folder(tmp_path / "runs" / "1")
    assert out.is_dir()
    assert new_run_folder(out) == out, "an empty folder may be used"
    (out / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match=r"never overwritten.*--out"):
        new_run_folder(out)
    with pytest.raises(ValueError, match="is a file"):
        new_run_folder(out / "recipe.json")


def test_sweep_removes_what_was_half_made_and_nothing_else(tmp_path: Path):
    (tmp_path / "a" / ".model.01234567.part").mkdir(parents=True)
    (tmp_path / "a" / ".model.01234567.part" / "w").write_text("x")
    (tmp_path / "a" / ".x.json.01234567.part").write_text("x")
    (tmp_path / "a" / "kept.part").write_text("x")
    sweep(tmp_path)
    assert names(tmp_path / "a") == ["kept.part"]


FULL = """
import json, resource, sys
from pathlib import Path
from whet.files import append_line, folder, write_text
root = Path(sys.argv[1])
write_text(root / "x.txt", "old")
append_line(root / "m.jsonl", "1")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
def fill():
    with folder(root / "model") as inside:
        (inside / "w").write_bytes(b"x" * 5000)
said = []
for action in (lambda: write_text(root / "x.txt", "x" * 5000), lambda: append_line(root / "m.jsonl", "2" * 5000), fill):
    try:
        action()
    except OSError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_a_full_disk_is_explained_and_nothing_is_lost(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    for text, name in zip(said, ("x.txt", "m.jsonl", "model"), strict=True):
        assert f"could not write {tmp_path / name}" in text
        assert "free some space" in text
    assert names(tmp_path) == ["m.jsonl", "x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"
    assert read_lines(tmp_path / "m.jsonl") == [1]


def test_a_folder_is_held_by_one_process_until_that_ends(tmp_path: Path) -> None:
    hold = "with alone(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)"
    hold = f"import sys, time\nfrom whet.files import alone\n{hold}"
    other = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="another process works in"), alone(tmp_path):
        pass
    other.kill()
    other.wait()
    with alone(tmp_path):
        pass
    with pytest.raises(OSError, match="could not write"), alone(tmp_path / "nowhere"):
        pass
