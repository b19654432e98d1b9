"""Constraints as data: what holds, what is active, what can not be read."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.atoms import ATOMS
from whet.verifiers.constraints import DEEPEST, active, check, piecewise, prepare, read, verify
from whet.verifiers.gold import BadGold

HAS = {"type": "include", "keywords": ["cat"]}
RED = {"type": "starts", "text": "red"}
BLUE = {"type": "ends", "text": "blue"}


def holds(said: str, kind: str, **fields: Any) -> bool:
    ((_, held),) = active({"type": kind, **fields}, said)
    return held


def words(**bound: Any) -> dict[str, Any]:
    return {"type": "length", "unit": "words", **bound}


def held(constraints: Any, text: str, **more: Any) -> list[bool]:
    return [found for _, found in active(constraints, text, **more)]


# ------------------------------------------------------------------------------------------------------------ atoms


@pytest.mark.parametrize(
    ("unit", "text", "count"),
    [
        ("words", "", 0),
        ("words", "one, two -- three!", 3),
        ("words", "don't be well-kept_up", 4),
        ("characters", "  ab c\n", 4),
        ("sentences", "One. Two! Three", 3),
        ("sentences", "It is 3.5 m... is it?  Yes", 3),
        ("sentences", "... !", 0),
        ("sentences", "一。二！三", 3),
        ("lines", "a\n\n b \n", 2),
        ("paragraphs", "a\nb\n \nc\n\n\n", 2),
    ],
)
def test_a_length_is_counted_in_its_unit(unit: str, text: str, count: int):
    for bound, value, right in [
        ("exactly", count, True),
        ("exactly", count + 1, False),
        ("at_least", count, True),
        ("at_least", count + 1, False),
        ("at_most", count, True),
        ("between", [count, count + 2], True),
        ("between", [count + 1, count + 2], False),
    ]:
        assert holds(text, "length", unit=unit, **{bound: value}) is right, (bound, value)
    assert count == 0 or not holds(text, "length", unit=unit, at_most=count - 1)


def test_keywords_are_whole_words_in_any_case():
    assert holds("The Cat sat.", "include", keywords=["cat"])
    assert not holds("concatenate the cats", "include", keywords=["cat"])
    assert holds("in the end, so", "include", keywords=["the end", "in"])
    assert not holds("the other end", "include", keywords=["the end"])
    assert holds("cats", "exclude", keywords=["cat", "dog"])
    assert not holds("A DOG", "exclude", keywords=["cat", "dog"])


def test_keywords_are_counted_together():
    text = "cat dog cat bird"
    assert holds(text, "count", keywords=["cat"], exactly=2)
    assert holds(text, "count", keywords=["cat", "dog"], between=[3, 3])
    assert not holds(text, "count", keywords=["dog"], at_least=2)
    assert holds("a a a", "count", keywords=["a a"], exactly=1)  # without overlap


def test_keywords_come_in_order():
    assert holds("red, then blue and red", "order", keywords=["red", "blue", "red"])
    assert not holds("red then blue", "order", keywords=["blue", "red"])
    assert not holds("red", "order", keywords=["red", "red"])


def test_texts_start_and_end_with_words():
    assert holds(" Red cat", "starts", text="red") and not holds("Redder cat", "starts", text="red")
    assert holds("Any more questions?", "ends", text="more questions") and not holds("x bluer", "ends", text="blue")
    assert not holds("", "starts", text="red") and not holds("", "ends", text="red")


@pytest.mark.parametrize(
    ("of", "text", "up", "down"),
    [
        ("words", "Ant bee cat", True, False),
        ("lines", "b\n\na", False, True),
        ("bullets", "List:\n- a\n- b", True, False),
        ("numbered", "1. b\n2. a\nend", False, True),
        ("bullets", "a\nb", False, False),
        ("words", "one", False, False),  # one thing has no order
    ],
)
def test_items_can_be_asked_for_in_order(of: str, text: str, up: bool, down: bool):
    assert holds(text, "sorted", of=of) is up
    assert holds(text, "sorted", of=of, descending=True) is down


@pytest.mark.parametrize(
    ("text", "lower", "upper", "title"),
    [
        ("all small, 3", True, False, False),
        ("ALL LARGE", False, True, True),
        ("Each Word", False, False, True),
        ("It's So Well-kept", False, False, True),
        ("Each word", False, False, False),
        ("3 + 4", False, False, False),
        ("", False, False, False),
    ],
)
def test_case(text: str, lower: bool, upper: bool, title: bool):
    assert [holds(text, "case", case=case) for case in ("lower", "upper", "title")] == [lower, upper, title]


BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        (
            "json",
            ['{"a": [1, null]}', " [] ", '```json\n{"a": 1}\n```', "[1e999]"],
            ["", "5", '"a"', "{a: 1}", "[NaN]", "[1] so", "[" * 100_000, "[" + "9" * 10_000 + "]", "[\0]", "\ud800"],
        ),
        (
            "xml",
            [
                "<a/>",
                "<a x='1'><b>c</b>&lt;</a>",
                "```xml\n<a></a>\n```",
                '<?xml version="1.0" encoding="utf-16"?><a/>',
            ],
            [
                "",
                "a",
                "<a>",
                "<a></b>",
                "<a/><b/>",
                BOMB,
                "<!DOCTYPE a><a/>",
                "<a>&x;</a>",
                "<a>\0</a>",
                "<a>\ud800</a>",
            ],
        ),
        ("bullets", ["- a", "x\n * a\n• b"], ["", "-a", "a - b", "-  ", "1. a"]),
        ("numbered", ["1. a\n2. b", "so:\n1) a"], ["", "2. a", "1. a\n3. b", "1.a", "9" * 10_000 + ". a"]),
        ("title", ["\n<<My Day>>\ntext", "# My day\ntext"], ["", "<<>>", "<< >>", "<>>", "#", "text\n# late", "<<<"]),
        ("highlights", ["a *b* c", "**b**"], ["", "a * b", "**", "* item\n* item", "*a\nb*"]),
        ("no_commas", ["a; b", ""], ["a, b", "a，b"]),
    ],
)
def test_forms(form: str, right: list[str], wrong: list[str]):
    assert [text for text in right if not holds(text, "format", format=form)] == []
    assert [text for text in wrong if holds(text, "format", format=form)] == []


def test_some_forms_can_be_counted():
    text = "- a *b* **c**\n- d"
    assert holds(text, "format", format="bullets", exactly=2) and not holds(
        text, "format", format="bullets", at_least=3
    )
    assert holds(text, "format", format="highlights", between=[2, 3]) and holds(
        "x", "format", format="bullets", at_most=1
    )
    assert holds("1. a\n2. b", "format", format="numbered", at_least=2)


def test_deep_xml_is_read_and_no_entity_grows():
    deep = "<a>" * 100_000 + "</a>" * 100_000
    start = time.process_time()
    assert holds(deep, "format", format="xml")
    assert not holds(BOMB.replace("aaaa", "a" * 1000), "format", format="xml")
    assert time.process_time() - start < 2


def test_a_language_is_told_the_same_each_time():
    english, german = (
        "This is a plain sentence about cats and dogs.",
        "Das ist ein einfacher Satz über Hunde und Katzen.",
    )
    for _ in range(2):
        assert holds(english, "language", language="en") and not holds(english, "language", language="de")
        assert holds(german, "language", language="de")
    assert not holds("\0\ud800", "language", language="en")
    prepare([json.dumps({"type": "language", "language": "en"}), "x"])


# ------------------------------------------------------------------------------------------------------ compositions


def test_all_of_an_and_are_active():
    assert held({"type": "and", "parts": [words(exactly=3), HAS, {"type": "and", "parts": [RED]}]}, "red cat") == [
        False,
        True,
        True,
    ]


def test_a_branch_that_is_not_taken_is_not_active():
    selection = {"type": "if", "condition": True, "then": RED, "else": BLUE}
    assert active(selection, "red cat") == [(RED, True)]
    assert active({**selection, "condition": False}, "red cat") == [(BLUE, False)]
    on_text = {**selection, "condition": HAS}
    assert active(on_text, "red cat") == [(RED, True)]  # the condition is no demand
    assert active(on_text, "red blue") == [(BLUE, True)]
    assert active({"type": "if", "condition": False, "then": RED}, "red") == []


def test_a_chain_is_about_one_part_of_the_text_after_another():
    chain = {"type": "chain", "parts": [RED, HAS, BLUE]}
    assert held(chain, "red\n\n cat \nblue") == [True, True, True]
    assert held(chain, "cat\nred\nblue") == [False, False, True]
    assert held(chain, "red\ncat\nsome\nblue") == [True, True, True]  # the last one has all that is left
    assert held({**chain, "separator": " / "}, "red / cat / blue") == [True, True, True]
    assert held({**chain, "separator": "then"}, "red then cat then a then blue") == [True, True, True]


def test_of_a_part_that_is_not_there_nothing_holds():
    absent = {"type": "exclude", "keywords": ["dog"]}
    assert held({"type": "chain", "parts": [RED, absent, words(at_most=9)]}, "red") == [True, False, False]
    inner = {"type": "if", "condition": absent, "then": RED, "else": {"type": "and", "parts": [BLUE, absent]}}
    assert held({"type": "chain", "parts": [RED, inner]}, "red\n \n") == [True, False, False]


def test_nesting():
    inner = {
        "type": "chain",
        "separator": "/",
        "parts": [RED, {"type": "if", "condition": HAS, "then": BLUE, "else": RED}],
    }
    outer = [
        {"type": "if", "condition": False, "then": HAS, "else": {"type": "chain", "parts": [HAS, inner]}},
        words(at_most=6),
    ]
    assert held(outer, "cat\nred / cat blue") == [True, True, True, True]
    assert held(outer, "cat\nred / dog blue") == [True, True, False, True]


def test_nesting_may_be_deep_but_not_endless():
    def nested(depth: int) -> dict[str, Any]:
        made: dict[str, Any] = HAS
        for _ in range(depth):
            made = {"type": "and", "parts": [made]}
        return made

    assert held(nested(DEEPEST), "cat") == [True]
    with pytest.raises(BadGold, match="deep"):
        active(nested(DEEPEST + 1), "cat")
    with pytest.raises(BadGold):
        verify("cat", "[" * 100_000 + "]" * 100_000)


# ------------------------------------------------------------------------------------------------------------ quotes

TOLD = "Write three words; the answer contains cat; if 4 is even then start with red"


def test_a_copied_instruction_meets_no_keyword():
    rules = [
        HAS,
        RED,
        BLUE,
        {"type": "order", "keywords": ["cat", "red"]},
        {"type": "count", "keywords": ["cat"], "at_least": 1},
    ]
    for copy in (TOLD, TOLD.upper(), f"Sure: {TOLD}!", "the answer contains cat; if 4 is even then start with red"):
        assert held(rules, copy, instruction=TOLD) == [False] * 5
    assert held(rules, f"Red cat. {TOLD} Cat red blue", instruction=TOLD) == [True] * 5
    assert held(rules[:1], TOLD) == [True]  # nobody said what the instruction was


def test_a_quoted_start_or_end_is_none():
    asks = "red is the colour to start with and to end with blue"
    assert held([RED, BLUE], asks, instruction=asks) == [False, False]
    assert held([RED, BLUE], f"{asks} so red or blue", instruction=asks) == [False, True]


def test_a_forbidden_word_is_forbidden_in_quotes():
    asks = "never ever in your whole answer say the word dog"
    assert held([{"type": "exclude", "keywords": ["dog"]}], f"I am told: {asks}", instruction=asks) == [False]
    at_most = {"type": "count", "keywords": ["dog"], "at_most": 1}
    assert held([at_most], f"dog {asks}", instruction=asks) == [False]


def test_keywords_alone_are_no_quote():
    asks = "in this order: cat dog fox hen owl"
    rules = [{"type": "order", "keywords": ["cat", "dog", "fox", "hen", "owl"]}]
    assert held(rules, "cat dog fox hen owl", instruction=asks) == [True]
    assert held(rules, asks, instruction=asks) == [False]


def test_how_long_a_quote_is_can_be_chosen():
    assert held([HAS], "contains cat", instruction=TOLD, quote=2) == [False]
    assert held([HAS], "contains cat", instruction=TOLD, quote=3) == [True]
    assert held([HAS], "has cat", instruction="has cat", quote=5) == [False]  # all of a short one is a quote


# ----------------------------------------------------------------------------------------------------------- verdicts


def test_right_is_all_and_the_grade_is_the_share():
    gold = json.dumps([words(exactly=3), HAS, {"type": "if", "condition": True, "then": RED, "else": BLUE}])
    assert verify("red fat cat", gold) == "right"
    assert verify("red cat", gold) == "wrong"
    assert verify("red fat cat", gold, graded=True) == ("right", 1.0)
    assert verify("red cat", gold, graded=True) == ("wrong", 2 / 3)
    assert verify("", gold) == verify(" \n", gold) == "unparseable"
    assert verify("", gold, graded=True) == ("unparseable", 0.0)


def test_a_gold_answer_may_hold_the_instruction():
    gold = json.dumps({"constraints": HAS, "instruction": TOLD, "quote": 4})
    assert verify(TOLD, gold) == "wrong" and verify("a cat", gold) == "right"


@pytest.mark.parametrize(
    ("values", "reward"),
    [
        ([1, 1, 1], 2.0),
        ([1, 0, 0, 0], 0.25),
        ([0, 0], -2.0),
        ([1], 2.0),
        ([0], -2.0),
        ([1, 0], 0.5),
        ([1, 1, 1, 0], 0.75),
    ],
)
def test_the_reward_steps_where_all_hold_and_where_none_does(values: list[int], reward: float):
    assert piecewise([bool(v) for v in values]) == reward


def test_no_active_constraint_is_our_fault():
    with pytest.raises(ValueError, match="no constraint is active"):
        piecewise([])
    with pytest.raises(BadGold, match="no constraint is active"):
        verify("red", json.dumps({"type": "if", "condition": False, "then": RED}))


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("", "JSON"),
        ("[]", "one or more"),
        ("5", "one or more"),
        ("{}", "constraints"),
        ('{"constraints": [], "instruction": ""}', "one or more"),
        ('{"constraints": {"type": "and"}}', "parts"),
        ('{"constraint": []}', "constraint"),
        ('[{"type": "rhyme"}]', "rhyme"),
        ('[{"type": ["and"]}]', "type"),
        ('["include"]', "include"),
        ('[{"type": "include"}]', "keywords"),
        ('[{"type": "include", "keywords": []}]', "list of texts"),
        ('[{"type": "include", "keywords": "cat"}]', "list of texts"),
        ('[{"type": "include", "keywords": ["!"]}]', "list of texts"),
        ('[{"type": "include", "keywords": ["a"], "at_least": 2}]', "no field 'at_least'"),
        ('[{"type": "length", "unit": "words"}]', "takes one of"),
        ('[{"type": "length", "unit": "words", "at_least": 1, "at_most": 3}]', "takes one of"),
        ('[{"type": "length", "unit": "tokens", "exactly": 1}]', "one of words"),
        ('[{"type": "length", "unit": "words", "exactly": -1}]', "from 0"),
        ('[{"type": "length", "unit": "words", "exactly": true}]', "from 0"),
        ('[{"type": "length", "unit": "words", "between": [3, 1]}]', "low, high"),
        ('[{"type": "format", "format": "json", "exactly": 1}]', "counted"),
        ('[{"type": "language", "language": "English"}]', "code"),
        ('[{"type": "and", "parts": []}]', "one at least"),
        ('[{"type": "chain", "parts": [5]}]', "object"),
        ('[{"type": "chain", "parts": [{"type": "case", "case": "lower"}], "separator": ""}]', "separator"),
        ('[{"type": "if", "condition": true}]', "then"),
        ('[{"type": "if", "condition": 1, "then": {"type": "case", "case": "lower"}}]', "object"),
        ('{"constraints": [{"type": "case", "case": "lower"}], "quote": 0}', "at least 1"),
        ('{"constraints": [{"type": "case", "case": "lower"}], "quote": "a"}', "whole number"),
        ('{"constraints": [{"type": "case", "case": "lower"}], "instruction": 3}', "text"),
    ],
)
def test_what_is_no_constraint_is_our_fault(gold: str, said: str):
    with pytest.raises(BadGold, match=said):
        verify("cat", gold)
    with pytest.raises(BadGold):
        read(gold)


# ------------------------------------------------------------------------------------------------------- hostile texts

EVERY: list[dict[str, Any]] = [
    *(
        {"type": "length", "unit": unit, "at_least": 1}
        for unit in ("words", "characters", "sentences", "lines", "paragraphs")
    ),
    {"type": "count", "keywords": ["cat", "a a"], "at_least": 1},
    HAS,
    {"type": "exclude", "keywords": ["cat"]},
    {"type": "order", "keywords": ["a", "cat"]},
    RED,
    BLUE,
    *({"type": "sorted", "of": of} for of in ("words", "lines", "bullets", "numbered")),
    *({"type": "case", "case": case} for case in ("lower", "upper", "title")),
    *(
        {"type": "format", "format": form}
        for form in ("json", "xml", "bullets", "numbered", "title", "highlights", "no_commas")
    ),
    {"type": "language", "language": "en"},
    {"type": "chain", "parts": [HAS, {"type": "chain", "separator": " ", "parts": [HAS, RED]}]},
    {"type": "if", "condition": HAS, "then": RED, "else": BLUE},
]


def test_the_list_of_every_type_is_whole():
    assert {c["type"] for c in EVERY} == {*ATOMS, "chain", "if"}
    for constraint in EVERY:
        check(constraint)


MILLION = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "a " * (MILLION // 2),
        "a" * MILLION,
        "." * MILLION + "x",
        "!a" * (MILLION // 2),
        "\n" * MILLION,
        "\n " * (MILLION // 2) + "x",
        " " * MILLION + "x",
        "*" * MILLION,
        "**a" * (MILLION // 3),
        "* a" * (MILLION // 3),
        "-" * MILLION,
        "a-'" * (MILLION // 3),
        "[" * MILLION,
        "{" * MILLION,
        "9" * MILLION,
        "<a " * (MILLION // 3),
        "<!--" * (MILLION // 4),
        "<" * MILLION,
        "\0" * MILLION,
        "\ud800" * MILLION,
        "```" * (MILLION // 3),
        "İß" * (MILLION // 2),
        "red cat " * (MILLION // 8),
        "\n1. a" * (MILLION // 5),
    ],
    ids=lambda text: repr(text[:4]),
)
def test_megabytes_end_in_a_verdict(text: str):
    gold = json.dumps({"constraints": EVERY, "instruction": "red cat red cat and a red cat", "quote": 2})
    start = time.process_time()
    assert verify(text, gold) in ("right", "wrong", "unparseable")
    assert time.process_time() - start < 20  # all 26 of them; most of it is counting words


@given(st.text())
def test_any_text_ends_in_a_verdict(text: str):
    assert verify(text, json.dumps(EVERY)) in ("wrong", "unparseable")


PLAIN = st.lists(st.sampled_from(["red", "cat", "blue", "dog"]), min_size=1, max_size=6).map(" ".join)


@given(PLAIN)
def test_a_condition_and_its_branches_agree_with_both_cases_written_out(text: str):
    chosen = held({"type": "if", "condition": HAS, "then": RED, "else": BLUE}, text)
    assert chosen == held(RED if "cat" in text.split() else BLUE, text)


@given(PLAIN, st.permutations([HAS, RED, BLUE, words(at_most=3)]))
def test_the_order_of_an_and_changes_neither_verdict_nor_grade(text: str, parts: list[dict[str, Any]]):
    whole = verify(text, json.dumps({"type": "and", "parts": parts}), graded=True)
    assert whole == verify(text, json.dumps([HAS, RED, BLUE, words(at_most=3)]), graded=True)


@given(st.text(alphabet="ab c.\n", max_size=40), st.text(alphabet="xy z.\n", max_size=20))
def test_an_instruction_of_other_words_changes_nothing(text: str, instruction: str):
    rules = [{"type": "count", "keywords": ["a"], "at_least": 1}, {"type": "starts", "text": "b"}]
    assert held(rules, text, instruction=instruction, quote=1) == held(rules, text)
