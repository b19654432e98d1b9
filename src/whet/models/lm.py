"""A language model to train: any Hugging Face decoder, its codec, and the heads and encoders that go with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpointed
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_layers import GradientCheckpointingLayer

from whet.models import attention, hub, lora
from whet.models.codec import Codec
from whet.models.export import TOKENIZER_FILES, VALUE_FILE, quiet, save
from whet.models.packing import Packing, pack
from whet.types import Media

__all__ = ["LM", "load", "save"]


class LM(nn.Module):
    """`hf` with everything that sampling, scoring and learning ask of it.

    It stays in eval mode and its dropouts are zero: the sampler's log-probs and the learner's must agree.
    `value_head`: a linear head on the last hidden state, zero at first, or None. `encoders`: {kind of media: module},
    each turns a medium's values into [length, H]. `context`: positions. `vocab`: V, rows of the output head.
    `origin`: the folder or hub name it was loaded from, "" if it was made here. `adapter`: the one it has on, or None.
    """

    def __init__(self, hf: Any, codec: Codec, value_head: bool = False) -> None:
        super().__init__()
        self.hf = hf
        self.codec = codec
        self.origin = ""
        self.adapter: lora.Adapter | None = None
        self.value_head: nn.Linear | None = None
        self.encoders = nn.ModuleDict()
        self.context = int(getattr(hf.config, "max_position_embeddings", None) or 2048)  # our choice where it is silent
        self.vocab = int(hf.get_output_embeddings().weight.shape[0])
        _no_dropout(hf)
        if value_head:
            self.add_value_head()
        self.eval()

    @property
    def backbone(self) -> Any:
        """The decoder without its output head; its last hidden state is after the final norm."""
        return self.hf.base_model

    @property
    def width(self) -> int:
        """H."""
        return int(self.hf.get_output_embeddings().weight.shape[1])

    @property
    def device(self) -> torch.device:
        return next(self.hf.parameters()).device

    def train(self, mode: bool = True) -> LM:
        return super().train(False)

    def add_value_head(self) -> LM:
        """Give it a value head if it has none; all values are 0 at first."""
        if self.value_head is None:
            self.value_head = nn.Linear(self.width, 1, device=self.device)
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)
        return self

    def learned(self) -> dict[str, nn.Parameter]:
        """{name: parameter} of what learning changes: all, but with an adapter on nothing of the base."""
        named = dict(self.named_parameters())
        if self.adapter is None:
            return named
        return {name: p for name, p in named.items() if lora.MARK in name or not name.startswith("hf.")}

    def weights(self) -> dict[str, Tensor]:
        """What of `state_dict` learning changes: what checkpoints hold, and what the sampler is given."""
        held = self.state_dict()
        return dict(held) if self.adapter is None else {name: held[name] for name in self.learned()}

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the `weights` of a model that is made alike. ValueError if they are another model's."""
        held = self.weights()
        if weights.keys() != held.keys() or any(weights[name].shape != held[name].shape for name in held):
            raise ValueError("these weights belong to another model, or to one with another adapter or with none")
        with torch.no_grad():
            torch._foreach_copy_(list(held.values()), [weights[name] for name in held])  # pyright: ignore[reportPrivateImportUsage]

    def stamp(self) -> tuple[int, ...]:
        """Other numbers whenever a weight may have changed: where each is in memory and how often it was written to.
        What was computed from the weights (keys and values, packed copies) is good for one stamp."""
        held = (*self.parameters(), *self.buffers())
        return tuple(number for weight in held for number in (weight.data_ptr(), weight._version))

    def __deepcopy__(self, memo: dict[int, Any]) -> LM:
        """A copy shares what does not learn: with an adapter on, one base serves learner, sampler and reference."""
        if self.adapter is not None:
            learned = {id(p) for p in self.learned().values()}
            memo.update({id(p): p for p in self.parameters() if id(p) not in learned})
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def hidden(
        self,
        tokens: Tensor,
        valid: Tensor | None = None,
        media: Sequence[Sequence[Media]] = (),
        checkpoint: bool = False,
    ) -> Tensor:
        """[B, T, H]: the last hidden state after the final norm, for right-padded `tokens` [B, T].

        The model is causal, so padding on the right changes nothing before it, no attention mask is needed, and what
        is returned where `valid` [B, T] is False means nothing. `media`: those of each row. `checkpoint`: keep no
        activations inside the layers, compute them again in the backward pass.
        """
        with self._checkpointing(checkpoint):
            if any(media):
                return self.backbone(inputs_embeds=self.embedded(tokens, media), use_cache=False).last_hidden_state
            return self.backbone(input_ids=tokens, use_cache=False).last_hidden_state

    def packed(self, packing: Packing, checkpoint: bool = False) -> Tensor:
        """[N, H]: the last hidden state after the final norm of every node of a packed batch, on the model's device.
        Only where `packs`."""
        inside = partial(attention.packed, self.hf.config, packing)
        with inside(), self._checkpointing(checkpoint, inside):
            out = self.backbone(input_ids=packing.tokens[None], position_ids=packing.positions[None], use_cache=False)
        return out.last_hidden_state[0]

    @cached_property
    def packs(self) -> bool:
        """Does the architecture take packed rows: by its kinds of layers, and by a trial?"""
        if set(getattr(self.hf.config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}:
            return False
        tokens = torch.tensor([[3, 5, 7, 4], [3, 5, 6, 8], [3, 5, 6, 0], [9, 3, 0, 0]]) % self.vocab
        packing = pack(tokens, [4, 4, 3, 2]).to(self.device)
        with torch.no_grad():
            try:
                ours = self.packed(packing).index_select(0, packing.places.flatten()).view(4, 4, -1)
            except (TypeError, RuntimeError, ValueError):  # an attention of another form
                return False
            usual = self.hidden(tokens.to(self.device))
        tolerance = 1e-4 if usual.dtype == torch.float32 else 3e-2  # our choice
        valid = torch.arange(4) < torch.tensor([4, 4, 3, 2])[:, None]
        return _apart(ours[valid.to(self.device)], usual[valid.to(self.device)]) < tolerance

    @contextmanager
    def _checkpointing(self, wanted: bool, inside: Callable[[], Any] = nullcontext) -> Iterator[None]:
        """Layers keep no activations: they are computed again, `inside` the same context, in the backward pass."""
        layers = [m for m in self.hf.modules() if isinstance(m, GradientCheckpointingLayer)] if wanted else []
        again = partial(checkpointed, use_reentrant=False, context_fn=lambda: (nullcontext(), inside()))
        for layer in layers:  # the library checkpoints layers that are in training mode; only the flag is set here
            layer.training = layer.gradient_checkpointing = True
            layer.__dict__["_gradient_checkpointing_func"] = again
        try:
            yield
        finally:
            for layer in layers:
                layer.training = layer.gradient_checkpointing = False

    def embedded(self, tokens: Tensor, media: Sequence[Sequence[Media]]) -> Tensor:
        """[B, T, H]: token embeddings with the encoders' vectors in the media's places. ValueError for a medium that
        has no encoder or does not fit its place."""
        vectors = self.hf.get_input_embeddings()(tokens).clone()
        for b, row in enumerate(media):
            for medium in row:
                vectors[b, medium.start : medium.start + medium.length] = self._encoded(medium, tokens.shape[1]).to(
                    vectors.dtype
                )
        return vectors

    def _encoded(self, medium: Media, room: int) -> Tensor:
        if medium.kind not in self.encoders:
            raise ValueError(
                f"no encoder for media of kind {medium.kind!r}, there are {sorted(self.encoders)}; "
                f"set lm.encoders[{medium.kind!r}]"
            )
        out = self.encoders[medium.kind](medium.values.to(self.device))
        end = medium.start + medium.length
        if tuple(out.shape) != (medium.length, self.width) or end > room:
            raise ValueError(
                f"the encoder of {medium.kind!r} gave {tuple(out.shape)} for tokens {medium.start}:{end} of {room}; "
                f"it has to give ({medium.length}, {self.width}), inside the row"
            )
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """[n, V] float32 from hidden states [n, H]: the output head, with what some architectures do behind it:
        a factor (Cohere's `logit_scale`), a divisor (Granite's `logits_scaling`), and
        cap * tanh(logits / cap) (Gemma's `final_logit_softcapping`)."""
        config = self.hf.config
        logits = self.hf.get_output_embeddings()(hidden).float()
        if (factor := getattr(config, "logit_scale", None)) is not None:
            logits = logits * factor
        if (divisor := getattr(config, "logits_scaling", None)) is not None:
            logits = logits / divisor
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
            logits = cap * torch.tanh(logits / cap)
        return logits

    def values(self, hidden: Tensor) -> Tensor:
        """[n] float32 from hidden states [n, H]. ValueError without a value head."""
        if self.value_head is None:
            raise ValueError("this model has no value head; make it with LM(..., value_head=True) or add_value_head()")
        return self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1).float()


