"""A frozen teacher that reads the student's own tokens, or writes what the student imitates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.runs import SMALL, text_of
from helpers.runs import sums as listed
from helpers.shapes import Letters, go, killed, metrics, odd, played, same, tiny, watched
from torch import Tensor

from whet.advantages.group_mean import GroupMean
from whet.machines.profile import cpu
from whet.models.derived import Copy
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.kl import KL
from whet.objectives.likelihood import Likelihood
from whet.recipe import Made, Recipe, made, prepare
from whet.rollouts.sample import Sample
from whet.run import Save, Silent
from whet.scoring import Weighted
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tracks.reference import Logprobs
from whet.types import Batch, Decoding, Group, Outputs, Trajectory, joined
from whet.weightings.failed import Failed
from whet.weightings.where import Where

WIDE = TinyQwen(width=48, layers=2, heads=2, kv_heads=1, context=96, alphabet="abcd12?~")


def right(group: Group) -> Tensor:
    return torch.ones(len(group.trajectories))


def joint(objective=None, weighting=None, reward=odd) -> RL:
    teaching = Auxiliary(objective or KL("k2", "teacher"), weighting or Where("finished"), 0.05)
    return RL(
        Letters(),
        Sample(group=4, decoding=Decoding(max_tokens=6)),
        Weighted({"correct": reward, "finished": right}, weights={"finished": 0.0}),
        {"policy": Train(Clip(), lr=1e-2, auxiliary={"teacher": teaching})},
        tracks=[Logprobs("teacher", "teacher", temperature=1.0)],
        models={"teacher": WIDE},
        problems=3,
        steps=3,
        save=Save(every=1),
    )


def plain(of: RL) -> RL:
    """The same without a teacher."""
    return replace(of, train={"policy": replace(of.train["policy"], auxiliary={})}, tracks=(), models={})


def weights(lm: LM) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in lm.state_dict().items()}


def equal(first: LM, second: LM) -> bool:
    return all(value.equal(second.state_dict()[name]) for name, value in first.state_dict().items())


def attempts(steps) -> Iterator[Trajectory]:
    for scored_P in steps:
        for scored in scored_P:
            yield from scored.group.trajectories


def test_the_teacher_says_what_it_thinks_of_the_very_tokens_and_of_their_end(tmp_path: Path) -> None:
    """By a full forward of plain transformers, at temperature 1, though the student samples at another."""
    stage = joint()
    rollout = replace(stage.rollout, decoding=Decoding(max_tokens=20, temperature=1.5))  # type: ignore[type-var]
    stage = replace(stage, rollout=rollout, steps=2)
    seen: list[dict[str, Tensor]] = []

    async def look(run, step, scored_P) -> None:
        seen.append(weights(run.lms["teacher"]))
        teacher.append(run.lms["teacher"])

    teacher: list[LM] = []
    _, steps = played(tmp_path, replace(stage, callbacks=[look]))
    assert all(value.equal(seen[1][name]) for name, value in seen[0].items())  # it stays as it is
    ends = 0
    for t in attempts(steps):
        (row,) = t.rows
        with torch.no_grad():
            told = teacher[0].hf(input_ids=row.tokens[None]).logits[0, :-1].log_softmax(-1)
        expected = told.gather(1, row.tokens[1:, None])[:, 0]
        assert torch.allclose(t.tracks["teacher"][1:], expected, atol=1e-4)
        if t.stop == "eos":
            ends += 1
            assert int(row.tokens[-1]) in teacher[0].codec.eos and bool(row.trained[-1])
            assert float(t.tracks["teacher"][-1]) < 0
    assert ends > 5


def test_the_end_of_an_attempt_is_taught_and_its_prompt_is_not(tmp_path: Path) -> None:
    seen: list[tuple[Outputs, Batch]] = []
    stage = joint(watched(KL("k2", "teacher"), seen))
    rollout = replace(stage.rollout, decoding=Decoding(max_tokens=20))  # type: ignore[type-var]
    _, steps = played(tmp_path, replace(stage, rollout=rollout, steps=1))
    ended = [t for t in attempts(steps) if t.stop == "eos"]
    outputs, batch = seen[0]
    leaf = outputs.logprobs.detach().requires_grad_()
    loss, _ = KL("k2", "teacher")(replace(outputs, logprobs=leaf), batch)
    slope = torch.autograd.grad((loss * batch.weights).sum(), leaf)[0]
    last = batch.valid.sum(1) - 1
    is_end = batch.tokens.gather(1, last[:, None])[:, 0] == int(ended[0].rows[0].tokens[-1])
    assert int(is_end.sum()) == len(ended) > 0
    assert bool(slope.gather(1, last[:, None])[is_end].any(1).all())
    assert not slope[~batch.trained].any()


def test_a_student_that_is_its_teacher_learns_as_without_one(tmp_path: Path) -> None:
    stage = replace(joint(), models={"teacher": Copy("policy")}, steps=1)
    taught = go(tmp_path / "taught", stage)
    alone = go(tmp_path / "alone", plain(stage))
    (line,) = metrics(tmp_path / "taught")
    assert line["teacher/kl"] < 1e-9 and line["teacher/loss"] < 1e-9
    for name, value in taught.lms["policy"].state_dict().items():
        assert torch.allclose(value, alone.lms["policy"].state_dict()[name], atol=1e-4)


def test_where_all_attempts_are_right_nothing_is_learned_from_a_teacher_of_failures(tmp_path: Path) -> None:
    for of in ("attempt", "group"):
        stage = joint(weighting=Failed("correct", of), reward=right)
        run = go(tmp_path / of, stage)
        assert all(line["loss"] == line["teacher/loss"] == line["grad_norm"] == 0 for line in metrics(tmp_path / of))
        assert equal(run.lms["policy"], tiny())


def test_a_teacher_of_failed_attempts_teaches_those_alone(tmp_path: Path) -> None:
    go(tmp_path, joint(weighting=Failed("correct")))
    for line in metrics(tmp_path):
        assert line["teacher/loss"] > 0 and line["loss"] != 0


def test_distillation_alone_brings_the_student_near_its_teacher(tmp_path: Path) -> None:
    stage = joint()
    alone = Train(KL("k2", "teacher"), Where("finished"), lr=1e-2)
    go(tmp_path, replace(stage, train={"policy": alone}, problems=6, steps=40, save=Save()))
    far = [line["kl"] for line in metrics(tmp_path)]
    assert sum(far[-5:]) < 0.5 * sum(far[:5])


def test_a_student_imitates_what_the_teacher_writes_where_it_is_right(tmp_path: Path) -> None:
    stage = joint()
    rollout = Sample(group=4, decoding=Decoding(max_tokens=6), model="teacher")
    imitate = Train(Likelihood(), Where("correct"), lr=1e-2, rows="teacher")
    stage = replace(stage, rollout=rollout, train={"policy": imitate}, tracks=(), problems=6, steps=30, save=Save())
    run, steps = played(tmp_path, stage)
    assert {row.model for t in attempts(steps) for row in t.rows} == {"teacher"}
    lines = metrics(tmp_path)
    assert sum(line["nll"] for line in lines[-5:]) < sum(line["nll"] for line in lines[:5])
    assert lines[-1]["tokens"] == sum(int(joined(t, "sampled").sum()) for t in attempts(steps))
    assert not equal(run.lms["policy"], tiny())


def test_a_teacher_is_the_same_after_a_kill(tmp_path: Path) -> None:
    go(tmp_path / "whole", joint())
    killed(tmp_path / "broken", joint, [0, 2])
    assert same(tmp_path / "whole", tmp_path / "broken")


OTHER = replace(WIDE, alphabet="abcd12?~x")


def test_a_teacher_of_other_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'teacher' to score .* its tokenizer is another one"):
        go(tmp_path / "scores", replace(joint(), models={"teacher": OTHER}))
    imitate = Train(Likelihood(), rows="teacher")
    stage = replace(joint(), models={"teacher": OTHER}, tracks=(), train={"policy": imitate})
    with pytest.raises(ValueError, match=r"train\.policy\.rows .* tokens of 'teacher', and its tokenizer is another"):
        go(tmp_path / "writes", stage)


# -- a teacher that was trained ---------------------------------------------------------------------------------------


def recipe() -> Recipe:
    warm = [SFT(listed(8), steps=2, problems=4)]
    stage = RL(
        listed(8),
        Sample(group=2, decoding=Decoding(max_tokens=4)),
        Weighted({"correct": lambda group: torch.tensor([float("1" in text) for text in text_of(group)])}),
        {"policy": Train(Clip(), lr=1e-2, auxiliary={"teacher": Auxiliary(KL("k2", "teacher"), weight=0.1)})},
        GroupMean(),
        tracks=[Logprobs("teacher", "teacher")],
        models={"teacher": Made(replace(SMALL, width=48), warm)},
        problems=2,
        steps=2,
    )
    return Recipe(Made(SMALL, warm), {"taught": [stage], "alone": [plain(stage)]})


def test_a_teacher_may_be_made_by_stages_once_per_seed(tmp_path: Path) -> None:
    teaching = recipe()
    found = {seed: made(teaching.model, teaching.arms["taught"], seed) for seed in (1, 2)}
    assert [spec.model.width for spec, _ in found[1]] == [32, 48]  # type: ignore[union-attr]
    assert len({own for of in found.values() for _, own in of}) == 4  # of student and teacher, each its own
    assert [spec.model.width for spec, _ in made(teaching.model, teaching.arms["alone"], 1)] == [32]  # type: ignore
    teacher, own = found[1][1]
    assert not teacher.place(own).exists()
    run = prepare(teaching, "taught", 1, tmp_path / "first", cpu, Silent())
    when = (teacher.place(own) / "config.json").stat().st_mtime_ns
    asyncio.run(run.go())
    again = prepare(teaching, "taught", 1, tmp_path / "second", cpu, Silent())
    asyncio.run(again.go())
    assert (teacher.place(own) / "config.json").stat().st_mtime_ns == when
    assert same(tmp_path / "first", tmp_path / "second")
