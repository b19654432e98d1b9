from __future__ import annotations

from whet.view.text import cut, plain, short, visible


def test_markup_is_text() -> None:
    assert str(visible("<script>alert('1')</script>&")) == "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;"


def test_what_can_not_be_seen_is_named() -> None:
    assert str(visible("\x1b[2J\u202e\x7f")) == (
        '<span class="unseen">␛</span>[2J<span class="unseen">U+202E</span><span class="unseen">␡</span>'
    )
    assert plain("a\u200bb\x00") == "aU+200Bb␀"


def test_newline_tab_and_letters_of_all_scripts_stay() -> None:
    assert str(visible("a\n\tשלום 数 é 😀")) == "a\n\tשלום 数 é 😀"


def test_half_of_a_surrogate_pair_is_named_and_can_be_encoded() -> None:
    assert "U+D800" in str(visible("\ud800")) and visible("\ud800").encode()


def test_nothing_is_an_empty_text() -> None:
    assert visible(None) == "" and plain(None) == ""


def test_a_long_text_is_cut_and_told_by_how_much() -> None:
    assert cut("abcde", 3) == ("abc", 2)
    assert str(short("a\nb<" + "c" * 10, 4)) == "a ⏎ b&lt;…"