def load(path_or_name: str | Path, dtype: torch.dtype = torch.float32, value_head: bool = False) -> LM:
    """A model from a folder in Hugging Face format, or by its name on the hub; no code of the model's own is run.
    The folder of an adapter gives its base with the adapter on.

    ValueError if there is none, if a folder has no tokenizer, if it is no causal language model, if an adapter's base
    is not there, or if its architecture does more behind its output head than `LM.logits` knows.
    """
    name, folder = str(path_or_name), hub.folder(path_or_name)
    if (folder / lora.ADAPTER_CONFIG).exists():
        return _load_adapter(name, folder, dtype, value_head)
    if not (folder / "config.json").exists():
        raise ValueError(f"{name} is no model folder: there is no config.json; give a folder that a model is in")
    if not any((folder / file).exists() for file in TOKENIZER_FILES):
        raise ValueError(f"{name} has no tokenizer (none of {', '.join(TOKENIZER_FILES)}); save one into the folder")
    try:
        with quiet():
            found: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
            hf, report = found
            tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ValueError(f"{name} can not be loaded as a causal language model: {error}") from error
    if report["missing_keys"] or getattr(hf.config, "is_encoder_decoder", False):
        raise ValueError(
            f"{name} is no causal language model ({type(hf).__name__} misses {sorted(report['missing_keys'])[:3]}); "
            "give one that generates text from left to right"
        )
    ends = hf.generation_config.eos_token_id if hf.generation_config is not None else None
    lm = LM(hf, Codec(tokenizer, ends if isinstance(ends, list) else [] if ends is None else [ends]), value_head)
    lm.origin = str(Path(name).resolve()) if Path(name).is_dir() else name
    _check(lm, name)
    if lm.value_head is not None and (folder / VALUE_FILE).exists():
        lm.value_head.load_state_dict(load_file(folder / VALUE_FILE))
    return lm


