"""Reward models: their loss against plain torch, what they learn, and how a later stage asks them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import shaken
from helpers.runs import SMALL, Listed, Warnings, go, metrics, text_of
from torch import Tensor
from torch.nn.functional import softplus

from whet.given import Given
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.derived import Copy, Critic
from whet.models.lm import LM
from whet.models.pretrained import Pretrained
from whet.models.tiny import TinyQwen
from whet.objectives.bradley_terry import BradleyTerry
from whet.objectives.clip import Clip
from whet.randomness import generator
from whet.rewards.learned import LearnedReward
from whet.rollouts.sample import Sample
from whet.run import INTERRUPT, Interrupted, Run, Save
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.reward_model import RewardModel
from whet.stages.rl import RL
from whet.types import Decoding, Group, Problem
from whet.weightings.sequence_mean import SequenceMean

PAIRS = Listed(
    tuple(
        Problem(f"p{i}", f"{i}?", None, {"chosen": "y" * (i + 1), "rejected": f"no {i}", "margin": float(i)})
        for i in range(4)
    )
)


@dataclass(frozen=True)
class Headed:
    """A model whose value head is not 0."""

    def build(self, seed: int) -> LM:
        lm = shaken(SMALL, 4).add_value_head()
        draws = torch.Generator().manual_seed(1)
        assert lm.value_head is not None
        with torch.no_grad():
            lm.value_head.weight.copy_(torch.randn(1, 32, generator=draws))
            lm.value_head.bias.fill_(0.3)
        return lm


def score(lm: LM, prompt: str, text: str) -> Tensor:
    """The head on the state behind the text's last word, by transformers alone."""
    tokenizer = lm.codec.tokenizer
    ids = torch.tensor([[*tokenizer.encode(prompt), *tokenizer.encode(text, add_special_tokens=False)]])
    hidden = lm.hf.base_model(input_ids=ids).last_hidden_state[0, -1]
    assert lm.value_head is not None
    return hidden @ lm.value_head.weight[0] + lm.value_head.bias[0]


