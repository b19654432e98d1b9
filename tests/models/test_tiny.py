import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from whet.models.lm import load, save
from whet.models.tiny import ASCII, TinyLlama, TinyQwen, bpe_tokenizer, character_tokenizer

CHARS = character_tokenizer()
WORDS = character_tokenizer(words=("plus", "two", "two3"))
BYTES = bpe_tokenizer(["the quick brown fox, the quick brown dog"] * 3, 300)


@given(st.text(alphabet=ASCII))
def test_characters_and_words_come_back_as_they_were(text):
    for tokenizer in (CHARS, WORDS):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_bytes_come_back_as_they_were(text):
    assert BYTES.decode(BYTES.encode(text)) == text


def test_a_character_is_one_token_and_so_is_a_tag():
    ids = CHARS.encode("ab<think>c</answer>")
    assert CHARS.convert_ids_to_tokens(ids) == ["a", "b", "<think>", "c", "</answer>"]


def test_a_word_is_one_token_and_any_other_is_spelt():
    ids = WORDS.encode("two  plus\nplus2 two3")
    assert WORDS.convert_ids_to_tokens(ids) == ["two", " ", " ", "plus", "\n", *"plus2", " ", "two3"]


def test_what_is_not_in_the_alphabet_is_unknown():
    assert CHARS.convert_ids_to_tokens(CHARS.encode("aé😀")) == ["a", "<unk>", "<unk>"]


def test_skipping_special_tokens_leaves_the_tags_of_reasoning():
    for tokenizer in (CHARS, BYTES):
        text = "<think>a</think><answer>b</answer>"
        assert tokenizer.decode(tokenizer.encode(f"{text}{tokenizer.eos_token}"), skip_special_tokens=True) == text


def test_a_saved_tokenizer_is_the_same_one(tmp_path):
    for name, tokenizer in (("chars", CHARS), ("words", WORDS), ("bytes", BYTES)):
        tokenizer.save_pretrained(tmp_path / name)
        loaded = AutoTokenizer.from_pretrained(tmp_path / name)
        text = "the plus two <think> fox\n\n brown"
        assert loaded.encode(text) == tokenizer.encode(text)
        assert loaded.decode(loaded.encode(text)) == text
        assert loaded.chat_template == tokenizer.chat_template


@pytest.mark.parametrize("tiny", [TinyQwen, TinyLlama])
@pytest.mark.parametrize("tokenizer", ["char", "word", "bytes"])
def test_a_saved_model_reads_and_writes_text_as_it_did(tmp_path, tiny, tokenizer):
    BYTES.save_pretrained(tmp_path / "bytes")
    words = ("plus", "two", "two3") if tokenizer == "word" else ()
    made = tiny(tokenizer=str(tmp_path / "bytes") if tokenizer == "bytes" else tokenizer, words=words, layers=1)
    lm = made.build(0)
    save(lm, tmp_path / "model")
    text = "two  plus 12345 two3,\n\n plus2 isn't <think>a </think> fox"
    for loaded in (load(tmp_path / "model").codec.tokenizer, AutoTokenizer.from_pretrained(tmp_path / "model")):
        assert loaded.encode(text) == lm.codec.tokenizer.encode(text)
        assert loaded.decode(loaded.encode(text)) == text


def test_a_model_takes_any_saved_tokenizer(tmp_path):
    BYTES.save_pretrained(tmp_path)
    lm = TinyQwen(tokenizer=str(tmp_path)).build(0)
    assert lm.vocab == len(BYTES)
    assert lm.codec.eos == (BYTES.convert_tokens_to_ids("<|im_end|>"),)


@pytest.mark.parametrize("tiny", [TinyQwen(), TinyLlama()])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(tiny):
    first, again, other = (list(tiny.build(seed).parameters()) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_building_leaves_the_global_draws_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    TinyQwen().build(0)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"width": 30}, "width"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads"),
        ({"layers": 0}, "layers"),
        ({"words": ("a",)}, "words"),
    ],
)
def test_impossible_sizes_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        TinyQwen(**wrong)


def test_a_tokenizer_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tokenizer"):
        TinyQwen(tokenizer=str(tmp_path)).build(0)


def test_a_byte_level_vocabulary_needs_room_for_all_bytes():
    with pytest.raises(ValueError, match="263"):
        bpe_tokenizer(["a"], 100)
