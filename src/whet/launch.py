"""From an order (which recipe, arm, seed, model, settings) to a run folder, and back to work after a stop."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whet.describe import children, fingerprint
from whet.doctor.examine import examine
from whet.doctor.finding import errors
from whet.effects import check_effects
from whet.files import alone, new_run_folder, read_json, write_json
from whet.files import folder as made_whole
from whet.machines.profile import MACHINES, TESTED, Machine
from whet.metrics.evaluation import comparison, per_problem
from whet.models.lm import save
from whet.models.lora import Lora
from whet.models.pretrained import Pretrained
from whet.own import command, own_data
from whet.recipe import Recipe, description, prepare
from whet.report import rows, write_report
from whet.run import Interrupted, Run, Screen
from whet.settings import override, override_arms, put_arms


@dataclass(frozen=True)
class Order:
    """All that is needed to make the same run again; kept in `recipe.json`."""

    recipe: str  # a shipped slug, or the path of a .py file
    arm: str = ""  # "": the recipe's only arm
    seed: int = 0
    model: str = ""  # a path or hub name put in place of the recipe's model
    machine: str = "cpu"
    settings: tuple[str, ...] = ()  # "path=value"
    own: Mapping[str, Any] = field(default_factory=dict)  # arguments of a recipe made from a user's own data
    lora: int = 0  # rank of an adapter to put on the model; 0: none


def slugs() -> dict[str, str]:
    """{slug: module} of every shipped recipe."""
    from pkgutil import iter_modules

    import whet.recipes

    names = sorted(m.name for m in iter_modules(whet.recipes.__path__) if not m.name.startswith("_"))
    return {name.replace("_", "-"): f"whet.recipes.{name}" for name in names}


def find(order: Order) -> Recipe:
    """The recipe an order names, with its model and settings put in. ValueError for an unknown slug or a file without
    a `recipe`."""
    if order.own:
        recipe = own_data(**order.own)
    elif order.recipe.endswith(".py"):
        recipe = _from_file(Path(order.recipe))
    else:
        known = slugs()
        if order.recipe not in known:
            near = get_close_matches(order.recipe, known, n=3, cutoff=0.4) or list(known)
            raise ValueError(
                f"there is no recipe {order.recipe!r}; did you mean {', '.join(near)}? "
                "`whet list` shows all, and a path that ends in .py runs your own"
            )
        recipe = importlib.import_module(known[order.recipe]).recipe
    if order.model:
        recipe = arranged(replace(recipe, model=Pretrained(order.model)), put_arms(recipe.arms, recipe.at_scale))
    if order.lora:
        recipe = replace(recipe, model=Lora(recipe.model, rank=order.lora))
    return changed(recipe, order.settings) if order.settings else recipe


def changed(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe with settings "path=value". A path speaks of the arms (`override_arms`), or with "model." or "evaluate."
    in front of the model and its warm-up, or of the evaluations."""
    own = [
        s for s in settings if s.partition(".")[0] in ("model", "evaluate") and s.partition(".")[0] not in recipe.arms
    ]
    recipe = arranged(recipe, override_arms(recipe.arms, [s for s in settings if s not in own]))
    parts = override({"model": recipe.model, "evaluate": list(recipe.evaluate)}, own)
    return replace(recipe, model=parts["model"], evaluate=parts["evaluate"])


def arranged(recipe: Recipe, arms: Mapping[str, Sequence[Any]]) -> Recipe:
    """A recipe with other arms. What the arms share with warm-up and evaluation (one task, one rollout) stays one:
    where all arms have changed it to the same thing, it changes there too."""
    new: dict[int, list[Any]] = {}
    for name, stages in recipe.arms.items():
        for old_stage, new_stage in zip(stages, arms[name], strict=True):
            for (_, old), (_, now) in zip(children(old_stage), children(new_stage), strict=True):
                new.setdefault(id(old), []).append(now)
    swap = {key: found[0] for key, found in new.items() if all(one is found[0] for one in found)}
    return replace(
        recipe, arms=arms, model=_swapped(recipe.model, swap), evaluate=_swapped(list(recipe.evaluate), swap)
    )


