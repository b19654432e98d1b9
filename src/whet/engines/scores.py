"""What a model says of tokens that are written: log-probs, entropies, values and hidden states of whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from whet.models.lm import LM
from whet.types import Row, Want

_TOKENS = 16384  # our choice: padded tokens of one forward pass
_LOGITS = 2**24  # our choice: numbers in one block of logits


def batches(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Places of the rows, of like length together, at most `_TOKENS` padded tokens each."""
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (len(rows[i]), i)):
        if batch and (len(batch) + 1) * len(rows[i]) > _TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.no_grad()
def scores(lm: LM, rows: Sequence[Row], want: Sequence[Want]) -> list[dict[str, Tensor]]:
    """Per row {what: [T] float32}, "hidden" [T, H]: entry t is what the model says of token t given those before it,
    at the row's temperature (a greedy row: 1). Entry 0 is 0: nothing is before it."""
    longest = max(len(row) for row in rows)
    tokens = torch.full((len(rows), longest), lm.codec.pad)
    valid = torch.zeros(len(rows), longest, dtype=torch.bool)
    for b, row in enumerate(rows):
        tokens[b, : len(row)] = row.tokens
        valid[b, : len(row)] = True
    hidden = lm.hidden(tokens.to(lm.device), valid.to(lm.device), [row.media for row in rows])
    return [_of_row(lm, row, hidden[b, : len(row) - 1], want) for b, row in enumerate(rows)]


def _of_row(lm: LM, row: Row, hidden: Tensor, want: Sequence[Want]) -> dict[str, Tensor]:
    """`hidden` [T - 1, H] predicts tokens 1 .. T - 1."""
    said: dict[str, list[Tensor]] = {name: [] for name in want}
    temperature = row.temperature or 1.0
    following = row.tokens[1:].to(hidden.device)
    size = max(1, _LOGITS // lm.vocab)
    for start in range(0, len(hidden), size):
        part = hidden[start : start + size]
        if "logprobs" in said or "entropy" in said:
            logprobs = torch.log_softmax(lm.logits(part) / temperature, -1)
            if "logprobs" in said:
                said["logprobs"].append(logprobs.gather(1, following[start : start + size, None]).squeeze(1))
            if "entropy" in said:
                said["entropy"].append(torch.special.entr(logprobs.exp()).sum(-1))
        if "values" in said:
            said["values"].append(lm.values(part))
        if "hidden" in said:
            said["hidden"].append(part.float())
    nothing = {name: torch.zeros((1, lm.width) if name == "hidden" else (1,)) for name in want}
    return {name: torch.cat([nothing[name], *(part.cpu() for part in parts)]) for name, parts in said.items()}
