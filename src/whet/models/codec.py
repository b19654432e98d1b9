"""Between text and token ids: prompts, chat templates, media placeholders, and text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerFast

from whet.models import surgery
from whet.types import Content, Media, Message, Problem, Trajectory, Turn

_USER: Message = {"role": "user", "content": "a"}


class Codec:
    """A tokenizer and its chat template. Token ids, once in a row, are never derived from text again.

    `also_eos` are further ids that end an answer (a generation config's list). The token with which the chat template
    ends an assistant turn is one too.
    """

    def __init__(self, tokenizer: Any, also_eos: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        first = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        self._plain = getattr(type(tokenizer), "_decode", None) is PreTrainedTokenizerFast._decode
        self.eos: tuple[int, ...] = tuple(dict.fromkeys((*first, *also_eos)))
        self.templated = bool(getattr(tokenizer, "chat_template", None))
        end = self._turn_end
        if end and end[-1] not in self.eos:
            self.eos = (*self.eos, end[-1])
        if not self.eos:
            raise ValueError("the tokenizer has no EOS token: an answer could never end; set tokenizer.eos_token")
        self.pad: int = self.eos[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        bos = tokenizer.bos_token_id
        self.bos: tuple[int, ...] = () if bos is None or tokenizer.encode("a")[:1] != [bos] else (bos,)
        self._hidden = {*self.eos, self.pad, *(() if bos is None else (bos,))}

    # ------------------------------------------------------------------------------------------------ into tokens

    def open(self, problem: Problem, context: int, model: str = "policy") -> Trajectory:
        """A trajectory of one row that holds the prompt, as a turn "prompt".

        Text is tokenized as it is, tags in it are tokens, and BOS is put before it if the tokenizer does so itself.
        Messages go through the chat template, which opens the assistant's turn. An empty text becomes BOS, or EOS
        (the border between documents) where there is no BOS. ValueError if the prompt leaves no room in `context`
        tokens, or if there are messages and no template.
        """
        prompt = problem.prompt
        if _messages(prompt):
            ids, media = self._tokens(self._rendered(_as_messages(prompt, None), opens=True))
        else:
            ids, media = self._tokens(_parts(prompt))
            if ids[:1] != list(self.bos):
                ids, media = [*self.bos, *ids], [replace(m, start=m.start + len(self.bos)) for m in media]
        if not ids:
            ids = [self.eos[0]]
        if len(ids) >= context:
            raise ValueError(
                f"the prompt of problem {problem.id!r} has {len(ids)} tokens and the context holds {context}, "
                "the answer included; shorten the prompt or take a model with a longer context"
            )
        row = surgery.given(ids, model, media=media)
        return Trajectory(problem, (row,), (Turn("prompt", self.text(ids), 0, 0, len(ids)),))

    def insert(
        self, trajectory: Trajectory, content: Content, role: str | None = None, *, trained: bool = False
    ) -> Trajectory:
        """Content that no model chose, at the end of the last row.

        Without a role: its tokens as they are (turn "env"). With a role, or as messages: what the chat template puts
        behind an assistant's turn for it, and the opening of the next assistant turn. The template's end of turn is
        left out if the row ends in that token already. Role "assistant" fills the turn that is open and ends it
        (turn "assistant"). `trained` marks the tokens as seen by the loss. ValueError if the template can not say it.
        """
        if role is None and not _messages(content):
            ids, media = self._tokens(_parts(content))
            return self._append(trajectory, ids, media, "env", self.text(ids), trained)
        if role == "assistant":
            return self._finish(trajectory, content, "assistant", trained)
        messages = _as_messages(content, role)
        ids, media = self._tokens(self._after_assistant(messages, opens=True))
        end = self._turn_end
        if end and int(trajectory.rows[-1].tokens[-1]) == end[-1] and ids[: len(end)] == end:
            ids, media = ids[len(end) :], [replace(m, start=m.start - len(end)) for m in media]
        text = "\n".join(_said(m["content"]) for m in messages)
        return self._append(trajectory, ids, media, str(messages[-1]["role"]), text, trained)

    def answer(self, trajectory: Trajectory, text: str, *, ends: bool = True) -> Trajectory:
        """A completion to imitate: `text` and the end of the turn, trained and not sampled, as a turn "policy".
        What follows the opening is what sampling this text would have put there. Without `ends` the turn stays open:
        a call in mid-turn, behind which what a tool said can be inserted."""
        if not ends:
            ids, media = self._tokens([text])
            return self._append(trajectory, ids, media, "policy", text, True)
        return replace(self._finish(trajectory, text, "policy", True), stop="eos")

    def _finish(self, trajectory: Trajectory, content: Content, role: str, trained: bool) -> Trajectory:
        ids, media = self._tokens(_parts(content))
        chat = _messages(trajectory.problem.prompt)
        end = self._turn_end if chat and self._turn_end else [self.eos[0]]
        return self._append(trajectory, [*ids, *end], media, role, _said(content), trained)

    def _append(
        self, trajectory: Trajectory, ids: list[int], media: list[Media], role: str, text: str, trained: bool
    ) -> Trajectory:
        row = surgery.given(ids, trajectory.rows[-1].model, trained, media)
        return surgery.append(trajectory, row, role, text)

    def _tokens(self, parts: Sequence[Any]) -> tuple[list[int], list[Media]]:
        """Texts and media in turn as ids; a medium is `length` padding tokens, and gets its place."""
        ids: list[int] = []
        media: list[Media] = []
        for part in parts:
            if isinstance(part, Media):
                media.append(replace(part, start=len(ids)))
                ids += [self.pad] * part.length
            elif isinstance(part, str):
                ids += self.tokenizer.encode(part, add_special_tokens=False) if part else []
            else:
                raise ValueError(f"content must be text, messages, or texts and Media, got {type(part).__name__}")
        return ids, media

    # --------------------------------------------------------------------------------------------- chat template

    @cached_property
    def _turn_end(self) -> list[int]:
        """What ends an assistant's turn: the tokens that the template puts behind its words, up to the first special
        one (the newline that may follow belongs to the next turn). Empty if there is none."""
        if not self.templated:
            return []
        try:
            ids, _ = self._tokens(self._after_assistant([], opens=False))
        except ValueError:
            return []
        added = self.tokenizer.added_tokens_decoder
        special = [k for k, i in enumerate(ids) if i in self.eos or (i in added and added[i].special)]
        return ids[: special[0] + 1] if special else []

    def _after_assistant(self, messages: list[Message], opens: bool) -> list[Any]:
        """What the template puts behind an assistant's words for `messages`: the conversation with a stand-in for
        those words, from the end of the stand-in on. ValueError if it does not keep the stand-in as it is, once."""
        word = _unused("said", [_said(m["content"]) for m in messages])
        text, media = self._render([_USER, {"role": "assistant", "content": word}, *messages], opens)
        if text.count(word) != 1:
            raise ValueError(
                "the chat template rewrites earlier turns, so a message can not be put behind tokens that stand; "
                "insert plain text (role=None) or change the template"
            )
        return _split(text.partition(word)[2], media)

    def _rendered(self, messages: list[Message], opens: bool) -> list[Any]:
        return _split(*self._render(messages, opens))

    def _render(self, messages: list[Message], opens: bool) -> tuple[str, dict[str, Media]]:
        """The conversation as text in which a marker stands for each medium."""
        if not self.templated:
            raise ValueError(
                "the prompt is a list of messages, but the tokenizer has no chat template; "
                "give the prompt as text, or set tokenizer.chat_template"
            )
        marker = _unused("medium", [_said(m["content"]) for m in messages])
        media: dict[str, Media] = {}
        plain = []
        for message in messages:
            text = ""
            for part in _parts(message["content"]):
                if isinstance(part, Media):
                    media[f"[{marker}{len(media)}]"] = part
                    part = f"[{marker}{len(media) - 1}]"
                text += part
            plain.append({**message, "content": text})
        try:
            text = self.tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=opens)
        except Exception as error:  # a template is somebody's program: it may raise anything
            roles = [str(m.get("role")) for m in messages]
            raise ValueError(f"the chat template can not render messages of roles {roles}: {error}") from error
        return text, media

    # -------------------------------------------------------------------------------------------------- the rest

    def reopen(self, trajectory: Trajectory, ids: Sequence[int], model: str = "policy") -> Trajectory:
        """See `surgery.reopen`."""
        return surgery.reopen(trajectory, ids, model, self.text(ids))

    def cut(self, trajectory: Trajectory, row: int, stop: int) -> Trajectory:
        """See `surgery.cut`."""
        return surgery.cut(trajectory, row, stop, self.text)

    def graft(self, trajectory: Trajectory, opened: Trajectory) -> Trajectory:
        """See `surgery.graft`."""
        return surgery.graft(trajectory, opened, self.text)

    def text(self, tokens: Sequence[int] | Tensor) -> str:
        """For people and rewards: without BOS, EOS and padding, and otherwise as it is (`<think>` stays)."""
        ids = tokens.tolist() if isinstance(tokens, Tensor) else tokens
        shown = [i for i in ids if i not in self._hidden]
        if self._plain:  # what `decode` comes to, in a fifth of the time
            return self.tokenizer.backend_tokenizer.decode(shown, skip_special_tokens=False)
        return self.tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _messages(content: Content) -> bool:
    return not isinstance(content, str) and len(content) > 0 and all(isinstance(m, dict) for m in content)


def _as_messages(content: Content, role: str | None) -> list[Message]:
    if _messages(content):
        return [message for message in content if isinstance(message, dict)]
    return [{"role": role, "content": content}]


def _parts(content: Content) -> Sequence[Any]:
    return [content] if isinstance(content, (str, Media)) else content


def _said(content: Content) -> str:
    return "".join(part for part in _parts(content) if isinstance(part, str))


def _unused(word: str, texts: Sequence[str]) -> str:
    """`word`, made longer until no text has it: what a model or a user wrote can not be taken for ours."""
    while any(word in text for text in texts):
        word += "x"
    return word


def _split(text: str, media: Mapping[str, Media]) -> list[Any]:
    """The text with each marker replaced by its medium."""
    parts: list[Any] = []
    for marker, medium in media.items():
        before, found, rest = text.partition(marker)
        if found:
            parts += [before, medium]
            text = rest
    return [*parts, text]
