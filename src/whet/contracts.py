"""Promises that components keep, for ours and for a user's own.

`check_objective(MyObjective())` returns nothing, or raises `ContractError` with a sentence that says which promise was
broken and how. Every check runs on small seeded examples (`whet.examples`) and takes well under a second.

A component may say of itself, as class attributes: `needs` (what an objective reads of the forward pass beyond
log-probs), `exact_gradient = False` (it stops gradients on purpose), `group_relative = True` (a group of equal rewards
gets exactly 0), `batch_wide = True` (its statistics cross groups).
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import importlib
import inspect
import json
import math
import pickle
import pkgutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whet.describe import describe, named
from whet.examples import ROWS, example_batch, example_group, example_outputs, example_scored
from whet.types import (
    Advantage,
    Batch,
    Credit,
    Curriculum,
    Filter,
    Group,
    Judged,
    Objective,
    Outputs,
    Problem,
    Scored,
    Term,
    Weighting,
    joined,
    tokens_in,
)

_SEEDS = range(3)  # our choice
_NEEDS = ("entropy", "values", "hidden", "proximal")
_CALLS = {  # folder -> a noun that each argument's annotation must speak of
    "objectives": ("Outputs", "Batch"),
    "advantages": ("Scored",),
    "weightings": ("Batch",),
    "filters": ("Scored",),
    "rewards": ("Group",),
    "curricula": ("Task", "int", "int"),
}


class ContractError(AssertionError):
    """A component breaks a promise; the message says which."""


# --- objectives -------------------------------------------------------------------------------------------------------


class _Told(NamedTuple):
    loss: Tensor  # [B, T]
    gradients: dict[str, Tensor]  # of sum(loss * weights), by field of Outputs


def check_objective(
    objective: Objective,
    *,
    names: Sequence[str] = ("direct", "demonstration"),
    tracks: Sequence[str] = ("reference", "values"),
    rows_of: Sequence[int] = ROWS,
) -> None:
    """Shapes; 0 and zero gradient off the trained tokens, whatever stands there; padding, order of rows and the split
    into micro-batches change nothing; the gradient is that of the loss; inputs are left alone; it can be pickled.

    `names` are the group names and `tracks` the per-token arrays that the examples have, `rows_of` how many rows each
    of their attempts has.
    """
    _portable(objective)
    needs = tuple(getattr(objective, "needs", ()))
    _hold(set(needs) <= set(_NEEDS), objective, f"`needs` is {needs} and may only name {_NEEDS}")
    for seed in _SEEDS:
        batch = example_batch(seed, names=names, tracks=tracks, rows_of=rows_of)
        batch = batch if "proximal" in needs else replace(batch, proximal=None)
        outputs = _asked(example_outputs(batch, seed), needs)
        with _untouched(objective, outputs, batch):
            told = _run(objective, outputs, batch)
        _off_the_trained(objective, told, outputs, batch)
        _padding(objective, told, outputs, batch)
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
        moved = _run(objective, _take(outputs, order), batch.rows(order))
        _hold(_near(moved.loss, told.loss[order]), objective, "the order of rows changes the loss")
        _splits(objective, told, outputs, batch)
    if getattr(objective, "exact_gradient", True):
        _differences(objective, needs, names, tracks)


def _run(objective: Objective, outputs: Outputs, batch: Batch) -> _Told:
    """Loss and gradients, with the shapes checked."""
    leaves = {k: v.detach().clone().requires_grad_() for k, v in vars(outputs).items() if v is not None}
    if "entropy" not in getattr(objective, "needs", ()):
        leaves["entropy"].requires_grad_(False)
    try:
        loss, metrics = objective(Outputs(**leaves), batch)
    except Exception as error:
        raise ContractError(
            f"{_name(objective)} raised {type(error).__name__}: {error}. It was given what its `needs` "
            f"{tuple(getattr(objective, 'needs', ()))} name, tracks {sorted(batch.tracks)} and groups named "
            f"{sorted(set(batch.name))}"
        ) from error
    _hold(loss.shape == batch.tokens.shape, objective, f"the loss must have shape [B, T], got {tuple(loss.shape)}")
    for name, value in metrics.items():
        _hold(value.shape == loss.shape, objective, f"metric {name!r} must have shape [B, T], got {tuple(value.shape)}")
        _hold(not value.requires_grad, objective, f"metric {name!r} carries gradient; detach it")
    _hold(loss.requires_grad, objective, "the loss carries no gradient, so nothing would be learned")
    wanted = {k: v for k, v in leaves.items() if v.requires_grad}
    found = torch.autograd.grad((loss * batch.weights).sum(), list(wanted.values()), allow_unused=True)
    gradients = {k: torch.zeros_like(v) if g is None else g for (k, v), g in zip(wanted.items(), found, strict=True)}
    return _Told(loss.detach(), gradients)


def _off_the_trained(objective: Objective, told: _Told, outputs: Outputs, batch: Batch) -> None:
    _hold(bool(told.loss.isfinite().all()), objective, "the loss is not finite")
    _hold(not told.loss[~batch.trained].any(), objective, "the loss is not 0 on tokens that are not trained")
    for name, gradient in told.gradients.items():
        _hold(not gradient[~batch.trained].any(), objective, f"{name} of tokens that are not trained get a gradient")
    for junk in (math.nan, math.inf, -math.inf):
        fields = {k: v for k, v in vars(batch).items() if k in ("logprobs", "proximal", "targets") and v is not None}
        tracks = {k: _spoil(v, batch, junk) for k, v in batch.tracks.items()}
        spoiled = replace(batch, **{k: _spoil(v, batch, junk) for k, v in fields.items()}, tracks=tracks)
        dirty = _run(objective, _each(outputs, partial(_spoil, batch=batch, junk=junk)), spoiled)
        sentence = f"{junk} on tokens that are not trained reaches the loss or the gradient; use torch.where before exp"
        _hold(_agree(dirty, told), objective, sentence)


def _padding(objective: Objective, told: _Told, outputs: Outputs, batch: Batch) -> None:
    width = batch.tokens.shape[1]
    wide = _run(objective, _each(outputs, _pad), _padded(batch))
    cut = _Told(wide.loss[:, :width], {k: g[:, :width] for k, g in wide.gradients.items()})
    _hold(_agree(cut, told) and not wide.loss[:, width:].any(), objective, "more padding on the right changes the loss")


def _splits(objective: Objective, told: _Told, outputs: Outputs, batch: Batch) -> None:
    """One attempt per micro-batch, against all at once."""
    total = torch.zeros(())
    gathered = {k: torch.zeros_like(g) for k, g in told.gradients.items()}
    for trajectory in batch.trajectory.unique():
        index = (batch.trajectory == trajectory).nonzero().flatten()
        small = batch.rows(index)
        part = _run(objective, _take(outputs, index, small.tokens.shape[1]), small)
        total = total + (part.loss * small.weights).sum()
        for name, gradient in part.gradients.items():
            gathered[name][index, : gradient.shape[1]] = gradient
    whole = (told.loss * batch.weights).sum()
    sentence = (
        "summed over micro-batches (whole attempts) the loss is not that of the batch; it must not divide by counts"
    )
    _hold(_near(total, whole) and all(_near(gathered[k], g) for k, g in told.gradients.items()), objective, sentence)


def _differences(objective: Objective, needs: tuple[str, ...], names: Sequence[str], tracks: Sequence[str]) -> None:
    """Central differences in float64, token by token."""
    batch = example_batch(7, names=names, tracks=tracks, dtype=torch.float64)
    batch = batch if "proximal" in needs else replace(batch, proximal=None)
    outputs = _asked(example_outputs(batch, 7), needs)
    told, h = _run(objective, outputs, batch), 1e-5
    _hold(told.loss.dtype == torch.float64, objective, f"float64 log-probs give a loss in {told.loss.dtype}")
    for name, gradient in told.gradients.items():
        for place in batch.trained[(...,) + (None,) * (gradient.dim() - 2)].expand_as(gradient).nonzero().tolist():
            sides = []
            for step in (h, -h):
                value = getattr(outputs, name).clone()
                value[tuple(place)] += step
                loss, _ = objective(replace(outputs, **{name: value}), batch)
                sides.append(float((loss * batch.weights).sum()))
            slope, claimed = (sides[0] - sides[1]) / (2 * h), float(gradient[tuple(place)])
            sentence = f"the gradient for {name}{place} is {claimed:.6g} and finite differences give {slope:.6g}"
            excuse = "if it stops gradients on purpose, say exact_gradient = False"
            _hold(math.isclose(slope, claimed, rel_tol=1e-4, abs_tol=1e-7), objective, f"{sentence}; {excuse}")


# --- weightings -------------------------------------------------------------------------------------------------------


def check_weighting(weighting: Weighting, *, rows_of: Sequence[int] = ROWS) -> None:
    """Shape; finite, not negative, 0 off the trained tokens; padding and the order of rows change nothing; a batch
    without trained tokens gets 0; inputs are left alone; it can be pickled."""
    _portable(weighting)
    for seed in _SEEDS:
        batch = example_batch(seed, rows_of=rows_of)
        width = batch.tokens.shape[1]
        with _untouched(weighting, batch):
            weights = weighting(batch)
        shape = tuple(weights.shape)
        _hold(weights.shape == batch.tokens.shape, weighting, f"weights must have shape [B, T], got {shape}")
        _hold(bool(weights.isfinite().all() and (weights >= 0).all()), weighting, "weights must be finite, 0 or more")
        _hold(not weights[~batch.trained].any(), weighting, "tokens that are not trained have a weight")
        _hold(bool(weights.any()), weighting, "every weight is 0")
        wide = weighting(_padded(batch))
        same = _near(wide[:, :width], weights) and not wide[:, width:].any()
        _hold(same, weighting, "more padding on the right changes the weights")
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
        _hold(_near(weighting(batch.rows(order)), weights[order]), weighting, "the order of rows changes the weights")
        nothing = weighting(replace(batch, trained=torch.zeros_like(batch.trained)))
        _hold(bool((nothing == 0).all()), weighting, "a batch with nothing to train on must get weights of 0, not NaN")


# --- advantages -------------------------------------------------------------------------------------------------------


def check_advantage(advantage: Advantage) -> None:
    """Shapes P x G x [T]; finite, 0 off the trained tokens; the order of siblings and of groups changes nothing, nor do
    other groups (unless `batch_wide`); equal rewards give exactly 0 where `group_relative`; a group of one and an empty
    batch are fine; inputs are left alone; it can be pickled."""
    _portable(advantage)
    _hold(advantage([]).advantages == [], advantage, "an empty batch must give an empty Credit")
    for seed in _SEEDS:
        scored_P = example_scored(seed)
        with _untouched(advantage, scored_P):
            credit = advantage(scored_P)
        _credit(advantage, credit, scored_P)
        _credit(advantage, advantage(example_scored(seed, attempts=1)), example_scored(seed, attempts=1))
        backwards = advantage([_reversed(scored) for scored in scored_P])
        turned = Credit(_flipped(credit.advantages), credit.targets and _flipped(credit.targets))
        _hold(_equal_credit(backwards, turned), advantage, "the order of siblings changes the advantages")
        shuffled = advantage(scored_P[::-1])
        turned = Credit(credit.advantages[::-1], credit.targets and credit.targets[::-1])
        _hold(_equal_credit(shuffled, turned), advantage, "the order of groups changes the advantages")
        if not getattr(advantage, "batch_wide", False):
            alone = [advantage([scored]) for scored in scored_P]
            same = all(_near(a, b) for c, x_G in zip(alone, credit.advantages, strict=True) for a, b in _pairs(c, x_G))
            _hold(same, advantage, "other groups change a group's advantages; if that is meant, say batch_wide = True")
        if getattr(advantage, "group_relative", False):
            _level_is_zero(advantage, seed, scored_P)


def _level_is_zero(advantage: Advantage, seed: int, others: list[Scored]) -> None:
    for attempts in (3, 5, 6, 7):  # our choice: sizes and values whose mean is rounded
        level = example_scored(seed, groups=1, attempts=attempts)[0]
        for value in (0.0, 1.0, 0.1, -0.7, 0.3):
            credit = advantage([_level(level, value), *others])
            zero = not any(x.any() for x in credit.advantages[0])
            sentence = f"it is group_relative, and {attempts} rewards of {value} do not get exactly 0"
            _hold(zero, advantage, sentence)


def _credit(advantage: Advantage, credit: Credit, scored_P: list[Scored]) -> None:
    for what, values in (("advantages", credit.advantages), ("targets", credit.targets)):
        if values is None:
            continue
        counts = [len(values_G) for values_G in values]
        expected = [len(scored.group.trajectories) for scored in scored_P]
        _hold(counts == expected, advantage, f"{what} must be lists of {expected} attempts per group, got {counts}")
        for scored, values_G in zip(scored_P, values, strict=True):
            for trajectory, x in zip(scored.group.trajectories, values_G, strict=True):
                length, shape = tokens_in(trajectory), tuple(x.shape)
                _hold(shape == (length,), advantage, f"{what} of an attempt of {length} tokens have shape {shape}")
                _hold(bool(x.isfinite().all()), advantage, f"{what} are not finite")
                off = ~joined(trajectory, "trained")
                _hold(not x[off].any(), advantage, f"{what} are not 0 on tokens that are not trained")


def _pairs(credit: Credit, other_G: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(credit.advantages[0], other_G, strict=True)


def _equal_credit(a: Credit, b: Credit) -> bool:
    sides = [(a.advantages, b.advantages), (a.targets or [], b.targets or [])]
    return all(
        _near(x, y) for p, q in sides for p_G, q_G in zip(p, q, strict=True) for x, y in zip(p_G, q_G, strict=True)
    )


def _flipped(values: list[list[Tensor]]) -> list[list[Tensor]]:
    return [values_G[::-1] for values_G in values]


def _reversed(scored: Scored) -> Scored:
    group = replace(scored.group, trajectories=scored.group.trajectories[::-1])
    return replace(
        scored, group=group, rewards=scored.rewards[::-1], terms={k: v.flip(0) for k, v in scored.terms.items()}
    )


def _level(scored: Scored, value: float) -> Scored:
    """The same group, where every attempt gets `value` on its last token."""
    rewards = [torch.zeros_like(r).index_fill(0, torch.tensor([len(r) - 1]), value) for r in scored.rewards]
    return replace(scored, rewards=tuple(rewards))


# --- rewards, filters, curricula --------------------------------------------------------------------------------------


def check_reward(term: Term, groups: Sequence[Group] | None = None) -> None:
    """One number per attempt, or one per token; finite, or NaN for "no verdict"; the same when asked twice; the order
    of siblings changes nothing; inputs are left alone; it can be pickled. `groups`: on what, else on `example_group`.
    """
    _portable(term)
    for group in groups or [example_group(seed) for seed in _SEEDS]:
        with _untouched(term, group):
            values = _values(term, group)
        for trajectory, value in zip(group.trajectories, values, strict=True):
            length, shape = tokens_in(trajectory), tuple(value.shape)
            sentence = f"an attempt of {length} tokens must get one number or {length}, got shape {shape}"
            _hold(shape in ((), (length,)), term, sentence)
            _hold(not value.isinf().any(), term, "a reward is infinite; it must be finite, or NaN for 'no verdict'")
        again = _values(term, group)
        _hold(all(_near(a, b) for a, b in zip(values, again, strict=True)), term, "asked twice, it gives other rewards")
        turned = _values(term, replace(group, trajectories=group.trajectories[::-1]))
        same = all(_near(a, b) for a, b in zip(values[::-1], turned, strict=True))
        _hold(same, term, "the order of siblings changes the rewards")


def _values(term: Term, group: Group) -> list[Tensor]:
    async def ask() -> Any:
        value = term(group)
        return await value if isinstance(value, Awaitable) else value

    try:
        value = asyncio.run(ask())
    except Exception as error:
        raise ContractError(f"{_name(term)} raised {type(error).__name__}: {error} on {group.problem.id!r}") from error
    value = value.values if isinstance(value, Judged) else value
    count = len(group.trajectories)
    _hold(len(value) == count, term, f"it gave {len(value)} values for {count} attempts")
    return [torch.as_tensor(v, dtype=torch.float32) for v in value]


def check_filter(keep: Filter) -> None:
    """It gives some of the groups it was given, untouched and in their order; an empty batch is fine; it can be
    pickled."""
    _portable(keep)
    _hold(keep([]) == [], keep, "an empty batch must give an empty list")
    for seed in _SEEDS:
        scored_P = example_scored(seed)
        with _untouched(keep, scored_P):
            kept = [id(scored) for scored in keep(scored_P)]
        ordered = [id(scored) for scored in scored_P if id(scored) in kept]
        _hold(kept == ordered, keep, "it must give some of the very groups it was given, each once, in their order")


class _Numbers:
    """Ten problems."""

    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"{split}-{i}", f"say {i}", str(i))

    def size(self, split: str) -> int | None:
        return 10


def check_curriculum(curriculum: Curriculum) -> None:
    """As many problems as asked for; the same seed gives the same ones, another seed others; drawing leaves `state`
    alone; it can be pickled."""
    _portable(curriculum)
    task = _Numbers()
    with _untouched(curriculum, getattr(curriculum, "state", {})):
        draws = [[p.id for p in curriculum.draw(task, 6, seed)] for seed in (1, 1, 2, 3)]
    counts = {len(draw) for draw in draws} | {len(curriculum.draw(task, 25, 1))}
    _hold(counts == {6, 25}, curriculum, f"asked for 6 and for 25 problems it gave {sorted(counts)}")
    _hold(draws[0] == draws[1], curriculum, "the same seed gives other problems")
    _hold(draws[0] != draws[2] or draws[0] != draws[3], curriculum, "every seed gives the same problems")


# --- finding them -----------------------------------------------------------------------------------------------------


def found(folder: str, package: str = "whet") -> list[Any]:
    """Every component of a folder: a module's `EXAMPLES`, else its public classes, made without arguments, and its
    public functions. Modules whose name starts with _ hold what components share.

    Raises ContractError where a class needs arguments and its module has no EXAMPLES.
    """
    parts = []
    home = importlib.import_module(f"{package}.{folder}")
    for info in pkgutil.iter_modules(home.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{home.__name__}.{info.name}")
        if hasattr(module, "EXAMPLES"):
            parts += module.EXAMPLES
            continue
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
                continue
            if inspect.isclass(thing) and _speaks(getattr(thing, _verb(folder), None), folder, method=True):
                parts.append(_made(thing))
            elif inspect.isfunction(thing) and _speaks(thing, folder):
                parts.append(thing)
    return parts


def _verb(folder: str) -> str:
    return "draw" if folder == "curricula" else "__call__"


def _speaks(call: Any, folder: str, method: bool = False) -> bool:
    if not inspect.isfunction(call):
        return False
    arguments = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty][method:]
    nouns = _CALLS[folder]
    return len(arguments) == len(nouns) and all(n in str(a.annotation) for n, a in zip(nouns, arguments, strict=True))


def _made(kind: Callable[[], Any]) -> Any:
    try:
        return kind()
    except TypeError as error:
        raise ContractError(f"{named(kind)} needs arguments ({error}); give its module EXAMPLES = [...]") from error


# --- what all of them promise -----------------------------------------------------------------------------------------


def _name(thing: Any) -> str:
    return named(thing if inspect.isfunction(thing) or inspect.isclass(thing) else type(thing))


def _hold(promise: bool, thing: Any, sentence: str) -> None:
    if not promise:
        raise ContractError(f"{_name(thing)}: {sentence}")


def _portable(thing: Any) -> None:
    """Pickling, deep copies and a description; dataclasses are frozen."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        frozen = type(thing).__dataclass_params__.frozen  # type: ignore[attr-defined]
        _hold(frozen, thing, "a component is a frozen dataclass; add frozen=True")
    try:
        twins = [pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)]
    except Exception as error:
        sentence = f"it can not be pickled or copied ({error}); define it at the top level of a module"
        raise ContractError(f"{_name(thing)}: {sentence}") from error
    try:
        told = json.dumps(describe(thing), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{_name(thing)}: `describe` does not give JSON values ({error})") from error
    same = all(json.dumps(describe(twin), sort_keys=True) == told for twin in twins)
    _hold(same, thing, "a pickled or copied twin is described differently")


@contextmanager
def _untouched(thing: Any, *inputs: Any) -> Iterator[None]:
    before = copy.deepcopy(inputs)
    yield
    _hold(_same(before, inputs), thing, "it changes its inputs in place")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return _same(vars(a), vars(b))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def _near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6, equal_nan=True))


