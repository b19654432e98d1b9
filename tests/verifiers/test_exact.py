from __future__ import annotations

import pytest

from whet.verifiers.exact import verify
from whet.verifiers.gold import BadGold


def test_blank_space_does_not_matter():
    assert verify(" a  b\n", "a b") == "right"
    assert verify("ab", "a b") == "wrong"


def test_case_matters_unless_told():
    assert verify("Ann", "ann") == "wrong"
    assert verify("Ann", "ann", case=False) == "right"


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_blank_answer_is_unparseable(blank: str):
    assert verify(blank, "5") == "unparseable"


def test_a_blank_gold_is_our_fault():
    with pytest.raises(BadGold):
        verify("", "")


def test_gold_inside_spam_is_wrong():
    assert verify(" ".join(map(str, range(100))), "5") == "wrong"
