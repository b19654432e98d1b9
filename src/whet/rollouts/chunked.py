"""Thinking in chunks: a context of constant size that is thrown away when it is full, and opened anew from what it
needs to go on."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace

from whet.randomness import stream
from whet.schedule import Count
from whet.types import Decoding, Group, ModelName, Models, Policy, Problem, Row, Trajectory


@dataclass(frozen=True)
class Chunked:
    """y_1 ~ policy(. | q)                                        up to C tokens
    y_l ~ policy(. | q + y_1[:head] + y_{l-1}[-carry:])           up to C - carry tokens, l = 2 .. `chunks`,

    with q the prompt's tokens and C = `decoding.max_tokens`. `group` such attempts, each with a stream of its own, make
    one group `name`. A chunk that is cut off at its limit is followed by the next; one that ends by EOS or a stop ends
    the attempt, be it with its last token, and so does the last chunk. No context is longer than |q| + head + C tokens,
    and an attempt has at most `limit` = C + (chunks - 1) (C - carry) tokens.

    Each chunk is a row of the attempt: its log-probs are those of the context that was there, the loss sees what was
    generated in it, and what was put before that, which is tokens and never text read again, is prompt. One reward and
    one advantage belong to all rows; `weightings.sequence_mean.SequenceMean` divides by the generated tokens of all of
    them together. `info["ending"]` is the text of the last row behind prompt and head, so with what was carried over:
    `rewards.ending.Ending` looks for the answer there.

    Source: Delethink ("The Markovian Thinker": Aghajohari et al. 2025, arXiv 2510.06557), whose own values are C 8192,
    carry 4096, 5 chunks and head 100: a limit of 24576. With `chunks` 1 it is `Sample`, to the token. A chunk that the
    model's context cuts short, before its limit, ends the attempt too (stop "length").

    Raises ValueError unless `group` and `chunks` are 1 or more, `carry` and `head` 0 or more, and head + carry < C: a
    new context must be smaller than the full one that it stands for.
    """

    carry: Count
    chunks: Count
    head: Count = 0
    group: Count = 8
    decoding: Decoding = Decoding()
    model: ModelName = "policy"
    name: str = "direct"

    def __post_init__(self) -> None:
        for field, least in (("group", 1), ("chunks", 1), ("carry", 0), ("head", 0)):
            value = getattr(self, field)
            if isinstance(value, int | float) and value < least:
                raise ValueError(f"Chunked.{field} must be at least {least}, got {value}")
        kept = sum(value for value in (self.head, self.carry) if isinstance(value, int | float))
        if kept >= self.decoding.max_tokens:
            raise ValueError(
                f"Chunked.head and carry make {kept} tokens of a chunk of {self.decoding.max_tokens} "
                "(decoding.max_tokens); keep fewer, or make chunks larger"
            )

    @property
    def limit(self) -> int:
        """The most tokens that an attempt may have."""
        return self.decoding.max_tokens + (int(self.chunks) - 1) * (self.decoding.max_tokens - int(self.carry))

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy = models[self.model]
        opened = policy.open(problem)
        seeds = [stream(seed, "attempt", g) for g in range(int(self.group))]
        attempts = await gather(*(self._attempt(policy, opened, s) for s in seeds))
        return [Group(problem, tuple(attempts), self.name)]

    async def _attempt(self, policy: Policy, opened: Trajectory, seed: int) -> Trajectory:
        _without_media(opened)
        carry, limit = int(self.carry), self.decoding.max_tokens
        later = replace(self.decoding, max_tokens=limit - carry)
        trace = await policy.extend(opened, self.decoding, seed)
        said = _said(trace.rows[0])
        start = [*opened.rows[0].tokens.tolist(), *said[: int(self.head)]]
        kept: list[int] = []  # what the last context was given of the chunk before
        while trace.stop == "length" and len(said) == limit and len(trace.rows) < int(self.chunks):
            kept, limit = said[max(len(said) - carry, 0) :], later.max_tokens
            trace = policy.reopen(trace, [*start, *kept])
            trace = await policy.extend(trace, later, stream(seed, "chunk", len(trace.rows)))
            said = _said(trace.rows[-1])
        return replace(trace, info={**trace.info, "ending": _text(policy, trace, [*kept, *said])})

    def rows(self, worked: Trajectory) -> Trajectory:
        """A worked answer, in one row, in the rows that this rollout would have made of it: what a supervised stage
        imitates with `SFT(like=...)`, however many chunks it takes. Each token of the answer is trained once.
        ValueError if there is more than one prompt and one answer."""
        row, full, carry = worked.rows[0], self.decoding.max_tokens, int(self.carry)
        count = int(row.trained.sum())
        begin = len(row) - count
        if len(worked.rows) > 1 or not count or not row.trained[begin:].all():
            raise ValueError(f"Chunked.rows takes a prompt and an answer, problem {worked.problem.id!r} has more turns")
        _without_media(worked)
        start, stop = [*range(begin + int(self.head))], begin + full
        rows, last = [_picked(row, [*range(min(stop, len(row)))], begin)], begin
        while stop < len(row):
            kept = range(max(stop - carry, last), stop)
            last, stop = stop, stop + full - carry
            rows.append(_picked(row, [*start, *kept, *range(last, min(stop, len(row)))], len(start) + len(kept)))
        return replace(worked, rows=tuple(rows), turns=(), tracks={})


def _said(row: Row) -> list[int]:
    return row.tokens[row.sampled].tolist()


def _text(policy: Policy, trace: Trajectory, ids: list[int]) -> str:
    """What these tokens say together; a number that was cut in two is one again."""
    return policy.reopen(trace, ids).turns[-1].text if ids else ""


def _picked(row: Row, places: list[int], context: int) -> Row:
    """The tokens at these places, of which the first `context` are not trained."""
    arrays = {name: getattr(row, name)[places] for name in ("tokens", "sampled", "trained", "logprobs", "versions")}
    arrays["trained"][:context] = False
    return replace(row, **arrays)


def _without_media(trajectory: Trajectory) -> None:
    if trajectory.rows[0].media:
        raise ValueError(
            f"Chunked opens new contexts from tokens alone, and the prompt of problem {trajectory.problem.id!r} has "
            "media; ask in text, or use Sample"
        )


EXAMPLES = [
    Chunked(carry=2, chunks=3, head=1, group=3, decoding=Decoding(max_tokens=6)),
    Chunked(carry=0, chunks=2, group=2, decoding=Decoding(max_tokens=4)),
]