def _agree(a: _Told, b: _Told) -> bool:
    return _near(a.loss, b.loss) and all(_near(a.gradients[k], g) for k, g in b.gradients.items())


def _asked(outputs: Outputs, needs: Sequence[str]) -> Outputs:
    """Only what the learner would give an objective with these needs."""
    return replace(outputs, **{k: None for k in ("values", "hidden") if k not in needs})


def _each(outputs: Outputs, change: Callable[[Tensor], Tensor]) -> Outputs:
    return replace(outputs, **{k: change(v) for k, v in vars(outputs).items() if v is not None})


def _take(outputs: Outputs, index: Tensor, width: int | None = None) -> Outputs:
    return _each(outputs, lambda v: v[index, :width])


def _spoil(values: Tensor, batch: Batch, junk: float) -> Tensor:
    trained = batch.trained[(...,) + (None,) * (values.dim() - 2)]
    return torch.where(trained, values, junk)


def _pad(values: Tensor) -> Tensor:
    """Three more on the right, with numbers in them that nobody may look at."""
    more = values.new_full((len(values), 3, *values.shape[2:]), 0 if values.dtype == torch.bool else 3)
    return torch.cat([values, more], 1)


def _padded(batch: Batch) -> Batch:
    fields = {k: _pad(v) for k, v in vars(batch).items() if isinstance(v, Tensor) and v.dim() > 1}
    return replace(batch, **fields, tracks={k: _pad(v) for k, v in batch.tracks.items()})
