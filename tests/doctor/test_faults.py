"""Twelve faults, each planted for real, and caught by name; without one the doctor is silent."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.runs import Listed, go, sums, text_of
from torch import Tensor, nn
from transformers import AutoTokenizer

from whet.doctor.examine import examine
from whet.doctor.finding import Finding
from whet.models.codec import Codec
from whet.models.lm import LM, load, save
from whet.models.tiny import ASCII, TinyQwen, character_tokenizer
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.rewards.verified import Verified, exact
from whet.rollouts.interact import Interact
from whet.rollouts.sample import Sample
from whet.run import Run
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.rows import Rows
from whet.types import Decoding, Group, Models, Problem, Trajectory

SIZE = TinyQwen(width=32, layers=2, context=96)


def uneven(group: Group) -> Tensor:
    """Something that attempts differ in."""
    return torch.tensor([float(len(text)) / 10 for text in text_of(group)])


STAGE = RL(
    task=sums(50),
    rollout=Sample(group=4, decoding=Decoding(max_tokens=40)),
    reward=Weighted({"correct": exact, "length": uneven}),
    train={"policy": Train(Clip(), lr=1e-3)},
    problems=4,
    steps=2,
)


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> LM:
    """A model that has seen answers and ends its own."""
    stage = SFT(sums(50), steps=60, problems=16, train=Train(Likelihood(), lr=3e-3, warmup=5))
    return go(tmp_path_factory.mktemp("taught"), stage, lm=SIZE.build(0)).lms["policy"]


@pytest.fixture
def lm(taught: LM) -> LM:
    return copy.deepcopy(taught)


def found(folder: Path, lm: LM, stage: RL = STAGE, **more: Any) -> list[Finding]:
    run = Run(folder, 0, {"policy": lm}, [stage], **more)
    run.check()
    return examine(run)


def names(findings: Sequence[Finding]) -> list[str]:
    return [finding.name for finding in findings]


def chat(count: int) -> Listed:
    return Listed(tuple(replace(p, prompt=[{"role": "user", "content": p.prompt}]) for p in sums(count).problems))


def test_nothing_is_found_where_nothing_is_wrong(lm: LM, tmp_path: Path) -> None:
    assert found(tmp_path, lm) == []


def test_nothing_is_found_under_top_p_and_another_temperature(lm: LM, tmp_path: Path) -> None:
    for number, decoding in enumerate((Decoding(40, temperature=0.7), Decoding(40, top_p=0.9), Decoding(40, top_k=5))):
        (tmp_path / str(number)).mkdir()
        stage = replace(STAGE, rollout=Sample(group=4, decoding=decoding))
        assert [f for f in found(tmp_path / str(number), lm, stage) if f.name != "reward spread"] == []


# -- 1 to 3: the tokenizer and its template


def test_a_wrong_eos_is_caught(lm: LM, tmp_path: Path) -> None:
    lm.codec.tokenizer.eos_token = "<unk>"
    save(lm, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["eos_token_id"] != AutoTokenizer.from_pretrained(tmp_path / "model").eos_token_id
    findings = found(tmp_path / "run", load(tmp_path / "model"))
    (finding,) = (f for f in findings if f.name == "eos")
    assert finding.level == "error" and "'<unk>'" in finding.got and "'<eos>'" in finding.got


def test_an_eos_that_stands_in_every_answer_is_caught(lm: LM, tmp_path: Path) -> None:
    end = lm.codec.tokenizer.convert_tokens_to_ids("1")
    lm.codec.eos = (*lm.codec.eos, end)
    (finding,) = (f for f in found(tmp_path, lm) if f.name == "eos")
    assert "stands inside a worked solution" in finding.what


def test_padding_with_eos_is_caught(lm: LM, tmp_path: Path) -> None:
    lm.codec.tokenizer.pad_token = lm.codec.tokenizer.eos_token
    lm.codec = Codec(lm.codec.tokenizer)
    (finding,) = found(tmp_path, lm)
    assert (finding.name, finding.level) == ("pad = eos", "warning")


@dataclass(frozen=True)
class Nothing:
    """Tools that never answer."""

    def session(self) -> Any:
        async def answer(said: str) -> None:
            return None

        return answer


def test_a_template_that_drops_thinking_is_caught(lm: LM, tmp_path: Path) -> None:
    tools = Interact(Nothing(), group=4, decoding=Decoding(max_tokens=40), turns=2, role="tool")
    stage = replace(STAGE, task=chat(50), rollout=tools)
    assert "template" not in names(found(tmp_path, lm, stage))
    own = lm.codec.tokenizer.chat_template
    kept = "{% set said = message.content.split('</think>')[-1] if not loop.last else message.content %}"
    lm.codec.tokenizer.chat_template = own.replace("{% set role", kept + "{% set role").replace(
        "+ message.content }}", "+ said }}"
    )
    lm.codec = Codec(lm.codec.tokenizer)
    (finding,) = (f for f in found(tmp_path, lm, stage) if f.name == "template")
    assert "drops what was thought" in finding.got


# -- 4 and 5: rollouts that do not tell what they did


@dataclass(frozen=True)
class Colder:
    """Samples at another temperature than its rows tell."""

    by: float
    rollout: Sample = STAGE.rollout  # type: ignore[assignment]

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        own = replace(self.rollout, decoding=replace(self.rollout.decoding, temperature=self.by))
        return [
            _with_rows(group, lambda row: replace(row, temperature=1.0)) for group in await own(models, problem, seed)
        ]


@dataclass(frozen=True)
class Shifted:
    """A track that moves the mask of the loss by `by` places."""

    by: int

    async def __call__(self, models: Models, groups: list[Group]) -> list[Group]:
        return [_with_rows(group, lambda row: replace(row, trained=row.trained.roll(self.by))) for group in groups]


def _with_rows(group: Group, change: Any) -> Group:
    def changed(attempt: Trajectory) -> Trajectory:
        return replace(attempt, rows=tuple(change(row) for row in attempt.rows))

    return replace(group, trajectories=tuple(map(changed, group.trajectories)))


@pytest.mark.parametrize("by", [0.7, 1.4])
def test_a_temperature_mismatch_is_caught(by: float, lm: LM, tmp_path: Path) -> None:
    (finding,) = (f for f in found(tmp_path, lm, replace(STAGE, rollout=Colder(by))) if f.name == "temperature")
    assert finding.level == "error" and f"those of {by:.2f} in rows that tell 1.00" in finding.got


@pytest.mark.parametrize("by", [-1, 1])
def test_a_mask_shifted_by_one_is_caught(by: int, lm: LM, tmp_path: Path) -> None:
    (finding,) = (f for f in found(tmp_path, lm, replace(STAGE, tracks=[Shifted(by)])) if f.name == "mask")
    assert finding.level == "error"


# -- 6 and 7: rewards


def test_a_constant_reward_is_caught(lm: LM, tmp_path: Path) -> None:
    stage = replace(STAGE, reward=Weighted({"one": lambda group: torch.ones(len(group.trajectories))}))
    findings = found(tmp_path, lm, stage)
    assert {f.name: f.level for f in findings} == {"constant reward": "error", "reward spread": "warning"}
    assert "so that the loss would be 0" in findings[1].got


def test_a_reward_with_nan_is_caught(lm: LM, tmp_path: Path) -> None:
    def some(group: Group) -> Tensor:
        return uneven(group).masked_fill(torch.arange(len(group.trajectories)) == 1, float("nan"))

    (finding,) = found(tmp_path, lm, replace(STAGE, reward=Weighted({"correct": exact, "some": some})))
    assert (finding.name, finding.level) == ("NaN reward", "warning") and "4 of 16" in finding.got
    none = Weighted({"none": lambda group: torch.full((len(group.trajectories),), float("nan"))})
    assert ("NaN reward", "error") in [(f.name, f.level) for f in found(tmp_path, lm, replace(STAGE, reward=none))]


# -- 8 to 10: answers


def test_a_limit_shorter_than_every_gold_answer_is_caught(lm: LM, tmp_path: Path) -> None:
    long = Listed(tuple(replace(p, answer=f"00{p.answer}", info={}) for p in sums(20).problems))
    short = Sample(group=4, decoding=Decoding(max_tokens=5))
    assert "length" not in [f.name for f in found(tmp_path, lm, replace(STAGE, task=long)) if f.level == "error"]
    stage = replace(STAGE, task=long, rollout=short)
    errors = [f for f in found(tmp_path, lm, stage) if f.name == "length" and f.level == "error"]
    assert "8 of 8 that are longer, the shortest of 6 tokens against 5" in errors[0].got


def test_a_tokenizer_with_more_tokens_than_the_model_is_caught(lm: LM, tmp_path: Path) -> None:
    save(lm, tmp_path / "model")
    character_tokenizer(words=[f"w{i}" for i in range(20)]).save_pretrained(tmp_path / "model")
    (finding,) = (f for f in found(tmp_path / "run", load(tmp_path / "model")) if f.name == "tokenizer")
    assert finding.level == "error" and f"tokens up to {lm.vocab + 19}" in finding.got


def test_a_tokenizer_of_another_model_is_caught(lm: LM, tmp_path: Path) -> None:
    """As many tokens, in another order."""
    save(lm, tmp_path / "model")
    own = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    chars = [c for c in sorted(own["model"]["vocab"], key=own["model"]["vocab"].get) if len(c) == 1 and c in ASCII]
    places = [own["model"]["vocab"][c] for c in chars]
    own["model"]["vocab"] |= dict(zip(chars, places[40:] + places[:40], strict=True))
    added = {entry["content"] for entry in own["added_tokens"]}
    for entry in own["added_tokens"]:
        entry["id"] = own["model"]["vocab"].get(entry["content"], entry["id"])
    assert added
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(own))
    (finding,) = (f for f in found(tmp_path / "run", load(tmp_path / "model")) if f.name == "tokenizer")
    assert "nats per token of a worked solution" in finding.got


def test_swapped_reward_and_answer_columns_are_caught(lm: LM, tmp_path: Path) -> None:
    rows = [{"question": f"{i}+1=", "answer": str(i + 1), "reward": i % 2} for i in range(40)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    right = Rows(str(tmp_path / "data.jsonl"), chat=False)
    assert "columns" not in names(found(tmp_path / "run", lm, replace(STAGE, task=right)))
    (finding,) = (
        f for f in found(tmp_path, lm, replace(STAGE, task=replace(right, answer="reward"))) if f.name == "columns"
    )
    assert finding.level == "error" and "say --answer answer" in finding.do


def test_swapped_question_and_answer_columns_are_caught(lm: LM, tmp_path: Path) -> None:
    rows = [{"question": f"What is {i}+1?", "answer": str(i + 1)} for i in range(40)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    swapped = Rows(str(tmp_path / "data.jsonl"), prompt="answer", answer="question", chat=False)
    assert "columns" in names(found(tmp_path / "run", lm, replace(STAGE, task=swapped)))


def test_gold_answers_that_the_verifier_can_not_read_are_caught(lm: LM, tmp_path: Path) -> None:
    words = Listed(tuple(replace(p, answer="many") for p in sums(20).problems))
    stage = replace(STAGE, task=words, reward=Weighted({"correct": Verified("numeric"), "length": uneven}))
    assert "gold answers" in names(found(tmp_path, lm, stage)) or "NaN reward" in names(found(tmp_path, lm, stage))


# -- 11 and 12: the model that plays and the one that learns


class Stale(LM):
    """Does not take the weights that it is given."""

    def put(self, weights: Mapping[str, Tensor]) -> None: ...


def test_stale_weights_in_the_engine_are_caught(lm: LM, tmp_path: Path) -> None:
    lm.__class__ = Stale
    (finding,) = found(tmp_path, lm)
    assert (finding.name, finding.level) == ("stale weights", "error")


class Careless(LM):
    """Does not stay in eval mode."""

    def train(self, mode: bool = True) -> LM:
        nn.Module.train(self, mode)
        return self


def test_dropout_that_is_left_on_is_caught(lm: LM, tmp_path: Path) -> None:
    inner = lm.backbone.layers[0].mlp
    inner.down_proj = nn.Sequential(inner.down_proj, nn.Dropout(0.1))
    lm.__class__ = Careless
    lm.train()
    findings = found(tmp_path, lm)
    assert findings[0].name == "dropout"


def test_the_model_is_left_as_it_was(lm: LM, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    generator = torch.get_rng_state()
    found(tmp_path, lm)
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
