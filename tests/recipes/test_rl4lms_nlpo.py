"""What the arms of NLPO differ in."""

from __future__ import annotations

from typing import Any

import pytest

from whet.launch import Order, find
from whet.models.derived import Critic, Follow, Start
from whet.recipes.rl4lms_nlpo import recipe, texts
from whet.rollouts.sample import Sample
from whet.rollouts.sample_inside import SampleInside
from whet.schedule import Proportional
from whet.settings import put_arms

LEARNED: dict[str, Any] = {arm: stages[1] for arm, stages in recipe.arms.items()}


@pytest.mark.parametrize("name", list(texts))
def test_nlpo_is_ppo_inside_a_mask_that_follows_the_policy(name: str) -> None:
    ppo, nlpo = LEARNED[f"ppo-{name}"], LEARNED[f"nlpo-{name}"]
    assert isinstance(ppo.rollout, Sample) and isinstance(nlpo.rollout, SampleInside)
    assert nlpo.rollout.decoding == ppo.rollout.decoding and nlpo.rollout.group == ppo.rollout.group
    assert (nlpo.rollout.top_p, nlpo.rollout.least, nlpo.rollout.top_k) == (0.9, 1, 0)
    assert ppo.models == {"critic": Critic()}
    assert nlpo.models == {"critic": Critic(), "mask": Follow("policy", every=5)}
    assert nlpo.train == ppo.train and nlpo.advantage == ppo.advantage and nlpo.task == ppo.task
    assert nlpo.reward.terms == ppo.reward.terms
    assert (nlpo.problems, nlpo.steps) == (ppo.problems, ppo.steps)


@pytest.mark.parametrize("name", list(texts))
def test_in_the_end_the_mask_is_the_policy_and_all_sample_from_its_own_set(name: str) -> None:
    nlpo = LEARNED[f"nlpo-{name}"]
    assert nlpo.steps % nlpo.models["mask"].every == 0
    last: Any = recipe.arms[f"nlpo-{name}"][-1]
    assert last.rollout.decoding.top_p == nlpo.rollout.top_p


def test_the_tasks_differ_in_what_they_reward_and_in_nothing_else() -> None:
    first, *others = [LEARNED[f"ppo-{name}"] for name in texts]
    for stage in others:
        assert (stage.train, stage.advantage, stage.problems, stage.steps) == (
            first.train,
            first.advantage,
            first.problems,
            first.steps,
        )
        assert stage.rollout == first.rollout and stage.reward.terms != first.reward.terms


def test_every_arm_keeps_its_kl_near_a_target_with_a_controller_of_its_own() -> None:
    betas = [stage.reward.weights["kl"] for arm, stage in LEARNED.items() if not arm.startswith("sft")]
    assert all(isinstance(beta, Proportional) and beta == betas[0] for beta in betas)
    assert len({id(beta.state) for beta in betas}) == len(betas) == 2 * len(texts)


@pytest.mark.parametrize("name", list(texts))
def test_all_arms_of_a_task_are_measured_alike_before_and_after(name: str) -> None:
    before, _, after = zip(*(recipe.arms[f"{way}-{name}"] for way in ("sft", "ppo", "nlpo")), strict=True)
    for first, last in zip(before, after, strict=True):
        assert (first.name, last.name) == ("before/test", "after/test")
        assert first.rollout == last.rollout == before[0].rollout and first.task == last.task == texts[name]
        assert first.models == last.models == {"start": Start()} and first.problems == last.problems


def test_imitation_is_shown_better_texts_than_the_base_has_seen() -> None:
    def quality(task: Any) -> float:
        return getattr(task, {"Numbers": "rising", "Reviews": "good"}[type(task).__name__])

    for name, task in texts.items():
        assert type(LEARNED[f"sft-{name}"].task) is type(task)
        assert quality(LEARNED[f"sft-{name}"].task) > quality(task)


def test_at_scale_it_has_a_smaller_rate() -> None:
    arms = put_arms(find(Order("rl4lms-nlpo")).arms, recipe.at_scale)
    assert all(stages[1].train["policy"].lr == 1e-6 for arm, stages in arms.items() if not arm.startswith("sft"))
