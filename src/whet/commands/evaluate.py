"""`whet eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import (
    Answer,
    OnMachine,
    Plain,
    Prompt,
    Seed,
    Settings,
    System,
    clear_errors,
    estimate_rows,
    nothing,
    output,
    progress,
)


@clear_errors
def evaluate_model(
    model: Annotated[
        str, typer.Argument(help="A folder in Hugging Face format, a name on the hub, or an endpoint's URL#NAME.")
    ],
    task: Annotated[
        str, typer.Option(help="chain-sum, countdown, knights-knaves, string-functions, gym:NAME, or a file.")
    ],
    samples: Annotated[int, typer.Option(min=1, help="Attempts at each problem: pass@k for k up to it.")] = 8,
    problems: Annotated[int, typer.Option(min=2, help="How many problems, from the first.")] = 200,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest attempt, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of sampling; 0 is greedy.")] = 1.0,
    prompt: Prompt = "",
    answer: Answer = None,
    reward: Annotated[str, typer.Option(help="Who judges; found from task or file if not given (see train).")] = "",
    reasoning: Annotated[
        str, typer.Option(metavar="VERIFIER", help="Who checks the reasoning, for CoT-pass@k: steps.")
    ] = "",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw pass@k, and CoT-pass@k if there is, with bands.")
    ] = None,
    system: System = "",
    plain: Plain = False,
    seed: Seed = 0,
    machine: OnMachine = "cpu",
    settings: Settings = [],  # noqa: B006
    key: Annotated[str, typer.Option(metavar="VARIABLE", help="Environment variable with an endpoint's key.")] = "",
    chat: Annotated[bool, typer.Option("--chat", help="Send an endpoint plain prompts as messages, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")] = False,
) -> None:
    """Measure a model: pass@k with 95 % intervals, on a shipped task or on a file of problems and answers.

    Columns of files in the style of GSM8K, MATH and AIME are found by their names. --set changes fields of the task.
    URL#NAME is a model behind an OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, OpenRouter, ...).

    \b
    Examples:
      whet eval runs/quickstart/grpo-seed0/model --task chain-sum --set 'terms=[4,5]' --set operators=+
      whet eval ./my-model --task aime.jsonl --samples 16 --max-tokens 4096 --json
      whet eval ./my-model --task chain-sum --set terms=4 --set largest=20
      whet eval ./my-model --task chain-sum --set modulus=10 --samples 256 --reasoning steps --plot curves.png
      whet eval 'http://127.0.0.1:8000/v1#my-model' --task chain-sum --chat
      whet eval 'https://openrouter.ai/api/v1#qwen/qwen3-8b' --key OPENROUTER_API_KEY --task aime.jsonl --samples 4
    """
    from whet.evaluating import asked, curves, evaluate, remote
    from whet.files import write_bytes
    from whet.launch import Order
    from whet.launch import machine as profile
    from whet.screen import show_attempts, show_table

    if plot is not None and plot.suffix != ".png":
        raise ValueError(f"--plot writes a .png file, got {plot}")
    with progress() as console:
        what = asked(task, settings, prompt, answer, reward, system, plain)
        with console.status(f"evaluating {model} on {task}") if console.is_terminal else nothing():
            on = profile(Order("", machine=machine))
            endpoint = remote(model, key, chat)
            found = evaluate(model, what, samples, problems, max_tokens, temperature, seed, on, endpoint, reasoning)
    if plot is not None:
        from whet.metrics.plots import passes

        write_bytes(plot, passes(curves(found["metrics"])))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = output()
    show_table(console, ("metric", "value", "95 % interval"), estimate_rows(found["metrics"]))
    told = ", ".join(f"{word} {count}" for word, count in found["outcomes"].items())
    typer.echo(f"{found['problems']} problems, {samples} attempts at each, seed {seed}" + (f"; {told}" if told else ""))
    show_attempts(console, found["examples"])
