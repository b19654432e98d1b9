"""`whet train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import (
    Answer,
    NoDoctor,
    OnMachine,
    Out,
    Plain,
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
    data: Annotated[
        list[str],
        typer.Option(
            help="A .jsonl, .json, .csv, .parquet or .arrow file, a folder, or a hub data set (NAME or NAME:CONFIG); "
            "may be given again."
        ),
    ] = [],  # noqa: B006
    weights: Annotated[
        str, typer.Option(metavar="N,N", help="How often each --data is drawn from; else every problem alike.")
    ] = "",
    prompt: Prompt = "",
    answer: Answer = None,
    plain: Plain = False,
    reward: Reward = "",
    test: Annotated[
        list[str], typer.Option(help="Held-out data, one for each --data; without it a tenth of the rows is held out.")
    ] = [],  # noqa: B006
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
    env: Annotated[
        str, typer.Option(metavar="KIND:NAME", help="Instead of --data: gymnasium:NAME, or verifiers:NAME or :FILE.py.")
    ] = "",
    env_args: Annotated[
        list[str], typer.Option("--env-arg", metavar="NAME=VALUE", help="What it is made with; may be given again.")
    ] = [],  # noqa: B006
    turns: Annotated[int, typer.Option(min=1, help="Most answers in one conversation with it.")] = 10,
    seed: Seed = 0,
    machine: OnMachine = "cpu",
    out: Out = None,
    settings: Settings = [],  # noqa: B006
    track: Track = [],  # noqa: B006
    no_doctor: NoDoctor = False,
) -> None:
    """Train a model on your own problems by GRPO, no Python needed.

    A reward is one of Whet's by name (exact, unless you say another), which compares with the answer column, or a
    function of yours that returns one number per completion; an attempt counts as right where it is 1 or more. An
    environment gives its own rewards. Questions are chat messages, or texts that become a user's message.

    \b
    Examples. A file of questions and worked answers, and a small model made for it:
      whet train --model tiny --data train.jsonl --prompt question --answer answer --reward gsm8k
    Files in the layout of verl, one held out:
      whet train --model ./my-model --data train.parquet --test test.parquet --reward math
    A folder that datasets saved:
      whet train --model ./my-model --data ./my-data-set --reward numeric
    A data set of the hub, with its configuration:
      whet train --model Qwen/Qwen3-0.6B --data openai/gsm8k:main --reward gsm8k
    Several sources, two problems of the first for one of the second:
      whet train --model ./my-model --data sums.jsonl --data games.parquet --weights 2,1
    Texts to go on from, for a base model without a chat template:
      whet train --model ./my-base-model --data texts.jsonl --plain --max-tokens 32
    A reward of your own:
      whet train --model ./my-model --data train.jsonl --reward my_reward.py:score --steps 50
    An environment of verifiers, installed or a file:
      whet train --model ./my-model --env verifiers:my_env.py
    An environment of Gymnasium, told in words:
      whet train --model ./my-model --env gymnasium:FrozenLake-v1 --env-arg render_mode=ansi --turns 20
    """
    from whet.launch import Order
    from whet.own import settled

    own = settled(
        {
            **{
                "model": model,
                "data": data[0] if len(data) == 1 else data,
                "prompt": prompt,
                "answer": answer,
                "reward": reward,
                "test": test[0] if len(test) == 1 else test,
            },
            **{"system": system, "steps": steps, "group": group, "problems": problems, "max_tokens": max_tokens},
            **{"temperature": temperature, "lr": lr, "sft_steps": sft_steps, "samples": samples},
            **{"test_problems": test_problems, "reward_deadline": reward_deadline, "weights": weights, "plain": plain},
            **{"env": env, "env_args": env_args, "turns": turns, "lora": lora},
        }
    )
    name = "".join(c if c.isalnum() else "-" for c in _stem(data, env)).strip("-") or "data"
    order = Order(f"train-{name}", "train", seed, "", machine, tuple(settings), own)
    with progress() as console:
        go(order, ["train"], out, console, track, not no_doctor)


def _stem(data: list[str], env: str) -> str:
    """What the run is called after."""
    return "-".join(Path(one).stem for one in data) or Path(env.partition(":")[2]).stem
