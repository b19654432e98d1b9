"""docs/shapes.md shows nothing that a test here does not run."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "shapes.md"


def test_every_shape_is_on_the_page_with_code_of_its_own_test():
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    shown = set()
    for section in sections:
        (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
        (file,) = re.findall(r"tests/shapes/(test_\w+\.py)", section)
        run = {line.strip() for line in (HERE / file).read_text(encoding="utf-8").splitlines()}
        shown.add(file)
        for line in code.splitlines():
            assert line.strip() in run | {"", "..."}, f"{file} has no line {line!r}"
    assert shown == {file.name for file in HERE.glob("test_*.py")} - {Path(__file__).name}
