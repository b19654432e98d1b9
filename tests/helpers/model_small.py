"""Small models whose next token is not always the same one, and short ways to play them."""

import asyncio
from collections.abc import Sequence

import torch

from whet.engines.native import Native
from whet.models.lm import LM
from whet.models.tiny import TinyLlama, TinyQwen
from whet.types import Decoding, Problem, Trajectory


def shaken(tiny: TinyQwen | TinyLlama, seed: int = 0, by: float = 0.08) -> LM:
    """Fresh weights are so small that a model repeats itself: add noise."""
    lm = tiny.build(seed)
    draws = torch.Generator().manual_seed(seed + 5)
    with torch.no_grad():
        for weights in lm.hf.parameters():
            weights.add_(by * torch.randn(weights.shape, generator=draws))
    return lm


def problems(prompts: Sequence[str]) -> list[Problem]:
    return [Problem(str(i), prompt) for i, prompt in enumerate(prompts)]


def play(engine: Native, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int] = ()) -> list[Trajectory]:
    """One attempt at each prompt, all at once."""
    return extend(engine, [engine.open(p) for p in problems(prompts)], decoding, seeds)


def extend(
    engine: Native, trajectories: Sequence[Trajectory], decoding: Decoding, seeds: Sequence[int] = ()
) -> list[Trajectory]:
    async def everyone() -> list[Trajectory]:
        pairs = zip(trajectories, seeds or range(len(trajectories)), strict=True)
        return await asyncio.gather(*(engine.extend(t, decoding, seed) for t, seed in pairs))

    return asyncio.run(everyone())


def generated(lm: LM, tokens: torch.Tensor, count: int) -> list[int]:
    """What `transformers` writes greedily behind `tokens`."""
    eos = list(lm.codec.eos)
    out = lm.hf.generate(
        tokens[None], do_sample=False, max_new_tokens=count, eos_token_id=eos, pad_token_id=lm.codec.pad
    )
    return out[0, len(tokens) :].tolist()
