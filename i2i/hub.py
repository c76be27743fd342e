"""Models on a hub: huggingface_hub fetches and sends a model's folder. No other files are, and none is unpickled."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

from i2i_core.errors import CheckpointError, UsageError
from i2i_core.models.folder import CARD, CONFIG, RECIPE, own_files, read, refuse

FETCHED = [CONFIG, "*.safetensors", CARD, RECIPE, "*.png"]
"""What belongs to a model: patterns, at the top of its repository."""
NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def pull(name: str, to: Path | None = None, revision: str | None = None, overwrite: bool = False) -> Path:
    """Fetch the model `name` (OWNER/MODEL), and return its folder: `to`, else one in the hub's own cache (HF_HOME).

    What is there already is not fetched again; with HF_HUB_OFFLINE nothing is. overwrite: whether a model that is there
    may be replaced; whatever else is there never is. Raises UsageError, and CheckpointError for what cannot be fetched
    or is no model.
    """
    hub = _hub()
    if to is not None and not _begun(to):
        refuse(to, CONFIG, "model", overwrite)
    with _explained(name, "fetched"):
        fetch = partial(hub.snapshot_download, name, revision=revision, allow_patterns=FETCHED, ignore_patterns="*/*")
        if to is not None and hub.constants.HF_HUB_OFFLINE:  # the hub's library looks into its cache for no folder
            folder = Path(shutil.copytree(fetch(), to, dirs_exist_ok=True))
        else:
            folder = Path(fetch(local_dir=to))
    read(folder)
    return folder


def _begun(to: Path) -> bool:
    """Whether all that a folder holds was fetched before, and that was cut short."""
    fetched = to / ".cache" / "huggingface" / "download"
    return (
        fetched.is_dir()
        and not (to / CONFIG).exists()
        and all((fetched / f"{path.name}.metadata").is_file() for path in to.iterdir() if path.name != ".cache")
    )


def push(folder: Path, name: str, *, private: bool = True) -> str:
    """Send a model's folder to the repository `name`, making it if needed, and return its address.

    Sends config.json and the files that it names, README.md and the pictures that it shows, and recipe.yaml. Raises
    CheckpointError for a folder that is no sound model, and UsageError for a link, before anything is sent.
    """
    read(folder)
    names = own_files(folder)
    if links := [name for name in names if (folder / name).is_symlink()]:
        raise UsageError(f"{folder / links[0]} is a link, and what it leads to is not sent; put the file in its place")
    api = _hub().HfApi()
    with _explained(name, "sent"):
        api.create_repo(name, private=private, exist_ok=True)
        return str(
            api.upload_folder(
                repo_id=name,
                folder_path=folder,
                allow_patterns=list(map(glob.escape, names)),
                commit_message="A model of i2i",
            ).repo_url
        )


def _hub() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError('hubs need huggingface_hub: pip install "i2i-gan[hub]"') from None
    return huggingface_hub


@contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    """Raises UsageError for a name that cannot be, CheckpointError for whatever the hub or the network refuses."""
    from huggingface_hub import errors

    if not NAME.fullmatch(name):
        raise UsageError(f"{name} is no name on a hub; it should be OWNER/MODEL")
    try:
        yield
    except errors.RepositoryNotFoundError:
        raise CheckpointError(
            f"there is no model {name} on the hub, or it is not yours to see; for a private one log "
            f"in with hf auth login"
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"the model {name} has no such revision") from None
    except errors.OfflineModeIsEnabled:
        raise CheckpointError(f"{name} cannot be {what}: HF_HUB_OFFLINE is set") from None
    except errors.LocalEntryNotFoundError:
        raise CheckpointError(f"{name} cannot be {what}: the hub cannot be reached, and the cache lacks it") from None
    except Exception as error:  # of any library below
        raise CheckpointError(f"{name} cannot be {what}: {' '.join(str(error).split())}") from None