def gradients(folder: Path, monkeypatch: pytest.MonkeyPatch, train: Train, **machine: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    update = Local.update

    def listening(self: Local, lr: float, clip_norm: float) -> dict[str, float]:
        found.update({name: p.grad.clone() for name, p in self.lm.named_parameters() if p.grad is not None})
        return update(self, lr, clip_norm)

    monkeypatch.setattr(Local, "update", listening)
    folder.mkdir()
    stage = RewardModel(PAIRS, steps=1, problems=4, train=train, models={"reward": Headed()})
    go(folder, stage, machine=Machine(**machine))
    monkeypatch.undo()
    return found


def agree(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    norm = math.sqrt(sum(float(x.double().pow(2).sum()) for x in b.values()))
    assert norm > 1e-3 and set(b) <= set(a)
    assert max(float((a[k] - b.get(k, torch.zeros(()))).abs().max()) for k in a) / norm < 1e-5


def test_loss_and_gradient_are_those_of_plain_torch_in_any_micro_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Train(BradleyTerry(margin=0.5, centre=0.1), SequenceMean(), lr=0.0)
    found = gradients(tmp_path / "whole", monkeypatch, train)
    lm = Headed().build(0)
    sides = [[score(lm, str(p.prompt), p.info[name]) for p in PAIRS.problems] for name in ("chosen", "rejected")]
    chosen, rejected = (torch.stack(side) for side in sides)
    wanted = 0.5 * torch.arange(4.0)
    loss = (softplus(wanted - chosen + rejected) + 0.1 * (chosen + rejected) ** 2).mean()
    loss.backward()
    line = metrics(tmp_path / "whole")[0]
    assert line["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert line["accuracy"] == pytest.approx((chosen > rejected).float().mean().item())
    assert line["reward/chosen"] == pytest.approx(chosen.mean().item(), rel=1e-4)
    assert "entropy" not in line
    agree(found, {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None})
    for i, tokens in enumerate((1, 12)):
        agree(gradients(tmp_path / str(i), monkeypatch, train, micro_tokens=tokens), found)


@dataclass(frozen=True)
class MoreVowels:
    """Of two words that nobody has seen together, the one with more vowels is better. Splits share no word."""

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        rng = generator(0, "vowels", split, i)
        words: list[str] = []
        while len(words) < 2 or vowels(words[0]) == vowels(words[1]):
            drawn = "".join(rng.choice(list("aeioubcdfg"), 5))
            if (sum(map(ord, drawn)) % 5 == 0) == (split == "test"):
                words = [*words[-1:], drawn]
        better, worse = sorted(words, key=vowels, reverse=True)
        return Problem(f"{split}/{i}", "word:", None, {"chosen": better, "rejected": worse})


def vowels(word: str) -> int:
    return sum(letter in "aeiou" for letter in word)


TINY = TinyQwen(width=32, layers=1, context=32)
LEARNS = RewardModel(
    MoreVowels(),
    steps=40,
    problems=24,
    train=Train(BradleyTerry(centre=0.01), SequenceMean(), lr=5e-3, warmup=5, betas=(0.9, 0.95)),
    test_problems=100,
    every=20,
    standardise=True,
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    folder = tmp_path_factory.mktemp("learned")
    return folder, go(folder, LEARNS, lm=TINY.build(0))


def test_it_learns_a_rule_and_is_kept(learned: tuple[Path, Run]) -> None:
    folder, run = learned
    lines = metrics(folder)
    assert lines[0]["accuracy"] == 0.5 and lines[0]["loss"] == pytest.approx(math.log(2))  # a head of zeros
    assert [line["step"] for line in lines if "test/accuracy" in line] == [19, 39]
    assert lines[-1]["test/accuracy"] > 0.9
    told = json.loads((folder / "reward.json").read_text())
    assert told["accuracy"]["value"] == pytest.approx(lines[-1]["test/accuracy"])
    assert told["accuracy"]["low"] > 0.8 and told["pairs"] == 100 and told["split"] == "test" and told["std"] > 0.5
    again = Pretrained(str(folder / "models" / "reward"), value_head=True).build(0)
    held_out = [MoreVowels().problem("test", i) for i in range(100)]
    texts = [problem.info[name] for problem in held_out for name in ("chosen", "rejected")]
    kept = torch.stack([score(again, "word:", text).detach() for text in texts])
    assert float(kept.mean()) == pytest.approx(0, abs=1e-3)
    assert float(kept.std(correction=0)) == pytest.approx(1, abs=1e-3)
    live = [score(run.lms["reward"], "word:", text).item() for text in texts[:20]]
    assert kept[:20].tolist() == pytest.approx(live, abs=1e-5)
    assert run.lms["policy"].value_head is None  # the policy is as it was


def vowel_share(group: Group) -> Tensor:
    return torch.tensor([vowels(text) / max(len(text), 1) for text in text_of(group)])


def asks(steps: int, reward: Given) -> RL:
    return RL(
        MoreVowels(),
        Sample(group=8, decoding=Decoding(max_tokens=5)),
        Weighted({"learned": LearnedReward(clip=3.0), "vowels": vowel_share}, weights={"vowels": 0.0}),
        train={"policy": Train(Clip(), lr=1e-2)},
        models={"reward": reward},
        problems=4,
        steps=steps,
        save=Save(every=3),
    )


def test_a_policy_that_learns_from_it_follows_the_rule(learned: tuple[Path, Run], tmp_path: Path) -> None:
    go(tmp_path, asks(25, Pretrained(str(learned[0] / "models" / "reward"), value_head=True)), lm=TINY.build(0))
    lines = metrics(tmp_path)
    early, late = lines[:5], lines[-5:]
    for name, rise in (("reward/vowels", 0.12), ("reward/learned", 0.3)):
        assert sum(line[name] for line in late) / 5 > sum(line[name] for line in early) / 5 + rise


class Stops(Warnings):
    """A screen that asks the run to stop after so many steps in all."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        self.left -= 1
        if not self.left:
            INTERRUPT.set()


def test_a_run_that_is_resumed_is_the_one_that_was_not_stopped(tmp_path: Path) -> None:
    """In the stage, after its last step, and in the stage that goes on with the model."""
    stage = replace(LEARNS, steps=4, problems=4, test_problems=20, every=3, save=Save(every=2))

    def left(name: str, stop: int = 0) -> tuple[list[dict[str, Any]], str, dict[str, Tensor]]:
        folder = tmp_path / name
        folder.mkdir()
        stages = stage, asks(3, Critic())
        if stop:
            with pytest.raises(Interrupted):
                go(folder, *stages, lm=TINY.build(0), screen=Stops(stop))
            INTERRUPT.clear()
        run = go(folder, *stages, lm=TINY.build(0))
        lines = [{k: v for k, v in line.items() if not k.startswith("time/")} for line in metrics(folder)]
        return lines, (folder / "reward.json").read_text(), run.lms["policy"].state_dict()

    told, found, weights = left("plain")
    assert len(told) == 7 and told[-1]["reward/learned"] != 0
    for stop in (1, 3, 4, 6):
        said, again, others = left(f"stopped-{stop}", stop)
        assert said == told and again == found
        assert all(torch.equal(value, weights[name]) for name, value in others.items())


def test_what_can_not_be_a_reward_model_is_refused_before_any_work(tmp_path: Path) -> None:
    cases: list[tuple[RewardModel, str]] = [
        (RewardModel(PAIRS, models={"reward": Copy()}), "'reward' has no value head"),
        (RewardModel(PAIRS, models={"reward": Pretrained("m")}), "m is neither|no model|'reward' has no value head"),
        (RewardModel(PAIRS, model="policy", models={}), "'policy' has no value head"),
        (RewardModel(Listed((Problem("bare", "p", None, {"chosen": "a"}),))), r"'bare' has no info\['rejected'\]"),
    ]
    for stage, said in cases:
        with pytest.raises(ValueError, match=said):
            go(tmp_path, stage)
    assert not (tmp_path / "metrics.jsonl").exists()
    with pytest.raises(ValueError, match="this model has no value head"):
        go(tmp_path, RewardModel(PAIRS, models={"reward": SMALL}))
    with pytest.raises(ValueError, match="standardise measures on held-out texts"):
        RewardModel(PAIRS, test="", standardise=True)
    with pytest.raises(ValueError, match="every must be at least 1"):
        RewardModel(PAIRS, every=0)


def test_without_a_test_split_nothing_is_measured(tmp_path: Path) -> None:
    go(tmp_path, RewardModel(PAIRS, steps=2, test=""))
    assert not any(name.startswith("test/") for line in metrics(tmp_path) for name in line)
    assert not (tmp_path / "reward.json").exists() and (tmp_path / "models" / "reward" / "config.json").exists()
