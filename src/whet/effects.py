"""Settings that are known to change nothing, where they stand: an error before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from whet.describe import children
from whet.machines.profile import Machine, cpu
from whet.rollouts.sample import Sample
from whet.run import Stage
from whet.settings import where
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding

_WIDE = 0.01  # our choice: a clip range that rounding never leaves


def check_effects(
    arms: Mapping[str, Sequence[Stage]], settings: Sequence[str], machine: Machine = cpu, arm: str = ""
) -> None:
    """ValueError for a setting "path=value" that changes nothing at any place that it applies to (in the arm `arm`, or
    in all). `arms` have the settings in them already."""
    for setting in settings:
        places = [(a, n, keys) for a, n, keys in where(arms, setting) if arm in ("", a)]
        said = [_idle(arms[name][number], keys, machine) for name, number, keys in places]
        if said and all(said):
            raise ValueError(f"{setting} has no effect: {said[0]}")


def _idle(stage: Stage, keys: Sequence[str], machine: Machine) -> str:
    """Why the field at `keys` changes nothing in this stage; "" where it may."""
    if not isinstance(stage, RL):
        return ""
    holders = list(_along(stage, keys))
    owner, field = holders[-1]
    train = next((part for part, _ in holders if isinstance(part, Train)), None)
    if train is not None and keys[0] == "train":
        if _one_update(stage, train, machine):
            if "objective" in keys and field in ("low", "high", "dual") and _wide(owner):
                return (
                    "each step makes one update, from attempts that the very same weights played, so that every ratio "
                    "is 1 and nothing is clipped; set train.*.epochs or minibatches above 1, or `ahead`"
                )
            if field == "most_kl":
                return "each step makes one update, so there is no second one to leave out; set epochs or minibatches"
        most, asked = stage.problems, train.minibatches
        counted = isinstance(most, int) and isinstance(asked, int) and isinstance(stage.rollout, Sample)
        if field == "minibatches" and counted and asked > most:
            return (
                f"a step has {most} groups, and a mini-batch is made of whole ones, so there are {most} at most; "
                f"set it to {most} or less, or `problems` to {asked} or more"
            )
    if isinstance(owner, Decoding) and field == "store_mask" and owner.store_mask and not owner.truncates:
        return "nothing is cut off while sampling; set top_k, top_p or min_p, or leave it out"
    return ""


def _one_update(stage: RL, train: Train, machine: Machine) -> bool:
    """Whether a step makes one update from what the same weights sampled, so that every ratio is exactly 1."""
    once = all(isinstance(n, int) and n == 1 for n in (train.epochs, train.minibatches))
    plain = isinstance(stage.rollout, Sample) and not train.rows and not stage.tracks
    return once and plain and stage.ahead == 0 and machine.precision == "fp32"


def _wide(clip: Any) -> bool:
    ends = [getattr(clip, name, None) for name in ("low", "high")]
    return all(isinstance(end, (int, float)) and end >= _WIDE for end in ends)


def _along(node: Any, keys: Sequence[str]) -> Iterator[tuple[Any, str]]:
    """(component, field) of every step of a path that starts in a component."""
    for key in keys:
        if hasattr(type(node), "__dataclass_fields__"):
            yield node, key
        node = dict(children(node)).get(key)
