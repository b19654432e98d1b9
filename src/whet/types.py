"""The nouns and the call signatures.

Data flows one way:

    Problem -> Trajectory -> Group -> Scored -> Batch -> loss -> update -> new weights in the engine

Shapes are written as suffixes or in comments: P problems, G attempts at one problem, T tokens, B rows of a batch,
H hidden, V vocabulary. Log-probs are in nats. Everything here is a value: functions return new ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

# A field that names a model of the run. The stage reads these off its tree: an unknown name is an error before any
# work, and a model that nobody names is never built.
ModelName = Annotated[str, "model"]

Message = dict[str, Any]  # {"role": "user", "content": "..."}
Content = str | list[Message] | Sequence[Any]  # text, chat messages, or a sequence of texts and `Media`


@dataclass(frozen=True)
class Problem:
    """One question. Groups form by `id`, never by prompt text; the policy never sees `answer`.

    `prompt`: text is tokenized as it is; a list of messages goes through the tokenizer's chat template; a sequence
    may mix texts with `Media`. `info` holds whatever else a task knows: `info["solution"]` is a worked answer to
    imitate, where there is one.
    """

    id: str
    prompt: Content
    answer: Any = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Media:
    """An image, a sound or any array inside a row. `values` goes through the model's encoder of that `kind`, which
    gives `length` vectors; they take the place of the embeddings of tokens `start : start + length`."""

    kind: str
    values: Tensor
    length: int
    start: int = 0


@dataclass(frozen=True)
class Row:
    """One contiguous context as a model saw it. All arrays have the length T of `tokens`."""

    tokens: Tensor  # [T] int64
    sampled: Tensor  # [T] bool: the model chose this token
    trained: Tensor  # [T] bool: the loss sees this token
    logprobs: Tensor  # [T] float32, nats, of softmax(logits / temperature) when sampled; 0 elsewhere
    versions: Tensor  # [T] int32: the weights' version that sampled it; -1 where nobody did
    model: str = "policy"
    temperature: float = 1.0  # 0 means greedy: such tokens can not be trained on as samples
    truncated: bool = False  # sampled under top-k, top-p, min-p or a processor
    media: tuple[Media, ...] = ()
    grafted: bool = False  # its log-probs are those of another context: nobody can compute them from these tokens

    def __len__(self) -> int:
        return self.tokens.shape[0]


@dataclass(frozen=True)
class Turn:
    """A stretch of one row, for people and for rewards: tokens `start : stop` of row `row`."""

    role: str  # "prompt", "policy", "env", or a chat role
    text: str
    row: int
    start: int
    stop: int
    reward: float = 0.0


Stop = Literal["", "eos", "stop", "length", "env", "error"]


@dataclass(frozen=True)
class Trajectory:
    """One attempt at a problem: its rows in order, and its turns.

    `stop`: "" not over; "eos"; "stop" a stop string or token (a tool call, say: may be extended further); "length";
    "env" the environment ended it; "error" task or tool code failed (`info["error"]` says how).
    `tracks`: named per-token arrays over all rows laid end to end, [T] or [T, ...] with T = `tokens_in(trajectory)`.
    """

    problem: Problem
    rows: tuple[Row, ...]
    turns: tuple[Turn, ...] = ()
    stop: Stop = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    tracks: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Attempts that are compared with one another. Statistics never cross groups.

    `name` tells kinds of group apart ("direct", "decomposed", "demonstration"); `slot` is the place of the problem in
    the draw (a problem drawn twice makes two groups).
    """

    problem: Problem
    trajectories: tuple[Trajectory, ...]  # G
    name: str = "direct"
    slot: int = 0


@dataclass(frozen=True)
class Scored:
    """A group with its rewards. An outcome reward is a token reward on the last trained token: one shape for all.

    A reward of NaN means "no verdict" (our own tool failed): the attempt leaves group and loss, and is counted.
    """

    group: Group
    rewards: tuple[Tensor, ...]  # G x [T] float32
    terms: Mapping[str, Tensor] = field(default_factory=dict)  # {name: [G]} before weights
    outcomes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {term: G words}, where a verifier spoke
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # {term: G}, where a verifier was timed


@dataclass(frozen=True)
class Credit:
    """What an advantage estimator says of each token: P x G x [T]. `targets` are returns for a value loss."""

    advantages: list[list[Tensor]]
    targets: list[list[Tensor]] | None = None


