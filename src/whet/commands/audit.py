"""`whet audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from whet.commands.shared import Settings, clear_errors, output, progress


@clear_errors
def audit(
    reward: Annotated[
        str,
        typer.Argument(help="exact, numeric, sql, code, ..., file.py:verify or file.py:function."),
    ],
    task: Annotated[
        str, typer.Option("--task", help="chain-sum, sql-questions, ..., gym:NAME, or a file of problems and answers.")
    ],
    problems: Annotated[int, typer.Option(min=1, help="How many problems.")] = 100,
    split: Annotated[str, typer.Option(help="Which of them; those that are held out if not given.")] = "",
    frame: Annotated[str, typer.Option(help="How an answer stands in a text, {} in its place.")] = "",
    prompt: Annotated[str, typer.Option("--prompt", metavar="COLUMN", help="Column of questions in a file.")] = "",
    answer: Annotated[str, typer.Option("--answer", metavar="COLUMN", help="Column of answers in a file.")] = "",
    seed: Annotated[int, typer.Option(help="Of the mutations.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Try a reward with answers that are known to be right or wrong, before a model does.

    For every problem: its right answer, its solution, other notations; near misses, mutations, other problems' answers;
    empty, blank and endless answers, all answers at once, one that is taken back, text that talks to the verifier; and
    what the task or the file says is "right" or "wrong".
    Shows how often each is taken for right, with intervals over the problems, and the worst cases. The exit code is 1
    if a wrong answer was taken.

    \b
    Examples:
      whet audit numeric --task chain-sum
      whet audit gsm8k --task test.jsonl --frame "#### {}"
      whet audit my_verifier.py:verify --task test.jsonl
      whet audit my_reward.py:score --task test.jsonl --problems 500 --json
    """
    import json

    from whet.auditing import audit as audited
    from whet.evaluating import asked
    from whet.probes import FRAME
    from whet.rewards.named import named
    from whet.screen import show_table

    if frame and frame.count("{}") != 1:
        raise ValueError(f"--frame must have one {{}} where the answer goes, got {frame!r}")
    what = asked(task, settings, prompt, answer or None, reward)
    with progress():
        found = audited(named(reward), what.task, problems, split or what.split, seed, frame or FRAME)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        console = output()
        rows = [
            (
                kind,
                "right" if of["should"] else "wrong",
                str(of["probes"]),
                _share(of["taken"]),
                str(of["failed"] or ""),
            )
            for kind, of in found["kinds"].items()
        ]
        rows += [
            ("false positives", "wrong", str(found["probes"]["wrong"]), _share(found["false positives"]), ""),
            ("not taken", "right", str(found["probes"]["right"]), _share(found["false negatives"]), ""),
        ]
        show_table(console, ("answers", "which are", "number", "taken for right (95 %)", "no verdict"), rows)
        words = ", ".join(f"{word} {n}" for word, n in found["outcomes"].items()) or "none"
        typer.echo(
            f"{found['order']} values change with the order of attempts; the slowest problem took "
            f"{found['slowest']:.2f} s; outcomes: {words}"
        )
        for case in found["worst"]:
            said = "taken" if not case["should"] else "not taken"
            typer.echo(f"  {said} ({case['kind']}, {case['problem']}): {case['text'][:100]!r}")
    raise typer.Exit(1 if any(not case["should"] for case in found["worst"]) else 0)


def _share(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.1%} [{estimate['low']:.1%}, {estimate['high']:.1%}]"
