"""A second try with a hint: when it is made, what of it is learned, and against what."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, go, metrics, never, odd, played, tiny, watched

from whet.batching import collate
from whet.contracts import check_rollout
from whet.engines.native import Native
from whet.filters.everything import everything
from whet.filters.mixed import Mixed
from whet.objectives.clip import Clip
from whet.rollouts.hinted import Hinted
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Credit, Decoding, Filter, Group, Judged, Outputs, Problem, joined

SHORT = Decoding(max_tokens=6)
HINT = "~~"  # a letter that no prompt has


@dataclass(frozen=True)
class WithHints:
    """The questions of `Letters`, each with a hint."""

    task: Letters = field(default_factory=Letters)

    def size(self, split: str) -> int:
        return self.task.size(split)

    def problem(self, split: str, i: int) -> Problem:
        return replace(self.task.problem(split, i), answer="dcd", info={"hint": HINT})


@dataclass(frozen=True)
class Says:
    """The same verdicts for every group."""

    verdicts: tuple[float, ...]

    def __call__(self, group: Group) -> Judged:
        return Judged(torch.tensor(self.verdicts), ("?",) * len(self.verdicts))


@dataclass(frozen=True)
class Recorded:
    """A model that notes the text of every context it is asked to go on from."""

    native: Native
    asked: list[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.native, name)

    async def extend(self, trajectory: Any, decoding: Decoding, seed: int) -> Any:
        self.asked.append(self.native.codec.text(trajectory.rows[-1].tokens.tolist()))
        return await self.native.extend(trajectory, decoding, seed)


def play(rollout: Hinted | Sample, problem: Problem | None = None, seed: int = 0) -> tuple[list[Group], list[str]]:
    asked: list[str] = []
    model: Any = Recorded(Native(tiny()), asked)
    problem = problem or WithHints().problem("train", 0)
    return asyncio.run(rollout({"policy": model}, problem, seed)), asked


def four(*verdicts: float, **more: Any) -> Hinted:
    return Hinted(Says(verdicts), group=4, decoding=SHORT, join="", **more)


def test_one_success_calls_for_no_hint():
    groups, asked = play(four(0.0, 1.0, 0.0, 0.0))
    assert [g.name for g in groups] == ["direct"] and len(asked) == 4
    assert not any("~" in context for context in asked)


def test_no_success_calls_for_as_many_attempts_with_the_hint_in_the_prompt():
    groups, asked = play(four(0.0, 0.0, 0.0, 0.0))
    assert [(g.name, len(g.trajectories)) for g in groups] == [("failed", 4), ("guided", 4)]
    assert asked[:4] == ["ab?"] * 4 and asked[4:] == ["ab?~~"] * 4


def test_plain_attempts_are_those_of_sample_to_the_token():
    (plain,), _ = play(Sample(group=4, decoding=SHORT), seed=3)
    (failed, _), _ = play(four(0, 0, 0, 0), seed=3)
    (direct,), _ = play(four(0, 1, 0, 0), seed=3)
    for g in (failed, direct):
        for mine, theirs in zip(g.trajectories, plain.trajectories, strict=True):
            assert mine.rows[0].tokens.equal(theirs.rows[0].tokens)


def test_no_verdict_is_no_failure():
    nan = math.nan
    assert [g.name for g in play(four(nan, nan, nan, nan))[0]] == ["direct"]
    assert [g.name for g in play(four(nan, 0.0, 0.0, nan))[0]] == ["failed", "guided"]
    assert [g.name for g in play(four(nan, 0.0, 1.0, nan))[0]] == ["direct"]


async def _later(group: Group) -> list[float]:
    return [0.0] * len(group.trajectories)


def test_a_verifier_may_take_its_time():
    late: Any = _later
    groups, _ = play(Hinted(late, group=2, decoding=SHORT, join=""))
    assert [g.name for g in groups] == ["failed", "guided"]


def test_replace_learns_from_the_guided_attempts_alone_and_union_from_all():
    (failed, guided), _ = play(four(0, 0, 0, 0))
    assert not any(joined(t, "trained").any() for t in failed.trajectories)
    assert all(joined(t, "sampled").any() for t in failed.trajectories)  # so they are counted
    assert all(joined(t, "trained").any() for t in guided.trajectories)
    (union,), _ = play(four(0, 0, 0, 0, rule="union"))
    assert union.name == "guided" and len(union.trajectories) == 8
    assert all(joined(t, "trained").any() for t in union.trajectories)
    assert [t.rows[0].grafted for t in union.trajectories] == [False] * 4 + [True] * 4


def test_without_a_hint_the_second_try_is_plain_and_costs_as_many_attempts():
    (failed, again), asked = play(four(0, 0, 0, 0, hint=None), Letters().problem("train", 0))
    assert (failed.name, again.name) == ("failed", "again") and asked == ["ab?"] * 8
    assert not any(t.rows[0].grafted for t in again.trajectories)
    tokens = {str(joined(t, "tokens").tolist()) for t in (*failed.trajectories, *again.trajectories)}
    assert len(tokens) > 4  # other streams, so other attempts


def test_guided_rows_hold_the_bare_prompt_and_the_log_probs_of_who_saw_the_hint():
    lm = tiny()
    bare = lm.codec.open(WithHints().problem("train", 0), 96).rows[0].tokens
    told = lm.codec.open(Problem("p", "ab?" + HINT), 96).rows[0].tokens
    (_, guided), _ = play(four(0, 0, 0, 0))
    for t in guided.trajectories:
        (only,) = t.rows
        start = len(bare)
        assert only.tokens[:start].equal(bare) and t.problem.prompt == "ab?" and only.grafted
        assert not only.trained[:start].any() and bool(only.trained[start:].all())
        with torch.no_grad():
            tokens = torch.cat([told, only.tokens[start:]])
            logp = lm.hf(input_ids=tokens[None]).logits[0].log_softmax(-1)
        places = torch.arange(len(told) - 1, len(tokens) - 1)
        assert torch.allclose(only.logprobs[start:], logp[places, tokens[places + 1]], atol=1e-5)


def test_a_hint_in_a_chat_ends_the_last_message():
    chat: Any = [{"role": "user", "content": "ab?"}]
    problem = Problem("p", chat, "dcd", {"hint": "~"})
    groups, asked = play(replace(four(0, 0, 0, 0), join="2"), problem)
    assert all("ab?2~" in context for context in asked[4:]) and len(asked) == 8
    assert groups[1].problem == problem and chat == [{"role": "user", "content": "ab?"}]


def test_without_the_correction_log_probs_are_those_behind_the_bare_prompt():
    """Recomputing them on the training batch does the same, silently: the ratio is 1."""
    lm = tiny()
    (_, kept), _ = play(four(0, 0, 0, 0))
    (_, anew), _ = play(four(0, 0, 0, 0, corrected=False))
    for mine, theirs in zip(anew.trajectories, kept.trajectories, strict=True):
        (only,) = mine.rows
        assert only.tokens.equal(theirs.rows[0].tokens) and not only.grafted
        with torch.no_grad():
            logp = lm.hf(input_ids=only.tokens[None]).logits[0].log_softmax(-1)
        places = only.sampled[1:].nonzero()[:, 0]
        assert torch.allclose(only.logprobs[places + 1], logp[places, only.tokens[places + 1]], atol=1e-5)
        assert not only.logprobs[~only.sampled].any()
        assert not torch.allclose(only.logprobs, theirs.rows[0].logprobs, atol=1e-3)


def test_the_ratio_of_a_guided_token_has_no_lower_clip_where_the_advantage_is_positive():
    one = scored(group(attempt(row([1, 2], [0, 1], logprob=-1.0))), [1.0])
    batch = collate([one], Credit([[torch.tensor([0.0, 1.0])]]))
    loss, told = Clip()(Outputs(torch.tensor([[0.0, -2.0]]), torch.zeros(1, 2)), batch)
    assert told["ratio"][0, 1].item() == pytest.approx(0.36788, abs=1e-5)
    assert loss[0, 1].item() == pytest.approx(-0.36788, abs=1e-5)


def test_ratios_of_a_long_attempt_are_taken_token_by_token():
    """Their product over 400 tokens would be e^-400, which float32 does not have."""
    count = 400
    one = scored(group(attempt(row([1] * (count + 1), [0] + [1] * count, logprob=-1.0))), [1.0])
    batch = collate([one], Credit([[torch.ones(count + 1)]]))
    logprobs = torch.full((1, count + 1), -2.0, requires_grad=True)
    loss, told = Clip()(Outputs(logprobs, torch.zeros(1, count + 1)), batch)
    loss[batch.trained].sum().backward()
    assert told["ratio"][0, 1:] == pytest.approx(math.exp(-1), abs=1e-5)
    assert logprobs.grad is not None and bool((logprobs.grad[0, 1:] != 0).all())


def learned(folder: Path, rollout: Hinted, **more: Any) -> tuple[Outputs, Batch, dict[str, Any], Any]:
    seen: list[tuple[Outputs, Batch]] = []
    train = {"policy": Train(watched(Clip(), seen))}
    stage = RL(WithHints(), rollout, Weighted({"odd": odd}), train, problems=4, steps=1, **more)
    run, _ = played(folder, stage)
    return *seen[0], metrics(folder)[0], run


def test_the_ratio_of_a_step_is_the_correction_and_the_gap_looks_at_other_rows(tmp_path: Path):
    outputs, batch, told, run = learned(tmp_path, Hinted(never, group=4, decoding=SHORT, join=""))
    assert set(batch.name) == {"guided"} and batch.grafted is not None and bool(batch.grafted.all())
    hint = run.lms["policy"].codec.tokenizer.convert_tokens_to_ids("~")
    assert not (batch.tokens == hint)[batch.valid & ~batch.trained].any()
    apart = (outputs.logprobs - batch.logprobs)[batch.trained].detach()
    assert float(apart.abs().max()) > 1e-3
    assert told["ratio"] == pytest.approx(float(apart.exp().mean()), rel=1e-5)
    assert told["gap/max"] == 0.0 and told["attempts/guided"] == 16 and told["attempts/failed"] == 16
    assert told["attempts"] == 32  # what guided attempts cost is in the budget


def test_the_gap_still_watches_plain_rows_beside_guided_ones(tmp_path: Path):
    rollout = Hinted(never, rule="union", group=4, decoding=SHORT, join="")
    outputs, batch, told, _ = learned(tmp_path, rollout)
    assert batch.grafted is not None and batch.grafted.sum() == len(batch) // 2
    plain = batch.trained & ~batch.grafted[:, None]
    apart = (outputs.logprobs - batch.logprobs).detach().abs()[plain]
    assert told["gap/max"] == pytest.approx(float(apart.max())) and told["gap/max"] < 1e-4


def test_without_the_correction_the_ratio_of_the_first_update_is_1(tmp_path: Path):
    _, _, told, _ = learned(tmp_path, Hinted(never, group=4, decoding=SHORT, join="", corrected=False))
    assert told["ratio"] == pytest.approx(1.0, abs=1e-5) and told["gap/max"] < 1e-4


def test_no_gradient_reaches_the_embedding_of_a_hint_token():
    """Tied embeddings get one from the softmax, too, so the input alone is looked at."""
    lm = tiny()
    (_, guided), _ = play(four(0, 0, 0, 0))
    hint = lm.codec.tokenizer.convert_tokens_to_ids("~")
    for t in guided.trajectories:
        tokens = t.rows[0].tokens
        free = tokens[~t.rows[0].trained]
        assert hint not in free.tolist()
        embedded = lm.hf.get_input_embeddings().weight.detach().clone().requires_grad_()
        inputs = torch.nn.functional.embedding(tokens[None], embedded)
        logp = lm.hf(inputs_embeds=inputs).logits[0].log_softmax(-1)
        places = t.rows[0].trained[1:].nonzero()[:, 0]
        logp[places, tokens[places + 1]].sum().backward()
        assert embedded.grad is not None and bool(embedded.grad[free].any())
        if hint not in tokens.tolist():
            assert not embedded.grad[hint].any()


def test_a_guided_group_that_fails_too_is_dropped_and_changes_nothing(tmp_path: Path):
    rollout = Hinted(never, group=4, decoding=SHORT, join="")
    filters: dict[str, Filter] = {"all": everything, "mixed": Mixed()}
    for name, kept in filters.items():
        train = {"policy": Train(Clip())}
        stage = RL(WithHints(), rollout, Weighted({"never": never}), train, problems=4, steps=1, filter=kept)
        lm = tiny()
        before = {key: value.clone() for key, value in lm.state_dict().items()}
        go(tmp_path / name, stage, {"policy": lm})
        assert all(torch.equal(value, before[key]) for key, value in lm.state_dict().items())
    told = metrics(tmp_path / "all")[0]
    assert told["loss"] == 0.0 and metrics(tmp_path / "mixed")[0]["groups/kept"] == 0


def test_hinted_rollouts_keep_the_contract_of_rollouts():
    for rule in ("replace", "union"):
        check_rollout(Hinted(never, rule=rule, group=3, decoding=SHORT, join=""), WithHints())
    check_rollout(Hinted(odd, group=2, corrected=False, decoding=SHORT, join=""), WithHints())


@pytest.mark.parametrize("hint", ["the answer is 6", "6", "(6)", "6+0"])
def test_a_hint_that_holds_the_answer_is_refused(hint: str):
    with pytest.raises(ValueError, match="would teach copying"):
        play(four(0, 1, 0, 0), Problem("p", "ab?", "6", {"hint": hint}))
    with pytest.raises(ValueError, match="would teach copying"):
        play(four(0, 1, 0, 0), Problem("p", "ab?", 6, {"hint": hint}))


@pytest.mark.parametrize("hint", ["46", "60", "x6", "1.5"])
def test_a_hint_in_which_the_answer_is_only_part_of_a_word_is_none_the_worse(hint: str):
    assert play(four(0, 1, 0, 0), Problem("p", "ab?", "6", {"hint": hint}))[0][0].name == "direct"


@pytest.mark.parametrize("info", [{}, {"hint": ""}, {"hint": 7}])
def test_a_problem_without_a_hint_is_refused(info: dict[str, Any]):
    with pytest.raises(ValueError, match="give it a hint"):
        play(four(0, 1, 0, 0), Problem("p", "ab?", "6", info))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"Hinted\.group"):
        Hinted(never, group=0)
    wrong: Any = "both"
    with pytest.raises(ValueError, match=r"Hinted\.rule"):
        Hinted(never, rule=wrong)
