import json

import pytest
import torch

from whet.models import surgery
from whet.models.codec import Codec
from whet.models.tiny import bpe_tokenizer, character_tokenizer
from whet.types import Media, Problem, Trajectory

CHARS = Codec(character_tokenizer())
CHATML = Codec(bpe_tokenizer(["what is two and three? it is five. <think> now"] * 3, 320))
LLAMA3 = Codec(character_tokenizer(alphabet="".join(map(chr, range(32, 127))) + "\n"))
LLAMA3.tokenizer.add_tokens(["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"], special_tokens=True)
LLAMA3.tokenizer.chat_template = (
    "{{ '<s>' }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA3 = Codec(LLAMA3.tokenizer)
ALL = pytest.mark.parametrize("codec", [CHARS, CHATML, LLAMA3], ids=["tiny", "chatml", "llama3"])

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "two and three?"}]


def whole(codec: Codec, messages: list[dict[str, str]], opens: bool = True) -> list[int]:
    text = codec.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens)
    return codec.tokenizer.encode(text, add_special_tokens=False)


def ids(trajectory: Trajectory) -> list[int]:
    return trajectory.rows[-1].tokens.tolist()


def sampled(codec: Codec, trajectory: Trajectory, text: str, end: list[int]) -> Trajectory:
    """What an engine would have written."""
    trajectory = codec.insert(trajectory, text)
    return surgery.append(trajectory, surgery.given(end), "policy", "") if end else trajectory


# ------------------------------------------------------------------------------------------------------ opening


def test_text_is_tokenized_as_it_is_and_tags_in_it_are_tokens():
    row = CHARS.open(Problem("p", "a<think>"), 64).rows[0]
    assert CHARS.tokenizer.convert_ids_to_tokens(row.tokens.tolist()) == ["a", "<think>"]
    assert not row.sampled.any()
    assert not row.trained.any()
    assert row.versions.tolist() == [-1, -1]


@ALL
def test_messages_are_what_the_template_makes_of_them(codec):
    opened = codec.open(Problem("p", ASKED), 512)
    assert ids(opened) == whole(codec, ASKED)
    (turn,) = opened.turns
    assert (turn.role, turn.start, turn.stop) == ("prompt", 0, len(ids(opened)))


def test_beginning_of_sequence_is_put_where_the_tokenizer_puts_it_and_once():
    from tokenizers.processors import TemplateProcessing

    tokenizer = character_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    bos = tokenizer.bos_token_id
    assert ids(Codec(tokenizer).open(Problem("p", "ab"), 9)) == tokenizer.encode("ab")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    codec = Codec(tokenizer)
    assert ids(codec.open(Problem("p", "ab"), 9)) == [bos, *CHARS.tokenizer.encode("ab")]
    assert ids(codec.open(Problem("p", "<s>ab"), 9)) == [bos, *CHARS.tokenizer.encode("ab")]
    assert ids(codec.open(Problem("p", ""), 9)) == [bos]
    assert codec.text(codec.open(Problem("p", "ab"), 9).rows[0].tokens) == "ab"


def test_an_empty_text_begins_at_the_border_of_documents():
    assert ids(CHARS.open(Problem("p", ""), 9)) == [CHARS.eos[0]]


def test_a_prompt_that_fills_the_context_is_refused_by_name():
    assert len(ids(CHARS.open(Problem("long one", "x" * 7), 8))) == 7
    with pytest.raises(ValueError, match="'long one' has 8 tokens and the context holds 8"):
        CHARS.open(Problem("long one", "x" * 8), 8)


def test_messages_without_a_template_are_refused():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        Codec(tokenizer).open(Problem("p", ASKED), 64)


def test_a_role_the_template_does_not_know_is_refused():
    with pytest.raises(ValueError, match="critic"):
        CHARS.insert(CHARS.open(Problem("p", ASKED), 64), "no", role="critic")


