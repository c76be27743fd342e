"""Models on a hub. Only the files of a model are fetched, none of which is a pickle."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from i2i import fetching
from i2i.fetching import Commit, Listed, Refused, Unreachable
from i2i.fetching_folder import need_space, stage
from i2i_core.data.datasets.hub_client import no_bars_in_logs
from i2i_core.disk.files import staged, write_file, writing
from i2i_core.errors import CheckpointError, I2IError, UsageError
from i2i_core.models.folder import CARD, CONFIG, RECIPE, describe, own_files, read, read_config, refuse, refuse_others

NAME = re.compile(r"(?!.*(--|\.\.))[\w-][\w.-]*/[\w-][\w.-]*")
MOST_FILES = 1000


def pull(name: str, to: Path | None = None, revision: str | None = None, overwrite: bool = False) -> Path:
    """Download the model `name` (OWNER/MODEL), and return its folder.

    to: the folder to write, by default one in the cache of the hub (HF_HOME). overwrite: replace a model in `to`; other
    files are never replaced. A model is complete and verified before it is there. Existing files are not downloaded
    again, and an interrupted download goes on; with HF_HUB_OFFLINE nothing is downloaded. Raises UsageError, also if it
    is not a model, CheckpointError if the download fails or is damaged, Locked and DiskError.
    """
    hub, revision = _hub(), revision or "main"
    _need_name(name)
    if not all(map(fetching.harmless, revision.split("/"))):
        raise UsageError(f"the revision {revision} is not the name of a branch, tag or commit")
    if to is not None:
        to = to.resolve()
        _need_free(to, overwrite)
    cache = Path(hub.constants.HF_HUB_CACHE).expanduser() / f"models--{name.replace('/', '--')}"
    commit = None if hub.constants.HF_HUB_OFFLINE else _commit(hub, name, revision)
    sha = commit.sha if commit else _kept(cache, name, revision)
    snapshot = cache / "snapshots" / sha
    if to is None and (commit is None or _complete(snapshot, commit)):
        read(snapshot)
        return snapshot
    with stage(to.with_name(f".fetch-{to.name}") if to else cache / ".fetch", sha) as folder:
        if commit is None:
            for file in own_files(snapshot):
                if (snapshot / file).is_file():
                    shutil.copyfile(snapshot / file, folder / file)
        else:
            _fill(folder, [snapshot, *([to] if to else [])], hub, name, commit)
        try:
            read(folder)
        except I2IError as error:
            raise type(error)(str(error).replace(str(folder), name)) from None
        if to is None:
            _into_cache(folder, snapshot)
            write_file(cache / "refs" / revision, sha)
        else:
            _need_free(to, overwrite)  # another process may have written it
            with staged(to) as made:
                _move(folder, made)
    return to or snapshot


def push(folder: Path, name: str, *, private: bool = True) -> str:
    """Upload a model's folder to the repository `name`, which is created if needed, and return its URL.

    Uploads config.json and the files that it names, README.md and its pictures, and recipe.yaml. Before the upload, it
    raises CheckpointError for a damaged model, and UsageError for a folder of none and for a symbolic link.
    """
    _need_name(name)
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


def _need_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(f"{name} is not the name of a model on a hub; write OWNER/MODEL")


def _need_free(to: Path, overwrite: bool) -> None:
    """Raise UsageError for a folder that may not be replaced."""
    refuse(to, CONFIG, "model", overwrite)
    refuse_others(to, CONFIG, "model")


def _commit(hub: ModuleType, name: str, revision: str) -> Commit | None:
    """Ask the hub for the files of a revision, or return None if it cannot be reached."""
    url = f"{hub.constants.ENDPOINT}/api/models/{name}/revision/{quote(revision, safe='')}?blobs=true"
    try:
        found = fetching.commit(url, hub.utils.build_hf_headers(), hub.constants.HF_HUB_DOWNLOAD_TIMEOUT)
    except Unreachable:
        return None
    except Refused as error:
        raise Refused(f"{name} is refused: {error}") from None
    if isinstance(found, Commit):
        if fetching.SHA.fullmatch(revision) and found.sha != revision:
            raise Refused(f"{name} is refused: the hub gives the commit {found.sha} for {revision}")
        return found
    if found.code == "RevisionNotFound":
        raise UsageError(f"the model {name} does not have this revision; check the name of the branch, tag or commit")
    if found.status in (401, 403, 404):
        raise UsageError(
            f"there is no model {name} on the hub, or you have no access to it; for a private model, log in with "
            f"hf auth login"
        )
    return None


def _kept(cache: Path, name: str, revision: str) -> str:
    """Return the commit of a revision that is in the cache. Raises CheckpointError."""
    sha = revision
    with suppress(OSError, ValueError):
        sha = (cache / "refs" / revision).read_text(encoding="utf-8")
    if not fetching.SHA.fullmatch(sha) or not (cache / "snapshots" / sha / CONFIG).is_file():
        raise CheckpointError(
            f"{name} cannot be downloaded: the hub cannot be reached, and the model is not in the cache"
        )
    return sha


def _listed(commit: Commit) -> dict[str, Listed]:
    """Return the files of a commit that a model may consist of. Raises Refused, and UsageError if it is no model."""
    files = commit.files(lambda file: file in (CONFIG, CARD, RECIPE) or file.endswith((".safetensors", ".png")))
    if CONFIG not in files:
        raise UsageError(f"it is no model of i2i, since it has no {CONFIG}")
    if len(files) > MOST_FILES:
        raise Refused(f"the hub lists {len(files):,} files, and a model has at most {MOST_FILES:,}")
    return files


def _needed(folder: Path, files: dict[str, Listed]) -> list[Listed]:
    """Return the files of the model whose config.json is in `folder`: those that it names, the card and pictures."""
    named = read_config(describe(folder)).files
    for name, file in named.items():
        if name not in files:
            raise Refused(f"its {CONFIG} names {name[:100]!r}, which the hub does not list")
        if files[name].size != file.size:
            raise Refused(f"{name} is listed with {files[name].size} bytes, and in its {CONFIG} with {file.size}")
    return [file for name, file in files.items() if name in named or not name.endswith(".safetensors")]


def _complete(folder: Path, commit: Commit) -> bool:
    """Check that a folder of the cache holds a commit's model as it is listed."""
    with suppress(I2IError, OSError):
        files = _listed(commit)
        return files[CONFIG].is_in(folder / CONFIG) and all(
            file.is_in(folder / file.name) for file in _needed(folder, files)
        )
    return False


