"""Small, seeded, awkward examples of the nouns: what the contracts try components on, and a start for a user's tests.

Awkward on purpose: attempts with several rows, environment tokens between sampled ones, a row and an attempt with
nothing to train on, empty answers, rows of different lengths, ratios on both sides of any clip range.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from whet.randomness import torch_generator
from whet.types import Batch, Group, Outputs, Problem, Row, Scored, Trajectory, Turn, tokens_in

ROWS = (1, 2, 1, 3, 1, 1)  # rows of each attempt in a batch; two attempts make a group
_ANSWERS = ("<think>1 + 1 = 2</think><answer>2</answer>", "", "<answer>3", "it is 2, or 3, or 4", "\\boxed{2}")
HIDDEN = 3


def example_batch(
    seed: int = 0,
    *,
    names: Sequence[str] = ("direct", "demonstration"),
    tracks: Sequence[str] = ("reference", "values"),
    dtype: torch.dtype = torch.float32,
    rows_of: Sequence[int] = ROWS,
) -> Batch:
    """`rows_of` rows of each attempt (9 rows of 6 attempts), two attempts to a group, whose names go round `names`;
    tracks are random log-probs-like numbers. Of each group the first attempt is `correct`.

    Advantages and weights are 0 off the trained tokens; everything else is a random number there too.
    """
    random = torch_generator(seed, "example batch")
    names = tuple(names)
    trajectory = torch.repeat_interleave(torch.arange(len(rows_of)), torch.tensor(rows_of))
    rows = len(trajectory)
    lengths = torch.randint(4, 9, (rows,), generator=random)
    width = int(lengths.max())
    place = torch.arange(width)
    valid = place < lengths[:, None]
    trained = valid & (place >= 2) & (torch.rand(rows, width, generator=random) < 0.7)
    trained[torch.arange(rows), lengths - 1] = True
    for second in (trajectory[1:] == trajectory[:-1]).nonzero()[:1, 0] + 1:
        trained[second] = False  # the second row of the first attempt that has one: context only

    def noise(scale: float) -> Tensor:
        return scale * torch.randn(rows, width, generator=random, dtype=torch.float64)

    logprobs = -noise(1.0).abs()
    on = trained.double()
    group = trajectory // 2
    return Batch(
        tokens=torch.randint(1, 50, (rows, width), generator=random) * valid,
        valid=valid,
        trained=trained,
        logprobs=logprobs.to(dtype),
        advantages=(noise(1.0) * on).to(dtype),
        weights=(noise(0.1).abs() * on).to(dtype),
        temperature=torch.ones(rows),
        trajectory=trajectory,
        group=group,
        name=tuple(str(names[i % len(names)]) for i in group.tolist()),
        model=("policy",) * rows,
        targets=noise(1.0).to(dtype),
        proximal=(logprobs + noise(0.3)).to(dtype),
        tracks={name: -noise(1.0).abs().to(dtype) for name in tracks},
        terms={"correct": (trajectory % 2 == 0).float()},
    )


def example_outputs(batch: Batch, seed: int = 0) -> Outputs:
    """A forward pass that has moved some way from `batch`'s log-probs."""
    random = torch_generator(seed, "example outputs")

    def noise(*shape: int) -> Tensor:
        drawn = torch.randn(*batch.tokens.shape, *shape, generator=random, dtype=torch.float64)
        return drawn.to(batch.logprobs.dtype)

    return Outputs(batch.old + 0.3 * noise(), noise().abs(), noise(), noise(HIDDEN))


def example_group(seed: int = 0, attempts: int = 5, name: str = "direct") -> Group:
    """Attempts at "What is 1 + 1?" (answer "2"): right, empty, cut off, listing several answers, in a box, ..."""
    random = torch_generator(seed, "example group")
    problem = Problem(f"example-{seed}", "What is 1 + 1?", "2", info={"columns": {"level": 1}})
    shift = int(torch.randint(0, len(_ANSWERS), (1,), generator=random))
    texts = [_ANSWERS[(i + shift) % len(_ANSWERS)] for i in range(attempts)]
    return Group(problem, tuple(_attempt(problem, text, i, random) for i, text in enumerate(texts)), name)


def _attempt(problem: Problem, text: str, i: int, random: torch.Generator) -> Trajectory:
    """One or two rows; the text is the last thing the policy said. Attempt 3 has nothing to train on."""
    rows: list[Row] = []
    for _ in range(1 + i % 2):
        length = int(torch.randint(5, 10, (1,), generator=random))
        sampled = (torch.arange(length) >= 2) & (torch.arange(length) != 4)  # token 4 is the environment's
        logprobs = -torch.randn(length, generator=random).abs() * sampled
        tokens = torch.randint(1, 50, (length,), generator=random)
        versions = torch.where(sampled, 0, -1).int()
        trained = torch.zeros_like(sampled) if i == 3 else sampled
        rows.append(Row(tokens, sampled, trained, logprobs, versions))
    turns = (
        Turn("prompt", "What is 1 + 1?", 0, 0, 2),
        Turn("policy", text, len(rows) - 1, 2, len(rows[-1])),
    )
    bare = Trajectory(problem, tuple(rows), turns, stop="length" if text.endswith("3") else "eos")
    count = tokens_in(bare)
    tracks = {name: -torch.randn(count, generator=random).abs() for name in ("reference", "values")}
    return Trajectory(problem, bare.rows, turns, bare.stop, tracks=tracks)


def example_scored(seed: int = 0, groups: int = 3, attempts: int = 5) -> list[Scored]:
    """Groups with an outcome on the last token and a small reward on some tokens before it."""
    random = torch_generator(seed, "example scored")
    out = []
    for number in range(groups):
        group = example_group(seed * 100 + number, attempts)
        rewards = []
        for trajectory in group.trajectories:
            dense = 0.1 * torch.randint(0, 2, (tokens_in(trajectory),), generator=random).float()
            dense[-1] += torch.randint(0, 2, (1,), generator=random).item()
            rewards.append(dense)
        terms = {"correct": torch.stack([r[-1] for r in rewards])} if rewards else {}
        out.append(Scored(group, tuple(rewards), terms))
    return out
