"""What a model would say next while another one writes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from helpers.architectures import model
from torch import Tensor

from whet.engines.native import Native
from whet.models.lm import LM


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def whole(lm: LM, context: Tensor) -> Tensor:
    with torch.no_grad():
        return lm.logits(lm.hidden(context[None])[0, -1:])[0]


def grown(contexts: list[list[int]], draws: random.Random, vocab: int) -> list[list[int]]:
    """Most go on by a token, some end, some part ways, some are new, and one goes on by two."""
    after = []
    for context in contexts:
        fate = draws.random()
        if fate > 0.08:
            after.append([*context, draws.randrange(vocab)])
        if fate > 0.85:
            after.append([*context, draws.randrange(vocab)])
        if fate > 0.95:
            after.append([draws.randrange(vocab) for _ in range(draws.randrange(1, 20))])
        if 0.5 < fate < 0.53:
            after.append([*context, 1, 2])
    return [context[:100] for context in after[:9]] or [[5, 6]]


@pytest.mark.parametrize("kind", ["qwen2", "gpt2", "gemma3"])
def test_it_says_what_a_forward_pass_of_the_whole_context_says(kind: str, place: Path):
    lm, draws = model(kind, place), random.Random(0)
    engine = Native(lm)
    contexts = [[draws.randrange(lm.vocab) for _ in range(n)] for n in (3, 1, 7, 3)]
    contexts.append(contexts[0])
    for _ in range(90):
        asked = [torch.tensor(context) for context in contexts]
        for context, said in zip(asked, engine.predict(asked), strict=True):
            assert torch.allclose(said, whole(lm, context), atol=1e-4)
        contexts = grown(contexts, draws, lm.vocab)


def test_contexts_that_go_on_are_not_read_again(place: Path):
    lm = model("qwen2", place)
    engine = Native(lm)
    prompt = [5, 6, 7, 8]
    engine.predict([torch.tensor(prompt)] * 3)
    assert engine.read == 4
    for i in range(3):  # each goes its own way from the one prompt
        engine.predict([torch.tensor([*prompt, *[9 + k] * (i + 1)]) for k in range(3)])
    assert engine.read == 4
    engine.predict([torch.tensor([*prompt, 1, 1])])  # its beginning is known, but for the last token
    assert engine.read == 6


@pytest.mark.parametrize("renewed", [True, False])
def test_other_weights_or_another_version_make_it_forget(renewed: bool, place: Path):
    lm = model("qwen2", place)
    engine, context = Native(lm), torch.tensor([5, 6, 7])
    engine.predict([context])
    if renewed:
        with torch.no_grad():
            for weight in lm.parameters():
                weight.mul_(1.5)
    else:
        engine.version = 0
    longer = torch.cat([context, torch.tensor([8])])
    assert torch.allclose(engine.predict([longer])[0], whole(lm, longer), atol=1e-4)
    assert engine.read == 3 + 4
