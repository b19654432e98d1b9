"""What a model says of tokens that are written: log-probs, entropies, values and hidden states of whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from whet.models.lm import LM
from whet.models.packing import pack
from whet.types import Row, Want

_TOKENS = 16384  # our choice: padded tokens of one forward pass
_LOGITS = 2**24  # our choice: numbers in one block of logits


def batches(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Places of the rows, at most `_TOKENS` padded tokens together, all of one temperature, and with media or without.
    Rows with media are padded, and stand with others of like length; the rest keep their order, in which siblings are
    neighbours."""

    def kind(row: Row) -> tuple[float, bool]:
        return _temperature(row), bool(row.media)

    batch: list[int] = []
    longest = 0
    for i in sorted(range(len(rows)), key=lambda i: (*kind(rows[i]), len(rows[i]) if rows[i].media else 0)):
        longest = max(longest, len(rows[i]))
        if batch and ((len(batch) + 1) * longest > _TOKENS or kind(rows[batch[0]]) != kind(rows[i])):
            yield batch
            batch, longest = [], len(rows[i])
        batch.append(i)
    if batch:
        yield batch


@torch.no_grad()
def scores(lm: LM, rows: Sequence[Row], want: Sequence[Want]) -> list[dict[str, Tensor]]:
    """Per row {what: [T] float32}, "hidden" [T, H]: entry t is what the model says of token t given those before it,
    at the temperature of the rows, which have one (greedy rows: 1). Entry 0 is 0: nothing is before it.

    Where the architecture allows it and there are no media, rows are packed: what they have in common at their
    beginnings is computed once, and so is all that is said of it.
    """
    tokens = pad_sequence([row.tokens for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    valid = torch.arange(tokens.shape[1]) < lengths[:, None]
    if lm.packs and not any(row.media for row in rows):
        packing = pack(tokens, lengths)
        hidden, nodes, places = lm.packed(packing.to(lm.device)), packing.tokens, packing.places
    else:  # every token is a node of its own
        hidden = lm.hidden(tokens.to(lm.device), valid.to(lm.device), [row.media for row in rows])[valid.to(lm.device)]
        nodes, places = tokens[valid], torch.zeros_like(tokens)
        places[valid] = torch.arange(len(nodes))
    before = torch.zeros_like(nodes)  # the node before each; of a row's first token, any
    before[places[:, 1:][valid[:, 1:]]] = places[:, :-1][valid[:, 1:]]
    said = _of_nodes(lm, hidden, before.to(lm.device), nodes.to(lm.device), _temperature(rows[0]), want)
    out = [{name: values[places[b, : len(row)]] for name, values in said.items()} for b, row in enumerate(rows)]
    for row in out:
        for values in row.values():
            values[0] = 0.0
    return out


def _temperature(row: Row) -> float:
    return row.temperature or 1.0


def _of_nodes(
    lm: LM, hidden: Tensor, before: Tensor, nodes: Tensor, temperature: float, want: Sequence[Want]
) -> dict[str, Tensor]:
    """What hidden[before] [N, H] says of the tokens `nodes` [N], a block of logits at a time."""
    said: dict[str, list[Tensor]] = {name: [] for name in want}
    size = max(1, _LOGITS // lm.vocab)
    for at, ids in zip(before.split(size), nodes.split(size), strict=True):
        part = hidden[at]
        if "logprobs" in said or "entropy" in said:
            logprobs = torch.log_softmax(lm.logits(part) / temperature, -1)
            if "logprobs" in said:
                said["logprobs"].append(logprobs.gather(1, ids[:, None]).squeeze(1))
            if "entropy" in said:
                said["entropy"].append(torch.special.entr(logprobs.exp()).sum(-1))
        if "values" in said:
            said["values"].append(lm.values(part))
        if "hidden" in said:
            said["hidden"].append(part.float())
    return {name: torch.cat(parts).cpu() for name, parts in said.items()}
