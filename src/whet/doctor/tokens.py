"""The tokenizer and its template: do they belong to the model, can an answer end, does what was said stay said?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from whet.describe import walk
from whet.doctor.case import Case
from whet.doctor.finding import Finding
from whet.models.lm import LM
from whet.stages.sft import completed
from whet.types import Problem, Trajectory

_THOUGHT = "<think>\nthought\n</think>\n\nsaid"
_MANY = 0.2  # our choice: so many unknown tokens are no slip
_ODD = 0.5  # our choice: nats per token above those of a blind guess
_TEXTS = 4  # our choice: texts that are read


def eos(case: Case) -> Iterator[Finding]:
    """The tokenizer's EOS is one that the model was made to end with, or the template ends turns with it."""
    lm, codec = case.lm, case.lm.codec
    own = codec.tokenizer.eos_token_id
    known = _ends(lm)
    if own is not None and known and own not in known and own != _turn_end(lm):
        yield Finding(
            "eos",
            "the tokenizer's EOS is what the model ends an answer with",
            f"{_token(lm, own)} in the tokenizer, {', '.join(_token(lm, i) for i in known)} in the model's config",
            "set tokenizer.eos_token, or eos_token_id in config.json, to the one the model was trained with",
        )
    beyond = [i for i in (*codec.eos, *(s for d in case.decodings for s in d.stop_tokens)) if not 0 <= i < lm.vocab]
    if beyond:
        yield Finding(
            "eos",
            f"every token that ends an answer is one of the model's {lm.vocab}",
            f"{beyond}, which it can never write",
            "take the tokenizer that belongs to the model, or mend Decoding.stop_tokens",
        )
    inside = [attempt.problem.id for attempt in worked(case) if _ended_inside(attempt, codec.eos)]
    if inside:
        yield Finding(
            "eos",
            "no token that ends an answer stands inside a worked solution",
            f"one in the solution of problem {inside[0]!r}: an answer like it would be cut off there",
            "set tokenizer.eos_token to a token that no text has",
        )


def _ended_inside(attempt: Trajectory, ends: Sequence[int]) -> bool:
    """Whether an answer has a token that ends it before its last one; the ends of earlier turns are none."""
    row = attempt.rows[-1]
    *tokens, last = row.tokens[row.trained].tolist()
    turns = not isinstance(attempt.problem.info["solution"], str)
    return bool(set(ends) & set(tokens) - ({last} if turns else set()))


def _turn_end(lm: LM) -> int | None:
    """The token behind an assistant's words in the template, whatever the tokenizer calls EOS."""
    tokenizer = lm.codec.tokenizer
    if not lm.codec.templated:
        return None
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "said"}], tokenize=False
        )
    except Exception:  # a template is somebody's program: it may raise anything
        return None
    name = tokenizer.eos_token or ""
    behind = text.rpartition("said")[2]
    if "eos_token" in str(tokenizer.chat_template) or not name:
        return None  # it follows whatever the tokenizer says
    ids = tokenizer.encode(behind, add_special_tokens=False) if behind else []
    return ids[0] if ids else None


def _ends(lm: LM) -> list[int]:
    """What the model's own files call EOS."""
    found: list[int] = []
    for config in (lm.hf.config, getattr(lm.hf, "generation_config", None)):
        held = getattr(config, "eos_token_id", None)
        found += [] if held is None else list(held) if isinstance(held, (list, tuple)) else [held]
    return sorted(set(found))


def pad(case: Case) -> Iterator[Finding]:
    """Padding is a token of its own."""
    codec = case.lm.codec
    if codec.tokenizer.pad_token_id is not None and codec.tokenizer.pad_token_id in codec.eos:
        yield Finding(
            "pad = eos",
            "padding is a token of its own",
            f"{_token(case.lm, codec.pad)} for both: Whet masks by length, but who masks padding by its id, as most "
            "tools do, trains the exported model never to end",
            "give the tokenizer a pad_token of its own",
            "warning",
        )


