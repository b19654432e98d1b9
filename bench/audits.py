"""How often every verifier errs on answers that are known to be right or wrong: `whet audit`, verifier by verifier."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

RESULTS = Path("results/audits.json")
PAGE = Path("docs/verifiers.md")
COMMAND = "make audits"
FILES = Path(__file__).with_name("problems")

_HELP = """Audit every shipped verifier on a task that suits it, or on problems whose answers were written by hand.

All of them, into results/audits.json and docs/verifiers.md, in about two minutes on two cores:

    python -m bench.audits

A quick look, which is printed and not stored:

    python -m bench.audits --only math --only sql --problems 5
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Case(NamedTuple):
    """`whet audit REWARD --task TASK --frame FRAME`; a task that ends in .jsonl is one of `FILES`."""

    reward: str
    task: str
    frame: str = "<answer>{}</answer>"

    @property
    def command(self) -> str:
        frame = "" if self.frame == Case._field_defaults["frame"] else f' --frame "{self.frame}"'
        return f"whet audit {self.reward} --task {self.shown}{frame}"

    @property
    def shown(self) -> str:
        return f"bench/problems/{self.task}" if self.task.endswith(".jsonl") else self.task


CASES = (
    Case("exact", "string-functions"),
    Case("numeric", "chain-sum"),
    Case("gsm8k", "chain-sum", "#### {}"),
    Case("math", "math.jsonl"),
    Case("choice", "choice.jsonl"),
    Case("countdown", "countdown"),
    Case("assignment", "knights-knaves"),
    Case("tool_calls", "api-calls"),
    Case("sql", "sql-questions"),
    Case("json_schema", "json.jsonl"),
    Case("constraints", "mini-instructions"),
    Case("constraints", "constraints.jsonl"),
    Case("reasoning_gym", "gym.jsonl"),
    Case("steps", "steps.jsonl"),
    Case("code", "programs"),
    Case("code", "code.jsonl"),
)


def audited(case: Case, problems: int = 50) -> dict[str, Any]:
    """What `whet.auditing.audit` says of a case."""
    from whet.auditing import audit
    from whet.evaluating import asked
    from whet.rewards.named import named

    task = str(FILES / case.task) if case.task.endswith(".jsonl") else case.task
    what = asked(task, reward=case.reward)
    return audit(named(case.reward), what.task, problems, what.split, frame=case.frame)


HEAD = (
    "verifier",
    "problems of",
    "right",
    "wrong",
    "wrong taken",
    "right not taken",
    "slowest",
    "worst case",
)


def line(case: Case, found: Mapping[str, Any]) -> list[str]:
    """A row of the table."""
    counts = found["probes"]
    return [
        f"`{case.reward}`",
        f"`{case.shown}`",
        str(counts["right"]),
        str(counts["wrong"]),
        _share(found["false positives"]),
        _share(found["false negatives"]),
        f"{found['slowest']:.1f} s",
        _worst(found["worst"]),
    ]


def _share(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['value']:.2g} % [{100 * estimate['low']:.2g}, {100 * estimate['high']:.2g}]"


def _worst(cases: Sequence[Mapping[str, Any]]) -> str:
    if not cases:
        return ""
    text = " ".join(cases[0]["text"][:60].split()).replace("|", "\\|").replace("`", "'")
    return f"{'not taken' if cases[0]['should'] else 'taken'}, {cases[0]['kind']}: `{text}`"


@app.command(help=_HELP)
def main(
    problems: Annotated[int, typer.Option(min=1, help="Problems of every task; of a file at most all.")] = 50,
    only: Annotated[list[str] | None, typer.Option(help="Only this verifier.")] = None,
) -> None:
    from bench.machine import description
    from bench.table import refresh, table
    from whet.files import write_json

    cases = [case for case in CASES if not only or case.reward in only]
    if shutil.which("bwrap") is None and any(case.reward == "code" for case in cases):
        raise typer.BadParameter("programs are run by bubblewrap, which is not installed; see docs/sandbox.md")
    results, lines = [], []
    for case in cases:
        typer.echo(case.command, err=True)
        found = audited(case, problems)
        results.append({"reward": case.reward, "task": case.shown, "command": case.command, **found})
        lines.append(line(case, found))
    about = description(COMMAND)
    text = f"{about['date']}, {problems} problems of a task, all of a file.\n\n{table(HEAD, lines)}"
    typer.echo(text)
    if not only:
        write_json(RESULTS, {**about, "problems": problems, "audits": results})
        refresh(PAGE, COMMAND, text)


if __name__ == "__main__":
    app()
