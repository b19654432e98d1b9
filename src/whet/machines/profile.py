"""Hardware, kept out of recipes: the same recipe runs under any profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Machine:
    """What a run may know of the machine it runs on. Nothing here changes what a recipe means; precision and the
    shapes of batches change low bits."""

    device: str = "cpu"
    rows: int = 512  # rows the engine decodes at once
    # Tokens of one forward and backward pass; 0: as many as fit into its memory, up to a bound (learners.memory).
    micro_tokens: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: autocast in the learner; weights and optimizer stay fp32
    checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third more time
    threads: int = 0  # torch threads, and those of the fast engine; 0 leaves torch's own choice
    # Who plays: "fast" (Llama family, fp32, CPU), "reference" (any model), or the fast one wherever it can.
    engine: Literal["auto", "reference", "fast"] = "auto"

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"Machine.rows must be at least 1, got {self.rows}")
        if self.threads < 0:
            raise ValueError(f"Machine.threads must be at least 1, or 0 for torch's own choice, got {self.threads}")
        if self.micro_tokens < 0:
            raise ValueError(
                f"Machine.micro_tokens must be at least 1, or 0 for as many as fit, got {self.micro_tokens}"
            )
        if self.engine not in ("auto", "reference", "fast"):
            raise ValueError(f"Machine.engine must be 'auto', 'reference' or 'fast', got {self.engine!r}")


cpu = Machine()
cuda = Machine(device="cuda", precision="bf16", checkpointing=True)

MACHINES = {"cpu": cpu, "cuda": cuda}
TESTED = {"cpu": "results/bench.json", "cuda": "results/bench-cuda.json"}  # others say that they are untested
