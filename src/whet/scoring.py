"""Reward terms -> reward per token."""

from __future__ import annotations

import inspect
from asyncio import gather
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from whet.schedule import Number
from whet.types import AskingTerm, Group, Judged, Models, Scored, Term, Trajectory, joined, tokens_in


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
        totals = {name: torch.stack([v.sum() for v in tokens]) for name, (tokens, _) in measured.items()}
        rewards = [torch.zeros(tokens_in(t)) for t in group.trajectories]
        for name, (tokens, _) in measured.items():
            weight = float(self.weights.get(name, 1.0))
            gate = totals[self.gates[name]] if name in self.gates else torch.ones(len(tokens))
            passes = torch.where(gate.isnan(), gate, (gate > 0).float())
            for g, value in enumerate(tokens if weight else ()):
                rewards[g] = rewards[g] + weight * passes[g] * value
        outcomes = {name: spoken for name, (_, spoken) in measured.items() if spoken}
        return Scored(group, tuple(rewards), totals, outcomes)


async def _measure(
    name: str, term: Term | AskingTerm, models: Models, group: Group
) -> tuple[list[Tensor], tuple[str, ...]]:
    """A term's values as G x [T], and the outcomes if a verifier spoke."""
    where = f"reward {name!r} on problem {group.problem.id!r}"
    try:
        value = term(models, group) if getattr(term, "asks_models", False) else term(group)  # type: ignore
        if inspect.isawaitable(value):
            value = await value
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:
        raise ValueError(f"{where} raised {type(error).__name__}: {error}") from error
    value, outcomes = value if isinstance(value, Judged) else (value, ())
    count = len(group.trajectories)
    if not isinstance(value, (Tensor, list, tuple)):
        raise ValueError(f"{where} gave {type(value).__name__}, expected {count} numbers")
    if len(value) != count or (outcomes and len(outcomes) != count):
        raise ValueError(f"{where} gave {len(value)} values for {count} attempts; it must give one for each")
    tokens = [_spread(where, v, t) for v, t in zip(value, group.trajectories, strict=True)]
    return tokens, outcomes


def _spread(where: str, value: object, trajectory: Trajectory) -> Tensor:
    """One attempt's value per token: an outcome falls on the last trained token."""
    try:
        number = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{where} gave {value!r}, which is no number") from None
    if number.isinf().any():
        raise ValueError(f"{where} gave {value!r}; a reward must be finite, or NaN for 'no verdict'")
    length = tokens_in(trajectory)
    if number.dim() == 0:
        out = torch.zeros(length)
        out[last_trained(trajectory)] = number
        return out
    if number.shape != (length,):
        raise ValueError(f"{where} gave shape {tuple(number.shape)} for an attempt of {length} tokens")
    return number


def last_trained(trajectory: Trajectory) -> int:
    """Where an outcome reward falls: the last trained token, or the last token where none is trained."""
    places = joined(trajectory, "trained").nonzero()
    return int(places[-1]) if len(places) else tokens_in(trajectory) - 1


def totals(scored: Scored) -> Tensor:
    """[G]: each attempt's reward, the sum over its tokens."""
    return torch.stack([r.sum() for r in scored.rewards]) if scored.rewards else torch.zeros(0)


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
    )