def _swapped(node: Any, swap: Mapping[int, Any]) -> Any:
    """`node` with components replaced by identity; plain values are nobody's."""
    if is_dataclass(node) and id(node) in swap:
        return swap[id(node)]
    if is_dataclass(node):
        new = {key: _swapped(value, swap) for key, value in children(node)}
        different = {key: value for key, value in new.items() if value is not getattr(node, key)}
        return replace(node, **different) if different else node  # type: ignore[type-var]
    if isinstance(node, (list, tuple)):
        return type(node)(_swapped(value, swap) for value in node)
    return node


def _from_file(path: Path) -> Recipe:
    if not path.is_file():
        raise ValueError(f"there is no recipe file {path}; give a shipped slug (`whet list`) or the path of a .py file")
    spec = importlib.util.spec_from_file_location(f"whet_recipe_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}; mend the file") from error
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{path} must define `recipe = Recipe(...)`, got {type(recipe).__name__}")
    return recipe


def start(order: Order, out: Path | None, screen: Screen, doctor: bool = False) -> Run:
    """Make the run folder, check everything, and run. Nothing is left of a run whose checks fail. `doctor`: rehearse
    first; ValueError for an error that it finds, warnings are shown."""
    recipe = find(order)
    arm = order.arm or (next(iter(recipe.arms)) if len(recipe.arms) == 1 else "")
    if arm not in recipe.arms:
        asked = f"there is no arm {arm!r}" if arm else "the recipe has several arms"
        raise ValueError(f"{asked}; choose one with --arm: {', '.join(recipe.arms)}")
    order = replace(order, arm=arm)
    check_effects(recipe.arms, order.settings, machine(order), arm)
    folder = out or free_folder(Path("runs") / Path(order.recipe).stem / f"{arm}-seed{order.seed}")
    new_run_folder(folder)  # refuses one that is not empty or can not be written, before any model is made
    try:
        # What was ordered comes first: a run that is killed while its model is made can be resumed, too.
        if order.recipe.endswith(".py"):
            shutil.copy(order.recipe, folder / "recipe.py")
            order = replace(order, recipe=str(Path(order.recipe).resolve()))
        told = description(recipe, arm, order.seed)
        write_json(folder / "env.json", environment())
        write_json(folder / "recipe.json", {"order": asdict(order), "fingerprint": fingerprint(told), **told})
        run = prepare(recipe, arm, order.seed, folder, machine(order), screen)
        run.check()
        _write_tokenizer(run)
        if doctor:
            see(run)
    except Interrupted:
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    return _go(run, order)


def _write_tokenizer(run: Run) -> None:
    """For whoever looks at the tokens of a run that has no model yet."""
    with made_whole(run.folder / "tokenizer") as part:
        run.lms["policy"].codec.tokenizer.save_pretrained(part)


def see(run: Run) -> None:
    """What the doctor finds: ValueError for its errors, the screen for its warnings."""
    found = examine(run)
    if bad := errors(found):
        more = f"; and {', '.join(finding.name for finding in bad[1:])}" if bad[1:] else ""
        raise ValueError(f"{bad[0].line()}{more} (`whet doctor` shows all, --no-doctor runs it all the same)")
    for finding in found:
        run.screen.warn(finding.line())


def resume(folder: Path, screen: Screen) -> Run:
    """Go on with a run that was stopped. Metrics and weights come out as if it had not been."""
    order, recipe = ordered(folder)
    told = read_json(folder / "recipe.json")
    now = fingerprint(_unnamed(description(recipe, order.arm, order.seed)))
    if now != fingerprint(_unnamed({k: told[k] for k in ("arm", "seed", "model", "stages", "evaluate")})):
        raise ValueError(
            f"the recipe {order.recipe} is no longer the one this run was started with; "
            "resume with the code that started it, or start a new run"
        )
    run = prepare(recipe, order.arm, order.seed, folder, machine(order), screen)
    return _go(run, order)


