"""Independent seeds by name.

Every draw in Whet comes from `stream(seed, "what it is for", slot, ...)`. Seeds are never made by adding an index:
`seed + i` makes run 42 and run 43 share almost all of their draws.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

Part = str | int


def stream(seed: int, *parts: Part) -> int:
    """A 63-bit seed that is a hash (BLAKE2b) of `seed` and the named parts; `("a", 1)` and `("a1",)` differ."""
    if not parts:
        raise ValueError("stream() needs to be told what the draw is for, as in stream(seed, 'draw', step)")
    text = repr((int(seed), tuple(int(p) if isinstance(p, (bool, np.integer)) else p for p in parts)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *parts: Part) -> np.random.Generator:
    """A numpy generator (Philox) for one stream."""
    return np.random.Generator(np.random.Philox(key=stream(seed, *parts) if parts else seed))


def torch_generator(seed: int, *parts: Part) -> torch.Generator:
    """A torch generator (CPU) for one stream."""
    return torch.Generator().manual_seed(stream(seed, *parts) if parts else seed)


def uniforms(seed: int, count: int) -> np.ndarray:
    """[count] float64 in [0, 1): the draws of one row, the k-th for its k-th sampled token. Every engine takes its
    randomness from here, so that a row's tokens depend on weights, context and seed and not on the engine."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
