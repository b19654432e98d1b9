"""What the arms of OREAL differ in."""

from __future__ import annotations

from typing import Any

from whet.launch import Order, find
from whet.models.derived import Critic
from whet.objectives.clone_and_repel import CloneAndRepel
from whet.objectives.reinforce import Reinforce
from whet.recipes.oreal import LR, UPDATES, WAIT, error, recipe
from whet.schedule import at
from whet.settings import put_arms
from whet.tracks.token_weights import TokenWeights
from whet.types import Problem
from whet.weightings.by_outcome import ByOutcome
from whet.weightings.one_of_each import OneOfEach
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean

STAGES: dict[str, Any] = {arm: stages[0] for arm, stages in recipe.arms.items()}


def test_all_arms_have_the_same_problems_attempts_optimizer_baseline_and_updates() -> None:
    first = STAGES["reinforce"]
    for arm, stage in STAGES.items():
        train, own = stage.train["policy"], first.train["policy"]
        assert stage.task is first.task and stage.rollout is first.rollout and stage.reward is first.reward
        assert (stage.problems, stage.advantage, stage.filter) == (first.problems, first.advantage, first.filter)
        assert stage.curriculum == first.curriculum and (train.epochs, train.warmup) == (own.epochs, own.warmup)
        assert train.adamw == own.adamw and train.clip_norm == own.clip_norm
        assert train.auxiliary["kl"].objective == own.auxiliary["kl"].objective
        assert train.auxiliary["kl"].weight == 0.01
        assert stage.steps - (WAIT if arm == "oreal" else 0) == UPDATES


def test_a_right_answer_is_worth_2_more_than_a_wrong_one_as_with_plus_and_minus_1() -> None:
    assert STAGES["reinforce"].reward.weights == {"correct": 2.0}


def test_the_policy_waits_for_the_reward_model_and_then_learns_as_fast_as_the_others() -> None:
    rates = [at(STAGES["oreal"], step).train["policy"].lr for step in range(WAIT + UPDATES)]
    assert rates[:WAIT] == [0.0] * WAIT and rates[WAIT] == LR and rates[-1] == 0.2 * LR
    for arm in set(STAGES) - {"oreal"}:
        assert [at(STAGES[arm], step).train["policy"].lr for step in range(UPDATES)] == rates[WAIT:]


def test_only_oreal_has_a_reward_model_and_it_learns_from_the_policys_attempts() -> None:
    for arm, stage in STAGES.items():
        assert set(stage.trains()) == ({"policy", "scorer"} if arm == "oreal" else {"policy"})
        assert stage.models == ({"scorer": Critic()} if arm == "oreal" else {})
    assert STAGES["oreal"].train["scorer"].rows == "policy" and TokenWeights() in STAGES["oreal"].tracks


def test_without_weights_every_token_of_the_same_replies_counts_and_a_clone_has_no_wrong_side() -> None:
    def of(arm: str) -> tuple[Any, Any]:
        return STAGES[arm].train["policy"].objective, STAGES[arm].train["policy"].weighting

    both = OneOfEach(weighting=ByOutcome(right=1.0, wrong=0.5))
    assert of("oreal") == (CloneAndRepel(), both)
    assert of("oreal-no-weights") == (CloneAndRepel(track=None), both)
    assert of("clone") == (CloneAndRepel(track=None), OneOfEach(weighting=ByOutcome(right=1.0, wrong=0.0)))
    assert of("reinforce") == (Reinforce(), TokenMean())
    assert of("reinforce-pairs") == (Reinforce(), OneOfEach(weighting=TokenMean()))


def test_the_first_error_is_looked_for_in_the_problems_own_chain() -> None:
    problem = Problem("p", [{"role": "user", "content": "4+5+6=?"}], "15", {})
    assert error(problem, "<think>4+5=9;9+6=15</think><answer>15</answer>") is None
    assert error(problem, "<think>4+5=8;8+6=14</think><answer>14</answer>") == 11


def test_at_scale_it_has_the_papers_rates_and_group() -> None:
    arms = put_arms(find(Order("oreal")).arms, recipe.at_scale)
    oreal = arms["oreal"][0]
    assert [at(oreal, step).train["policy"].lr for step in (0, WAIT)] == [0.0, 5e-7]
    assert at(oreal, 0).train["scorer"].lr == 2e-6 and oreal.rollout.group == 16
    assert oreal.train["scorer"].weighting == OneOfEach(weighting=SequenceMean())