def test_media_hold_their_place_with_padding():
    media = Media("image", torch.zeros(3), length=3)
    row = CHARS.open(Problem("p", ["ab", media, "c", media]), 64).rows[0]
    assert [m.start for m in row.media] == [2, 6]
    assert row.tokens[2:5].tolist() == [CHARS.pad] * 3
    assert CHARS.text(row.tokens) == "abc"
    chat = CHARS.open(Problem("p", [{"role": "user", "content": ["see ", media, "?"]}]), 64)
    assert [m.start for m in chat.rows[0].media] == [5]
    assert CHARS.text(chat.rows[0].tokens) == "<user>see ?<assistant>"
    longer = CHARS.insert(chat, ["and ", media], role="user")
    (_, second) = longer.rows[0].media
    assert CHARS.text(longer.rows[0].tokens[: second.start]) == "<user>see ?<assistant><user>and "


# ---------------------------------------------------------------------------------------------------- inserting


@ALL
@pytest.mark.parametrize("ends", [True, False], ids=["ended by EOS", "cut short"])
def test_turn_by_turn_is_the_whole_conversation_at_once(codec, ends):
    said, asked = ["it is five.", "six"], ["and now?", "so?"]
    trajectory, messages = codec.open(Problem("p", ASKED), 999), list(ASKED)
    end = codec._turn_end[:1] if ends else []
    for answer, question in zip(said, asked, strict=True):
        trajectory = sampled(codec, trajectory, answer, end)
        trajectory = codec.insert(trajectory, question, role="user")
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": question}]
        assert ids(trajectory) == whole(codec, messages)


@ALL
def test_an_answer_to_imitate_is_the_whole_conversation_up_to_the_end_of_turn(codec):
    done = codec.answer(codec.open(Problem("p", ASKED), 999), "it is five.")
    rendered = whole(codec, [*ASKED, {"role": "assistant", "content": "it is five."}], opens=False)
    assert ids(done) == rendered[: len(ids(done))]
    assert ids(done)[-1] in codec.eos
    row, opened = done.rows[0], len(whole(codec, ASKED))
    assert row.trained.tolist() == [False] * opened + [True] * (len(row) - opened)
    assert not row.sampled.any()
    assert (done.stop, done.turns[-1].role, done.turns[-1].text) == ("eos", "policy", "it is five.")


def test_an_answer_behind_plain_text_ends_with_eos():
    done = CHATML.answer(CHATML.open(Problem("p", "two and three? <think>"), 99), " five")
    assert CHATML.tokenizer.decode(ids(done)) == "two and three? <think> five<|im_end|>"


@ALL
def test_a_conversation_to_imitate_is_trained_where_the_assistant_speaks(codec):
    t = codec.answer(codec.open(Problem("p", ASKED), 999), "five.")
    t = codec.insert(t, "and now?", role="user")
    t = codec.insert(t, "six", role="assistant", trained=True)
    trained = t.rows[0].tokens[t.rows[0].trained].tolist()
    assert codec.text(trained) == "five.six"
    assert sum(i in codec.eos for i in trained) == 2
    assert [turn.role for turn in t.turns] == ["prompt", "policy", "user", "assistant"]
    assert [turn.start for turn in t.turns[1:]] == [turn.stop for turn in t.turns[:-1]]


def test_inserted_text_is_tokens_and_nothing_else():
    t = CHARS.insert(CHARS.open(Problem("p", "ab"), 64), "<answer>c")
    assert CHARS.tokenizer.convert_ids_to_tokens(ids(t)) == ["a", "b", "<answer>", "c"]
    assert (t.turns[-1].role, t.turns[-1].text, t.turns[-1].start, t.turns[-1].stop) == ("env", "<answer>c", 2, 4)
    assert not t.rows[0].trained.any()


def test_several_messages_are_inserted_at_once():
    t = CHARS.insert(CHARS.open(Problem("p", ASKED), 99), [{"role": "env", "content": "1"}, *ASKED[1:]])
    assert CHARS.text(ids(t)).endswith("<assistant><env>1<user>two and three?<assistant>")


