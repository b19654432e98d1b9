"""A recipe from a user's own data: what `whet train` runs, and what it runs again on `whet resume`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from whet.rewards.named import named
from whet.rewards.user import UserReward
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.run import Save, Stage
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT, worked
from whet.tasks.rows import Rows
from whet.types import Decoding, Problem, Term
from whet.verifiers.pool import shared

TINY = "tiny"  # the model's name that stands for "make a small one"
_VOCABULARY = 2048  # our choice: tokens of a tiny model's tokenizer
_READ = 10_000  # our choice: problems that a tokenizer is learned from
_LONGEST = 64  # our choice: so many of the longest texts are tried against the context
_GOLDS = 16  # our choice: so many gold answers are tried against the reward


def own_data(
    model: str,
    data: str,
    prompt: str = "question",
    answer: str = "answer",
    reward: str = "exact",
    test: str = "",
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
) -> Recipe:
    """GRPO with clip-higher on the rows of a file or data set: `steps` steps of `problems` problems with `group`
    attempts each, evaluated before and after on `test` (or on rows held out) with `samples` attempts per problem.

    `model`: a folder, a hub name, or "tiny": a small random model whose tokenizer is learned from the data. `reward`:
    see `rewards.named`. `lr` 0 and `sft_steps` -1 mean: what suits the model (for a tiny one a warm start of 200 steps
    on the worked solutions, where all problems have one; for others none). `reward_deadline`: seconds that a user's
    reward function may take for one problem's attempts.

    ValueError for data, columns, rewards and prompts that can not work; nothing but a tokenizer is written.
    """
    rows = Rows(_there(data), prompt, answer, test_path=_there(test) if test else "", system=system)
    for split in ("train", "test"):
        if not rows.size(split):
            raise ValueError(
                f"{data} has too few different prompts for a {split!r} split; add rows, or give a test file"
            )
    term = named(reward)
    if isinstance(term, UserReward):
        term = replace(term, deadline=reward_deadline)
    _check_golds(term, reward, rows, answer)
    decoding = Decoding(max_tokens=max_tokens, temperature=temperature)
    tiny = model == TINY
    base: Buildable | Made = _tiny(rows, max_tokens) if tiny else _pretrained(model, rows)
    warm = _warm(rows, sft_steps, tiny)
    if tiny and warm:
        base, warm = Made(base, warm), []
    if lora:
        base = Lora(base, rank=lora)
    scores = Weighted({"correct": term})
    # our choice: a small random model takes a hundred times the rate of a large one, an adapter ten times that of all
    train = Train(Clip(low=0.2, high=0.28), lr=lr or (1e-4 if tiny else 1e-6) * (10 if lora else 1))
    loop = RL(
        task=rows,
        rollout=Sample(group=group, decoding=decoding),
        reward=scores,
        train={"policy": train},
        problems=problems,
        steps=steps,
        save=Save(every=max(1, min(20, steps // 2))),
    )
    test_of = Evaluate(rows, Sample(group=samples, decoding=decoding), scores, problems=test_problems)
    return Recipe(model=base, arms={"train": [*warm, loop]}, evaluate=[test_of])


def settled(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `own_data` with absolute paths, so that a run can be resumed from anywhere."""
    out = dict(arguments)
    for name in ("model", "data", "test"):
        value = out.get(name)
        if value and value != TINY and Path(value).expanduser().exists():
            out[name] = str(Path(value).expanduser().resolve())
    file, colon, function = str(out.get("reward", "")).rpartition(":")
    if colon and Path(file).expanduser().exists():
        out["reward"] = f"{Path(file).expanduser().resolve()}:{function}"
    return out


def command(arguments: Mapping[str, Any], seed: int = 0, settings: Sequence[str] = ()) -> str:
    """The `whet train ...` that says these arguments; of files only the names, as it is read elsewhere."""
    words = ["whet", "train"]
    for name, value in {**arguments, "seed": seed}.items():
        if value != "" or name == "answer":
            local = isinstance(value, str) and value.startswith("/")
            words += [f"--{name.replace('_', '-')}", Path(value).name if local else str(value)]
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)


