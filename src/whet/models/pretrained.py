"""Models that somebody has trained already."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from whet.models.lm import LM, load


@dataclass(frozen=True)
class Pretrained:
    """A folder in Hugging Face format, or a name on the hub. `build` takes a seed as every model does; there is
    nothing here to draw. `value_head`: with a head for values, the folder's own where it holds one, else zeros."""

    name: str
    dtype: str = "float32"
    value_head: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"Pretrained.dtype must be float32, bfloat16 or float16, got {self.dtype!r}")

    def build(self, seed: int) -> LM:
        return load(self.name, getattr(torch, self.dtype), self.value_head)
