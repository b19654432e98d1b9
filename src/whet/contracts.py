"""Promises that components keep, for ours and for a user's own.

`check_objective(MyObjective())` returns nothing, or raises `ContractError` with a sentence that says which promise was
broken and how. Every check runs on small seeded examples (`whet.examples`) or on a model of one layer, and takes about
a second at most.

A component may say of itself, as class attributes: `needs` (what an objective reads of the forward pass beyond
log-probs), `exact_gradient = False` (it stops gradients on purpose), `group_relative = True` (a group of equal rewards
gets exactly 0), `batch_wide = True` (its statistics cross groups).
"""

from whet.promises.common import ContractError
from whet.promises.credit import check_advantage
from whet.promises.finding import found
from whet.promises.losses import check_objective, check_weighting
from whet.promises.problems import check_curriculum, check_task
from whet.promises.rollouts import check_rollout
from whet.promises.scores import check_filter, check_reward

__all__ = [
    "ContractError",
    "check_advantage",
    "check_curriculum",
    "check_filter",
    "check_objective",
    "check_reward",
    "check_rollout",
    "check_task",
    "check_weighting",
    "found",
]
