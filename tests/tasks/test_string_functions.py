from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.tasks.string_functions import (
    FUNCTIONS,
    StringFunctions,
    held_out,
    interlace,
    palindrome,
    rotate,
    shuffle,
)
from whet.types import Problem


def said(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def run(name: str, text: str) -> str:
    return FUNCTIONS[name][0](text)


def test_each_function_by_hand():
    assert {name: run(name, "abBa") for name in FUNCTIONS} == {
        "reverse": "aBba",
        "upper": "ABBA",
        "rotate": "bBaa",
        "repeat": "abBaabBa",
        "drop_first": "bBa",
        "drop_last": "abB",
        "sort": "Baab",
        "swap_case": "ABbA",
        "every_second": "aB",
        "double": "aabbBBaa",
        "mirror": "abBaaBba",
        "shift": "bcCb",
        "squeeze": "abBa",
        "swap_ends": "abBa",
        "alternate": "aBbA",
        "no_vowels": "bB",
        "vowel_digits": "1bB1",
        "unrotate": "aabB",
        "shuffle": "aaBb",
        "interlace": "aabBBbaa",
        "rotate_two": "Baab",
        "rotate_three": "aabB",
        "make_even": "abBa",
        "palindrome": "abBaaBba",
        "evens_first": "aBba",
        "odds_first": "baaB",
        "outside_in": "aabB",
    }
    assert run("squeeze", "aabbba") == "aba"
    assert run("shift", "yzZ1") == "zaA1"
    assert run("swap_ends", "abc") == "cba" and run("swap_ends", "a") == "a"
    assert all(run(name, "") == "" for name in FUNCTIONS)


def test_a_shuffle_goes_round_by_the_next_odd_number_that_is_coprime_with_the_length():
    assert shuffle("abcdef") == run("shuffle", "abcdef") == "afedcb"  # 3 divides 6, so 5
    assert shuffle("") == "" and shuffle("a") == "a" and shuffle("abc") == "acb" and shuffle("abcd") == "adcb"
    assert shuffle("abcdefghijklmno") == "ahognfmeldkcjbi"  # 3 and 5 divide 15, so 7


def test_two_texts_interlaced_until_the_longer_one_is_left():
    assert interlace("ab", "XYZ") == "aXbYZ" and interlace("abc", "X") == "aXbc" and interlace("", "") == ""
    assert run("interlace", "abc") == "acbbca"


def test_rotations_go_round():
    assert rotate("abcd", 5) == "bcda" == rotate("abcd", 1) and rotate("", 3) == ""
    assert run("rotate_two", "abcde") == "cdeab" and run("rotate_three", "abcde") == "deabc"


def test_lengths_are_made_even():
    assert run("make_even", "abc") == "ab" and run("make_even", "ab") == "ab"


def test_a_palindrome_is_closed_once():
    assert palindrome("ab", 1) == palindrome("ab", 3) == "abba" == run("mirror", "ab")
    assert palindrome("ab", 0) == "ab" and palindrome("aba", 1) == "aba"


def test_cases_in_turn_and_squeezed_neighbours():
    assert run("alternate", "aBcD") == "aBcD"
    assert run("squeeze", "aabbba") == "aba"


def test_what_a_function_gives_depends_on_its_argument():
    for name in FUNCTIONS:
        assert len({run(name, text) for text in ("abcd", "bcda", "hgec")}) > 1


def test_the_inner_function_is_applied_first():
    assert run("rotate", run("mirror", "ab")) == "bbaa"
    assert run("mirror", run("rotate", "ab")) == "baab"


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["any", "seen", "unseen"]),
    st.integers(0, 10**9),
)
def test_the_question_solution_and_answer_agree(
    low: int, more: int, length: int, hidden: bool, define: bool, pairs: Literal["any", "seen", "unseen"], i: int
):
    task = StringFunctions(
        (low, low + more), (length, length + 1), tuple(FUNCTIONS), hidden=hidden, define=define, pairs=pairs
    )
    problem = task.problem("train", i)
    shown = {f"f{k}" if hidden else name: name for k, name in enumerate(FUNCTIONS)}
    *meanings, question = said(problem).removesuffix("=?").split(". ")
    *outer, inner = question.rstrip(")").split("(")
    chain, value = [shown[name] for name in reversed(outer)], inner
    steps = []
    for name in chain:
        label = next(k for k, v in shown.items() if v == name)
        steps.append(f"{label}({value})={run(name, value)}")
        value = run(name, value)
        assert 0 < len(value) <= 24
    assert problem.answer == value and problem.info["functions"] == chain
    assert problem.info["solution"] == f"<think>{';'.join(steps)}</think><answer>{value}</answer>"
    assert low <= len(chain) <= low + more
    assert len(meanings) == (len(set(chain)) if define else 0)
    if pairs != "any":
        assert all(held_out(f, g) == (pairs == "unseen") for f, g in pairwise(chain))