def test_a_template_that_drops_what_was_said_is_refused():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = "{{ messages[-1].content }}"
    codec = Codec(tokenizer)
    with pytest.raises(ValueError, match="rewrites earlier turns"):
        codec.insert(codec.open(Problem("p", ASKED), 64), "x", role="user")


def test_words_that_look_like_our_stand_ins_are_only_words():
    asked = [{"role": "user", "content": "said medium [medium0]"}]
    t = sampled(CHARS, CHARS.open(Problem("p", asked), 99), "said", [CHARS.eos[0]])
    t = CHARS.insert(t, "said saidx [medium0]", role="user")
    assert CHARS.text(ids(t)) == "<user>said medium [medium0]<assistant>said<user>said saidx [medium0]<assistant>"


def test_a_template_that_adds_thoughts_to_the_last_turn_only_still_goes_on():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>"
        "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
        "{{ m.content }}<eos>{% endfor %}{% if add_generation_prompt %}<assistant><think>{% endif %}"
    )
    codec = Codec(tokenizer)
    t = codec.open(Problem("p", [{"role": "user", "content": "q"}]), 99)
    t = sampled(codec, t, "hm</think>a", [codec.eos[0]])
    t = codec.insert(t, "r", role="user")
    text = codec.tokenizer.decode(ids(t))
    assert text == "<user>q<eos><assistant><think>hm</think>a<eos><user>r<eos><assistant><think>"


def test_the_end_of_turn_of_the_template_is_an_eos_too():
    tokenizer = bpe_tokenizer(["a"], 270)
    tokenizer.eos_token = "<|endoftext|>"
    assert tokenizer.convert_ids_to_tokens(list(Codec(tokenizer).eos)) == ["<|endoftext|>", "<|im_end|>"]


def test_a_tokenizer_without_eos_is_refused():
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="no EOS"):
        Codec(tokenizer)


# ------------------------------------------------------------------------------------------------------- reading


def test_text_leaves_out_eos_and_padding_only():
    tokens = CHARS.tokenizer.encode("<think> a ,b</think><pad><eos>")
    assert CHARS.text(torch.tensor(tokens)) == "<think> a ,b</think>"


def test_half_a_character_is_read_as_a_replacement():
    tokens = CHATML.tokenizer.encode("a😀")
    assert CHATML.text(tokens) == "a😀"
    assert CHATML.text(tokens[:-1]).startswith("a\ufffd")


def test_chatml_learned_from_school_problems_goes_turn_by_turn(shared_data):
    with open(shared_data / "gsm8k" / "train.jsonl", encoding="utf-8") as file:
        lines = [json.loads(next(file)) for _ in range(300)]
    codec = Codec(bpe_tokenizer((line["question"] + line["answer"] for line in lines), 1000))
    for line in lines[:20]:
        messages = [{"role": "user", "content": line["question"]}]
        t = codec.answer(codec.open(Problem("p", messages), 4096), line["answer"])
        t = codec.insert(t, "Are you sure?", role="user")
        messages += [{"role": "assistant", "content": line["answer"]}, {"role": "user", "content": "Are you sure?"}]
        assert ids(t) == whole(codec, messages)
        assert codec.text(ids(codec.open(Problem("p", line["question"]), 4096))) == line["question"]


def test_an_end_of_turn_of_two_tokens_is_taken_as_one():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }} <eos>"
        "{% else %}[{{ m.content }}]{% endif %}{% endfor %}"
    )
    codec = Codec(tokenizer)
    t = codec.open(Problem("p", [{"role": "user", "content": "q"}]), 99)
    for end, expected in ((" <eos>", "[q]a <eos>[r]"), ("<eos>", "[q]a<eos>[r]"), ("", "[q]a <eos>[r]")):
        done = codec.insert(sampled(codec, t, "a", tokenizer.encode(end) if end else []), "r", role="user")
        assert tokenizer.decode(ids(done)) == expected
    assert tokenizer.decode(ids(codec.answer(t, "a"))) == "[q]a <eos>"