def there(name: str, what: str) -> str:
    """`name`, or ValueError where it can only be a path (it begins with ".", "/" or "~") and nothing is there."""
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().exists():
        raise ValueError(f"there is no {what} {name}; give the path of one, or a name on the hub")
    return name


def _there(data: str) -> str:
    return there(data, "data file or folder")


def _warm(rows: Rows, steps: int, tiny: bool) -> list[Stage]:
    """The supervised stage before the loop, or none. Asked for without solutions is an error; by default it is left
    out then."""
    if steps == 0 or (steps < 0 and not tiny):
        return []
    lacking = next((p for p in _problems(rows) if not p.info.get("solution")), None)
    if lacking is not None:
        if steps < 0:
            return []
        raise ValueError(
            f"--sft-steps needs a worked solution for every problem, and {lacking.id!r} has none; "
            "add a column 'solution', or leave the warm start out with --sft-steps 0"
        )
    # our choice: the default of SFT suits a random model; one that can speak needs far smaller steps
    stage = SFT(rows, steps=200 if steps < 0 else steps, problems=32)
    return [stage if tiny else replace(stage, train=Train(Likelihood(), lr=1e-5, warmup=10))]


def _check_golds(term: Term, reward: str, rows: Rows, answer: str) -> None:
    """ValueError if the verifier can read none of the first gold answers."""
    if not isinstance(term, Verified):
        return
    if not answer:
        raise ValueError(f"the reward {reward!r} compares with an answer; say which column holds it with --answer")
    golds = [str(problem.answer) for problem in _problems(rows, _GOLDS)]
    verdicts = shared().check_now(term.verifier, [(gold, gold) for gold in golds], **term.options)
    if all(verdict.outcome == "failed" for verdict in verdicts):
        raise ValueError(
            f"the reward {reward!r} can not read the answers in column {answer!r}: {verdicts[0].detail}; "
            "choose another --reward or --answer"
        )


def _problems(rows: Rows, count: int = _READ) -> list[Problem]:
    return [rows.problem("train", i) for i in range(min(rows.size("train") or 0, count))]


def _text(problem: Problem) -> str:
    """All that a tokenizer can learn from a problem."""
    prompt = problem.prompt if isinstance(problem.prompt, str) else "\n".join(str(m["content"]) for m in problem.prompt)
    return "\n".join([prompt, str(problem.info.get("solution") or problem.answer or "")])


def _longest(rows: Rows) -> list[Problem]:
    """Those of both splits with the longest prompts: longest in characters is nearly longest in tokens."""
    held = [rows.problem(split, i) for split in ("train", "test") for i in range(rows.size(split) or 0)]
    return sorted(held, key=lambda problem: -len(json.dumps(problem.prompt)))[:_LONGEST]


def _pretrained(model: str, rows: Rows) -> Pretrained:
    """The model, after a look whether the longest prompts fit its context. What else is wrong with it is said when it
    is loaded."""
    place = model_folder(Path(there(model, "model folder")).expanduser())
    if not any((place / file).exists() for file in TOKENIZER_FILES):
        return Pretrained(model)
    try:
        with quiet():
            codec, config = Codec(AutoTokenizer.from_pretrained(place)), AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError):
        return Pretrained(model)
    for problem in _longest(rows):
        codec.open(problem, int(getattr(config, "max_position_embeddings", None) or 2048))
    return Pretrained(model)


def _tiny(rows: Rows, max_tokens: int) -> TinyQwen:
    """A small model with room for the longest prompt and its answer."""
    problems = _problems(rows)
    tokenizer = _tokenizer([_text(problem) for problem in problems])
    codec, endless = Codec(AutoTokenizer.from_pretrained(tokenizer)), 1 << 30
    room = [len(codec.open(problem, endless).rows[0]) + max_tokens for problem in _longest(rows)]
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
