import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.hub import Hub, hub
from helpers.model_small import shaken

from whet.models.hub import folder
from whet.models.lm import load, save
from whet.models.tiny import TinyQwen

TINY = TinyQwen(width=16, layers=1, heads=2, kv_heads=1, context=64)


@pytest.fixture
def near(monkeypatch, tmp_path) -> Iterator[Hub]:
    """A hub on this machine, and nothing in its cache."""
    with hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the other tests ask nobody
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def test_a_name_is_downloaded_once_and_is_there_without_a_connection(near, tmp_path, monkeypatch):
    lm = shaken(TINY)
    place = save(lm, tmp_path / "m")
    (place / "pytorch_model.bin").write_bytes(b"not wanted")
    (place / "onnx").mkdir()
    (place / "onnx" / "config.json").write_text("{}")
    near.put("owner/name", place)
    again = load("owner/name")
    assert again.origin == "owner/name"
    assert all(torch.equal(a, b) for a, b in zip(lm.parameters(), again.parameters(), strict=True))
    fetched = [asked.split("/")[-1] for asked in near.asked if "/resolve/" in asked]
    assert "model.safetensors" in fetched
    assert "pytorch_model.bin" not in fetched and not any("onnx" in asked for asked in near.asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert sorted(p.name for p in folder("owner/name").iterdir()) == sorted(set(fetched))
    assert load("owner/name").vocab == lm.vocab


def test_a_folder_is_itself(tmp_path):
    assert folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("owner/unknown", "the hub has none of this name"),
        ("owner/gated", "accept its terms"),
        ("a name/that/no hub has", "no name of the hub's"),
    ],
)
def test_a_name_that_gives_no_model_is_told_in_one_line(near, name, said):
    with pytest.raises(ValueError, match=said) as error:
        load(name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_connection_an_unknown_name_is_told_at_once(near, monkeypatch, capfd):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    begun = time.monotonic()
    with pytest.raises(ValueError, match="can not be reached") as error:
        load(Path("owner/elsewhere"))
    assert time.monotonic() - begun < 5
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")
