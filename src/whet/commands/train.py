"""`whet train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import (
    Answer,
    OnMachine,
    Out,
    Prompt,
    Reward,
    Seed,
    Settings,
    System,
    Track,
    WithLora,
    clear_errors,
    go,
    progress,
)


@clear_errors
def train(
    model: Annotated[str, typer.Option(help="A folder, a hub name, or 'tiny': a small random one made for the data.")],
    data: Annotated[str, typer.Option(help="A .jsonl, .json, .csv or .parquet file, a folder, or a hub data set.")],
    prompt: Prompt = "question",
    answer: Answer = "answer",
    reward: Reward = "exact",
    test: Annotated[str, typer.Option(help="Held-out data; without it a tenth of the rows is held out.")] = "",
    system: System = "",
    steps: Annotated[int, typer.Option(min=1, help="Steps of reinforcement learning.")] = 100,
    group: Annotated[int, typer.Option(min=1, help="Attempts at each problem.")] = 8,
    problems: Annotated[int, typer.Option(min=1, help="Problems in each step.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest attempt, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of sampling.")] = 1.0,
    lr: Annotated[float, typer.Option(min=0.0, help="Learning rate; 0: 1e-4 for tiny, 1e-6 for others.")] = 0.0,
    sft_steps: Annotated[
        int, typer.Option(min=-1, help="Supervised steps before, on worked solutions; -1: 200 for tiny, 0 for others.")
    ] = -1,
    samples: Annotated[int, typer.Option(min=1, help="Attempts per problem in the evaluations.")] = 8,
    test_problems: Annotated[int, typer.Option(min=2, help="Problems in the evaluations.")] = 100,
    reward_deadline: Annotated[float, typer.Option(min=0.1, help="Seconds that a function of yours may take.")] = 60.0,
    lora: WithLora = 0,
    seed: Seed = 0,
    machine: OnMachine = "cpu",
    out: Out = None,
    settings: Settings = [],  # noqa: B006
    track: Track = [],  # noqa: B006
) -> None:
    """Train a model on your own problems by GRPO, no Python needed.

    A reward is one of Whet's by name, which compares with the answer column, or a function of yours that returns one
    number per completion; an attempt counts as right where it is 1 or more.

    \b
    Examples:
      whet train --model tiny --data train.jsonl --prompt question --answer answer --reward gsm8k
      whet train --model ./my-model --data train.jsonl --reward my_reward.py:score --steps 50
    """
    from whet.launch import Order
    from whet.own import settled

    own = settled(
        {
            **{"model": model, "data": data, "prompt": prompt, "answer": answer, "reward": reward, "test": test},
            **{"system": system, "steps": steps, "group": group, "problems": problems, "max_tokens": max_tokens},
            **{"temperature": temperature, "lr": lr, "sft_steps": sft_steps, "samples": samples},
            **{"test_problems": test_problems, "reward_deadline": reward_deadline, "lora": lora},
        }
    )
    name = "".join(c if c.isalnum() else "-" for c in Path(data).stem).strip("-") or "data"
    order = Order(f"train-{name}", "train", seed, "", machine, tuple(settings), own)
    with progress() as console:
        go(order, ["train"], out, console, track)
