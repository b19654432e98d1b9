"""What learning saw of every token, kept to be looked at: in the files of a run, on its pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from whet.types import Batch, Outputs, Scored

ARRAYS = ("logprobs", "entropy", "weights", "gradient", "clipped")


class Looked:
    """Of a batch, from the last pass over it: name -> [B, T] float32, 0 where the loss does not look.

    logprobs   log pi of the model that learns, before that update, nats
    entropy    of its whole distribution there, nats
    weights    what the weighting gave the token
    gradient   d loss / d log pi of the token, over the whole loss of the optimizer step
    clipped    1 where the objective clips it, 0 where it does not
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.arrays: dict[str, Tensor] = {}

    def see(self, rows: Sequence[int], outputs: Outputs, small: Batch, metrics: Mapping[str, Tensor]) -> None:
        """`rows` of the batch are those of `small`, for which `outputs` and, after `backward`, gradients are there."""
        seen = {"logprobs": outputs.logprobs, "entropy": outputs.entropy, "weights": small.weights}
        seen |= {"gradient": outputs.logprobs.grad, "clipped": metrics.get("clip_fraction")}
        for name, value in seen.items():
            if value is not None:
                every = self.arrays.setdefault(name, torch.zeros_like(self.batch.logprobs))
                known = value.detach().float().masked_fill(~small.trained, 0.0)
                every[list(rows), : known.shape[1]] = known.to(every.device)


def by_row(looked: Mapping[str, Looked], kept_P: Sequence[Scored]) -> dict[tuple[int, int], dict[str, Tensor]]:
    """{(id of a trajectory, number of its row): {array: [T]}} of the models that learned from what they sampled
    themselves."""
    trajectories = [trajectory for scored in kept_P for trajectory in scored.group.trajectories]
    out: dict[tuple[int, int], dict[str, Tensor]] = {}
    for model, seen in looked.items():
        places: dict[int, Iterator[int]] = {}
        for b, number in enumerate(seen.batch.trajectory.tolist()):
            trajectory = trajectories[number]
            if number not in places:
                own = [i for i, row in enumerate(trajectory.rows) if row.trained.any() and row.model == model]
                places[number] = iter(own)
            i = next(places[number])
            length = len(trajectory.rows[i])
            out[id(trajectory), i] = {name: array[b, :length] for name, array in seen.arrays.items()}
    return out