def ordered(folder: Path) -> tuple[Order, Recipe]:
    """What a run was ordered with, and the recipe that this is today; of a file, the copy in the run's folder.
    ValueError for a folder that is no run's."""
    if not (folder / "recipe.json").exists():
        raise ValueError(f"{folder} is no run folder (it has no recipe.json); give the folder that `whet run` printed")
    told = read_json(folder / "recipe.json")
    order = Order(**{**told["order"], "settings": tuple(told["order"]["settings"])})
    if order.recipe.endswith(".py") and (folder / "recipe.py").exists():
        sys.path.insert(0, str(Path(order.recipe).parent))  # what the recipe imports from beside it
        recipe = find(replace(order, recipe=str(folder / "recipe.py")))
    else:
        recipe = find(order)
    return order, recipe


def _unnamed(told: Any) -> Any:
    """A description without the module names of a user's own file, which differ between the file and its copy."""
    if isinstance(told, Mapping):
        return {key: _unnamed(value) for key, value in told.items()}
    if isinstance(told, list):
        return [_unnamed(value) for value in told]
    if isinstance(told, str) and told.startswith("whet_recipe_"):
        return told.partition(".")[2]
    return told


def machine(order: Order) -> Machine:
    """The profile an order names, with the fields behind its name put in: "cpu,checkpointing=true,rows=64"."""
    name, *fields = order.machine.split(",")
    if name not in MACHINES:
        raise ValueError(f"there is no machine profile {name!r}; there are {', '.join(MACHINES)}")
    return override(MACHINES[name], fields)


def _go(run: Run, order: Order) -> Run:
    if (profile := order.machine.split(",")[0]) not in TESTED:
        run.screen.warn(f"machine profile {profile!r} is untested: there is no results file of it")
    with alone(run.folder):
        asyncio.run(run.go())
        found = _report(run, order)
        write_json(run.folder / "report.json", found)
        save(run.lms["policy"], run.folder / "model", card(order, found))
        write_report(run.folder)
    return run


def _report(run: Run, order: Order) -> dict[str, Any]:
    """before, after and their paired difference; metrics of further evaluations carry their name."""
    out: dict[str, Any] = {"recipe": order.recipe, "arm": order.arm, "seed": order.seed}
    for number, file in enumerate(sorted((run.folder / "evaluations" / "before").glob("*.json"))):
        before, after = (read_json(f) for f in (file, run.folder / "evaluations" / "after" / file.name))
        values = (per_problem(np.array(e["correct"], float), np.array(e["lengths"], float)) for e in (before, after))
        prefix = f"{file.stem}/" if number else ""
        for when, metrics in comparison(next(values), next(values)).items():
            out.setdefault(when, {}).update({f"{prefix}{name}": value for name, value in metrics.items()})
    return out


def card(order: Order, found: Mapping[str, Any]) -> str:
    """The model card: what made the model, and what came of it."""
    lines = [
        "---\nlibrary_name: transformers\ntags: [whet, reinforcement-learning]\n---\n",
        f"# {Path(order.recipe).stem}: {order.arm}, seed {order.seed}\n",
        "Trained with Whet by reinforcement learning on verified rewards. Again:\n",
        f"    {again(order)}\n",
    ]
    if "difference" in found:
        lines.append("| metric | before | after | difference (95 %) |\n|---|---|---|---|")
        for name, before, after, difference, _ in rows(found):
            lines.append(f"| {name} | {before} | {after} | {difference} |")
    return "\n".join(lines) + "\n"


def again(order: Order) -> str:
    """The command that makes the same run."""
    if order.own:
        return command(order.own, order.seed, order.settings)
    said = ["whet", "run", Path(order.recipe).name, "--arm", order.arm, "--seed", str(order.seed)]
    said += ["--model", order.model] if order.model else []
    said += ["--lora", str(order.lora)] if order.lora else []
    return shlex.join([*said, *(word for setting in order.settings for word in ("--set", setting))])


def environment() -> dict[str, Any]:
    """What the run ran on."""
    packages = ("whet", "torch", "transformers", "tokenizers", "numpy")
    return {
        "packages": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def free_folder(wanted: Path) -> Path:
    """`wanted`, or the first of `wanted`-2, `wanted`-3, ... that is not there."""
    folder, number = wanted, 1
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder
