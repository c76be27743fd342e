"""Models on a hub: huggingface_hub transfers only the files of a model, none of which is a pickle."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

from i2i_core.data.datasets.huggingface import no_bars_in_logs
from i2i_core.errors import CheckpointError, UsageError
from i2i_core.models.folder import CARD, CONFIG, RECIPE, own_files, read, refuse

FETCHED = [CONFIG, "*.safetensors", CARD, RECIPE, "*.png"]
"""Patterns of the files of a model, at the top of its repository."""
NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def pull(name: str, to: Path | None = None, revision: str | None = None, overwrite: bool = False) -> Path:
    """Download the model `name` (OWNER/MODEL), and return its folder.

    to: the folder to write, by default one in the cache of the hub (HF_HOME). overwrite: replace a model in `to`; other
    files are never replaced. Existing files are not downloaded again; with HF_HUB_OFFLINE nothing is downloaded. Raises
    UsageError, also if it is not a model, and CheckpointError if the download fails or is damaged.
    """
    hub = _hub()
    if to is not None and not _begun(to):
        refuse(to, CONFIG, "model", overwrite)
    with _explained(name, "downloaded"), no_bars_in_logs():
        fetch = partial(hub.snapshot_download, name, revision=revision, allow_patterns=FETCHED, ignore_patterns="*/*")
        if (
            to is not None and hub.constants.HF_HUB_OFFLINE
        ):  # offline, huggingface_hub does not copy from its cache to a folder
            folder = Path(shutil.copytree(fetch(), to, dirs_exist_ok=True))
        else:
            folder = Path(fetch(local_dir=to))
    read(folder)
    return folder


def _begun(to: Path) -> bool:
    """Check that a folder contains only files of an interrupted download."""
    fetched = to / ".cache" / "huggingface" / "download"
    return (
        fetched.is_dir()
        and not (to / CONFIG).exists()
        and all((fetched / f"{path.name}.metadata").is_file() for path in to.iterdir() if path.name != ".cache")
    )


def push(folder: Path, name: str, *, private: bool = True) -> str:
    """Upload a model's folder to the repository `name`, which is created if needed, and return its URL.

    Uploads config.json and the files that it names, README.md and its pictures, and recipe.yaml. Before the upload, it
    raises CheckpointError for a damaged model, and UsageError for a folder of none and for a symbolic link.
    """
    read(folder)
    names = own_files(folder)
    if links := [name for name in names if (folder / name).is_symlink()]:
        raise UsageError(f"{folder / links[0]} is a symbolic link, which is not uploaded; replace it with the file")
    api = _hub().HfApi()
    with _explained(name, "uploaded"), no_bars_in_logs():
        api.create_repo(name, private=private, exist_ok=True)
        return str(
            api.upload_folder(
                repo_id=name,
                folder_path=folder,
                allow_patterns=list(map(glob.escape, names)),
                commit_message="Upload a model of i2i",
            ).repo_url
        )


def _hub() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError('a hub needs huggingface_hub; pip install "i2i-gan[hub]"') from None
    return huggingface_hub


@contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    """Raise UsageError for a name that is invalid or not on the hub, and CheckpointError for other errors of it."""
    from huggingface_hub import errors

    if not NAME.fullmatch(name):
        raise UsageError(f"{name} is not the name of a model on a hub; write OWNER/MODEL")
    try:
        yield
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"there is no model {name} on the hub, or you have no access to it; for a private model, log in with "
            f"hf auth login"
        ) from None
    except errors.RevisionNotFoundError:
        raise UsageError(
            f"the model {name} does not have this revision; check the name of the branch, tag or commit"
        ) from None
    except errors.OfflineModeIsEnabled:
        raise CheckpointError(f"{name} cannot be {what}: HF_HUB_OFFLINE is set") from None
    except errors.LocalEntryNotFoundError:
        raise CheckpointError(
            f"{name} cannot be {what}: the hub cannot be reached, and the model is not in the cache"
        ) from None
    except Exception as error:  # huggingface_hub and the libraries below it raise many types
        raise CheckpointError(f"{name} cannot be {what}: {' '.join(str(error).split())}") from None
