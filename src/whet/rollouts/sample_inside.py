"""Attempts that stay, token by token, inside what another model thinks likely."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from whet.randomness import stream
from whet.schedule import Count, Number
from whet.types import Decoding, Group, ModelName, Models, Predicting, Problem


@dataclass(frozen=True)
class SampleInside:
    """y_1, ..., y_G ~ policy(. | prompt) restricted to S_t before every token t: G = `group` attempts at one problem,
    in one group `name`. With q the probabilities of the model `mask` after the same tokens, at temperature 1,

        S_t = {the most likely tokens, the fewest whose share of q reaches `top_p`} or {the `top_k` most likely}
              + {the `least` most likely} + {special tokens}.

    The token that crosses `top_p` is in. With both given, `top_p` looks at the share of what `top_k` leaves. S_t is
    stored with the sample, as the track "kept", and learning looks at the log-probs inside it: the ratio starts at 1,
    and a mask that has changed since does no harm. Stored log-probs are those before the cut, for a KL that must not
    diverge.

    Source: NLPO (Ramamurthy et al. 2022, arXiv 2210.01241), with `models={"mask": Follow("policy", every=n)}`: a mask
    that was the policy up to n updates ago. Its repository calls it learned_top_p and learned_top_k. Renewed again and
    again, it may cut a cut distribution: watch the metric "entropy". `top_p` = 1 without `top_k` is `Sample`.

    Raises ValueError for numbers out of range, and where `mask` is a model that can not say what it would say next (a
    remote one) or has another vocabulary.
    """

    top_p: Number = 0.9
    top_k: Count = 0  # 0: off
    least: Count = 1
    group: Count = 8
    decoding: Decoding = Decoding()
    model: ModelName = "policy"
    mask: ModelName = "mask"
    name: str = "direct"

    def __post_init__(self) -> None:
        for name, low, high in (("top_p", 0, 1), ("top_k", -1, None), ("least", 0, None), ("group", 0, None)):
            value = getattr(self, name)
            if isinstance(value, int | float) and not (low < value and (high is None or value <= high)):
                raise ValueError(
                    f"SampleInside.{name} must be above {low}{f', at most {high}' * bool(high)}, got {value}"
                )

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, mask = models[self.model], models[self.mask]
        if not isinstance(mask, Predicting):
            raise ValueError(f"SampleInside.mask names {self.mask!r}, which is no local model; name one that is")
        inside = Inside(mask, float(self.top_p), int(self.top_k), int(self.least))
        processors = (*self.decoding.processors, inside)
        decoding = replace(self.decoding, processors=processors, store_mask=True)
        opened = policy.open(problem)
        seeds = [stream(seed, "attempt", g) for g in range(int(self.group))]
        attempts = await gather(*(policy.extend(opened, decoding, s) for s in seeds))
        return [Group(problem, tuple(attempts), self.name)]


@dataclass(frozen=True)
class Inside:
    """A processor that forbids what is not in S_t (see `SampleInside`); all rows are asked for at once."""

    mask: Predicting
    top_p: float = 0.9
    top_k: int = 0
    least: int = 1

    together: ClassVar[bool] = True

    def __call__(self, histories: Sequence[Tensor], logits: Tensor) -> Tensor:
        theirs = self.mask.predict(histories).to(logits.device)
        if theirs.shape != logits.shape:
            raise ValueError(
                f"the mask model has {theirs.shape[1]} tokens and the policy {logits.shape[1]}; take one of its kind"
            )
        allowed = likely(theirs, self.top_p, self.top_k, self.least)
        allowed[:, [token for token in self.mask.special if token < allowed.shape[1]]] = True
        return logits.masked_fill(~allowed, -torch.inf)


def likely(logits: Tensor, top_p: float, top_k: int = 0, least: int = 1) -> Tensor:
    """[n, V] bool: S_t without the special tokens, from logits [n, V]. Among equals the lower id comes first."""
    if top_p >= 1 and not top_k:
        return torch.ones_like(logits, dtype=torch.bool)
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    stays = torch.ones_like(ordered, dtype=torch.bool)
    if top_k:
        stays[:, top_k:] = False
    if top_p < 1:
        share = torch.softmax(ordered.double().masked_fill(~stays, -torch.inf), -1)
        stays &= share.cumsum(-1) - share < top_p
    stays[:, :least] = True
    return torch.zeros_like(stays).scatter(1, order, stays)
