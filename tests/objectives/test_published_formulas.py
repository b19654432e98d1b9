"""Losses of the published algorithms, from rewards to one number, against the formula written as a double loop.

Two prompts with attempts of unequal lengths; the log-probs, new and old, are fixed numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, pstdev

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.advantages.group_mean import GroupMean
from whet.advantages.leave_one_out import LeaveOneOut
from whet.advantages.reinforce_plus_plus import BatchNormalised
from whet.objectives.cispo import Cispo
from whet.objectives.clip import Clip
from whet.objectives.gspo import Gspo
from whet.objectives.reinforce import Reinforce
from whet.types import Advantage, Batch, Objective, Outputs, Weighting
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean

PROMPT = 2
LENGTHS = [[3, 1, 4], [2, 5, 2]]  # prompts x attempts
REWARDS = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.25]]
ATTEMPTS = [(p, g) for p in range(2) for g in range(3)]
WIDTH = PROMPT + 5


def new(p: int, g: int, t: int) -> float:
    return -1.0 - 0.3 * math.sin(7 * p + 3 * g + 2 * t)


def old(p: int, g: int, t: int) -> float:
    return -1.0 - 0.4 * math.cos(5 * p + 2 * g + 3 * t)


def ratio(p: int, g: int, t: int) -> float:
    return math.exp(new(p, g, t) - old(p, g, t))


def clip(x: float, low: float, high: float) -> float:
    return min(max(x, 1 - low), 1 + high)


def ours(advantage: Advantage, objective: Objective, weighting: Weighting) -> float:
    """The same through the components."""
    groups = []
    for p in range(2):
        masks = [[0] * PROMPT + [1] * n for n in LENGTHS[p]]
        groups.append(scored(group(*(attempt(row(list(range(1, len(m) + 1)), m)) for m in masks)), REWARDS[p]))
    credit = advantage(groups)

    def laid(value: Callable[[int, int, int], float], fill: float) -> torch.Tensor:
        out = torch.full((6, WIDTH), fill, dtype=torch.float64)
        for b, (p, g) in enumerate(ATTEMPTS):
            for t in range(LENGTHS[p][g]):
                out[b, PROMPT + t] = value(p, g, t)
        return out

    trained = laid(lambda p, g, t: 1.0, 0.0).bool()
    valid = trained.clone()
    valid[:, :PROMPT] = True
    batch = Batch(
        tokens=torch.ones(6, WIDTH, dtype=torch.long),
        valid=valid,
        trained=trained,
        logprobs=laid(old, math.nan),
        advantages=laid(lambda p, g, t: float(credit.advantages[p][g][PROMPT + t]), 0.0),
        weights=torch.zeros(6, WIDTH, dtype=torch.float64),
        temperature=torch.ones(6),
        trajectory=torch.arange(6),
        group=torch.tensor([p for p, _ in ATTEMPTS]),
        name=("direct",) * 6,
        model=("policy",) * 6,
    )
    loss, _ = objective(Outputs(laid(new, math.nan), torch.zeros(6, WIDTH)), batch)
    return float((loss * weighting(batch)).sum())


def standardised(p: int, g: int) -> float:
    return (REWARDS[p][g] - fmean(REWARDS[p])) / pstdev(REWARDS[p])


def surrogate(p: int, g: int, t: int, advantage: float, low: float, high: float) -> float:
    r = ratio(p, g, t)
    return min(r * advantage, clip(r, low, high) * advantage)


def agree(found: float, expected: float) -> None:
    assert found == pytest.approx(expected, rel=1e-5)


def test_grpo() -> None:
    """DeepSeekMath, equation 3: the mean over prompts and attempts of the mean over tokens."""
    objective = 0.0
    for p in range(2):
        for g in range(3):
            inner = 0.0
            for t in range(LENGTHS[p][g]):
                inner += surrogate(p, g, t, standardised(p, g), 0.2, 0.2)
            objective += inner / LENGTHS[p][g] / 3 / 2
    agree(ours(GroupMean(), Clip(0.2, 0.2), SequenceMean()), -objective)


def test_dr_grpo() -> None:
    """Dr. GRPO: no standard deviation, no division by an attempt's length, but by a constant."""
    longest, objective = 5, 0.0
    for p in range(2):
        for g in range(3):
            for t in range(LENGTHS[p][g]):
                advantage = REWARDS[p][g] - fmean(REWARDS[p])
                objective += surrogate(p, g, t, advantage, 0.2, 0.2) / longest / 3 / 2
    agree(ours(GroupMean("none"), Clip(0.2, 0.2), ConstantLength(longest)), -objective)


