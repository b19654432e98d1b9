"""What `whet eval` does: a model's pass@k on a shipped task or on a file of problems and answers, as plain data."""

from __future__ import annotations

import asyncio
import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whet.engines.native import Native
from whet.engines.remote import Endpoint, Remote
from whet.files import plain
from whet.machines.profile import Machine, cpu
from whet.metrics.evaluation import estimates, per_problem
from whet.metrics.plots import pass_points
from whet.metrics.reach import counted, sound_share
from whet.models.pretrained import Pretrained
from whet.rewards.named import named
from whet.rewards.reasoned import Reasoned
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.settings import override
from whet.sources import rows_of, there
from whet.stages.evaluate import Evaluate, samples, terms
from whet.tasks.api_calls import ApiCalls
from whet.tasks.chain_sum import ChainSum
from whet.tasks.columns import lookup
from whet.tasks.countdown import Countdown
from whet.tasks.gym import Gym
from whet.tasks.json_problems import JsonProblems
from whet.tasks.knights_knaves import KnightsKnaves
from whet.tasks.letter_sum import LetterSum
from whet.tasks.mini_instructions import MiniInstructions
from whet.tasks.product_then_sum import ProductThenSum
from whet.tasks.products import Products
from whet.tasks.programs import Programs
from whet.tasks.rows import Rows
from whet.tasks.sql_questions import SqlQuestions
from whet.tasks.string_functions import StringFunctions
from whet.types import Decoding, Policy, Scored, Task

