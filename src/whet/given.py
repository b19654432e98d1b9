"""The models that a stage adds to a run: made from another of its models, built on their own, or remote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from whet.describe import walk
from whet.engines.remote import Endpoint, Remote
from whet.files import read_json, write_json
from whet.inventory import model_names
from whet.models.derived import Copy, Critic, Derived, Follow, Start
from whet.models.lm import LM
from whet.randomness import stream


@runtime_checkable
class Buildable(Protocol):
    """What makes a model: `TinyQwen(...)`, `Pretrained("path or name")`."""

    def build(self, seed: int) -> LM: ...


Given = Derived | Remote | Buildable


def added(stage: Any) -> Mapping[str, Given]:
    """The models of a stage by name, those that others are made from first."""
    given = getattr(stage, "models", {})
    return dict(sorted(given.items(), key=lambda entry: isinstance(entry[1], Derived)))


def make(name: str, spec: Given, lms: Mapping[str, LM], seed: int) -> LM:
    """The model of a spec that is not remote."""
    if isinstance(spec, Derived):
        return spec.derive(lms[spec.source])
    assert isinstance(spec, Buildable)
    return spec.build(seed_of(name, seed))


def seed_of(name: str, seed: int) -> int:
    """What a model that is built gets: a stream of the run's seed by its name, whatever the stage and the arm."""
    return stream(seed, "model", name)


def check_given(stage: Any, lms: Mapping[str, LM], seed: int) -> dict[str, LM]:
    """ValueError for a model that could not play the part the stage gives it: one that can not be built, a remote one
    that does not answer, would be trained, copied, or learned from, and one of other tokens that a track asks to
    score or another model learns from. The models that were built for this."""
    built: dict[str, LM] = {}
    for name, spec in added(stage).items():
        if isinstance(spec, Remote):
            _check_remote(name, stage)
            endpoint = Endpoint(spec, name)
            try:
                endpoint.check()
            finally:
                endpoint.close()
        elif isinstance(spec, Buildable):
            built[name] = make(name, spec, lms, seed)
        elif not isinstance(spec, Copy | Follow | Critic | Start):
            raise ValueError(f"models.{name} must be a Copy, Follow, Critic, Start, Remote or Pretrained, got {spec!r}")
    _check_scores(stage, {**lms, **built})
    return built


def _check_remote(name: str, stage: Any) -> None:
    learned = getattr(stage, "train", {})
    rows = [getattr(train, "rows", "") for train in learned.values()] if isinstance(learned, Mapping) else []
    copies = [other for other, spec in added(stage).items() if getattr(spec, "source", "") == name]
    for wrong, what in ((name in stage.trains(), "trained"), (name in rows, "learned from"), (copies, "copied")):
        if wrong:
            raise ValueError(f"the model {name!r} is remote and can not be {what}: its weights and tokens are not here")


def _check_scores(stage: Any, lms: Mapping[str, LM]) -> None:
    """Tracks, and what says so (`reads_tokens`), score the policy's token ids, and rows are learned from as token ids:
    a model of another tokenizer would take them for other words."""
    for path, name in _scorers(stage):
        if name in lms and name != "policy" and _vocabulary(lms[name]) != _vocabulary(lms["policy"]):
            raise ValueError(
                f"{path} asks {name!r} to score the policy's tokens, and its tokenizer is another one; "
                "take a model with the policy's tokenizer"
            )
    for learner, teacher in _taught(stage):
        if learner in lms and teacher in lms and _vocabulary(lms[learner]) != _vocabulary(lms[teacher]):
            raise ValueError(
                f"train.{learner}.rows has {learner!r} learn from the tokens of {teacher!r}, and its tokenizer is "
                f"another one; take a model with the tokenizer of {learner!r}"
            )


def _scorers(stage: Any) -> Iterator[tuple[str, str]]:
    yield from ((f"tracks.{path}", name) for path, name in model_names(list(getattr(stage, "tracks", ()))))
    for path, part in walk(stage):
        yield from ((f"{path}.{name}".lstrip("."), getattr(part, name)) for name in getattr(part, "reads_tokens", ()))


def _taught(stage: Any) -> Iterator[tuple[str, str]]:
    """(who learns, whose rows)."""
    learned = getattr(stage, "train", {})
    if isinstance(learned, Mapping):
        yield from ((name, train.rows) for name, train in learned.items() if getattr(train, "rows", ""))


def _vocabulary(lm: LM) -> dict[str, int]:
    return lm.codec.tokenizer.get_vocab()


class Endpoints:
    """The remote models of a run, live. What they were asked and what it cost stands in `remote.json` of the run's
    folder: a run that is resumed goes on counting, and a budget holds for all of it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "remote.json"
        self.live: dict[str, Endpoint] = {}
        self._logged: dict[str, dict[str, float]] = {}

    def open(self, name: str, spec: Remote) -> None:
        endpoint = Endpoint(spec, name)
        known = read_json(self.file).get(name, {}) if self.file.exists() else {}
        for key in vars(endpoint.meter):
            setattr(endpoint.meter, key, known.get(key, 0))
        self.live[name], self._logged[name] = endpoint, dict(vars(endpoint.meter))

    def metrics(self) -> dict[str, float]:
        """{"judge/cost": ..., ...}: what was asked since this was asked last."""
        out: dict[str, float] = {}
        for name, endpoint in self.live.items():
            now = dict(vars(endpoint.meter))
            out |= {f"{name}/{key}": value - self._logged[name][key] for key, value in now.items()}
            self._logged[name] = now
        return out

    def keep(self) -> None:
        """Write what was asked so far."""
        if self.live:
            known = read_json(self.file) if self.file.exists() else {}
            for name, endpoint in self.live.items():
                remote = endpoint.remote
                known[name] = {
                    "url": remote.url,
                    "model": remote.model,
                    "currency": remote.currency,
                    **vars(endpoint.meter),
                }
            write_json(self.file, known)

    def close(self) -> None:
        """The stage is over, or the run: keep the count, give up what is on its way."""
        for endpoint in self.live.values():
            endpoint.close()
        self.keep()
        self.live, self._logged = {}, {}
