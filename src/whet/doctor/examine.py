"""Before step 0: look at every stage of a run that plays, and say what is wrong."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from whet.doctor import answers, playing, room, tokens
from whet.doctor.case import Aside, Case, opened, shortened, undisturbed
from whet.doctor.finding import Finding, errors
from whet.engines.remote import Remote
from whet.given import added
from whet.run import Run
from whet.schedule import at
from whet.stages.rl import RL


def examine(run: Run, thorough: bool = False) -> list[Finding]:
    """The findings of all `RL` stages of a run that has been checked and has not begun, errors first, each name once.

    A stage is rehearsed: its first problems are played (with a model so large that this would take long, few and short
    attempts) and scored, its gold answers are judged, the learner reads what the engine wrote, a few weights are moved
    and put back. Nothing of the run changes, no generator of Python, numpy or torch goes on, and all draws are from
    named streams: the run comes out as without it. `thorough` takes ten times as long for large models. Stages that
    ask a remote model are not played, as that costs money; only what needs no attempts is looked at.
    """
    found: list[Finding] = []
    if run.machine.threads:
        torch.set_num_threads(run.machine.threads)
    with undisturbed(), tempfile.TemporaryDirectory(prefix="whet-doctor-") as folder:
        for number, stage in enumerate(run.stages):
            if isinstance(stage, RL):
                place = Path(folder) / str(number)
                place.mkdir()
                found += _stage(run, number, stage, place, thorough)
    first = {(finding.name, finding.what): finding for finding in reversed(found)}
    kept = [finding for finding in found if first[finding.name, finding.what] is finding]
    return errors(kept) + [finding for finding in kept if finding.level == "warning"]


def _stage(run: Run, number: int, stage: RL, folder: Path, thorough: bool) -> Iterator[Finding]:
    # what an earlier stage makes of the policy is not known yet
    warmed = any("policy" in earlier.trains() for earlier in run.stages[:number])
    remote = any(isinstance(spec, Remote) for spec in added(stage).values())
    problems, prompt = opened(stage, run)
    small, short = shortened(at(stage, 0), run.lms["policy"], int(at(stage, 0).problems), prompt, thorough)
    small = copy.deepcopy(small)
    rehearsal = run.rehearsal(number, small, folder, Aside(run.screen))
    try:
        case = Case(rehearsal, small, problems, short=short, warmed=warmed)
        static = [finding for check in tokens.CHECKS for finding in check(case)]
        static += [*room.memory(case, stage), *room.disk(case, stage, run.folder)]
        yield from static
        if errors(static) or remote:
            return
        try:
            played, _, _ = asyncio.run(small.experience(rehearsal, 0))
            case = replace(case, played=tuple(played), golds=answers.golds(case))
        except ValueError as error:
            yield from answers.columns(case)
            yield Finding("play", "a step can be played and scored", str(error), "mend what it names")
            return
        yield from (finding for check in playing.CHECKS for finding in check(case))
        # limits and credit are those of the stage as it is, not as it is rehearsed
        yield from (finding for check in answers.CHECKS for finding in check(replace(case, stage=stage)))
    finally:
        rehearsal.endpoints.close()
