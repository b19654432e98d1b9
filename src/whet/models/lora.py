"""Low-rank adapters, through PEFT: a few small matrices learn beside weights that stay as they are."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from whet.randomness import stream

if TYPE_CHECKING:
    from whet.models.lm import LM

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
MARK = ".lora_"  # in the name of every parameter of an adapter, and of no other
_PREFIX = "base_model.model."  # in front of the names in a file of PEFT's
_ALL = "all-linear"


@dataclass(frozen=True)
class Lora:
    """The model that `model` makes, with an adapter on; nothing else of it learns but a value head and encoders.

    A linear layer W [out, in] becomes W + s B A, A [rank, in] random and B [out, rank] zero at first, so that the
    model begins as it was. "lora" (Hu et al. 2021, eq. 3): s = alpha / rank. "rslora" (Kalajdzievski 2023):
    s = alpha / sqrt(rank). "dora" (Liu et al. 2024, eq. 5): m * (W + s B A) / |W + s B A| with s = alpha / rank, where
    m [out] learns too and |.| is the norm of a row, taken as constant in the backward pass.

    `targets`: "all-linear" (all but the output head), or ends of names of linear layers: ("q_proj", "v_proj").
    `export`: "merged", a model like any other; or "apart", the adapter alone, as a folder that PEFT loads.

    ValueError for a rank or alpha that is not positive; from `build`, for a target that is not there, a model that has
    an adapter already, and "apart" on a base without a folder or name. ImportError from `build` without PEFT.
    """

    model: Any  # what makes the base: Pretrained("..."), TinyQwen(...), Made(...)
    rank: int = 16
    alpha: float = 32.0  # our choice, at any rank
    kind: Literal["lora", "rslora", "dora"] = "lora"
    targets: str | tuple[str, ...] = _ALL
    export: Literal["merged", "apart"] = "merged"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"Lora.rank must be at least 1, got {self.rank}")
        if not self.alpha > 0:
            raise ValueError(f"Lora.alpha must be above 0, got {self.alpha}")
        if self.kind not in ("lora", "rslora", "dora"):
            raise ValueError(f"Lora.kind must be lora, rslora or dora, got {self.kind!r}")
        if self.export not in ("merged", "apart"):
            raise ValueError(f"Lora.export must be merged or apart, got {self.export!r}")

    def build(self, seed: int) -> LM:
        return self.around(self.model.build(seed), seed)

    def around(self, lm: LM, seed: int) -> LM:
        """`lm` with the adapter on; the seed draws A."""
        if lm.adapter is not None:
            raise ValueError("the model has an adapter on already: train that one, without Lora, or merge it first")
        if self.export == "apart" and not lm.origin:
            raise ValueError(
                "Lora.export='apart' needs a base with a folder or a name on the hub, for the adapter to say what it "
                "belongs to; save the base and give Pretrained(folder), or export it merged"
            )
        found = _targets(lm.hf, self.targets)
        config = _peft().LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # pyright: ignore[reportArgumentType]
            use_rslora=self.kind == "rslora",
            use_dora=self.kind == "dora",
            target_modules=list(dict.fromkeys(name.rpartition(".")[2] for name in found))
            if self.targets == _ALL
            else list(_names(self.targets)),
            fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in found.values()),
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):  # the caller's own draws go on undisturbed
            torch.default_generator.manual_seed(stream(seed, "adapter"))
            return _wear(lm, Adapter(config, self.export == "apart"))


@dataclass(frozen=True)
class Adapter:
    """What a model knows of the adapter it has on."""

    config: Any  # peft.LoraConfig
    apart: bool  # exported by itself


def merged(hf: Any) -> Any:
    """A copy of a Hugging Face model with its adapter worked into the weights, and no trace of it left."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    hf = copy.deepcopy(hf)
    for name, layer in list(hf.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            hf.set_submodule(name, layer.get_base_layer())
    del hf.peft_config
    return hf


@contextmanager
def steady(lm: LM) -> Iterator[None]:
    """While the weights stay as they were at the last forward pass outside of this: DoRA's norms are not computed
    again. PEFT keeps the products B A, too, which are as large as the base and only go into the norms: they go."""
    if lm.adapter is None or not lm.adapter.config.use_dora:
        yield
        return
    from peft.helpers import DoraCaching

    with DoraCaching():
        yield
    for part in lm.hf.modules():
        kept: dict[str, Any] | None = getattr(part, "_dora_cache", None)
        if kept:
            kept |= {name: torch.empty(0) for name in kept if name.startswith("lora-weight")}


def write(lm: LM, folder: Path) -> None:
    """The adapter alone, as files that `peft.PeftModel.from_pretrained` puts on the base."""
    assert lm.adapter is not None
    config = copy.copy(lm.adapter.config)
    config.base_model_name_or_path, config.inference_mode = lm.origin, True
    config.save_pretrained(str(folder))
    held = _peft().get_peft_model_state_dict(lm.hf, save_embedding_layers=False)
    save_file({_PREFIX + name: value.contiguous() for name, value in held.items()}, folder / ADAPTER_FILE)


def base_of(folder: Path) -> str:
    """The folder or name of the model that an adapter belongs to. ValueError if it is no low-rank adapter."""
    try:
        told = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / ADAPTER_CONFIG} should hold JSON, got {error}") from error
    if not isinstance(told, dict) or told.get("peft_type") != "LORA" or not told.get("base_model_name_or_path"):
        raise ValueError(f"{folder} holds an adapter of another kind than LoRA; merge it into its base with PEFT")
    return str(told["base_model_name_or_path"])


