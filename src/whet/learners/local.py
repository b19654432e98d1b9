"""Who learns: one model on this machine."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from whet.batching import microbatches
from whet.learners.fused import fused
from whet.learners.memory import LOGITS, Memory, Sizes, fitting, keep_freed, memory_of, predicted, sizes
from whet.machines.profile import Machine
from whet.models.lm import LM
from whet.models.packing import pack
from whet.types import Batch, Outputs


class Local:
    """A model with its AdamW; with an adapter on, only that learns. Weights and optimizer are fp32; `precision="bf16"`
    autocasts the forward pass. A gradient whose norm is above `largest_norm` is dropped; 0 turns that off."""

    def __init__(
        self,
        lm: LM,
        machine: Machine,
        *,
        betas: tuple[float, float],
        weight_decay: float,
        eps: float,
        largest_norm: float = 0.0,
    ):
        self.lm = lm
        self.machine = machine
        self.largest_norm = largest_norm or math.inf
        self.fused = fused(lm) if machine.precision == "fp32" else None
        keep_freed()
        learned = {id(parameter) for parameter in lm.learned().values()}
        for parameter in lm.parameters():
            parameter.requires_grad_(id(parameter) in learned)
        self.optimizer = torch.optim.AdamW(
            self._decayed(weight_decay), lr=0.0, betas=betas, eps=eps, fused=machine.device in ("cpu", "cuda")
        )

    def _decayed(self, weight_decay: float) -> list[dict[str, Any]]:
        """Weight decay on matrices only, as is usual: not on norms and biases."""
        parameters = [p for p in self.lm.parameters() if p.requires_grad]
        return [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]

    def forward(self, batch: Batch, needs: Collection[str] = ()) -> Outputs:
        """What the model says of the trained tokens of a batch; 0 elsewhere.

        Logits exist for trained tokens only, at most 2**24 of them at once: never [B, T, V].
        """
        device = self.machine.device
        places = batch.trained.clone()
        places[:, 0] = False  # nothing predicts the first token
        rows, columns = places.nonzero(as_tuple=True)
        with torch.autocast(device, torch.bfloat16, enabled=self.machine.precision == "bf16"):
            states = self._states(batch, rows, columns)
        places, rows, columns = places.to(device), rows.to(device), columns.to(device)
        targets = batch.tokens.to(device)[rows, columns]
        temperature = batch.temperature.to(device)[rows]
        kept = batch.tracks["kept"].to(device)[rows, columns] if "kept" in batch.tracks else None
        logprobs, entropy = self._read(states, targets, temperature, kept, "entropy" in needs)
        if "log_kept" in batch.tracks and kept is None:
            # Truncated sampling whose kept set is not stored: the kept mass is taken as it was when sampling.
            logprobs = logprobs - batch.tracks["log_kept"].to(device)[rows, columns]

        def place(values: Tensor) -> Tensor:
            return values.new_zeros(*places.shape, *values.shape[1:]).index_put((rows, columns), values)

        values = place(self.lm.values(states).float()) if "values" in needs else None
        return Outputs(place(logprobs), place(entropy), values, place(states) if "hidden" in needs else None)

    def _states(self, batch: Batch, rows: Tensor, columns: Tensor) -> Tensor:
        """[n, H]: the states that predict tokens (rows, columns). Where the architecture allows it the rows are packed,
        up to each one's last trained token, which is itself not read: no padding, and every distinct prefix once."""
        checkpointing, device = self.machine.checkpointing, self.machine.device
        if self.packs(batch):
            reach = torch.zeros(len(batch), dtype=torch.long).scatter_reduce(0, rows, columns, "amax")
            packing = pack(batch.tokens, reach)
            places = packing.places[rows, columns - 1].to(device)
            packed = self.fused or self.lm.packed
            return packed(packing.to(device), checkpointing).index_select(0, places)
        hidden = self.lm.hidden(batch.tokens.to(device), batch.valid.to(device), batch.media, checkpointing)
        return hidden[rows.to(device), columns.to(device) - 1]

    def parts(self, batch: Batch) -> list[list[int]]:
        """Row numbers of the micro-batches of a batch. ValueError if its longest row does not fit into memory."""
        return microbatches(batch, self.micro_tokens(batch.tokens.shape[1]), self.packs(batch))

    def micro_tokens(self, longest: int) -> int:
        """Tokens of a micro-batch of rows of at most `longest` tokens: the machine's, or as many as fit."""
        if self.machine.micro_tokens:
            return self.machine.micro_tokens
        return fitting(self.sizes, self.machine, longest, memory_of(self.machine.device))

    def memory(self, longest: int, played: int, others: int = 0) -> Memory:
        """The peak of a run whose steps have `played` tokens, in rows of at most `longest`; `others` as in
        `predicted`."""
        tokens = min(played, max(longest, self.micro_tokens(longest)))
        return predicted(self.sizes, self.machine, tokens, played, others)

    @cached_property
    def sizes(self) -> Sizes:
        return sizes(self.lm, self.fused is not None and self.lm.packs)

    def packs(self, batch: Batch) -> bool:
        """Rows with media are padded, and so are those of an architecture that can not be packed."""
        return self.lm.packs and not any(batch.media)

    def _read(
        self, states: Tensor, targets: Tensor, temperature: Tensor, kept: Tensor | None, entropy_grad: bool
    ) -> tuple[Tensor, Tensor]:
        """[n] log-probs and [n] entropies of n next-token distributions."""

        def chunk(h: Tensor, y: Tensor, t: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
            logits = self.lm.logits(h).float() / t[:, None]
            if keep is not None:
                logits = logits.masked_fill(~keep, -math.inf)
            logp = logits.log_softmax(-1)
            with torch.set_grad_enabled(entropy_grad and torch.is_grad_enabled()):
                terms = logp.exp() * logp.masked_fill(logp == -math.inf, 0.0)
                entropy = -terms.sum(-1)
            return logp.gather(1, y[:, None]).squeeze(1), entropy

        size = max(1, LOGITS // self.lm.vocab)
        if len(states) <= size:
            return chunk(states, targets, temperature, kept)
        out = []
        for start in range(0, len(states), size):
            here = slice(start, start + size)
            inputs = (states[here], targets[here], temperature[here], None if kept is None else kept[here])
            out.append(checkpoint(chunk, *inputs, use_reentrant=False) if torch.is_grad_enabled() else chunk(*inputs))
        logprobs, entropy = zip(*out, strict=True)
        return torch.cat(logprobs), torch.cat(entropy)

    def update(self, lr: float, clip_norm: float) -> dict[str, float]:
        """One optimizer step on the gradients gathered so far. Gradients that are not finite, or too large, are dropped
        and counted: one broken batch must not destroy the weights."""
        parameters = [p for p in self.lm.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip_norm if clip_norm > 0 else math.inf))
        kept = math.isfinite(norm) and norm <= self.largest_norm
        if kept:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
        self.drop()
        return {"grad_norm": norm, "updates": float(kept), "updates_dropped": float(not kept)}

    def drop(self) -> None:
        """Forget the gradients gathered so far."""
        self.optimizer.zero_grad(set_to_none=True)