# The shipped tasks by name, each with the reward that judges its answers.
TASKS: dict[str, tuple[Callable[[], Task], str]] = {
    "api-calls": (ApiCalls, "tool_calls"),
    "chain-sum": (ChainSum, "exact"),
    "countdown": (Countdown, "countdown"),
    "json-problems": (JsonProblems, "field"),
    "knights-knaves": (KnightsKnaves, "assignment"),
    "letter-sum": (LetterSum, "exact"),
    "mini-instructions": (MiniInstructions, "constraints"),
    "product-then-sum": (ProductThenSum, "exact"),
    "products": (Products, "exact"),
    "programs": (Programs, "code"),
    "sql-questions": (SqlQuestions, "sql"),
    "string-functions": (StringFunctions, "exact"),
}
GYM = "gym:"  # gym:NAME is a data set of reasoning-gym


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: problems, who judges the answers, and which split is played."""

    task: Task
    reward: str
    split: str = "test"


def asked(
    task: str,
    settings: Sequence[str] = (),
    prompt: str = "",
    answer: str | None = None,
    reward: str = "",
    system: str = "",
    plain: bool = False,
) -> Asked:
    """A shipped task by name, or a file or data set with its columns found by their names unless they are given.

    ValueError for an unknown task (with the nearest), a file whose columns can not be told, a setting that is wrong.
    """
    if task in TASKS:
        make, judge = TASKS[task]
        return Asked(override(make(), settings), reward or judge)
    if task.startswith(GYM):
        return Asked(override(Gym(task.removeprefix(GYM)), settings), reward or "reasoning_gym")
    if not _is_data(task):
        known = [*TASKS, GYM + "NAME"]
        near = difflib.get_close_matches(task, TASKS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"there is no task {task!r}; {hint} (or the path of a file of problems and answers)")
    rows = rows_of(task, prompt, answer, system=system, chat=not plain, holdout=0.0)
    rows = override(rows, settings)
    split = "test" if rows.size("test") else "all"
    return Asked(rows, reward or _judge(rows, split), split)


def evaluate(
    model: str,
    what: Asked,
    attempts: int = 8,
    problems: int = 200,
    max_tokens: int = 256,
    temperature: float = 1.0,
    seed: int = 0,
    machine: Machine = cpu,
    remote: Remote | None = None,
    reasoning: str = "",
) -> dict[str, Any]:
    """{"model", "reward", "split", "problems", "attempts", "seed", "decoding", "metrics": {"pass@k", "CoT-pass@k" or
    "length": {"value", "low", "high"}}, "outcomes": {word: count}, "examples": [...]}, all JSON values.

    pass@k for k = 1, 2, 4, ... up to `attempts`, over the first `problems` problems of the split. With `reasoning`, a
    verifier of reasoning by name, also CoT-pass@k, which counts attempts whose answer and reasoning are both right, and
    "sound share", the share of these among the right ones. `remote` is played in place of the model, and adds "calls":
    its meter. ValueError for a model that can not be loaded, a prompt that does not fit it, and an endpoint that does
    not answer.
    """
    decoding = Decoding(max_tokens=max_tokens, temperature=temperature)
    judges = {"correct": named(what.reward), **({"reasoned": Reasoned(reasoning)} if reasoning else {})}
    stage = Evaluate(
        what.task,
        Sample(group=attempts, decoding=decoding),
        Weighted(judges, weights={name: float(name == "correct") for name in judges}),
        split=what.split,
        problems=problems,
    )
    if remote is None:
        lm = Pretrained(there(model, "model folder")).build(seed).to(machine.device)
        engine: Policy = Native(lm, rows=machine.rows, engine=machine.engine)
    else:
        engine = Endpoint(remote)
        engine.check()
    scored_P = asyncio.run(stage.play({"policy": engine}, seed))
    attempted = [trajectory for scored in scored_P for trajectory in scored.group.trajectories]
    if all(trajectory.stop == "error" for trajectory in attempted):
        raise ValueError(f"no attempt was answered; the first: {attempted[0].info.get('error')}")
    correct, lengths = stage.judge(scored_P)
    values = per_problem(correct, lengths)
    if reasoning:
        values |= _with_reasoning(correct, counted(correct, terms(scored_P)["reasoned"]))
    found = estimates(values)
    return plain(
        {
            "model": model,
            "task": type(what.task).__name__,
            "reward": what.reward,
            "split": what.split,
            "problems": len(scored_P),
            "attempts": attempts,
            "seed": seed,
            "decoding": {"max_tokens": max_tokens, "temperature": temperature},
            "metrics": {name: asdict(estimate) for name, estimate in found.items()},
            **({"reasoning": reasoning} if reasoning else {}),
            "outcomes": outcomes(scored_P),
            "examples": samples(scored_P),
            **({"calls": vars(engine.meter)} if isinstance(engine, Endpoint) else {}),
        }
    )


def _with_reasoning(correct: np.ndarray, both: np.ndarray) -> dict[str, np.ndarray]:
    """{"CoT-pass@k", "sound share": [P]} from attempts [P, n]."""
    curve = {f"CoT-{name}": of for name, of in per_problem(both).items()}
    return {**curve, "sound share": sound_share(correct, both)}


def curves(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[int, float, float, float]]]:
    """What `metrics.plots.passes` draws of an evaluation: {"pass@k" and "CoT-pass@k": [(k, value, low, high)]}."""
    found = {"pass@k": pass_points(metrics), "CoT-pass@k": pass_points(metrics, "CoT-pass")}
    return {label: points for label, points in found.items() if points}


def remote(model: str, key: str = "", chat: bool = False) -> Remote | None:
    """The endpoint that "URL#NAME" means, None for a model that is no url. ValueError for a url without a name."""
    if not model.startswith(("http://", "https://")):
        return None
    url, _, name = model.partition("#")
    if not name:
        raise ValueError(f"{url} serves models by name; say which: {url}#NAME")
    return Remote(url, name, key=key, chat=chat)


def outcomes(scored_P: Sequence[Scored]) -> dict[str, int]:
    """How often the verifier said what; empty where none spoke."""
    return dict(Counter(word for scored in scored_P for words in scored.outcomes.values() for word in words))


def _is_data(task: str) -> bool:
    """A path, a file name or a hub name; a plain word is a task."""
    return "/" in task or Path(task).suffix != "" or Path(task).expanduser().exists()


def _judge(rows: Rows, split: str) -> str:
    """The reward that suits a file: by the form of its first row."""
    columns = rows.problem(split, 0).info["columns"]
    held = str(lookup(columns, rows.answer)) if rows.answer else ""
    if "####" in held:
        return "gsm8k"
    if rows.prompt.lower() == "problem" or "\\boxed" in held or "$" in held:
        return "math"
    return "exact"