def put_on(lm: LM, folder: Path) -> LM:
    """`lm` with the adapter that is in `folder`. ValueError if it does not fit."""
    peft = _peft()
    config = peft.LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False
    try:
        held = load_file(folder / ADAPTER_FILE)
        _wear(lm, Adapter(config, apart=True))
        held = {name.removeprefix(_PREFIX): value for name, value in held.items()}
        report = peft.set_peft_model_state_dict(lm.hf, held)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"the adapter in {folder} does not fit {lm.origin}: {str(error).splitlines()[0]}") from error
    missing = [name for name in report.missing_keys if MARK in name]
    if missing or report.unexpected_keys:
        odd = [*missing, *report.unexpected_keys]
        raise ValueError(f"the adapter in {folder} does not fit {lm.origin}: {', '.join(odd[:3])}")
    return lm


def _wear(lm: LM, adapter: Adapter) -> LM:
    _peft().inject_adapter_in_model(adapter.config, lm.hf)
    lm.adapter = adapter
    for name, parameter in lm.hf.named_parameters():
        if MARK in f".{name}":
            parameter.data = parameter.data.float()  # a base in half precision may stay so: it does not learn
    return lm.eval()


def _targets(hf: Any, targets: str | Sequence[str]) -> dict[str, nn.Module]:
    """{name: layer} of the linear layers that `targets` names."""
    head = hf.get_output_embeddings()
    linear: dict[str, nn.Module] = {
        n: m for n, m in hf.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head
    }
    if targets == _ALL:
        return linear
    found = {}
    for target in _names(targets):
        here = {n: m for n, m in linear.items() if n == target or n.endswith("." + target)}
        if not here:
            there = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in linear))
            raise ValueError(
                f"Lora.targets: {type(hf).__name__} has no linear layer {target!r}; it has {there} (or 'all-linear')"
            )
        found |= here
    if not found:
        raise ValueError("Lora.targets names no layer; give names, or 'all-linear'")
    return found


def _names(targets: str | Sequence[str]) -> Sequence[str]:
    return (targets,) if isinstance(targets, str) else targets


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ImportError("adapters need PEFT: pip install 'whet[lora]'") from error
    return peft
