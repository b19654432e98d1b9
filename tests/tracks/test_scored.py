"""Tracks from a model that is small enough to check by hand: a table of bigrams."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
import torch
from helpers.examples import attempt, group, row

from whet.tracks.reference import Logprobs
from whet.tracks.values import Values


@dataclass
class Bigrams:
    """log p(token | previous) = log_softmax(table[previous] / temperature); V = table[previous].max()."""

    table: torch.Tensor
    calls: list[int] = field(default_factory=list)

    async def score(self, rows, want=("logprobs",)):
        self.calls.append(len(rows))
        return [{what: self._one(r, what) for what in want} for r in rows]

    def _one(self, r, what):
        before = self.table[r.tokens[:-1]]
        if what == "values":
            spoken = before.max(-1).values
        else:
            spoken = (before / r.temperature).log_softmax(-1).gather(1, r.tokens[1:, None]).flatten()
        return torch.cat([torch.zeros(1), spoken])


TABLE = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.5], [3.0, 1.0, 1.0]])
ONE, TWO = attempt(row([0, 1, 2], [0, 1, 1]), row([2, 0], [0, 1])), attempt(row([1, 1], [0, 1]))


def test_every_row_is_scored_in_one_call_and_goes_back_to_its_attempt() -> None:
    model = Bigrams(TABLE)
    groups = [group(ONE, TWO), group(TWO, name="other")]
    found = asyncio.run(Logprobs()({"reference": model}, groups))  # type: ignore[dict-item]
    assert model.calls == [4]
    logp = TABLE.log_softmax(-1)
    first, second = found[0].trajectories
    assert first.tracks["reference"].tolist() == [0, logp[0, 1].item(), logp[1, 2].item(), 0, logp[2, 0].item()]
    assert second.tracks["reference"].tolist() == [0, logp[1, 1].item()]
    assert found[1].name == "other"
    assert not ONE.tracks


def test_a_temperature_of_its_own_takes_the_place_of_the_rows() -> None:
    hot = attempt(replace(row([0, 1], [0, 1]), temperature=2.0))
    for temperature, expected in ((None, 2.0), (1.0, 1.0), (0.5, 0.5)):
        track = Logprobs(temperature=temperature)
        found = asyncio.run(track({"reference": Bigrams(TABLE)}, [group(hot)]))[0].trajectories[0]  # type: ignore
        assert found.tracks["reference"][1].item() == (TABLE[0] / expected).log_softmax(-1)[1].item()
        assert found.rows == hot.rows
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Logprobs(temperature=0.0)


def test_values_come_from_the_critic_and_other_tracks_stay() -> None:
    kept = attempt(row([0, 1], [0, 1]), tracks={"reference": torch.zeros(2)})
    found = asyncio.run(Values()({"critic": Bigrams(TABLE)}, [group(kept)]))  # type: ignore[dict-item]
    assert found[0].trajectories[0].tracks["values"].tolist() == [0, 2]
    assert set(found[0].trajectories[0].tracks) == {"reference", "values"}


def test_nothing_to_score_asks_nobody() -> None:
    assert asyncio.run(Logprobs()({}, [])) == []


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match="critic"):
        asyncio.run(Values()({"reference": Bigrams(TABLE)}, [group(ONE)]))  # type: ignore[dict-item]
