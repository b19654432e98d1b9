"""A finished run's model as a repository of the Hugging Face hub: weights, model card, plots."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, HfApi, ModelCardData, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  (its HTTP library's, which is another in other versions)
)
from huggingface_hub.utils import validate_repo_id

from whet.files import folder, read_json
from whet.launch import Order, card
from whet.models import hub, lora

_TITLES = {"length": "mean length in tokens"}


def check_name(name: str) -> None:
    """ValueError unless `name` is one that a repository of the hub may have, its owner included."""
    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError("it has no owner")
    except HFValidationError as error:
        raise ValueError(
            f"{name!r} is no name for a repository ({str(error).split(':')[0]}); give owner/name, "
            "of letters, digits, '-', '_' and '.'"
        ) from error


def prepare(run: Path) -> Path:
    """RUN/push: what is uploaded of a run, made anew from its `model/`, `report.json` and `plots/`.

    ValueError for a folder that is no finished run, and for an adapter kept apart from a base that only this machine
    has. No path of this machine goes into it.
    """
    if not (run / "recipe.json").exists():
        raise ValueError(f"{run} is no run folder (it has no recipe.json); give the folder that `whet run` printed")
    if not (run / "report.json").exists() or not (run / "model").is_dir():
        raise ValueError(f"the run {run} is not finished, so there is nothing to push; go on with: whet resume {run}")
    told, found = read_json(run / "recipe.json"), read_json(run / "report.json")
    apart = (run / "model" / lora.ADAPTER_CONFIG).exists()
    base = _base(told["model"])
    if apart and not base:
        raise ValueError(
            f"the adapter of {run} belongs to {lora.base_of(run / 'model')}, a folder of this machine, and nobody else "
            "could load it; push the base and train on its name, or export a merged model: --set model.export=merged"
        )
    with folder(run / "push", exists="replace") as part:
        for file in sorted((run / "model").iterdir()):
            if file.name != "README.md":
                _place(file, part / file.name)
        plots = sorted((run / "plots").glob("*.png"))
        for plot in plots:
            (part / "plots").mkdir(exist_ok=True)
            _place(plot, part / "plots" / plot.name)
        (part / "README.md").write_text(
            _front(told, found, base, apart) + _body(told, found, [plot.name for plot in plots]), encoding="utf-8"
        )
    return run / "push"


def upload(place: Path, name: str, private: bool = False) -> str:
    """Put the folder into the repository `name`, which is made if need be; its address. ValueError, in one line, if it
    does not work: no token, no connection, no right to write there."""
    check_name(name)
    if get_token() is None:
        raise ValueError("there is no token of the hub here; log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi(endpoint=hub.endpoint())
    try:
        url = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=place, commit_message="Model, card and plots of a run of Whet")
    except HfHubHTTPError as error:
        known = {401: "it does not know this token", 403: "this token may not write there"}
        why = known.get(error.response.status_code) or " ".join((error.server_message or "no reason given").split())
        raise ValueError(f"the hub refused {name!r} ({error.response.status_code}): {why}") from error
    except (HTTPError, OSError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"the hub can not be reached ({said}), so nothing was uploaded") from error
    return str(url)


def _place(file: Path, to: Path) -> None:
    """A second name of the same file, where the disk can do that: weights are large."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copy2(file, to)


def _base(model: Any) -> str:
    """The hub's name of the model that training began with, or ""."""
    for node in _nodes(model):
        if node.get("is") == "models.pretrained.Pretrained" and not Path(node["name"]).expanduser().exists():
            return node["name"]
    return ""


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _front(told: Mapping[str, Any], found: Mapping[str, Any], base: str, apart: bool) -> str:
    """The card's YAML, with the results as a model-index."""
    adapter = any(node.get("is") == "models.lora.Lora" for node in _nodes(told["model"]))
    more: dict[str, Any] = {"base_model": base} if base else {}
    if base:
        more["base_model_relation"] = "adapter" if apart else "finetune"
    results = list(_results(told, found))
    data = ModelCardData(
        library_name="peft" if apart else "transformers",
        pipeline_tag="text-generation",
        tags=["whet", "reinforcement-learning", *(["lora"] if adapter else [])],
        model_name=f"{Path(told['order']['recipe']).stem}-{told['arm']}-seed{told['seed']}",
        eval_results=results or None,
        **more,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _results(told: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[EvalResult]:
    evaluations = told["evaluate"]
    for name, estimate in found.get("after", {}).items():
        if estimate["value"] is None:
            continue  # no problem had a verdict
        stem, _, metric = name.rpartition("/")
        evaluation = next((e for e in evaluations if e.get("name") == stem), evaluations[0])
        task = str(evaluation["task"]["is"]).rpartition(".")[2]
        yield EvalResult(
            task_type="text-generation",
            dataset_type=task.lower(),
            dataset_name=task,
            dataset_split=evaluation.get("split"),
            metric_type=metric,
            metric_name=_TITLES.get(metric, metric),
            metric_value=round(estimate["value"], 4),
            metric_args={"interval": 0.95, "low": round(estimate["low"], 4), "high": round(estimate["high"], 4)},
        )


def _body(told: Mapping[str, Any], found: Mapping[str, Any], plots: list[str]) -> str:
    """The run's own card without its YAML, and the plots."""
    order = Order(**{**told["order"], "settings": tuple(told["order"]["settings"])})
    if order.model and Path(order.model).expanduser().exists():
        order = replace(order, model=Path(order.model).name)
    body = card(order, found).split("---\n", 2)[2]
    recipe = {key: _short(told[key]) for key in ("arm", "seed", "model", "stages", "evaluate")}
    tree = json.dumps(recipe, indent=2, ensure_ascii=False)
    said = f"\n## Recipe\n\n<details><summary>Every setting</summary>\n\n```json\n{tree}\n```\n\n</details>\n"
    shown = "".join(f"\n![{Path(plot).stem}](plots/{plot})\n" for plot in plots)
    return body + said + (f"\n## Plots\n{shown}" if plots else "")


def _short(node: Any) -> Any:
    """A description without paths of this machine: of each its last part."""
    if isinstance(node, Mapping):
        return {key: _short(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_short(value) for value in node]
    return Path(node).name if isinstance(node, str) and node.startswith(("/", "~")) and len(node) > 1 else node