@dataclass(frozen=True)
class Batch:
    """Rows side by side, right-padded to T. `weights` are made by a `Weighting` for one optimizer step's whole batch,
    before micro-batches split it: the loss is sum(loss * weights), so no split can change the gradient."""

    tokens: Tensor  # [B, T] int64, padding 0
    valid: Tensor  # [B, T] bool: not padding
    trained: Tensor  # [B, T] bool: the loss sees it
    logprobs: Tensor  # [B, T] float32, nats: the behaviour's (the engine's own)
    advantages: Tensor  # [B, T] float32
    weights: Tensor  # [B, T] float32
    temperature: Tensor  # [B] float32
    trajectory: Tensor  # [B] int64: rows of one trajectory share it
    group: Tensor  # [B] int64: trajectories of one group share it
    name: tuple[str, ...]  # B group names
    model: tuple[str, ...]  # B: who sampled the row
    targets: Tensor | None = None  # [B, T] float32: returns, for a value loss
    proximal: Tensor | None = None  # [B, T] float32: the learner's own log-probs before this step's first update
    tracks: Mapping[str, Tensor] = field(default_factory=dict)  # {name: [B, T, ...]}
    terms: Mapping[str, Tensor] = field(default_factory=dict)  # {reward term: [B]} of the row's attempt; NaN: none
    media: tuple[tuple[Media, ...], ...] = ()  # B
    grafted: Tensor | None = None  # [B] bool: rows whose log-probs are those of another context

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def old(self) -> Tensor:
        """[B, T] nats: the log-probs a ratio is taken against: proximal where the stage asked for them, else the
        behaviour's."""
        return self.logprobs if self.proximal is None else self.proximal

    def rows(self, index: Tensor | Sequence[int]) -> Batch:
        """The rows at `index`, in that order, cut to their longest."""
        index = torch.as_tensor(index, dtype=torch.long)
        if index.equal(torch.arange(len(self))):
            return self
        longest = int(self.valid[index].sum(1).max()) if len(index) else 0

        def take(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            return (x[:, :longest] if x.dim() > 1 else x).index_select(0, index)

        picked = {k: take(v) for k, v in self.__dict__.items() if isinstance(v, Tensor)}
        order = index.tolist()
        return replace(
            self,
            **picked,
            name=tuple(self.name[i] for i in order),
            model=tuple(self.model[i] for i in order),
            media=tuple(self.media[i] for i in order) if self.media else (),
            tracks={k: v[:, :longest].index_select(0, index) for k, v in self.tracks.items()},
            terms={k: v[index] for k, v in self.terms.items()},
        )

    def of(self, model: str) -> Batch:
        """The rows that `model` sampled."""
        return self.rows([i for i, name in enumerate(self.model) if name == model])


@dataclass(frozen=True)
class Outputs:
    """What the learner's forward pass says of each trained token of a batch; entry t speaks of token t given those
    before it, and is 0 where the loss does not look.

    `values` and `hidden` are there only where the objective's `needs` names them.
    """

    logprobs: Tensor  # [B, T] float32, nats, of softmax(logits / temperature)
    entropy: Tensor  # [B, T] float32, nats; carries gradient only where `needs` has "entropy"
    values: Tensor | None = None  # [B, T] float32: the value of the state before token t
    hidden: Tensor | None = None  # [B, T, H]: the last hidden state that predicted token t


@dataclass(frozen=True)
class Step:
    """What an environment answers to an action."""

    content: Content
    reward: float = 0.0
    end: Literal["", "done", "truncated"] = ""


class Judged(NamedTuple):
    """A term's values with the verifier's outcome for each attempt."""

    values: Tensor  # [G]
    outcomes: tuple[str, ...]  # G of right, wrong, parsed, unparseable, timed out, crashed, failed
    seconds: tuple[float, ...] = ()  # G: how long each verdict took, where that is known; for people only


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen. Log-probs that come back are those of softmax(logits / temperature), whatever is cut off;
    where the distribution is cut off (top-k, top-p, min-p, processors) the log of the kept mass is stored as the track
    "log_kept" [T], and with `store_mask` the kept tokens themselves as "kept" [T, V] bool.

    A processor is `(tokens [T], logits [V]) -> logits [V]` for one row, applied after the temperature; -inf forbids a
    token, and no other change is allowed to a row that will be trained on. One that has `together = True` is asked once
    for all rows that are decoded alike: `(n histories [T], logits [n, V]) -> logits [n, V]`. It may ask another model
    of the run (`Predicting`).
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    processors: tuple[Callable[..., Tensor], ...] = ()
    store_mask: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"Decoding.max_tokens must be at least 1, got {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"Decoding.temperature must be 0 (greedy) or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"Decoding.top_p must lie in (0, 1], got {self.top_p}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"Decoding.min_p must lie in [0, 1), got {self.min_p}")
        if self.top_k < 0:
            raise ValueError(f"Decoding.top_k must be 0 (off) or more, got {self.top_k}")

    @property
    def truncates(self) -> bool:
        return bool(self.top_k or self.top_p < 1 or self.min_p > 0 or self.processors)


Want = Literal["logprobs", "values", "entropy", "hidden"]


class Policy(Protocol):
    """A model that plays. Every method returns a new trajectory; token ids are never re-derived from text."""

    def open(self, problem: Problem) -> Trajectory:
        """A trajectory of one row that holds the prompt. ValueError if it fills the context."""
        ...

    def insert(self, trajectory: Trajectory, content: Content, role: str | None = None) -> Trajectory:
        """Text that the model did not choose, at the end of the last row. With a role, what the chat template puts
        there for a message of that role, and the opening of the next assistant turn."""
        ...

    async def extend(self, trajectory: Trajectory, decoding: Decoding, seed: int) -> Trajectory:
        """Sample at the end of the last row until EOS, a stop, or a limit. Depends on weights, context and seed."""
        ...

    async def score(self, rows: Sequence[Row], want: Sequence[Want] = ("logprobs",)) -> list[dict[str, Tensor]]:
        """Per row, {what: [T] or [T, H]} under this model; entry t speaks of token t given tokens < t (entry 0: 0)."""
        ...

    def reopen(self, trajectory: Trajectory, ids: Sequence[int]) -> Trajectory:
        """Start a new row that holds `ids` as context."""
        ...

    def cut(self, trajectory: Trajectory, row: int, stop: int) -> Trajectory:
        """Forget everything from token `stop` of row `row` on."""
        ...

    def graft(self, trajectory: Trajectory, opened: Trajectory) -> Trajectory:
        """The sampled tokens of `trajectory`'s last row, with the sampler's log-probs, behind another prompt."""
        ...


@runtime_checkable
class Predicting(Protocol):
    """A model that says, while another one writes, what it would say next itself. Local models do."""

    @property
    def special(self) -> tuple[int, ...]:
        """The ids of its tokenizer's special tokens."""
        ...

    def predict(self, contexts: Sequence[Tensor]) -> Tensor:
        """[n, V] float32: the logits of the token behind each of n contexts [T]."""
        ...


class Task(Protocol):
    """Problems by index. `problem` is pure: the same split and index give the same problem. Splits are words."""

    def problem(self, split: str, i: int) -> Problem: ...
    def size(self, split: str) -> int | None: ...  # None: endless


class Episode(Protocol):
    """An environment in the middle of one attempt; single use."""

    async def step(self, action: str) -> Step: ...
    def fork(self) -> Episode: ...


Models = Mapping[str, Policy]
Rollout = Callable[[Models, Problem, int], Awaitable[list[Group]]]
Track = Callable[[Models, list[Group]], Awaitable[list[Group]]]
TermValue = Tensor | list[Tensor] | Judged
Term = Callable[[Group], TermValue | Awaitable[TermValue]]
AskingTerm = Callable[[Models, Group], Awaitable[TermValue]]  # one that asks a model; it has `asks_models = True`
Reward = Callable[[Models, Group], Awaitable[Scored]]
Filter = Callable[[list[Scored]], list[Scored]]
Advantage = Callable[[list[Scored]], Credit]
Weighting = Callable[[Batch], Tensor]
Objective = Callable[[Outputs, Batch], tuple[Tensor, dict[str, Tensor]]]
Callback = Callable[[Any, int, list[Scored]], Awaitable[None]]


class Curriculum(Protocol):
    def draw(self, task: Task, count: int, seed: int) -> list[Problem]: ...


@runtime_checkable
class Learning(Protocol):
    """A component that learns keeps `state` (JSON values and tensors), which changes in `observe` only."""

    state: dict[str, Any]

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None: ...


def tokens_in(trajectory: Trajectory) -> int:
    """T: the tokens of all rows."""
    return sum(len(row) for row in trajectory.rows)


def joined(trajectory: Trajectory, name: str) -> Tensor:
    """A row array ("trained", "sampled", "logprobs", "tokens", "versions") over all rows laid end to end, [T]."""
    return torch.cat([getattr(row, name) for row in trajectory.rows])


def owners(lengths: Sequence[int]) -> Tensor:
    """[sum of lengths] int64: 0 `lengths[0]` times, 1 `lengths[1]` times, ... For things of several lengths that are
    laid end to end: whose each place is."""
    return torch.from_numpy(np.arange(len(lengths)).repeat(lengths))  # torch's own wakes its threads for it: 80 us


def summed(values: Sequence[Tensor]) -> Tensor:
    """[G] float64: the sum of each of G arrays of one axis."""
    if not values:
        return torch.zeros(0, dtype=torch.float64)
    owner = owners([value.shape[0] for value in values])
    return torch.zeros(len(values), dtype=torch.float64).index_add(0, owner, torch.cat(list(values)).double())


def sampled_count(trajectory: Trajectory) -> int:
    """How many tokens the models chose: the length that people mean."""
    return int(sum(int(row.sampled.sum()) for row in trajectory.rows))
