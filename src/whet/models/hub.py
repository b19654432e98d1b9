"""From a model's name to a folder on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  (its HTTP library's, which is another in other versions)
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]
_NOT_WANTED = ["*/*"]  # other formats of the same weights


def endpoint() -> str | None:
    """Where the hub is: $HF_ENDPOINT, or None for the library's own."""
    return os.environ.get("HF_ENDPOINT") or None


def folder(path_or_name: str | Path) -> Path:
    """The folder of a model: the path itself where it is one, else what the hub gives for the name, downloaded once
    and kept in the hub's cache. Without a connection it is taken from that cache.

    ValueError, after one try and in one line, if there is none.
    """
    if Path(path_or_name).is_dir():
        return Path(path_or_name)
    name = str(path_or_name)
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_NOT_WANTED, endpoint=endpoint()))
    except HFValidationError as error:
        raise ValueError(
            f"no model at {name!r}: it is no folder here, and no name of the hub's; give a folder, or owner/name"
        ) from error
    except GatedRepoError as error:
        raise ValueError(
            f"the model {name!r} is given to those who accept its terms; accept them on its page of the hub, "
            "and log in with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HfHubHTTPError) as error:
        status = error.response.status_code
        said = "the hub has none of this name" if status in (401, 404) else f"the hub answered {status}"
        raise ValueError(
            f"no model at {name!r}: it is no folder here, and {said}; check the name, "
            "or log in with `hf auth login` if it is private"
        ) from error
    except (LocalEntryNotFoundError, HTTPError) as error:
        raise ValueError(
            f"no model at {name!r}: it is no folder here, it was never downloaded to this machine, and the hub "
            "can not be reached; check the name and the connection, or give a folder"
        ) from error
    finally:
        if shown:
            enable_progress_bars()
