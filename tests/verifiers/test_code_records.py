from __future__ import annotations

import pytest

from whet.verifiers.code import Case, read_tests
from whet.verifiers.code_records import record
from whet.verifiers.gold import BadGold


@pytest.mark.parametrize(
    ("text", "stdin", "stdout"),
    [
        ("assert add(3, -4) == -1", "3\n-4\n", "-1"),
        ("assert f('a b', True) == False", "a b\ntrue\n", "false"),
        ("assert f([1, 2], (), 'x') == [[3], 'y']", "2\n1\n2\n0\nx\n", "2\n1\n3\ny"),
        ("assert f() == ''", "", ""),
    ],
)
def test_an_assertion_becomes_what_is_read_and_printed(text: str, stdin: str, stdout: str) -> None:
    assert record(text) == {"stdin": stdin, "stdout": stdout}
    assert read_tests([record(text)]) == [Case(stdin, stdout)]


@pytest.mark.parametrize("value", ["1.5", "None", "{1}", "{'a': 1}", "'a\\nb'", "' a'", "[[None]]"])
def test_what_languages_would_write_differently_is_refused(value: str) -> None:
    for text in (f"assert f({value}) == 1", f"assert f(1) == {value}"):
        with pytest.raises(BadGold, match="can not be a line"):
            record(text)


def test_what_is_no_assertion_is_refused() -> None:
    with pytest.raises(BadGold, match="is not of the form"):
        record("f(1) == 2")
