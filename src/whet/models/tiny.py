"""Models small enough to train on a laptop, in Hugging Face's own format, and the tokenizers that go with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from whet.models.codec import Codec
from whet.models.lm import LM
from whet.randomness import stream

ASCII = "\n" + "".join(map(chr, range(32, 127)))  # printable characters
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")  # plain tokens, so that people and rewards see them
_ROLES = ("<user>", "<assistant>", "<env>", "<system>")

# Weights start with a standard deviation of 0.6 / sqrt(width). Our choice: the usual 0.02 is made for wide models, and
# these learn chained sums half as fast from it.
_SPREAD = 0.6

_TEMPLATE = (
    "{% for message in messages %}"
    "{% set role = 'env' if message.role == 'tool' else message.role %}"
    "{% if role not in ['system', 'user', 'assistant', 'env'] %}{{ raise_exception('no role ' + role) }}{% endif %}"
    "{{ '<' + role + '>' + message.content }}{% if role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class TinyQwen:
    """A Qwen2 decoder with random weights: `TinyQwen(width=96, layers=3).build(seed)`.

    `tokenizer`: "char", one token per character of `alphabet`; "word", also one token per word of `words`; or a folder
    with a saved tokenizer. Anything outside the alphabet becomes `<unk>`.
    """

    width: int = 96  # H; a multiple of `heads`
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    inter: int = 0  # width of the feed-forward layer; 0 is 4 * width
    context: int = 256  # tokens
    tokenizer: str = "char"
    alphabet: str = ASCII
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def build(self, seed: int) -> LM:
        return _build(self, Qwen2Config, Qwen2ForCausalLM, seed)


@dataclass(frozen=True)
class TinyLlama:
    """A Llama decoder with random weights; the fields are those of `TinyQwen`."""

    width: int = 96
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    inter: int = 0
    context: int = 256
    tokenizer: str = "char"
    alphabet: str = ASCII
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def build(self, seed: int) -> LM:
        return _build(self, LlamaConfig, LlamaForCausalLM, seed)


def _check(tiny: TinyQwen | TinyLlama) -> None:
    name = type(tiny).__name__
    for field in ("width", "layers", "heads", "kv_heads", "context"):
        if getattr(tiny, field) < 1:
            raise ValueError(f"{name}.{field} must be at least 1, got {getattr(tiny, field)}")
    if tiny.width % tiny.heads or (tiny.width // tiny.heads) % 2:
        raise ValueError(
            f"{name}.width must be heads times an even number, got {tiny.width} for {tiny.heads} heads; "
            f"take {2 * tiny.heads * max(1, round(tiny.width / (2 * tiny.heads)))}"
        )
    if tiny.heads % tiny.kv_heads:
        raise ValueError(f"{name}.kv_heads must divide heads, got {tiny.kv_heads} for {tiny.heads} heads")
    if tiny.words and tiny.tokenizer != "word":
        raise ValueError(f"{name}.words needs tokenizer='word', got tokenizer={tiny.tokenizer!r}")


def _build(tiny: TinyQwen | TinyLlama, config: Any, model: Any, seed: int) -> LM:
    tokenizer = _tokenizer(tiny)
    settings = config(
        vocab_size=len(tokenizer),
        hidden_size=tiny.width,
        intermediate_size=tiny.inter or 4 * tiny.width,
        num_hidden_layers=tiny.layers,
        num_attention_heads=tiny.heads,
        num_key_value_heads=tiny.kv_heads,
        max_position_embeddings=tiny.context,
        tie_word_embeddings=True,
        initializer_range=_SPREAD / tiny.width**0.5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):  # the caller's own draws go on undisturbed
        torch.default_generator.manual_seed(stream(seed, "weights"))
        hf = model(settings)
    return LM(hf, Codec(tokenizer))


def _tokenizer(tiny: TinyQwen | TinyLlama) -> Any:
    if tiny.tokenizer in ("char", "word"):
        return character_tokenizer(tiny.alphabet, tiny.words)
    if not (Path(tiny.tokenizer) / "tokenizer.json").exists():
        raise ValueError(
            f"{type(tiny).__name__}.tokenizer must be 'char', 'word' or a folder with a tokenizer.json, "
            f"got {tiny.tokenizer!r}"
        )
    return AutoTokenizer.from_pretrained(tiny.tokenizer)


def character_tokenizer(alphabet: str = ASCII, words: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """One token per character of `alphabet`, and one per word of `words`: a run of letters and digits that is a word
    is one token, any other is spelt. Decoding gives the very text back."""
    special = ("<pad>", "<eos>", "<unk>", *_ROLES)
    entries = dict.fromkeys((*special, *_TAGS, *sorted(set(alphabet)), *words))
    # A byte-pair model without merges spells; `ignore_merges` takes a whole piece that is in the vocabulary.
    vocabulary = {token: i for i, token in enumerate(entries)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", ignore_merges=True))
    pieces = Regex(r"\w+|[^\w]") if words else Regex(r"[\s\S]")
    made.pre_tokenizer = pre_tokenizers.Split(pieces, "isolated")
    made.decoder = decoders.Fuse()
    _add(made, special)
    # Loading a Qwen2 model's tokenizer, transformers keeps vocabulary and added tokens and puts Qwen2's own byte-level
    # pieces in place of ours. Added tokens make both see the same: words, blank space and what is not ASCII.
    made.add_tokens([AddedToken(word, single_word=True, normalized=False) for word in words])
    made.add_tokens([AddedToken(c, normalized=False) for c in sorted(set(alphabet)) if not "!" <= c <= "~"])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def bpe_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level byte-pair tokenizer of `size` tokens learned from `texts`, with the ChatML template
    (`<|im_start|>role\\n...<|im_end|>\\n`, EOS `<|im_end|>`). ValueError if `size` has no room for 256 bytes."""
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    smallest = 256 + len(special) + len(_TAGS)
    if size < smallest:
        raise ValueError(f"bpe_tokenizer needs size >= {smallest} (256 bytes and the special tokens), got {size}")
    made = Tokenizer(models.BPE())
    # Qwen2's own pieces, which transformers puts here when it loads a Qwen2 model
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(  # pyright: ignore[reportCallIssue]
        vocab_size=size,
        special_tokens=[*special, *_TAGS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    _add(made, special)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        chat_template=_CHATML,
        clean_up_tokenization_spaces=False,
    )


def _add(made: Tokenizer, special: Sequence[str]) -> None:
    """Make tags single tokens wherever they stand; only `special` ones vanish when people skip special tokens."""
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    made.add_tokens([AddedToken(token, special=False, normalized=False) for token in _TAGS])