def template(case: Case) -> Iterator[Finding]:
    """Where there are several turns, what the template makes of the first ones stays what it was as more follow."""
    lm = case.lm
    roles = [part.role for _, part in walk(case.stage.rollout) if isinstance(getattr(part, "role", None), str)]
    spoken = any(
        not isinstance(p.prompt, str) and any(isinstance(m, dict) and m.get("role") == "assistant" for m in p.prompt)
        for p in case.problems
    )
    if not lm.codec.templated or not (roles or spoken):
        return
    begun: list[dict[str, Any]] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _THOUGHT}]
    tokenizer = lm.codec.tokenizer
    for role in dict.fromkeys([*roles, *(["user"] if spoken else [])]):
        try:
            first = tokenizer.apply_chat_template(begun, tokenize=False)
            more = [*begun, {"role": role, "content": "b"}]
            second = tokenizer.apply_chat_template(more, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is somebody's program: it may raise anything
            yield Finding(
                "template",
                f"the chat template knows the role {role!r}",
                f"{type(error).__name__}: {error}",
                "set the rollout's role to one that the template knows",
            )
            continue
        if "thought" not in second or not second.startswith(first):
            lost = "it drops what was thought" if "thought" not in second else "it writes earlier turns anew"
            yield Finding(
                "template",
                "the chat template keeps earlier turns as they were when more follow",
                f"{lost} once a message of role {role!r} follows: here rows go on with the tokens that stand, and "
                "whoever serves the trained model by this template shows it contexts that it never saw",
                "take a template that keeps what the assistant has said",
            )


def tokenizer(case: Case) -> Iterator[Finding]:
    """The tokenizer's tokens are the model's, and it knows what the problems say."""
    lm, own = case.lm, case.lm.codec.tokenizer
    largest = max(own.get_vocab().values(), default=0)
    if largest >= lm.vocab:
        yield Finding(
            "tokenizer",
            f"every token is one of the model's {lm.vocab}",
            f"tokens up to {largest}",
            "take the tokenizer that belongs to the model, or resize the model's embeddings",
        )
        return
    prompts = [lm.codec.open(problem, lm.context).rows[0].tokens.tolist() for problem in case.problems]
    unknown = own.unk_token_id
    share = sum(row.count(unknown) for row in prompts) / max(sum(map(len, prompts)), 1)
    if unknown is not None and share:
        yield Finding(
            "tokenizer",
            "the tokenizer knows every character of the problems",
            f"{share:.1%} of the prompts' tokens are {_token(lm, unknown)}",
            "take a tokenizer that knows them, or clean the data",
            "error" if share > _MANY else "warning",
        )
        return
    if lm.origin and not case.warmed:  # one that has been trained, and not for this run's problems only later
        yield from _blind(case)


def _blind(case: Case) -> Iterator[Finding]:
    """A model that reads its own tokens is at its worst as good as a blind guess: log V nats per token. Added tokens
    (tags, ends of turns) are often the same in different tokenizers, and say nothing."""
    rows = [attempt.rows[-1] for attempt in worked(case)][:_TEXTS]
    added = torch.tensor(sorted(case.lm.codec.tokenizer.added_tokens_decoder), dtype=torch.long)
    texts = [(row.tokens, row.trained & ~torch.isin(row.tokens, added)) for row in rows]
    if not texts:
        opened = [case.lm.codec.open(problem, case.lm.context).rows[0].tokens for problem in case.problems[:_TEXTS]]
        texts = [(tokens, torch.ones_like(tokens, dtype=torch.bool)) for tokens in opened]
    told = [_nats(case.lm, tokens, read) for tokens, read in texts if len(tokens) > 1]
    said = torch.cat(told) if told else torch.zeros(0)
    guess = math.log(case.lm.vocab)
    if len(said) and float(said.mean()) > guess + _ODD:
        yield Finding(
            "tokenizer",
            "the model reads its tokenizer's tokens",
            f"{float(said.mean()):.1f} nats per token of {'a worked solution' if rows else 'a prompt'}, and a blind "
            f"guess has {guess:.1f}: as if the tokens were another model's",
            "take the tokenizer that the model was trained with",
            "warning",
        )


@torch.no_grad()
def _nats(lm: LM, tokens: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """[n]: -log p of the tokens that are `read`, but the first."""
    hidden = lm.hidden(tokens[None, :-1].to(lm.device))[0]
    places = read[1:].nonzero()[:, 0].to(lm.device)
    logp = lm.logits(hidden[places]).float().log_softmax(-1)
    return -logp.gather(1, tokens[1:].to(lm.device)[places][:, None])[:, 0].cpu()


def worked(case: Case) -> list[Trajectory]:
    """The worked solutions of the problems, where there are any and they fit."""
    return [found for problem in case.problems if (found := _worked(case.lm, problem)) is not None]


def _worked(lm: LM, problem: Problem) -> Trajectory | None:
    if not problem.info.get("solution"):
        return None
    try:
        found = completed(lm.codec, problem, lm.context, "solution")
    except ValueError:  # too long, or in no form that the template knows: the SFT stage says so
        return None
    fits = len(found.rows[-1]) <= lm.context and bool(found.rows[-1].trained.any())
    return found if fits else None


def _token(lm: LM, i: int) -> str:
    return repr(lm.codec.tokenizer.convert_ids_to_tokens(int(i)))


CHECKS: Sequence[Any] = (eos, pad, template, tokenizer)
