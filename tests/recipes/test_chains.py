"""The model on which cot-passk and limit-of-rlvr are judged, and what the two ask of it."""

from __future__ import annotations

import json
import re

import pytest

from whet.recipes import cot_passk, limit_of_rlvr
from whet.recipes._chains import TOKENS, base, noisy, slipped, task, tiny, told
from whet.rewards.text import tagged
from whet.tasks.chain_sum import ChainSum
from whet.types import Problem
from whet.verifiers.steps import verify

PROBLEMS = [task.problem("train", i) for i in range(200)]


def sound(problem: Problem, solution: str) -> bool:
    question = json.dumps({"question": problem.prompt[0]["content"]})  # type: ignore[index]
    return verify(tagged(solution, "think") or "", question) == "right"


def test_both_claims_are_judged_on_one_model_of_one_task() -> None:
    assert cot_passk.recipe.model is limit_of_rlvr.recipe.model is base
    assert cot_passk.recipe.evaluate[0].task is limit_of_rlvr.recipe.evaluate[0].task is task
    assert cot_passk.recipe.arms["grpo"][0] == limit_of_rlvr.recipe.arms["rl"][0]


def test_a_slipped_trace_is_wrong_in_its_steps_and_right_in_its_answer() -> None:
    for problem in PROBLEMS:
        assert sound(problem, told(problem)) and not sound(problem, slipped(problem))
        assert tagged(slipped(problem)) == problem.answer
        assert len(slipped(problem)) == len(told(problem))


def test_every_other_slip_is_taken_up_and_makes_one_false_step() -> None:
    long = ChainSum(terms=6, largest=5, modulus=10)
    false = []
    for i in range(200):
        steps = re.findall(r"(\d)([-+])(\d)=(\d)", slipped(long.problem("train", i)))
        results = [(int(a) + int(b) if sign == "+" else int(a) - int(b)) % 10 for a, sign, b, _ in steps]
        false.append(sum(result != int(step[3]) for result, step in zip(results, steps, strict=True)))
    assert set(false) == {1}  # what is taken up is added to rightly


def test_three_traces_of_ten_slip() -> None:
    styles = [noisy.problem("train", i).info["style"] for i in range(1000)]
    assert styles.count("slipped") / 1000 == pytest.approx(0.3, abs=0.05)


def test_prompts_and_solutions_fit() -> None:
    codec = tiny.build(0).codec
    lengths = [len(codec.tokenizer.encode(told(problem))) for problem in PROBLEMS]
    assert max(lengths) < TOKENS
    assert max(len(codec.open(problem, tiny.context).rows[0]) for problem in PROBLEMS) + TOKENS <= tiny.context
    unknown = codec.tokenizer.convert_tokens_to_ids("<unk>")
    assert all(unknown not in codec.open(problem, tiny.context).rows[0].tokens for problem in PROBLEMS)


def test_nobody_learns_from_the_reasoning_or_from_judges() -> None:
    rewards = [cot_passk.recipe.arms["grpo"][0].reward, cot_passk.recipe.evaluate[0].reward]  # type: ignore[union-attr]
    for reward in (*rewards, limit_of_rlvr.recipe.evaluate[0].reward):
        assert {name for name in reward.terms if reward.weights.get(name, 1.0)} == {"correct"}  # type: ignore[union-attr]


def test_all_models_are_sampled_at_one_temperature() -> None:
    rollouts = [recipe.evaluate[0].rollout for recipe in (cot_passk.recipe, limit_of_rlvr.recipe)]
    assert {rollout.decoding.temperature for rollout in rollouts} == {1.0}  # type: ignore[union-attr]
