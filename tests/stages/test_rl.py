"""The loop, end to end, on very small models."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch
from helpers.model_small import shaken
from helpers.runs import SMALL, Listed, Warnings, go, metrics, sums, text_of

from whet.callbacks.validate import Validate
from whet.filters.mixed import Mixed
from whet.models.derived import Critic, Follow
from whet.objectives.clip import Clip
from whet.objectives.with_kl import WithKL
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.schedule import Linear, Steps
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL, Tokens
from whet.tasks.chain_sum import ChainSum
from whet.tracks.reference import Logprobs
from whet.types import Decoding, Group, Problem, Scored

attempts = Sample(group=3, decoding=Decoding(max_tokens=5))


def even(group: Group) -> torch.Tensor:
    return torch.tensor([float(sum(map(ord, text)) % 2) for text in text_of(group)])


def same(group: Group) -> torch.Tensor:
    return torch.ones(len(group.trajectories))


STAGE = RL(
    task=sums(50),
    rollout=attempts,
    reward=Weighted({"even": even, "correct": exact}, weights={"correct": 0.5}),
    train={"policy": Train(Clip(), lr=1e-2)},
    problems=4,
    steps=2,
)


def rows(folder: Path, step: int = 0, number: int = 0) -> list[dict[str, Any]]:
    return parquet.read_table(folder / "rollouts" / f"{number}-{step:08d}.parquet").to_pylist()


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.lms["policy"].state_dict().items()}


# -- what a run leaves ------------------------------------------------------------------------------------------------


def test_every_step_has_a_line_of_metrics(tmp_path: Path) -> None:
    go(tmp_path, STAGE)
    lines = metrics(tmp_path)
    assert [(line["stage"], line["number"], line["step"]) for line in lines] == [("rl", 0, 0), ("rl", 0, 1)]
    wanted = {"reward/mean", "reward/std", "reward/even", "reward/correct", "outcome/right", "outcome/wrong"}
    wanted |= {"outcome/failed", "groups/mixed", "groups/kept", "length/mean", "length/limit_share", "stop/eos"}
    wanted |= {"loss", "entropy", "ratio", "kl_old", "clip_fraction", "gap/mean", "gap/max", "grad_norm", "lr"}
    wanted |= {"updates", "updates_dropped", "tokens", "time/play", "time/learn"}
    for line in lines:
        assert wanted <= line.keys(), wanted - line.keys()
        assert (line["attempts"], line["groups/kept"], line["updates"], line["lr"]) == (12, 4, 1, 0.01)
        assert line["gap/max"] < 1e-4 and line["ratio"] == pytest.approx(1, abs=1e-5)
        assert 0 < line["entropy"] < math.log(200)
    sampled = [sum(sum(row["sampled"]) for row in rows(tmp_path, step)) for step in range(2)]
    assert [line["tokens"] for line in lines] == [sampled[0], sum(sampled)]


def test_every_attempt_is_on_disk_as_it_was_played(tmp_path: Path) -> None:
    lm = shaken(SMALL)
    tokenizer = lm.codec.tokenizer
    logits = [weight.clone() for weight in lm.parameters()]
    run = go(tmp_path, replace(STAGE, steps=1), lm=lm)
    found = rows(tmp_path)
    assert len(found) == 12 and {row["slot"] for row in found} == {0, 1, 2, 3}
    with torch.no_grad():
        for weight, old in zip(run.lms["policy"].parameters(), logits, strict=True):
            weight.copy_(old)
        for row in found:
            tokens, sampled = torch.tensor(row["tokens"]), torch.tensor(row["sampled"])
            assert row["prompt"] == tokenizer.decode(tokens[~sampled]) and row["prompt"].endswith("+1=")
            assert lm.codec.text(tokens[sampled]) == row["text"]
            assert row["sampled"] == row["trained"]
            logp = lm.hf(input_ids=tokens[None]).logits[0, :-1].log_softmax(-1).gather(1, tokens[1:, None])[:, 0]
            played = torch.tensor(row["logprobs"])
            assert torch.allclose(played[1:][sampled[1:]], logp[sampled[1:]], atol=1e-4)
            assert not played[~sampled].any()
            assert row["versions"] == [0 if on else -1 for on in row["sampled"]]
            assert row["reward"] == row["term/even"] + 0.5 * row["term/correct"] == sum(row["rewards"])
            assert row["outcome/correct"] in ("right", "wrong", "unparseable")
            assert row["seconds/correct"] >= 0
            assert row["model"] == "policy" and row["stop"] in ("eos", "length") and row["kept"]
    for slot in range(4):
        group = [row for row in found if row["slot"] == slot]
        outcome = torch.tensor([row["reward"] for row in group])
        spread = outcome.std(unbiased=False)
        expected = (outcome - outcome.mean()) / (spread + 1e-6) if spread else torch.zeros(3)
        for row, value in zip(group, expected.tolist(), strict=True):
            assert [a for a, on in zip(row["advantages"], row["trained"], strict=True) if on] == pytest.approx(
                [value] * sum(row["trained"]), abs=1e-4
            )


def test_a_reward_that_can_be_had_rises(tmp_path: Path) -> None:
    def short(group: Group) -> torch.Tensor:
        return -torch.tensor([float(len(text)) for text in text_of(group)])

    stage = replace(STAGE, reward=Weighted({"short": short}), steps=25, rollout=replace(attempts, group=8))
    go(tmp_path, replace(stage, train={"policy": Train(Clip(), lr=2e-2)}))
    means = [line["reward/mean"] for line in metrics(tmp_path)]
    assert sum(means[-5:]) / 5 > sum(means[:5]) / 5 + 1


# -- what is learned from ---------------------------------------------------------------------------------------------


def test_nothing_to_learn_is_a_warning_and_no_update(tmp_path: Path) -> None:
    screen = Warnings()
    lm = shaken(SMALL)
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    run = go(tmp_path, replace(STAGE, reward=Weighted({"same": same}), filter=Mixed()), lm=lm, screen=screen)
    assert len(screen.said) == 2 and "step 0: nothing to learn from for 'policy', no update" in screen.said
    assert all(torch.equal(value, before[name]) for name, value in weights(run).items())
    for line in metrics(tmp_path):
        assert line["groups/kept"] == 0 and "loss" not in line and line["reward/mean"] == 1
    assert all(not row["kept"] and row["advantages"] is None for row in rows(tmp_path))


def test_an_attempt_without_a_verdict_leaves_its_group_and_is_counted(tmp_path: Path) -> None:
    def lame(group: Group) -> torch.Tensor:
        return torch.tensor([math.nan, 1.0, 0.0])

    go(tmp_path, replace(STAGE, reward=Weighted({"lame": lame})))
    line = metrics(tmp_path)[0]
    assert line["outcome/failed"] == pytest.approx(1 / 3) and line["reward/mean"] == 0.5 and line["updates"] == 1
    for row in rows(tmp_path):
        assert row["kept"] == (row["attempt"] > 0)
        assert math.isnan(row["reward"]) == (row["attempt"] == 0)
        signs = {0: None, 1: 1, 2: -1}[row["attempt"]]
        assert (row["advantages"] is None) if signs is None else (signs * row["advantages"][-1] > 0.9)


def test_verdicts_that_all_fail_leave_the_weights_alone(tmp_path: Path) -> None:
    def lost(group: Group) -> torch.Tensor:
        return torch.full((3,), math.nan)

    lm = shaken(SMALL)
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    run = go(tmp_path, replace(STAGE, reward=Weighted({"lost": lost}), steps=1), lm=lm, screen=Warnings())
    assert all(torch.equal(value, before[name]) for name, value in weights(run).items())
    assert metrics(tmp_path)[0]["outcome/failed"] == 1


def test_refills_fill_the_batch_and_are_bounded(tmp_path: Path) -> None:
    def on_odd(group: Group) -> torch.Tensor:
        odd = int(group.problem.id[1:]) % 2
        return torch.tensor([float(odd and i == 0) for i in range(3)])

    stage = replace(STAGE, reward=Weighted({"odd": on_odd}), filter=Mixed(), steps=3)
    go(tmp_path / "many", replace(stage, refills=9))
    for step in range(3):
        found = rows(tmp_path / "many", step)
        kept = [row["slot"] for row in found if row["kept"]]
        assert len(kept) == 12 and kept == sorted(kept)  # the first four in draw order
        mixed = sorted({row["slot"] for row in found if int(row["problem"][1:]) % 2})
        assert sorted(set(kept)) == mixed[:4]
    assert max(line["attempts"] for line in metrics(tmp_path / "many")) > 12
    go(tmp_path / "none", replace(stage, reward=Weighted({"same": same}), refills=2), screen=Warnings())
    assert metrics(tmp_path / "none")[0]["attempts"] == 36  # three draws, and no more


# -- when it ends -----------------------------------------------------------------------------------------------------


def test_the_stage_ends_when_its_tokens_are_used_up(tmp_path: Path) -> None:
    go(tmp_path, replace(STAGE, steps=50, until=Tokens(100)))
    lines = metrics(tmp_path)
    assert lines[-1]["tokens"] >= 100 > lines[-2]["tokens"]
    with pytest.raises(ValueError, match="positive count, got 0"):
        Tokens(0)


def test_tokens_of_earlier_stages_do_not_count(tmp_path: Path) -> None:
    stage = replace(STAGE, steps=50, until=Tokens(100))
    go(tmp_path, stage, stage)
    first, second = ([line for line in metrics(tmp_path) if line["number"] == number] for number in (0, 1))
    assert len(second) > 1
    assert second[-1]["tokens"] - first[-1]["tokens"] >= 100 > second[-2]["tokens"] - first[-1]["tokens"]


class Killed(Exception):
    """Ends a run where a machine could fail."""


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("end", ["tokens", "patience"])
def test_a_stage_that_had_ended_does_not_go_on_after_a_resume(tmp_path: Path, ahead: int, end: str) -> None:
    evaluation = Evaluate(sums(4), attempts, Weighted({"correct": same}), split="validation", problems=2)
    early = {
        "tokens": {"until": Tokens(100)},
        "patience": {"callbacks": [Validate(evaluation, every=1, patience=1)]},
    }[end]
    stage = replace(STAGE, steps=50, save=Save(every=1), ahead=ahead, **early)

    class Dying(Run):
        def _write_start(self) -> None:
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(Dying(tmp_path, 0, {"policy": shaken(SMALL)}, [stage]).go())
    done = metrics(tmp_path)
    run = go(tmp_path, replace(stage, callbacks=[replace(c, state={}) for c in stage.callbacks]))  # type: ignore[type-var]
    assert metrics(tmp_path) == done
    assert run.number == 1


def test_an_optimizer_outlives_two_stops_without_an_update_between_them(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Middle:
        """Rewards that differ except in steps 2 and 3."""

        same: Any = field(default_factory=lambda: Steps(0.0, {2: 1.0, 4: 0.0}))

        def __call__(self, group: Group) -> torch.Tensor:
            return even(group) * (1 - self.same)

    stage = replace(STAGE, reward=Weighted({"even": Middle()}), filter=Mixed(), steps=5, save=Save(every=1))

    class Dying(Run):
        last = 0

        def publish(self, step: int, metrics: Any) -> None:
            super().publish(step, metrics)
            if step == self.last:
                raise Killed

    plain = weights(go(tmp_path / "plain", stage, screen=Warnings()))
    for last in (2, 3, 4):
        run = Dying(tmp_path / "killed", 0, {"policy": shaken(SMALL)}, [stage], screen=Warnings())
        run.last = last
        with pytest.raises(Killed):
            asyncio.run(run.go())
    last_run = weights(go(tmp_path / "killed", stage, screen=Warnings()))
    assert all(torch.equal(value, plain[name]) for name, value in last_run.items())


# -- numbers, models, mistakes ----------------------------------------------------------------------------------------


def test_counts_may_be_schedules(tmp_path: Path) -> None:
    stage = replace(STAGE, problems=Linear(2, 4, 2), rollout=replace(attempts, group=Linear(2, 6, 2)), steps=3)
    stage = replace(stage, refills=Steps(0, {1: 1}), train={"policy": Train(Clip(), epochs=Linear(1, 3, 2))})
    go(tmp_path, stage)
    assert [line["attempts"] for line in metrics(tmp_path)] == [2 * 2, 3 * 4, 4 * 6]
    assert [line["updates"] for line in metrics(tmp_path)] == [1, 2, 3]


def test_a_reference_stays_and_a_follower_follows(tmp_path: Path) -> None:
    stage = replace(STAGE, train={"policy": Train(WithKL(Clip()), lr=1e-2)}, tracks=[Logprobs()], steps=3)
    go(tmp_path / "frozen", stage)
    kl = [line["kl"] for line in metrics(tmp_path / "frozen")]
    assert kl[0] == pytest.approx(0, abs=1e-6) and min(kl[1:]) > 1e-4
    for row in rows(tmp_path / "frozen"):  # on disk, too: at first the two are one
        sampled = [
            pair for *pair, on in zip(row["logprobs"], row["track/reference"], row["sampled"], strict=True) if on
        ]
        assert sampled and all(a == pytest.approx(b, abs=1e-4) for a, b in sampled)
    go(tmp_path / "follows", replace(stage, models={"reference": Follow("policy", every=1)}))
    assert [line["kl"] for line in metrics(tmp_path / "follows")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_two_models_learn_with_metrics_and_learning_rates_of_their_own(tmp_path: Path) -> None:
    train = {"policy": Train(Clip(), lr=1e-2), "critic": Train(Clip(), lr=1e-3, rows="policy")}
    run = go(tmp_path, replace(STAGE, train=train, models={"critic": Critic()}))
    line = metrics(tmp_path)[0]
    assert (line["lr"], line["critic/lr"], line["critic/updates"]) == (1e-2, 1e-3, 1)
    assert run.lms["critic"].value_head is not None and run.lms["policy"].value_head is None


def test_parts_observe_every_step_and_callbacks_are_called(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Seeing:
        state: dict[str, Any] = field(default_factory=lambda: {"steps": []})

        def draw(self, task: Any, count: int, seed: int) -> list[Problem]:
            return [task.problem("train", len(self.state["steps"]))] * count

        def observe(self, step: int, scored_P: list[Scored], metrics: Any) -> None:
            assert metrics["updates"] == 1
            self.state["steps"] = [*self.state["steps"], step]

    called: list[tuple[int, int]] = []

    async def callback(run: Run, step: int, scored_P: list[Scored]) -> None:
        called.append((step, len(scored_P)))
        run.note({"mine": 2.0 * step})

    part = Seeing()
    go(tmp_path, replace(STAGE, curriculum=part, callbacks=[callback], steps=3, ahead=1))
    assert part.state["steps"] == [0, 1, 2] and called == [(0, 4), (1, 4), (2, 4)]
    assert [line["mine"] for line in metrics(tmp_path)] == [0, 2, 4]
    drawn = [{row["problem"] for row in rows(tmp_path, step)} for step in range(3)]
    assert drawn == [{"p0"}, {"p0"}, {"p1"}]  # a state as old as the weights
    texts = [[row["text"] for row in rows(tmp_path, 0) if row["slot"] == slot] for slot in range(4)]
    assert texts[0] != texts[1]  # one problem drawn twice gets other samples


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problems": 0}, r"RL\.problems must be at least 1, got 0"),
        ({"steps": 0}, r"RL\.steps must be at least 1, got 0"),
        ({"ahead": -1}, r"RL\.ahead must be at least 0, got -1"),
        ({"train": {}}, r"RL\.train is empty"),
        ({"rollout": replace(attempts, model="polcy")}, r"rollout\.model names the model 'polcy'.*'policy'"),
        ({"train": {"critic": Train(Clip())}}, r"train\.critic.* model"),
        ({"task": Listed(())}, "'train' has 0 problems"),
        ({"task": Listed((*sums(9).problems, Problem("wide", "1+" * 40, "1")))}, "'wide' has 8. tokens"),
    ],
)
def test_what_can_not_work_is_refused_before_any_work(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        go(tmp_path, replace(STAGE, **change))
    assert not list(tmp_path.iterdir())


def test_validation_prompts_are_checked_before_any_work(tmp_path: Path) -> None:
    wide = Listed((*sums(3).problems, Problem("wide", "1+" * 40, "1")))
    validate = Validate(Evaluate(wide, attempts, Weighted({"correct": exact}), split="validation"))
    with pytest.raises(ValueError, match=r"'wide' has 8. tokens"):
        go(tmp_path, replace(STAGE, callbacks=[validate]))


def test_truncated_sampling_is_trained_on_with_what_the_engine_stored(tmp_path: Path) -> None:
    for number, decoding in enumerate((Decoding(5, top_k=5), Decoding(5, 1.6, top_p=0.9, store_mask=True))):
        go(tmp_path / str(number), replace(STAGE, rollout=replace(attempts, decoding=decoding)))
        assert all(line["gap/max"] < 1e-4 for line in metrics(tmp_path / str(number)))
    greedy = replace(STAGE, rollout=replace(attempts, decoding=Decoding(5, temperature=0.0)))
    with pytest.raises(ValueError, match="greedy tokens can not be trained on"):
        go(tmp_path / "greedy", greedy)


def test_the_log_is_json_even_where_a_number_is_none(tmp_path: Path) -> None:
    lost = Weighted({"lost": lambda group: torch.full((3,), math.nan)})
    go(tmp_path, replace(STAGE, task=ChainSum(terms=2), steps=1, reward=lost), screen=Warnings())
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in text and json.loads(text)["reward/mean"] is None
