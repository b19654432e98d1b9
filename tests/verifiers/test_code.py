from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.sandbox.limits import MIB, Limits
from whet.verifiers.code import Case, Checked, agrees, asserted, check, fenced, read_tests
from whet.verifiers.gold import BadGold

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

ADD = [Case(stdin="1 2\n", stdout="3"), Case(stdin="5 -5\n", stdout="0")]
LIMITS = Limits(seconds=2, memory=100 * MIB)
CALLS = [Case(call="f", args=[2], value=4), Case(call="f", args=[-3], value=9)]


def checked(code: str, given: list[Case], **options: Any) -> Checked:
    return asyncio.run(check(code, given, **options))


@needs_sandbox
def test_a_right_program_passes_and_one_that_is_off_by_one_does_not() -> None:
    assert checked("print(sum(map(int, input().split())))", ADD) == Checked("right", (True, True))
    assert checked("print(sum(map(int, input().split())) + 1)", ADD).outcome == "wrong"
    assert checked("a, b = input().split()\nprint(int(a) + abs(int(b)))", ADD).passed == (True, False)


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("", "wrong"),
        ("print(3)\nraise SystemExit(1)", "crashed"),  # right output, but not a right end
        ("while True: pass", "timed out"),
        ("while True: print('x' * 1000)", "output too long"),
        ("x = bytearray(2 * 10**8)", "out of memory"),
        ("def f(", "crashed"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "crashed"),
        ("import os\nprint([open(os.path.join(d, f)).read() for d, _, fs in os.walk('/box') for f in fs])", "wrong"),
    ],
)
def test_what_fails_has_its_own_name(code: str, outcome: str) -> None:
    assert checked(code, ADD, limits=LIMITS) == Checked(
        outcome, (False, False), checked(code, ADD, limits=LIMITS).detail
    )


@needs_sandbox
def test_functions_are_called_and_compared_outside() -> None:
    assert checked("def f(x): return x * x", CALLS).passed == (True, True)
    assert checked("def f(x): return abs(x) * 2", CALLS).passed == (True, False)
    assert checked("def f(x):\n    print('4')\n    return None", CALLS).outcome == "wrong"
    assert checked("def g(x): return x", CALLS).outcome == "crashed"


HOSTILE = [
    "import builtins, json\njson.dumps = lambda x: '4'\ndef f(x): return 5",
    "class Any:\n    def __eq__(self, other): return True\n    def __repr__(self): return '4'\ndef f(x): return Any()",
    "import sys, os\nos.write(1, b'4')\nos._exit(0)\ndef f(x): return 5",
    "import sys\nsys.modules['__main__'].plain = lambda x: 4\ndef f(x): return 5",
    "import atexit\natexit.register(lambda: print('right'))\ndef f(x): return None",
]


@needs_sandbox
@pytest.mark.parametrize("code", HOSTILE)
def test_a_program_cannot_change_how_it_is_graded(code: str) -> None:
    """It may say what it likes, but a constant is right for a constant only."""
    assert not all(checked(code, [*CALLS, Case(call="f", args=[5], value=25)]).passed)


@needs_sandbox
def test_what_should_come_out_is_nowhere_inside() -> None:
    spy = (
        "import glob, os\nseen = ''\n"
        "for p in glob.glob('/box/*') + glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline'):\n"
        "    try: seen += open(p, errors='replace').read()\n    except OSError: pass\n"
        "seen += input()\nprint('314' + '15926' in seen)"
    )
    assert checked(spy, [Case(stdin="x", stdout="31415926")]).outcome == "wrong"
    assert checked(spy, [Case(stdin="x", stdout="False")]).outcome == "right"


def test_lines_are_compared_without_blanks_at_their_ends() -> None:
    assert agrees("3 \n\n", Case(stdout="3"))
    assert not agrees("3.0", Case(stdout="3"))
    assert not agrees(" 3", Case(stdout="3"))
    assert not agrees("3\n\n4", Case(stdout="3\n4"))
    assert agrees("0.3333333 x", Case(stdout="0.33333333 x"), tolerance=1e-6)
    assert not agrees("0.334 x", Case(stdout="0.33333333 x"), tolerance=1e-6)
    assert not agrees("nan", Case(stdout="1"), tolerance=1e-6)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@needs_sandbox
@given(value=st.lists(VALUES | st.frozensets(st.integers(0, 5)), min_size=1, max_size=3))
def test_a_value_comes_out_as_it_was(value: list[Any]) -> None:
    assert checked(f"def f(): return {value!r}", [Case(call="f", value=value)]).outcome == "right"


def test_tests_are_read_and_never_run() -> None:
    assert read_tests('[{"stdin": "1", "stdout": "2"}]') == [Case("1", "2")]
    assert asserted("assert add([1, 2], 'x') == {'a': (1, 2)}") == Case("", "", "add", [[1, 2], "x"], {"a": (1, 2)})
    for wrong in ("assert f(g(1)) == 2", "assert f(1)", "f(1) == 2", "assert f(x=1) == 2", "assert f(1) != 2", "("):
        with pytest.raises(BadGold, match="is not of the form"):
            asserted(wrong)
    for gold in ("[]", "{}", "x", '[{"stdin": 1, "stdout": "2"}]', '[{"stdin": "1"}]', [3]):
        with pytest.raises(BadGold, match="test"):
            read_tests(gold)


@needs_sandbox
def test_functions_are_for_python_only() -> None:
    with pytest.raises(BadGold, match="in python only"):
        checked("x", CALLS, name="c")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\na\n```", "a"),
        ("```python\na\n```\nthen\n```Python\nb\n\nc\n```", "b\n\nc"),
        ("```lua\na\n```", None),
        ("```\na\n```", None),
        ("```python\na", None),
        ("a", None),
        ("```lua\n```python\na\n```", None),  # within another block
        ("```python\n```", ""),
    ],
)
def test_the_last_closed_block_of_the_language_is_taken(text: str, found: str | None) -> None:
    assert fenced(text, ["python", "py"]) == found
