"""A recipe from a user's own data: what `whet train` runs, and what it runs again on `whet resume`."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from transformers import AutoConfig, AutoTokenizer

from whet.describe import fingerprint
from whet.files import folder
from whet.models.codec import Codec
from whet.models.export import TOKENIZER_FILES, quiet
from whet.models.hub import folder as model_folder
from whet.models.lora import Lora
from whet.models.pretrained import Pretrained
from whet.models.tiny import TinyQwen, bpe_tokenizer
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.recipe import Buildable, Made, Recipe, cache
from whet.rewards.episode import EpisodeReward
from whet.rewards.named import named
from whet.rewards.user import UserReward
from whet.rewards.verified import Verified
from whet.rollouts.converse import Converse, Playable
from whet.rollouts.sample import Sample
from whet.run import Save, Stage
from whet.scoring import Weighted
from whet.sources import environment, mixed, rows_of, there
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT, worked
from whet.tasks.rows import Rows
from whet.types import Decoding, Problem, Rollout, Task, Term
from whet.verifiers.pool import shared

TINY = "tiny"  # the model's name that stands for "make a small one"
_VOCABULARY = 2048  # our choice: tokens of a tiny model's tokenizer
_READ = 10_000  # our choice: problems that a tokenizer is learned from
_ALL = 1 << 40  # every problem of a split that ends
_ENDLESS = 256  # our choice: problems of a split without an end that are looked at
_LONGEST = 64  # our choice: so many of the longest texts are tried against the context
_GOLDS = 16  # our choice: so many gold answers are tried against the reward


@dataclass(frozen=True)
class _Work:
    """What is learned, what it is measured on, and who judges."""

    task: Task
    test: Task  # all problems, none more often than another
    term: Term
    turns: int = 0  # of a conversation with an environment; 0: the model answers once


def own_data(
    model: str,
    data: str | Sequence[str] = "",
    prompt: str = "",
    answer: str | None = None,
    reward: str = "",
    test: str | Sequence[str] = "",
    system: str = "",
    steps: int = 100,
    group: int = 8,
    problems: int = 16,
    max_tokens: int = 256,
    temperature: float = 1.0,
    lr: float = 0.0,
    sft_steps: int = -1,
    samples: int = 8,
    test_problems: int = 100,
    reward_deadline: float = 60.0,
    lora: int = 0,
    weights: str = "",
    plain: bool = False,
    env: str = "",
    env_args: Sequence[str] = (),
    turns: int = 10,
) -> Recipe:
    """GRPO with clip-higher on the rows of a file or data set, or in an environment: `steps` steps of `problems`
    problems with `group` attempts each, evaluated before and after with `samples` attempts per problem, on `test` or on
    rows held out.

    `model`: a folder, a hub name, or "tiny": a small random model whose tokenizer is learned from the data. `data`: one
    or several sources, mixed by `weights` ("2,1"), with a `test` for each or none. `prompt` "" and `answer` None are
    found by name; `plain`: prompts are texts to go on from. `reward`: see `rewards.named`; "" is "exact". `lr` 0 and
    `sft_steps` -1 mean: what suits the model (for a tiny one a warm start of 200 steps on the worked solutions, where
    all problems have one; for others none). `reward_deadline`: seconds that a user's reward function may take for one
    problem's attempts. `env`, `env_args`: see `sources.environment`; then the reward is its own, and a conversation has
    at most `turns` answers.

    ValueError for data, columns, rewards, environments and prompts that can not work; nothing but a tokenizer is
    written.
    """
    if bool(data) == bool(env):
        raise ValueError("give --data or --env, one of the two: what the model is to be trained on")
    if env:
        if prompt or answer or reward or test or weights or plain:
            raise ValueError(
                "--prompt, --answer, --reward, --test, --weights and --plain speak of --data; "
                "problems and rewards of an --env are its own"
            )
        work = _environment(env, env_args, system, turns)
    else:
        columns = {"prompt": prompt, "answer": answer, "system": system, "chat": not plain}
        work = _data(_listed(data), _listed(test), weights, _term(reward or "exact", reward_deadline), columns)
    decoding = Decoding(max_tokens=max_tokens, temperature=temperature)
    tiny = model == TINY
    base: Buildable | Made = _tiny(work, max_tokens) if tiny else _pretrained(model, work.test)
    warm = _warm(work, sft_steps, tiny)
    if tiny and warm:
        base, warm = Made(base, warm), []
    if lora:
        base = Lora(base, rank=lora)
    scores = Weighted({"correct": work.term})
    # our choice: a small random model takes a hundred times the rate of a large one, an adapter ten times that of all
    train = Train(Clip(low=0.2, high=0.28), lr=lr or (1e-4 if tiny else 1e-6) * (10 if lora else 1))
    loop = RL(
        task=work.task,
        rollout=_attempts(work, group, decoding),
        reward=scores,
        train={"policy": train},
        problems=problems,
        steps=steps,
        save=Save(every=max(1, min(20, steps // 2))),
    )
    test_of = Evaluate(work.test, _attempts(work, samples, decoding), scores, problems=test_problems)
    return Recipe(model=base, arms={"train": [*warm, loop]}, evaluate=[test_of])


def settled(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `own_data` with absolute paths, so that a run can be resumed from anywhere."""
    out = dict(arguments)
    for name in ("model", "data", "test"):
        value = out.get(name)
        if isinstance(value, (list, tuple)):
            out[name] = [_absolute(one) for one in value]
        elif value and value != TINY:
            out[name] = _absolute(value)
    file, colon, function = str(out.get("reward", "")).rpartition(":")
    if colon:
        out["reward"] = f"{_absolute(file)}:{function}"
    kind, colon, name = str(out.get("env", "")).partition(":")
    if colon and name.endswith(".py"):
        out["env"] = f"{kind}:{_absolute(name)}"
    return out


