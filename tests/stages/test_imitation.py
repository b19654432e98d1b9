"""A supervised step on given problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import play, shaken
from helpers.runs import SMALL
from helpers.shapes import go
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.engines.native import Native
from whet.models.derived import Copy
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.promises.common import portable
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Run
from whet.scoring import Weighted
from whet.stages.imitation import Imitation, demonstration
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import worked
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding, Problem, Scored, Trajectory

LM = SMALL.build(0)
EOS = LM.codec.eos[0]


def target(trajectory: Trajectory) -> list[int]:
    row = trajectory.rows[-1]
    return row.tokens[row.trained].tolist()


def spelt(text: str) -> list[int]:
    return LM.codec.tokenizer.encode(text, add_special_tokens=False)


def test_a_target_that_fills_the_window_has_its_last_token_replaced_by_the_end():
    problem = Problem("p", "1+1=", info={"solution": "abcde"})
    assert target(demonstration(LM.codec, problem, LM.context, 5)) == [*spelt("abcd"), EOS]
    short = Problem("p", "1+1=", info={"solution": "abc"})
    found = target(demonstration(LM.codec, short, LM.context, 5))
    assert found == [*spelt("abc"), EOS] and found.index(EOS) == 3
    assert target(demonstration(LM.codec, problem, LM.context, 6)) == [*spelt("abcde"), EOS]


def test_without_a_window_the_context_is_the_bound():
    problem = Problem("p", "1+1=", info={"solution": "abcde"})
    assert target(demonstration(LM.codec, problem, LM.context)) == target(worked(LM.codec, problem, LM.context))
    cut = demonstration(LM.codec, problem, context=8)
    assert target(cut) == [*spelt("abc"), EOS] and len(cut.rows[0]) == 8
    assert (cut.turns[-1].text, cut.turns[-1].start, cut.turns[-1].stop) == ("abc", 4, 8)


@settings(max_examples=60, deadline=None)
@given(st.text("abc+1", min_size=1, max_size=20), st.integers(1, 12), st.booleans())
def test_it_ends_once_and_is_never_longer_than_the_window(text: str, window: int, chat: bool):
    prompt: Any = [{"role": "user", "content": "1+1=?"}] if chat else "1+1="
    problem = Problem("p", prompt, info={"solution": text})
    trajectory = demonstration(LM.codec, problem, LM.context, window)
    found = target(trajectory)
    assert len(found) == min(window, len(text) + 1) and found[-1] == EOS and found.count(EOS) == 1
    assert found[:-1] == spelt(text)[: len(found) - 1]
    row = trajectory.rows[0]
    assert all(len(part) == len(row) for part in (row.sampled, row.trained, row.logprobs, row.versions))
    assert not row.sampled.any() and not row.trained[: len(row) - len(found)].any()


def test_prompts_are_those_of_rollouts():
    """The same chat template, to the token."""
    problem = ChainSum().problem("train", 3)
    row = demonstration(LM.codec, problem, LM.context).rows[0]
    (played,) = play(Native(shaken(SMALL)), [problem.prompt], Decoding(4))  # type: ignore[list-item]
    prompt = played.rows[0].tokens[~played.rows[0].sampled].tolist()
    assert row.tokens[~row.trained].tolist() == prompt


def test_a_solution_in_messages_is_imitated_whole():
    turns = [{"role": "assistant", "content": "one"}, {"role": "user", "content": "?"}]
    turns += [{"role": "assistant", "content": "two"}]
    problem = Problem("p", [{"role": "user", "content": "go"}], info={"solution": turns})
    assert target(demonstration(LM.codec, problem, LM.context, 2)) == [*spelt("one"), EOS, *spelt("two"), EOS]


def within(imitation: Imitation, problems: list[Problem], **more: Any) -> tuple[RL, list[dict[str, Any]]]:
    """A stage of one step, after which `problems` are imitated; what is told of it."""
    told: list[dict[str, Any]] = []

    async def imitate(run: Run, step: int, scored_P: list[Scored]) -> None:
        before = run.tokens
        told.append(imitation(run, step, problems) | {"tokens": run.tokens - before, "who": list(run.learners)})

    attempts, train = Sample(group=2, decoding=Decoding(max_tokens=3)), {"policy": Train(Clip(), lr=1e-2)}
    reward = Weighted({"correct": exact})
    return RL(ChainSum(), attempts, reward, train, problems=2, steps=1, callbacks=[imitate], **more), told


def test_the_loss_is_the_mean_over_all_tokens_of_the_solutions(tmp_path: Path):
    problems = [Problem("a", "1+1=", info={"solution": "2"}), Problem("b", "2+3=", info={"solution": "<think>hm"})]
    stage, told = within(Imitation(Train(Likelihood(), lr=0.0)), problems)
    lm = go(tmp_path, stage, {"policy": shaken(SMALL)}).lms["policy"]
    losses = []
    for problem in problems:
        row = demonstration(lm.codec, problem, lm.context).rows[0]
        logp = torch.log_softmax(lm.hf(row.tokens[None]).logits[0].detach().float(), -1)[:-1]
        losses += [-float(logp[t, row.tokens[t + 1]]) for t in range(len(row) - 1) if row.trained[t + 1]]
    assert len(losses) == 2 + 4  # "2", end; "<think>", "h", "m", end
    assert told[0]["loss"] == pytest.approx(sum(losses) / 6, rel=1e-4)
    assert told[0]["nll"] == pytest.approx(told[0]["loss"], rel=1e-5)
    assert told[0]["tokens"] == 6 and told[0]["updates"] == 1


def test_nothing_to_imitate_is_no_update(tmp_path: Path):
    stage, told = within(Imitation(), [])
    go(tmp_path, stage, {"policy": shaken(SMALL)})
    assert told == [{"tokens": 0, "who": ["policy"]}]


def test_a_model_that_the_stage_does_not_train_is_refused(tmp_path: Path):
    problems = [Problem("a", "1+1=", info={"solution": "2"})]
    stage, _ = within(Imitation(model="reference"), problems, models={"reference": Copy("policy")})
    with pytest.raises(ValueError, match="model is 'reference' and this stage trains policy"):
        go(tmp_path, stage, {"policy": shaken(SMALL)})


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match=r"window must be 0 .* got -1"):
        Imitation(window=-1)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="largest_norm must be 0"):
            Imitation(largest_norm=wrong)
    portable(Imitation(window=8, largest_norm=5.0))
