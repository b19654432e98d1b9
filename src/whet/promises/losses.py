"""Promises of objectives and weightings: what a batch becomes a loss by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from whet.examples import ROWS, example_batch, example_outputs
from whet.promises.common import SEEDS, ContractError, hold, label, near, portable, untouched
from whet.types import Batch, Objective, Outputs, Weighting

_NEEDS = ("entropy", "values", "hidden", "proximal")


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
    portable(objective)
    needs = tuple(getattr(objective, "needs", ()))
    hold(set(needs) <= set(_NEEDS), objective, f"`needs` is {needs} and may only name {_NEEDS}")
    for seed in SEEDS:
        batch = example_batch(seed, names=names, tracks=tracks, rows_of=rows_of)
        batch = batch if "proximal" in needs else replace(batch, proximal=None)
        outputs = _asked(example_outputs(batch, seed), needs)
        with untouched(objective, outputs, batch):
            told = _run(objective, outputs, batch)
        _off_the_trained(objective, told, outputs, batch)
        _padding(objective, told, outputs, batch)
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
        moved = _run(objective, _take(outputs, order), batch.rows(order))
        hold(near(moved.loss, told.loss[order]), objective, "the order of rows changes the loss")
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
            f"{label(objective)} raised {type(error).__name__}: {error}. It was given what its `needs` "
            f"{tuple(getattr(objective, 'needs', ()))} name, tracks {sorted(batch.tracks)} and groups named "
            f"{sorted(set(batch.name))}"
        ) from error
    hold(loss.shape == batch.tokens.shape, objective, f"the loss must have shape [B, T], got {tuple(loss.shape)}")
    for name, value in metrics.items():
        hold(value.shape == loss.shape, objective, f"metric {name!r} must have shape [B, T], got {tuple(value.shape)}")
        hold(not value.requires_grad, objective, f"metric {name!r} carries gradient; detach it")
    hold(loss.requires_grad, objective, "the loss carries no gradient, so nothing would be learned")
    wanted = {k: v for k, v in leaves.items() if v.requires_grad}
    found = torch.autograd.grad((loss * batch.weights).sum(), list(wanted.values()), allow_unused=True)
    gradients = {k: torch.zeros_like(v) if g is None else g for (k, v), g in zip(wanted.items(), found, strict=True)}
    return _Told(loss.detach(), gradients)


def _off_the_trained(objective: Objective, told: _Told, outputs: Outputs, batch: Batch) -> None:
    hold(bool(told.loss.isfinite().all()), objective, "the loss is not finite")
    hold(not told.loss[~batch.trained].any(), objective, "the loss is not 0 on tokens that are not trained")
    for name, gradient in told.gradients.items():
        hold(not gradient[~batch.trained].any(), objective, f"{name} of tokens that are not trained get a gradient")
    for junk in (math.nan, math.inf, -math.inf):
        fields = {k: v for k, v in vars(batch).items() if k in ("logprobs", "proximal", "targets") and v is not None}
        tracks = {k: _spoil(v, batch, junk) for k, v in batch.tracks.items()}
        spoiled = replace(batch, **{k: _spoil(v, batch, junk) for k, v in fields.items()}, tracks=tracks)
        dirty = _run(objective, _each(outputs, partial(_spoil, batch=batch, junk=junk)), spoiled)
        sentence = f"{junk} on tokens that are not trained reaches the loss or the gradient; use torch.where before exp"
        hold(_agree(dirty, told), objective, sentence)


def _padding(objective: Objective, told: _Told, outputs: Outputs, batch: Batch) -> None:
    width = batch.tokens.shape[1]
    wide = _run(objective, _each(outputs, _pad), _padded(batch))
    cut = _Told(wide.loss[:, :width], {k: g[:, :width] for k, g in wide.gradients.items()})
    hold(_agree(cut, told) and not wide.loss[:, width:].any(), objective, "more padding on the right changes the loss")


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
    hold(near(total, whole) and all(near(gathered[k], g) for k, g in told.gradients.items()), objective, sentence)


def _differences(objective: Objective, needs: tuple[str, ...], names: Sequence[str], tracks: Sequence[str]) -> None:
    """Central differences in float64, token by token."""
    batch = example_batch(7, names=names, tracks=tracks, dtype=torch.float64)
    batch = batch if "proximal" in needs else replace(batch, proximal=None)
    outputs = _asked(example_outputs(batch, 7), needs)
    told, h = _run(objective, outputs, batch), 1e-5
    hold(told.loss.dtype == torch.float64, objective, f"float64 log-probs give a loss in {told.loss.dtype}")
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
            hold(math.isclose(slope, claimed, rel_tol=1e-4, abs_tol=1e-7), objective, f"{sentence}; {excuse}")


def check_weighting(weighting: Weighting, *, rows_of: Sequence[int] = ROWS) -> None:
    """Shape; finite, not negative, 0 off the trained tokens; padding and the order of rows change nothing; a batch
    without trained tokens gets 0; inputs are left alone; it can be pickled."""
    portable(weighting)
    for seed in SEEDS:
        batch = example_batch(seed, rows_of=rows_of)
        width = batch.tokens.shape[1]
        with untouched(weighting, batch):
            weights = weighting(batch)
        shape = tuple(weights.shape)
        hold(weights.shape == batch.tokens.shape, weighting, f"weights must have shape [B, T], got {shape}")
        hold(bool(weights.isfinite().all() and (weights >= 0).all()), weighting, "weights must be finite, 0 or more")
        hold(not weights[~batch.trained].any(), weighting, "tokens that are not trained have a weight")
        mixed = len(rows_of) > 1  # one attempt, which is right, leaves nothing to a weighting of failures
        hold(bool(weights.any()) or not mixed, weighting, "every weight is 0")
        wide = weighting(_padded(batch))
        same = near(wide[:, :width], weights) and not wide[:, width:].any()
        hold(same, weighting, "more padding on the right changes the weights")
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
        hold(near(weighting(batch.rows(order)), weights[order]), weighting, "the order of rows changes the weights")
        nothing = weighting(replace(batch, trained=torch.zeros_like(batch.trained)))
        hold(bool((nothing == 0).all()), weighting, "a batch with nothing to train on must get weights of 0, not NaN")


def _agree(a: _Told, b: _Told) -> bool:
    return near(a.loss, b.loss) and all(near(a.gradients[k], g) for k, g in b.gradients.items())


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