def command(arguments: Mapping[str, Any], seed: int = 0, settings: Sequence[str] = ()) -> str:
    """The `whet train ...` that says these arguments; of files only the names, as it is read elsewhere."""
    words = ["whet", "train"]
    for name, held in {**arguments, "seed": seed}.items():
        option = "--" + {"env_args": "env-arg"}.get(name, name.replace("_", "-"))
        for value in held if isinstance(held, (list, tuple)) else [held]:
            if value is None or value is False or (value == "" and name != "answer"):
                continue  # left out on the command line, too
            words += [option] if value is True else [option, _nearby(value)]
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)


def _absolute(path: str) -> str:
    """A path from the root, where something is there; a name of the hub as it is."""
    return str(Path(path).expanduser().resolve()) if Path(path).expanduser().exists() else path


def _nearby(value: Any) -> str:
    """A value as a word, a path from the root without its folders."""
    if not isinstance(value, str):
        return str(value)
    kind, colon, path = value.rpartition(":/")
    if colon:
        return f"{kind}:{Path(path).name}"
    return Path(value).name if value.startswith("/") else value


def _listed(said: str | Sequence[str]) -> list[str]:
    return ([said] if said else []) if isinstance(said, str) else list(said)


def _term(reward: str, deadline: float) -> Term:
    term = named(reward)
    return replace(term, deadline=deadline) if isinstance(term, UserReward) else term


def _data(data: list[str], test: list[str], weights: str, term: Term, columns: Mapping[str, Any]) -> _Work:
    """The rows of all sources; ValueError for what is wrong with one of them."""
    if test and len(test) != len(data):
        raise ValueError(f"--test is given {len(test)} times for {len(data)} --data; give one for each, or none")
    needed = isinstance(term, Verified)
    sources: list[Rows] = []
    for name, held in zip(data, test or [""] * len(data), strict=True):
        held = there(held, "data file or folder") if held else ""
        rows = rows_of(name, needed=needed, test_path=held, **columns)
        for split in ("train", "test"):
            if not rows.size(split):
                raise ValueError(
                    f"{name} has too few different prompts for a {split!r} split; add rows, or give a test file"
                )
        _check_golds(term, rows)
        sources.append(rows)
    return _Work(mixed(sources, weights), mixed(sources), term)


def _environment(env: str, arguments: Sequence[str], system: str, turns: int) -> _Work:
    """An environment, after a look whether it can be played at all."""
    task = environment(env, arguments, system)
    try:
        asyncio.run(task.episode(task.problem("train", 0)).step(""))
    except Exception as error:  # its code may raise anything
        raise ValueError(f"{env} can not be played: {type(error).__name__}: {error}") from error
    return _Work(task, task, EpisodeReward(), turns)


def _attempts(work: _Work, group: int, decoding: Decoding) -> Rollout:
    if not work.turns:
        return Sample(group=group, decoding=decoding)
    # the role that every chat template knows
    return Converse(cast(Playable, work.task), group=group, decoding=decoding, turns=work.turns, role="user")