def _load_adapter(name: str, folder: Path, dtype: torch.dtype, value_head: bool) -> LM:
    base = lora.base_of(folder)
    try:
        lm = load(base, dtype, value_head)
    except ValueError as error:
        raise ValueError(f"{name} is an adapter for {base}, which can not be loaded: {error}") from error
    lora.put_on(lm, folder)
    if any((folder / file).exists() for file in TOKENIZER_FILES):
        lm.codec = Codec(AutoTokenizer.from_pretrained(folder), lm.codec.eos)
    if lm.value_head is not None and (folder / VALUE_FILE).exists():
        lm.value_head.load_state_dict(load_file(folder / VALUE_FILE))
    return lm


@torch.no_grad()
def _check(lm: LM, name: str) -> None:
    """`LM.logits` of `LM.hidden` must be the model's own logits, and must not look ahead."""
    architecture = type(lm.hf).__name__
    count = min(6, lm.context)
    tokens = (torch.arange(count, device=lm.device) * 7 + 3).remainder(lm.vocab)[None]
    hidden = lm.hidden(tokens)
    tolerance = 1e-4 if hidden.dtype == torch.float32 else 3e-2  # our choice
    first = lm.hidden(tokens[:, : count // 2])
    if _apart(first, hidden[:, : count // 2]) > 10 * tolerance:
        raise ValueError(f"{name}: {architecture} looks at later tokens; give a causal language model")
    logits, own = lm.logits(hidden[0]), lm.hf(input_ids=tokens, use_cache=False).logits[0].float()
    if logits.shape != own.shape or _apart(logits, own) > tolerance:
        raise ValueError(f"{name}: {architecture} does something behind its output head that LM.logits does not know")


def _apart(x: Tensor, y: Tensor) -> float:
    """The greatest difference, relative to the greatest entry."""
    return float((x - y).abs().max() / y.abs().max().clamp(min=1e-6))


def _no_dropout(hf: Any) -> None:
    for module in hf.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for field, value in vars(module).items():  # attention keeps its rate as a number
            if "dropout" in field and isinstance(value, float):
                setattr(module, field, 0.0)
    for field, value in vars(hf.config).items():
        if isinstance(value, float) and ("dropout" in field or field.endswith("pdrop")):
            setattr(hf.config, field, 0.0)
