import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.engines.stops import StopStrings
from whet.models.codec import Codec
from whet.models.tiny import bpe_tokenizer, character_tokenizer

CHARS = Codec(character_tokenizer())
BYTES = Codec(bpe_tokenizer(["the answer is 12. so the end"] * 4, 290))


def first(codec: Codec, text: str, stops: list[str]) -> str | None:
    """The text up to the token that completes a stop string."""
    ids = codec.tokenizer.encode(text, add_special_tokens=False)
    watch = StopStrings(stops, codec.text)
    for count in range(1, len(ids) + 1):
        if watch.complete(ids[:count]):
            return codec.text(ids[:count])
    return None


@pytest.mark.parametrize("codec", [CHARS, BYTES], ids=["characters", "bytes"])
def test_a_stop_string_is_seen_across_tokens_with_the_token_that_completes_it(codec):
    seen = first(codec, "so the answer is 12. the end", ["is 12"])
    assert seen is not None
    assert "is 12" in seen
    assert len(seen) < len("so the answer is 12. the end")
    assert first(codec, "so the answer", ["is 12"]) is None


def test_the_first_of_several_strings_stops():
    assert first(CHARS, "abcdef", ["ef", "cd"]) == "abcd"


def test_a_tag_that_is_one_token_is_a_string_too():
    assert first(CHARS, "a<answer>b</answer>c", ["</answer>"]) == "a<answer>b</answer>"


def test_a_string_that_ends_in_a_space_is_seen():
    assert first(CHARS, "ab cd", ["b "]) == "ab "


def test_a_string_of_many_bytes_is_seen_when_its_last_byte_is_there():
    assert first(BYTES, "it 😀 is", ["😀"]) == "it 😀"
    assert first(BYTES, "日本語 で", ["本語"]) == "日本語"


def test_half_a_character_before_the_string_does_not_hide_it():
    ids = [*BYTES.tokenizer.encode("😀")[1:], *BYTES.tokenizer.encode("!end")]
    watch = StopStrings(["end"], BYTES.text)
    assert watch.complete(ids)


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValueError, match="empty"):
        StopStrings([""], CHARS.text)


def test_no_strings_never_stop():
    assert not StopStrings([], CHARS.text).complete([40, 41])


@given(st.text(alphabet="ab😀é ", max_size=20), st.text(alphabet="ab😀é ", min_size=1, max_size=3))
def test_bytes_stop_where_the_string_is_first_complete(text, stop):
    ids = BYTES.tokenizer.encode(text)
    watch = StopStrings([stop], BYTES.text)
    found = next((n for n in range(1, len(ids) + 1) if watch.complete(ids[:n])), None)
    expected = next((n for n in range(1, len(ids) + 1) if stop in BYTES.text(ids[:n])), None)
    assert found == expected


def test_school_problems_stop_at_their_answer(shared_data):
    with open(shared_data / "gsm8k" / "train.jsonl", encoding="utf-8") as file:
        answers = [json.loads(next(file))["answer"] for _ in range(200)]
    codec = Codec(bpe_tokenizer(answers, 1000))
    for answer in answers[:30]:
        for stop in ("####", "\n####", "#### " + answer.split("#### ")[1][0]):
            seen = first(codec, answer, [stop])
            assert seen is not None
            assert stop in seen
            assert len(seen) - (seen.index(stop) + len(stop)) < 12  # no more than the token that completed it