def _fill(folder: Path, sources: Sequence[Path], hub: ModuleType, name: str, commit: Commit) -> None:
    """Collect a commit's model: from folders that have its files, else from the hub. Raises I2IError."""
    timeout, headers = hub.constants.HF_HUB_DOWNLOAD_TIMEOUT, hub.utils.build_hf_headers()

    def take(file: Listed, bar: Any) -> None:
        if file.is_in(folder / file.name):
            return
        if source := next((one for one in sources if file.certain and file.is_in(one / file.name)), None):
            shutil.copyfile(source / file.name, folder / f"{file.name}.part")
        url = f"{hub.constants.ENDPOINT}/{name}/resolve/{commit.sha}/{quote(file.name)}"
        fetching.fetch(url, headers, file, folder / file.name, timeout, bar)

    try:
        with no_bars_in_logs(), writing(folder):
            files = _listed(commit)
            with hub.utils.tqdm(desc=name, unit="B", unit_scale=True) as bar:
                take(files[CONFIG], bar)
                needed = _needed(folder, files)
                need_space(folder, sum(file.size for file in needed))
                for file in needed:
                    take(file, bar)
    except Unreachable as error:
        raise Unreachable(f"{name} cannot be downloaded: {error}; run it again to go on where it ended") from None
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{name} is refused: {str(error).replace(str(folder), name)}") from None


def _into_cache(folder: Path, snapshot: Path) -> None:
    """Move a model into the cache, beside what other tools put into the folder of its commit."""
    with writing(snapshot):
        snapshot.mkdir(parents=True, exist_ok=True)
        _move(folder, snapshot)


def _move(folder: Path, to: Path) -> None:
    """Move the files of a model, config.json at last: without it, there is no model."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name == CONFIG):
        os.replace(file, to / file.name)


def _hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError:
        raise UsageError('a hub needs huggingface_hub; pip install "i2i-gan[hub]"') from None
    return huggingface_hub


@contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    """Raise UsageError for a name that is invalid or not on the hub, and CheckpointError for other errors of it."""
    from huggingface_hub import errors

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
