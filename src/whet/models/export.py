"""A model as a folder that plain `transformers` loads, and generates the same greedy text from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from transformers import GenerationConfig
from transformers.utils import logging

from whet import files
from whet.models import lora

if TYPE_CHECKING:
    from whet.models.lm import LM

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
VALUE_FILE = "value_head.safetensors"
ENCODER_FILE = "encoders.safetensors"

_CARD = """---
library_name: transformers
pipeline_tag: text-generation
---
A language model trained with Whet. Load it with `AutoModelForCausalLM.from_pretrained` and
`AutoTokenizer.from_pretrained`.
"""


def save(lm: LM, folder: str | Path, card: str = "", merge: bool = False) -> Path:
    """Write weights (safetensors), tokenizer with chat template, generation config and model card (`card`, README.md).

    A folder of that name is always whole (see `files.folder`). An export that is there already is replaced; ValueError
    for any other folder with something in it. A value head and media encoders go into
    files of their own, which `transformers` does not read. An adapter is worked into the weights, unless it was put on
    to be kept apart and `merge` does not say otherwise: then it is all that is written.
    """
    folder = Path(folder)
    model = any((folder / name).exists() for name in ("config.json", lora.ADAPTER_CONFIG))
    if folder.exists() and not model and any(folder.iterdir()):
        raise ValueError(f"{folder} holds something that is no model; give a new folder")
    with files.folder(folder, exists="replace") as beside:
        if lm.adapter is not None and lm.adapter.apart and not merge:
            lora.write(lm, beside)
        else:
            _write(lm, beside)
        lm.codec.tokenizer.save_pretrained(beside)
        (beside / "README.md").write_text(card or _CARD, encoding="utf-8")
        if lm.value_head is not None:
            save_file({k: v.contiguous() for k, v in lm.value_head.state_dict().items()}, beside / VALUE_FILE)
        if len(lm.encoders):
            save_file({k: v.contiguous() for k, v in lm.encoders.state_dict().items()}, beside / ENCODER_FILE)
    return folder


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of the library's: only the command line prints."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _write(lm: LM, folder: Path) -> None:
    ends = list(lm.codec.eos)
    hf = lm.hf if lm.adapter is None else lora.merged(lm.hf)
    kept = hf.generation_config
    # One without sampling numbers: those of a base model make `generate(do_sample=False)` warn.
    hf.generation_config = GenerationConfig(
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        pad_token_id=lm.codec.pad,
        bos_token_id=lm.codec.tokenizer.bos_token_id,
    )
    try:
        with quiet():
            hf.save_pretrained(folder)
    finally:
        hf.generation_config = kept
