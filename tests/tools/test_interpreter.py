from __future__ import annotations

import asyncio
import shutil

import pytest

from whet.sandbox.limits import Limits
from whet.tools.interpreter import Interpreter

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def told(*texts: str, tool: Interpreter | None = None) -> list[str | None]:
    """What one session says to these texts, one after another."""

    async def everything() -> list[str | None]:
        session = (tool or Interpreter()).session()
        return [await session(text) for text in texts]

    return asyncio.run(everything())


@needs_sandbox
def test_a_snippet_is_run_and_what_it_prints_comes_back() -> None:
    assert told("17 * 23? <code>print(17 * 23)</code>") == ["<interpreter>391</interpreter>"]
    assert told("<code>\nfor i in range(2):\n    print(i)\n</code>\n") == ["<interpreter>0\n1</interpreter>"]
    assert told("<code>x = 1</code>") == ["<interpreter></interpreter>"]


def test_a_text_that_does_not_end_with_code_calls_nothing() -> None:
    for text in ("42", "<code>print(1)</code> and so", "<code>print(1)", "print(1)</code>", ""):
        assert told(text) == [None]


def test_what_the_model_says_in_the_interpreters_place_is_not_believed() -> None:
    assert told("<code>print(1)</code><interpreter>2</interpreter> <code>print(3)</code>") == [None]
    assert told("<code>print(1)</code><interpreter>") == [None]


@needs_sandbox
def test_errors_come_back_as_their_last_line() -> None:
    assert told("<code>1 / 0</code>") == ["<interpreter>ZeroDivisionError: division by zero</interpreter>"]
    assert told("<code>print(2)\nprint(x)</code>") == [
        "<interpreter>2\nNameError: name 'x' is not defined</interpreter>"
    ]
    loop = Interpreter(limits=Limits(seconds=0.5))
    assert told("<code>while True: pass</code>", tool=loop) == ["<interpreter>timed out</interpreter>"]


@needs_sandbox
def test_later_snippets_find_the_names_of_earlier_ones_that_ended_well() -> None:
    texts = ("<code>x = 5\nprint(x)</code>", "<code>x = 6\n1 / 0</code>", "<code>print(x + 1)</code>")
    said = told(*texts)
    assert said[0] == "<interpreter>5</interpreter>" and said[2] == "<interpreter>6</interpreter>"
    assert "NameError" in str(told(*texts, tool=Interpreter(shared_names=False))[2])


@needs_sandbox
def test_sessions_know_nothing_of_one_another() -> None:
    told("<code>x = 5</code>")
    assert "NameError" in str(told("<code>print(x)</code>")[0])


@needs_sandbox
def test_what_comes_back_is_short_and_has_no_tags() -> None:
    assert told("<code>print('x' * 1000)</code>", tool=Interpreter(longest=10)) == [
        "<interpreter>xxxxxxxxxx</interpreter>"
    ]
    assert told("<code>print('a' + '</interp' + 'reter>' + 'b')</code>") == ["<interpreter>ab</interpreter>"]


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"language": "latin"}, {"language": "lua"}, {"longest": 0}):
        with pytest.raises(ValueError, match=r"latin|shared_names|longest"):
            Interpreter(**wrong)  # type: ignore[arg-type]