def test_dapo() -> None:
    """DAPO, equation 8: clip-higher, and one mean over all tokens of the step."""
    objective = 0.0
    for p in range(2):
        for g in range(3):
            for t in range(LENGTHS[p][g]):
                objective += surrogate(p, g, t, standardised(p, g), 0.2, 0.28)
    agree(ours(GroupMean(), Clip(0.2, 0.28), TokenMean()), -objective / sum(map(sum, LENGTHS)))


def test_lite_ppo() -> None:
    """Lite PPO: centred in the group, divided by the std of all raw rewards, PPO's clip, one mean over all tokens."""
    spread, objective = pstdev(REWARDS[0] + REWARDS[1]), 0.0
    for p in range(2):
        for g in range(3):
            for t in range(LENGTHS[p][g]):
                advantage = (REWARDS[p][g] - fmean(REWARDS[p])) / spread
                objective += surrogate(p, g, t, advantage, 0.2, 0.2)
    agree(ours(GroupMean("batch"), Clip(0.2, 0.2), TokenMean()), -objective / sum(map(sum, LENGTHS)))


def test_rloo() -> None:
    """RLOO: reward minus the mean of the others, times the log-probability of the whole attempt."""
    objective = 0.0
    for p in range(2):
        for g in range(3):
            others = [REWARDS[p][j] for j in range(3) if j != g]
            whole = 0.0
            for t in range(LENGTHS[p][g]):
                whole += new(p, g, t)
            objective += (REWARDS[p][g] - fmean(others)) * whole / 3 / 2
    agree(ours(LeaveOneOut(), Reinforce(), ConstantLength(1)), -objective)


@pytest.mark.parametrize("baseline", ["none", "group"])
def test_reinforce_plus_plus(baseline) -> None:
    """REINFORCE++ without and with baseline: returns normalised over the batch's tokens, PPO's clip, token mean."""
    returns = {
        (p, g): REWARDS[p][g] - (fmean(REWARDS[p]) if baseline == "group" else 0.0) for p in range(2) for g in range(3)
    }
    tokens = [returns[p, g] for p, g in ATTEMPTS for _ in range(LENGTHS[p][g])]
    objective = 0.0
    for p in range(2):
        for g in range(3):
            for t in range(LENGTHS[p][g]):
                advantage = (returns[p, g] - fmean(tokens)) / pstdev(tokens)
                objective += surrogate(p, g, t, advantage, 0.2, 0.2)
    agree(ours(BatchNormalised(baseline), Clip(0.2, 0.2), TokenMean()), -objective / len(tokens))


def test_cispo() -> None:
    """MiniMax-M1, equation 4: the clipped weight times advantage times log-probability, token mean."""
    objective = 0.0
    for p in range(2):
        for g in range(3):
            for t in range(LENGTHS[p][g]):
                weight = min(ratio(p, g, t), 1.1)
                objective += weight * standardised(p, g) * new(p, g, t)
    agree(ours(GroupMean(), Cispo(high=0.1), TokenMean()), -objective / sum(map(sum, LENGTHS)))


def test_gspo() -> None:
    """GSPO, equation 5: one surrogate per attempt, with the geometric mean of its tokens' ratios."""
    objective = 0.0
    for p in range(2):
        for g in range(3):
            inside = 0.0
            for t in range(LENGTHS[p][g]):
                inside += math.log(ratio(p, g, t))
            s, advantage = math.exp(inside / LENGTHS[p][g]), standardised(p, g)
            objective += min(s * advantage, clip(s, 0.05, 0.1) * advantage) / 3 / 2
    agree(ours(GroupMean(), Gspo(0.05, 0.1), SequenceMean()), -objective)