def _warm(work: _Work, steps: int, tiny: bool) -> list[Stage]:
    """The supervised stage before the loop, or none. Asked for without solutions is an error; by default it is left
    out then."""
    if steps == 0 or (steps < 0 and not tiny):
        return []
    lacking = next((p for p in _problems(work.test) if not p.info.get("solution")), None)
    if lacking is not None:
        if steps < 0:
            return []
        raise ValueError(
            f"--sft-steps needs a worked solution for every problem, and {lacking.id!r} has none; "
            "add a column 'solution', or leave the warm start out with --sft-steps 0"
        )
    # our choice: the default of SFT suits a random model; one that can speak needs far smaller steps
    stage = SFT(work.task, steps=200 if steps < 0 else steps, problems=32)
    return [stage if tiny else replace(stage, train=Train(Likelihood(), lr=1e-5, warmup=10))]


def _check_golds(term: Term, rows: Rows) -> None:
    """ValueError if the verifier can read none of the first gold answers."""
    if not isinstance(term, Verified):
        return
    reward = term.verifier
    if not rows.answer:
        raise ValueError(f"the reward {reward!r} compares with an answer; say which column holds it with --answer")
    golds = [str(problem.answer) for problem in _problems(rows, count=_GOLDS)]
    verdicts = shared().check_now(term.verifier, [(gold, gold) for gold in golds], **term.options)
    if all(verdict.outcome == "failed" for verdict in verdicts):
        raise ValueError(
            f"{rows.path}: the reward {reward!r} can not read the answers in column {rows.answer!r}: "
            f"{verdicts[0].detail}; choose another --reward or --answer"
        )


def _problems(task: Task, split: str = "train", count: int = _READ) -> list[Problem]:
    """The first problems of a split."""
    size = task.size(split)
    return [task.problem(split, i) for i in range(min(_ENDLESS if size is None else size, count))]


def _text(problem: Problem) -> str:
    """All that a tokenizer can learn from a problem."""
    prompt = problem.prompt if isinstance(problem.prompt, str) else "\n".join(str(m["content"]) for m in problem.prompt)
    return "\n".join([prompt, str(problem.info.get("solution") or problem.answer or "")])


def _longest(task: Task) -> list[Problem]:
    """Those of both splits with the longest prompts: longest in characters is nearly longest in tokens."""
    held = [problem for split in ("train", "test") for problem in _problems(task, split, count=_ALL)]
    return sorted(held, key=lambda problem: -len(json.dumps(problem.prompt)))[:_LONGEST]


def _pretrained(model: str, task: Task) -> Pretrained:
    """The model, after a look whether the longest prompts fit its context and its chat template. What else is wrong
    with it is said when it is loaded."""
    place = model_folder(Path(there(model, "model folder")).expanduser())
    if not any((place / file).exists() for file in TOKENIZER_FILES):
        return Pretrained(model)
    try:
        with quiet():
            codec, config = Codec(AutoTokenizer.from_pretrained(place)), AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError):
        return Pretrained(model)
    longest = _longest(task)
    if not codec.templated and not all(isinstance(problem.prompt, str) for problem in longest):
        raise ValueError(
            f"{model} is a base model without a chat template, and the prompts are chat messages; "
            "add --plain for texts to go on from, or take a model with a template"
        )
    for problem in longest:
        codec.open(problem, int(getattr(config, "max_position_embeddings", None) or 2048))
    return Pretrained(model)


def _tiny(work: _Work, max_tokens: int) -> TinyQwen:
    """A small model with room for the longest prompt and its answer, or for all turns of a conversation."""
    problems = _problems(work.test)
    tokenizer = _tokenizer([_text(problem) for problem in problems])
    codec, endless = Codec(AutoTokenizer.from_pretrained(tokenizer)), 1 << 30
    room = [len(codec.open(problem, endless).rows[0]) + max_tokens for problem in _longest(work.test)]
    room = [tokens * max(work.turns, 1) for tokens in room]  # our choice: what an environment says is no longer than it
    solved = [problem for problem in problems if problem.info.get("solution")]
    for problem in sorted(solved, key=lambda problem: -len(_text(problem)))[:_LONGEST]:
        room.append(len(worked(codec, problem, endless).rows[0]))
    return TinyQwen(tokenizer=tokenizer, context=-(-max(room) // 64) * 64)


def _tokenizer(texts: Sequence[str]) -> str:
    """The folder of a tokenizer learned from these very texts, made once and kept beside the made models."""
    place = cache() / "tokenizers" / fingerprint("bpe", _VOCABULARY, list(texts))
    if not (place / "tokenizer.json").exists():
        with folder(place, exists="keep") as part:
            bpe_tokenizer(texts, _VOCABULARY).save_pretrained(part)
    return str(place)
