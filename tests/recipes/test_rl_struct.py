"""What the arms of RL-Struct differ in, and what it pays for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import torch

from whet.examples import example_group
from whet.models.derived import Critic
from whet.recipes.rl_struct import BATCH, STEPS, five, one, problems, recipe, shown
from whet.scoring import totals
from whet.tasks.json_problems import written
from whet.tracks.reference import Logprobs
from whet.types import Group, Problem, Turn

STAGES: dict[str, Any] = {arm: stages[0] for arm, stages in recipe.arms.items()}


def said(problem: Problem, *answers: str) -> Group:
    attempts = zip(example_group(attempts=len(answers)).trajectories, answers, strict=True)
    return Group(problem, tuple(replace(t, turns=(Turn("policy", text, 0, 0, 1),)) for t, text in attempts))


def test_all_arms_have_as_many_steps_on_as_many_problems() -> None:
    assert {(stage.steps, stage.problems) for stage in STAGES.values()} == {(STEPS, BATCH)}


def test_ppo_differs_from_grpo_in_its_critic_alone() -> None:
    grpo, ppo = STAGES["grpo"], STAGES["ppo"]
    for name in ("task", "rollout", "reward", "callbacks"):
        assert getattr(ppo, name) is getattr(grpo, name)
    assert ppo.train["policy"] is grpo.train["policy"] and Logprobs() in ppo.tracks
    assert grpo.models == {} and ppo.models == {"critic": Critic()}


def test_gradients_are_clipped_at_a_tenth_and_a_hundredth_of_the_kl_is_paid() -> None:
    train = STAGES["grpo"].train["policy"]
    assert (train.clip_norm, train.objective.coef) == (0.1, 0.01)


def test_a_right_object_earns_4_5_or_only_1_for_being_right() -> None:
    group = said(Problem("p", "q", "2", {}), written("1+1=2", "2"), written("1+1=3", "3"), "")
    by_five, by_one = (asyncio.run(reward({}, group)) for reward in (five, one))
    assert totals(by_five).tolist() == [4.5, 3.5, 0.0] and totals(by_one).tolist() == [1.0, 0.0, 0.0]
    assert all(torch.equal(by_five.terms[name], by_one.terms[name]) for name in by_five.terms)


def test_every_working_that_the_task_shows_has_a_length_that_is_paid_in_full() -> None:
    for i in range(200):
        problem = problems.problem("train", i)
        scored = asyncio.run(five({}, said(problem, problem.info["solution"])))
        assert totals(scored).tolist() == [4.5]


def test_only_what_is_imitated_has_faults() -> None:
    assert problems.broken == 0.0 and shown.broken == 0.35
    assert STAGES["sft"].task is shown and recipe.model.stages[0].task is shown  # type: ignore[union-attr]
    assert {STAGES[arm].task for arm in ("grpo", "ppo", "correct-only")} == {problems}
