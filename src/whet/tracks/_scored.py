"""What a model says of rows, as a track."""

from __future__ import annotations

from dataclasses import replace

import torch

from whet.types import Group, Models, Want


async def scored(
    models: Models, groups: list[Group], model: str, want: Want, track: str, temperature: float | None = None
) -> list[Group]:
    """The groups with `want` of every row under `model` as the track `track`, at `temperature` where one is given and
    else at the row's own. All rows of all groups go to the model in one call, so that the engine batches them."""
    rows = [row for group in groups for trajectory in group.trajectories for row in trajectory.rows]
    if temperature is not None:
        rows = [replace(row, temperature=temperature) for row in rows]
    if not rows:
        return groups
    if model not in models:
        raise ValueError(
            f"the track {track!r} names a model {model!r} and the run has {sorted(models)}; add or rename it"
        )
    answers = iter([answer[want] for answer in await models[model].score(rows, (want,))])
    out = []
    for group in groups:
        trajectories = []
        for trajectory in group.trajectories:
            parts = [next(answers) for _ in trajectory.rows]
            spoken = torch.cat(parts) if parts else torch.zeros(0)
            trajectories.append(replace(trajectory, tracks={**trajectory.tracks, track: spoken}))
        out.append(replace(group, trajectories=tuple(trajectories)))
    return out
