"""Reward terms -> reward per token."""

from __future__ import annotations

import inspect
from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import torch
from torch import Tensor

from whet.schedule import Number
from whet.types import AskingTerm, Group, Judged, Models, Scored, Term, Trajectory, owners, summed, tokens_in


@dataclass(frozen=True)
class Weighted:
    """reward = sum over terms of weight * gate * term.

    A term gives one value per attempt, which falls on the attempt's last trained token, or values per token. Weights
    are 1 where `weights` names none. `gates={"length": "correct"}` lets the term "length" count only where "correct"
    is above 0. A term of weight 0 is still measured. NaN ("no verdict") in any term of non-zero weight makes the
    attempt's reward NaN, whatever the other terms say. A term that asks a model (`asks_models`) gets the models, too.

    Raises ValueError that names term and problem if a term raises, gives the wrong number of values, or gives
    something that is neither a finite number nor NaN.
    """

    terms: Mapping[str, Term | AskingTerm]
    weights: Mapping[str, Number] = field(default_factory=dict)
    gates: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = sorted(self.terms)
        for name in [*self.weights, *self.gates, *self.gates.values()]:
            if name not in self.terms:
                raise ValueError(
                    f"Weighted names a term {name!r} that is not among its terms {known}; add or rename it"
                )

    async def __call__(self, models: Models, group: Group) -> Scored:
        values = await gather(*(_measure(name, term, models, group) for name, term in self.terms.items()))
        measured = dict(zip(self.terms, values, strict=True))
        lengths = [tokens_in(t) for t in group.trajectories]
        owner = owners(lengths)
        totals = {name: summed(tokens.split(lengths)).float() for name, (tokens, *_) in measured.items()}
        reward = torch.zeros(sum(lengths))
        for name, (tokens, *_) in measured.items():
            if weight := float(self.weights.get(name, 1.0)):
                gate = totals[self.gates[name]] if name in self.gates else torch.ones(len(lengths))
                passes = torch.where(gate.isnan(), gate, (gate > 0).float())
                reward = reward + weight * passes[owner] * tokens
        outcomes = {name: spoken for name, (_, spoken, _) in measured.items() if spoken}
        seconds = {name: took for name, (*_, took) in measured.items() if took}
        return Scored(group, reward.split(lengths), totals, outcomes, seconds)


async def _measure(name: str, term: Term | AskingTerm, models: Models, group: Group) -> Judged:
    """A term's values per token, all attempts end to end, and if a verifier spoke its outcomes and how long it took."""
    where = f"reward {name!r} on problem {group.problem.id!r}"
    try:
        value = term(models, group) if getattr(term, "asks_models", False) else term(group)  # type: ignore
        if inspect.isawaitable(value):
            value = await value
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:
        raise ValueError(f"{where} raised {type(error).__name__}: {error}") from error
    value, outcomes, seconds = value if isinstance(value, Judged) else (value, (), ())
    count = len(group.trajectories)
    if not isinstance(value, (Tensor, list, tuple)):
        raise ValueError(f"{where} gave {type(value).__name__}, expected {count} numbers")
    if len(value) != count or (outcomes and len(outcomes) != count):
        raise ValueError(f"{where} gave {len(value)} values for {count} attempts; it must give one for each")
    return Judged(_spread(where, value, group.trajectories), outcomes, seconds)


def _spread(where: str, values: Sequence[object] | Tensor, trajectories: Sequence[Trajectory]) -> Tensor:
    """Values per token, all attempts end to end: an outcome falls on the last trained token."""
    if not isinstance(values, Tensor) or values.dim() != 1:
        return torch.cat([_of_one(where, v, t) for v, t in zip(values, trajectories, strict=True)])
    if (infinite := values.isinf()).any():
        raise ValueError(_not_finite(where, values[infinite][0].item()))
    starts = [0, *accumulate(tokens_in(t) for t in trajectories)]
    out = torch.zeros(starts[-1])
    out[[start + last_trained(t) for start, t in zip(starts, trajectories, strict=False)]] = values.float()
    return out


def _of_one(where: str, value: object, trajectory: Trajectory) -> Tensor:
    """[T]: one attempt's value, be it one number or one per token."""
    try:
        number = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{where} gave {value!r}, which is no number") from None
    if number.dim() == 0:
        return _spread(where, number[None], [trajectory])
    if number.isinf().any():
        raise ValueError(_not_finite(where, value))
    length = tokens_in(trajectory)
    if number.shape != (length,):
        raise ValueError(f"{where} gave shape {tuple(number.shape)} for an attempt of {length} tokens")
    return number


def _not_finite(where: str, value: object) -> str:
    return f"{where} gave {value!r}; a reward must be finite, or NaN for 'no verdict'"


def last_trained(trajectory: Trajectory) -> int:
    """Where an outcome reward falls: the last trained token, or the last token where none is trained."""
    start = length = tokens_in(trajectory)
    for row in reversed(trajectory.rows):
        start -= len(row)
        places = row.trained.numpy().nonzero()[0]
        if len(places):
            return start + int(places[-1])
    return length - 1


def totals(scored: Scored) -> Tensor:
    """[G]: each attempt's reward, the sum over its tokens."""
    return summed(scored.rewards).float()


def judged(scored_P: list[Scored]) -> list[Scored]:
    """Without the attempts that got no verdict (NaN) or whose task or tools failed (stop "error"); groups left empty
    are dropped."""
    out = []
    for scored in scored_P:
        trajectories = scored.group.trajectories
        keep = [g for g, r in enumerate(totals(scored).tolist()) if r == r and trajectories[g].stop != "error"]
        if len(keep) == len(trajectories):
            out.append(scored)
        elif keep:
            out.append(_pick(scored, keep))
    return out


def _pick(scored: Scored, keep: list[int]) -> Scored:
    group = replace(scored.group, trajectories=tuple(scored.group.trajectories[g] for g in keep))
    return Scored(
        group,
        tuple(scored.rewards[g] for g in keep),
        {name: values[keep] for name, values in scored.terms.items()},
        {name: tuple(words[g] for g in keep) for name, words in scored.outcomes.items()},
        {name: tuple(took[g] for g in keep) for name, took in scored.seconds.items()},
    )
