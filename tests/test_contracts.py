"""Each promise fails for a component that breaks it, with a sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
import torch

from whet.contracts import (
    ContractError,
    check_advantage,
    check_curriculum,
    check_filter,
    check_objective,
    check_reward,
    check_weighting,
)
from whet.examples import example_batch, example_group, example_outputs, example_scored
from whet.types import Credit, Judged, joined, tokens_in


def on(batch, values):
    return torch.where(batch.trained, values, 0.0)


# --- objectives that break a promise


def sound(outputs, batch):
    return -on(batch, batch.advantages) * on(batch, outputs.logprobs), {}


def forgets_the_mask(outputs, batch):
    return -outputs.logprobs, {}


def masks_after_exp(outputs, batch):
    return -on(batch, (outputs.logprobs - batch.logprobs).exp() * batch.advantages), {}


def trains_what_was_sampled_before(outputs, batch):
    return -on(batch, outputs.logprobs.roll(1, 1)), {}


def divides_by_its_own_token_count(outputs, batch):
    return -on(batch, outputs.logprobs) / batch.trained.sum(), {}


def depends_on_the_width(outputs, batch):
    return -on(batch, outputs.logprobs) / batch.tokens.shape[1], {}


def knows_the_first_row(outputs, batch):
    return -on(batch, outputs.logprobs) * torch.arange(1, len(batch) + 1)[:, None], {}


def sums_over_tokens(outputs, batch):
    return -on(batch, outputs.logprobs).sum(1), {}


def stops_the_gradient(outputs, batch):
    return -on(batch, outputs.logprobs.detach()), {}


def hides_a_stop_gradient(outputs, batch):
    return -on(batch, outputs.logprobs) * on(batch, outputs.logprobs).detach(), {}


def changes_the_batch(outputs, batch):
    batch.advantages.mul_(2.0)
    return sound(outputs, batch)


def reads_values_unasked(outputs, batch):
    return on(batch, outputs.values), {}


def carries_gradient_in_a_metric(outputs, batch):
    loss, _ = sound(outputs, batch)
    return loss, {"loss_too": loss}


def gives_a_scalar_metric(outputs, batch):
    return sound(outputs, batch)[0], {"mean": torch.zeros(())}


def divides_by_zero(outputs, batch):
    return on(batch, outputs.logprobs / 0.0), {}


def wants_the_moon(outputs, batch):
    return sound(outputs, batch)


wants_the_moon.needs = ("moon",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (forgets_the_mask, "not 0 on tokens that are not trained"),
        (masks_after_exp, "use torch.where before exp"),
        (trains_what_was_sampled_before, "get a gradient"),
        (divides_by_its_own_token_count, "must not divide by counts"),
        (depends_on_the_width, "more padding on the right"),
        (knows_the_first_row, "the order of rows"),
        (sums_over_tokens, r"shape \[B, T\]"),
        (stops_the_gradient, "carries no gradient"),
        (hides_a_stop_gradient, "finite differences give"),
        (changes_the_batch, "changes its inputs"),
        (reads_values_unasked, "was given what its `needs`"),
        (carries_gradient_in_a_metric, "detach it"),
        (gives_a_scalar_metric, "metric 'mean' must have shape"),
        (divides_by_zero, "not finite"),
        (wants_the_moon, "may only name"),
        (lambda outputs, batch: sound(outputs, batch), "can not be pickled"),
    ],
)
def test_a_broken_objective_is_told_what_it_breaks(objective, sentence):
    with pytest.raises(ContractError, match=sentence):
        check_objective(objective)


def test_a_sound_objective_of_a_user_passes():
    check_objective(sound)


@dataclass(frozen=True)
class StopsOnPurpose:
    exact_gradient: ClassVar[bool] = False

    def __call__(self, outputs, batch):
        return hides_a_stop_gradient(outputs, batch)


def test_a_declared_stop_gradient_passes():
    check_objective(StopsOnPurpose())


@dataclass
class Thawed:
    def __call__(self, outputs, batch):
        return sound(outputs, batch)


def test_a_dataclass_that_is_not_frozen_is_refused():
    with pytest.raises(ContractError, match="frozen=True"):
        check_objective(Thawed())


@dataclass(frozen=True)
class HoldsAnOddThing:
    odd: Any = frozenset({1, "a"})

    def __call__(self, outputs, batch):
        return sound(outputs, batch)


def test_a_component_that_can_not_be_described_is_refused():
    with pytest.raises(ContractError, match="describe"):
        check_objective(HoldsAnOddThing())


# --- weightings


def uniform_weights(batch):
    return batch.trained / batch.trained.sum()


def weighs_padding(batch):
    return batch.valid / batch.valid.sum()


def negative(batch):
    return -1.0 * batch.trained


def weighs_by_width(batch):
    return batch.trained / batch.tokens.shape[1]


def weighs_by_place(batch):
    return batch.trained * torch.arange(1, len(batch) + 1)[:, None]


def weighs_nothing(batch):
    return batch.trained * 0.0


def one_weight_per_row(batch):
    return batch.trained.sum(1)


def zeroes_the_old_weights(batch):
    batch.weights.zero_()
    return batch.trained / batch.trained.sum().clamp(min=1)


@pytest.mark.parametrize(
    ("weighting", "sentence"),
    [
        (uniform_weights, "not NaN"),
        (weighs_padding, "not trained have a weight"),
        (negative, "0 or more"),
        (weighs_by_width, "more padding"),
        (weighs_by_place, "order of rows"),
        (weighs_nothing, "every weight is 0"),
        (one_weight_per_row, r"shape \[B, T\]"),
        (zeroes_the_old_weights, "changes its inputs"),
    ],
)
def test_a_broken_weighting_is_told_what_it_breaks(weighting, sentence):
    with pytest.raises(ContractError, match=sentence):
        check_weighting(weighting)


# --- advantages


def spread(scored_P, value):
    return Credit(
        [
            [joined(t, "trained").float() * float(value(scored_P, s, g)) for g, t in enumerate(s.group.trajectories)]
            for s in scored_P
        ]
    )


def outcome(scored, g):
    return scored.rewards[g].double().sum()


def everywhere(scored_P):
    return Credit([[torch.full((tokens_in(t),), 1.0) for t in s.group.trajectories] for s in scored_P])


def one_number_each(scored_P):
    return Credit([[torch.zeros(()) for _ in s.group.trajectories] for s in scored_P])


def forgets_the_last(scored_P):
    return Credit([[torch.zeros(tokens_in(t)) for t in s.group.trajectories[1:]] for s in scored_P])


def against_the_first(scored_P):
    return spread(scored_P, lambda _, s, g: outcome(s, g) - outcome(s, 0))


def by_place(scored_P):
    numbers = {id(s): i for i, s in enumerate(scored_P)}
    return spread(scored_P, lambda _, s, g: numbers[id(s)])


def whole_batch_mean(scored_P):
    everyone = [outcome(s, g) for s in scored_P for g in range(len(s.rewards))]
    return spread(scored_P, lambda _, s, g: outcome(s, g) - sum(everyone) / len(everyone))


def unbiased_std(scored_P):
    def value(_, s, g):
        rewards = torch.stack([r.sum() for r in s.rewards])
        return (rewards[g] - rewards.mean()) / rewards.std()

    return spread(scored_P, value)


def rounds_badly(scored_P):
    def value(_, s, g):
        rewards = torch.stack([r.sum() for r in s.rewards])
        return (rewards[g] - rewards.mean()) / (rewards.std(unbiased=False) + 1e-8)

    return spread(scored_P, value)


rounds_badly.group_relative = True  # type: ignore[attr-defined]


def eats_the_rewards(scored_P):
    for s in scored_P:
        for r in s.rewards:
            r.zero_()
    return spread(scored_P, lambda *_: 0.0)


@pytest.mark.filterwarnings("ignore:std()")
@pytest.mark.parametrize(
    ("advantage", "sentence"),
    [
        (everywhere, "not 0 on tokens that are not trained"),
        (one_number_each, "have shape"),
        (forgets_the_last, "lists of"),
        (against_the_first, "order of siblings"),
        (by_place, "order of groups"),
        (whole_batch_mean, "batch_wide"),
        (unbiased_std, "not finite"),
        (rounds_badly, "do not get exactly 0"),
        (eats_the_rewards, "changes its inputs"),
    ],
)
def test_a_broken_advantage_is_told_what_it_breaks(advantage, sentence):
    with pytest.raises(ContractError, match=sentence):
        check_advantage(advantage)


# --- rewards, filters, curricula


def length(group):
    return torch.tensor([float(tokens_in(t)) for t in group.trajectories])


async def judged_in_its_own_time(group):
    return Judged(length(group), ("right",) * len(group.trajectories))


def one_short(group):
    return length(group)[1:]


def infinite(group):
    return length(group) / 0.0


def too_long(group):
    return [torch.zeros(tokens_in(t) + 1) for t in group.trajectories]


def first_wins(group):
    return torch.tensor([1.0] + [0.0] * (len(group.trajectories) - 1))


def breaks(group):
    raise KeyError("gold")


calls: list[int] = []


def counts_calls(group):
    calls.append(1)
    return torch.full((len(group.trajectories),), float(len(calls)))


@pytest.mark.parametrize("term", [length, judged_in_its_own_time])
def test_a_sound_reward_of_a_user_passes(term):
    check_reward(term)
    check_reward(term, [example_group(9, attempts=1)])


@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        (one_short, "4 values for 5 attempts"),
        (infinite, "infinite"),
        (too_long, "one number or"),
        (first_wins, "order of siblings"),
        (counts_calls, "asked twice"),
        (breaks, "raised KeyError"),
    ],
)
def test_a_broken_reward_is_told_what_it_breaks(term, sentence):
    with pytest.raises(ContractError, match=sentence):
        check_reward(term)


def backwards(scored_P):
    return scored_P[::-1]


def copies(scored_P):
    return [replace(scored) for scored in scored_P]


@pytest.mark.parametrize("keep", [backwards, copies])
def test_a_filter_must_give_the_very_groups_in_order(keep):
    with pytest.raises(ContractError, match="in their order"):
        check_filter(keep)


@dataclass(frozen=True)
class Always:
    def draw(self, task, count, seed):
        return [task.problem("train", i % 10) for i in range(count)]


@dataclass(frozen=True)
class Fewer:
    def draw(self, task, count, seed):
        return [task.problem("train", i) for i in range(min(count, 10))]


@dataclass(frozen=True)
class Counting:
    state: dict[str, int] = field(default_factory=lambda: {"seen": 0})

    def draw(self, task, count, seed):
        self.state["seen"] += count
        return [task.problem("train", (seed + i) % 10) for i in range(count)]


@pytest.mark.parametrize(
    ("curriculum", "sentence"),
    [(Always(), "every seed gives the same"), (Fewer(), "it gave"), (Counting(), "changes its inputs")],
)
def test_a_broken_curriculum_is_told_what_it_breaks(curriculum, sentence):
    with pytest.raises(ContractError, match=sentence):
        check_curriculum(curriculum)


# --- the examples themselves


def test_examples_are_a_function_of_their_seed():
    one, two, other = example_batch(3), example_batch(3), example_batch(4)
    assert torch.equal(one.logprobs, two.logprobs)
    assert one.logprobs.sum() != other.logprobs.sum()
    assert torch.equal(example_outputs(one, 1).values, example_outputs(two, 1).values)  # type: ignore[arg-type]
    assert torch.equal(example_scored(5)[0].rewards[0], example_scored(5)[0].rewards[0])


def test_examples_are_awkward():
    batch = example_batch(0)
    rows_per_attempt = batch.trajectory.bincount().tolist()
    assert max(rows_per_attempt) > 1
    assert (batch.trained.sum(1) == 0).any()
    assert (~batch.valid).any()
    assert set(batch.name) == {"direct", "demonstration"}
    ratios = (example_outputs(batch).logprobs - batch.old).exp()[batch.trained]
    assert ratios.min() < 0.8
    assert ratios.max() > 1.28