def test_piped_functions_stand_in_the_order_in_which_they_work():
    task = StringFunctions(depth=2, hidden=True, piped=True, length=6, distinct=True)
    problem = task.problem("train", 0)
    text, first, second = said(problem).split(">")
    inner, outer = problem.info["functions"]
    middle = run(inner, text)
    thought = f"{text}>{first}={middle}>{second}={problem.answer}"
    assert problem.info["solution"] == f"<think>{thought}</think><answer>{problem.answer}</answer>"
    assert problem.answer == run(outer, middle) and first == f"f{list(FUNCTIONS).index(inner)}"


def test_no_function_at_all_leaves_the_text():
    problem = StringFunctions(depth=0, piped=True).problem("train", 3)
    assert said(problem) == problem.answer and problem.info["functions"] == []
    assert problem.info["solution"] == f"<think>{problem.answer}</think><answer>{problem.answer}</answer>"
    assert said(StringFunctions(depth=0).problem("train", 3)) == f"{problem.answer}=?"


def test_distinct_letters_are_those_of_the_alphabet_each_at_most_once():
    task = StringFunctions(depth=1, length=(5, 8), functions=("reverse",), distinct=True)
    texts = [str(task.problem("train", i).answer) for i in range(60)]
    assert all(len(set(text)) == len(text) and set(text) <= set("abcdefgh") for text in texts)
    assert {len(text) for text in texts} == {5, 6, 7, 8} and set("".join(text[0] for text in texts)) == set("abcdefgh")


def test_hidden_names_say_nothing_of_what_they_do():
    asked = said(StringFunctions(hidden=True).problem("train", 0))
    assert re.fullmatch(r"(f[0-9]+\()+[a-h]+\)+=\?", asked)


def test_a_fifth_of_the_pairs_is_held_out():
    pairs = [(f, g) for f in FUNCTIONS for g in FUNCTIONS]
    assert 0.12 < sum(held_out(*pair) for pair in pairs) / len(pairs) < 0.28


def test_hidden_and_plain_names_share_their_splits():
    plain, hidden = StringFunctions(), StringFunctions(hidden=True)
    assert [plain.problem("test", i).answer for i in range(50)] == [hidden.problem("test", i).answer for i in range(50)]


def test_impossible_compositions_are_an_error():
    with pytest.raises(ValueError, match="none of 2000 drawn compositions"):
        StringFunctions(depth=4, length=3, functions=("repeat",), longest=20).problem("train", 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": -1}, "depth must be"),
        ({"length": 0}, "length must be"),
        ({"functions": ("reverse", "rot13")}, r"got \['rot13'\]"),
        ({"functions": ()}, "functions must be some of"),
        ({"alphabet": "a b"}, "alphabet must be"),
        ({"pairs": "new"}, "pairs must be"),
        ({"distinct": True, "length": (3, 9)}, "distinct needs 9 different letters, .* 'abcdefgh' has 8"),
        ({"longest": 2}, "longest must be at least length"),
        ({"functions": ("reverse",), "pairs": "unseen" if not held_out("reverse", "reverse") else "seen"}, "no two of"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        StringFunctions(**wrong)
