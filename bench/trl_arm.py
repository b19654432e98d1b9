"""TRL's side: its GRPOTrainer, told to do the same work, in the settings that were fastest.

Of its losses, "dapo" is Whet's `TokenMean`: the sum over all completion tokens of the step divided by their number.
("bnpo" divides within each micro-batch and takes the mean of these, which is the same for a single micro-batch only.)
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.arm import Over, Worker
from bench.workload import GROUP, PROBLEMS, Case, right

_PROBLEMS = 16 * 200  # made beforehand; more steps begin again from the first


@dataclass(frozen=True)
class Settings:
    """What may make TRL faster or slower and leaves what it computes as it is."""

    rows: int = PROBLEMS * GROUP  # of a micro-batch (per_device_train_batch_size)
    attention: str = "sdpa"
    cache: str | None = None  # cache_implementation; None is the dynamic one
    optimizer: str = "adamw_torch_fused"
    continuous: bool = False  # use_transformers_continuous_batching

    def __str__(self) -> str:
        changed = {k: v for k, v in asdict(self).items() if v != asdict(Settings())[k]}
        return ", ".join(f"{k}={v}" for k, v in changed.items()) or "as it comes"


def run(pipe: Connection, case: Case, folder: Path, settings: Sequence[Settings]) -> None:
    """One trainer after the other, for as long as the other side wants each."""
    for one in settings[:-1]:
        with suppress(Over):
            _train(Worker(pipe), case, folder, one)
    _train(Worker(pipe), case, folder, settings[-1])


def _train(worker: Worker, case: Case, folder: Path, settings: Settings) -> None:
    import torch
    import transformers
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl.trainer.grpo_config import GRPOConfig  # pyright: ignore[reportMissingImports]
    from trl.trainer.grpo_trainer import GRPOTrainer  # pyright: ignore[reportMissingImports]

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    class Timed(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            started = time.perf_counter()
            out = super()._generate_and_score_completions(inputs)
            self.tokens, self.playing = int(out["completion_mask"].sum()), time.perf_counter() - started
            return out

    class Steps(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not state.global_step:
                worker.begin(opened)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            worker.done(trainer.tokens, trainer.playing)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=settings.attention)
    problems = [case.task.problem("train", i) for i in range(_PROBLEMS)]
    data = Dataset.from_list([{"prompt": p.prompt, "answer": p.answer} for p in problems])
    messages = [p.prompt for p in problems[:PROBLEMS]]
    opened = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)

    def correct(completions: list[Any], answer: list[str], **_: Any) -> list[float | None]:
        return [float(right(said[0]["content"], a)) for said, a in zip(completions, answer, strict=True)]

    with tempfile.TemporaryDirectory() as out:
        config = GRPOConfig(
            output_dir=out,
            use_cpu=case.device == "cpu",
            bf16=case.precision == "bf16",
            gradient_checkpointing=False,
            per_device_train_batch_size=settings.rows,
            gradient_accumulation_steps=PROBLEMS * GROUP // settings.rows,
            num_generations=GROUP,
            num_iterations=1,
            max_completion_length=case.longest,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            loss_type="dapo",
            epsilon=0.2,
            beta=0.0,
            scale_rewards="group",
            learning_rate=1e-6,
            lr_scheduler_type="constant",
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-8,
            weight_decay=0.0,
            max_grad_norm=1.0,
            optim=settings.optimizer,
            cache_implementation=settings.cache,
            use_transformers_continuous_batching=settings.continuous,
            shuffle_dataset=False,
            dataloader_pin_memory=False,
            max_steps=10**6,
            logging_strategy="no",
            save_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Timed(
            model=model,
            reward_funcs=correct,
            args=config,
            train_dataset=data,
            processing_class=tokenizer,
            callbacks=[Steps()],
        )
        trainer.train()
