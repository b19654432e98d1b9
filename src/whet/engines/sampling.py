"""Choosing tokens: from logits and one uniform number per row to a token, its log-prob and what was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whet.types import Decoding


@dataclass(frozen=True)
class Chosen:
    """One token for each of n rows."""

    tokens: Tensor  # [n] int64
    logprobs: Tensor  # [n] float32, nats, of softmax(logits / temperature), before anything is cut off
    log_kept: Tensor  # [n] float32, nats: log of the mass of what was kept; 0 where nothing is cut off
    kept: Tensor | None  # [n, V] bool: what was kept; None where nothing is cut off


def choose(logits: Tensor, decoding: Decoding, uniforms: Tensor, histories: Sequence[Tensor] = ()) -> Chosen:
    """Token i of row r where i is the first with  sum_{j <= i} q_rj > uniforms_r * sum_j q_rj,
    q the softmax of logits / temperature inside the kept set and 0 outside it. Temperature 0: the kept token of the
    greatest logit, with the log-probs of temperature 1.

    logits [n, V] float32; uniforms [n] float64 in [0, 1); histories: the n rows' tokens so far, for processors.
    A token outside the kept set or of probability 0 is never chosen. ValueError if logits are not numbers, or if
    processors forbid every token.
    """
    scaled = logits / decoding.temperature if decoding.temperature > 0 else logits
    logprobs = torch.log_softmax(scaled, dim=-1)
    if not decoding.truncates:
        kept, log_kept = None, torch.zeros(len(logits), device=logits.device)
        tokens = logits.argmax(-1) if decoding.temperature == 0 else inverse(logprobs.double().exp(), uniforms)
    else:
        allowed = processed(scaled, decoding, histories)
        kept = keep(allowed, decoding)
        log_kept = torch.logsumexp(logprobs.double().masked_fill(~kept, -torch.inf), -1).clamp(max=0.0).float()
        log_kept = log_kept.masked_fill(kept.all(-1), 0.0)  # of all there is, whatever the sum was rounded to
        allowed = allowed.masked_fill(~kept, -torch.inf)
        if decoding.temperature == 0:
            tokens = allowed.argmax(-1)
        else:
            tokens = inverse(torch.softmax(allowed.double(), -1), uniforms)
    picked = logprobs.gather(1, tokens[:, None]).squeeze(1)
    if not torch.isfinite(picked).all():
        raise ValueError("the model gave logits that are not numbers; its weights have diverged")
    return Chosen(tokens, picked, log_kept, kept)


def inverse(masses: Tensor, uniforms: Tensor) -> Tensor:
    """[n] int64: the inverse of the cumulative sum of masses [n, V] float64 at uniforms [n], a share of the total.

    Where rounding lifts the share up to the total, the last token with any mass.
    """
    sums = masses.cumsum(-1)
    target = uniforms.to(sums)[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, target, right=True).squeeze(1)
    places = torch.arange(masses.shape[1], device=masses.device)
    last = torch.where(masses > 0, places, -1).amax(-1)
    return torch.minimum(found, last.clamp(min=0))


def keep(scaled: Tensor, decoding: Decoding) -> Tensor:
    """[n, V] bool: what top-k, then top-p, then min-p leave of softmax(scaled), scaled [n, V].

    top_k: the k greatest, the lower id first among equals. top_p: of those, the fewest whose share reaches top_p.
    min_p: all with at least min_p times the greatest probability. A logit of -inf is never kept; the greatest always.
    """
    if not (decoding.top_k or decoding.top_p < 1 or decoding.min_p > 0):
        return scaled > -torch.inf
    ordered, order = scaled.double().sort(dim=-1, descending=True, stable=True)
    stays = ordered > -torch.inf
    if decoding.top_k:
        stays[:, decoding.top_k :] = False
    if decoding.top_p < 1:
        share = torch.softmax(ordered.masked_fill(~stays, -torch.inf), -1)
        stays &= share.cumsum(-1) - share < decoding.top_p
    if decoding.min_p > 0:
        stays &= (ordered - ordered[:, :1]).exp() >= decoding.min_p
    return torch.zeros_like(stays).scatter(1, order, stays)


def processed(scaled: Tensor, decoding: Decoding, histories: Sequence[Tensor]) -> Tensor:
    """[n, V]: scaled logits after the rows' processors, in their order."""
    for processor in decoding.processors:
        if getattr(processor, "together", False):
            out = processor(histories, scaled.clone())
        else:
            pairs = zip(histories, scaled, strict=True)
            out = torch.stack([_shaped(processor, processor(history, row.clone()), row) for history, row in pairs])
        scaled = _shaped(processor, out, scaled)
    if decoding.processors and not (scaled > -torch.inf).any(-1).all():
        raise ValueError("the processors forbid every token; leave at least one")
    return scaled


def _shaped(processor: object, out: Tensor, like: Tensor) -> Tensor:
    if out.shape != like.shape:
        raise ValueError(f"processor {processor} gave logits of shape {tuple(out.shape)}, expected {tuple(like.shape)}")
    return out
