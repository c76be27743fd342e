"""Checkpoints on disk: safetensors and JSON with checksums, committed atomically.

A checkpoint is written to a staging folder beside its final path. Every file is fsynced, then the manifest, then the
folder; one rename commits it. Loading takes the newest checkpoint whose manifest verifies. Nothing is unpickled.

A reader needs no lock: if a checkpoint goes while it is read, since the training run keeps only newer ones, the reader
looks again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from i2i_core.disk.files import sync_folder, write_synced, writing
from i2i_core.disk.seals import digest_of
from i2i_core.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST, ASIDE = "manifest.json", "aside"
EXPLODED = 1e6
"""The `largest_weight` from which on a checkpoint is taken for one of a run that diverges."""
Parts: TypeAlias = "Mapping[str, Mapping[str, Tensor]]"
"""Tensors by part, such as "networks/generator", and name."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its folder and its manifest."""

    path: Path
    info: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.info["step"])

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Load and return the tensors of all parts, on the CPU."""
        import safetensors.torch  # here, so that importing this module does not import torch

        names = sorted(n for n in self.info["files"] if n.endswith(".safetensors"))
        return {n.removesuffix(".safetensors"): safetensors.torch.load_file(self.path / n) for n in names}


def save(folder: Path, step: int, parts: Parts, info: Mapping[str, object]) -> Path:
    """Write a checkpoint, commit it as folder/step-00000006 and return that path.

    info: further entries of the manifest. Raises DiskError if the checkpoint cannot be written.
    """
    import safetensors.torch

    target = folder / _name(step)
    stage = folder / f".stage-{target.name}"
    with writing(folder):
        try:
            for leftover in (*folder.glob(".stage-*"), *folder.glob(".old-*")):  # left by a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            stage.mkdir(parents=True)
            files = {}
            for name, tensors in parts.items():
                # copies, since tensors that share memory (tied weights) cannot be saved
                packed = {key: t.detach().to("cpu", copy=True).contiguous() for key, t in tensors.items()}
                files[f"{name}.safetensors"] = _written(stage / f"{name}.safetensors", safetensors.torch.save(packed))
            manifest = {"format": 1, "step": step, **info, "files": files}
            _written(stage / MANIFEST, json.dumps({**manifest, "sha256": digest_of(manifest)}, indent=1).encode())
            for inner in {p.parent for p in stage.rglob("*")}:
                sync_folder(inner)
            if target.exists():  # left by an earlier process, and damaged, else the run would have resumed from it
                _remove(target)
            os.rename(stage, target)
            sync_folder(folder)
            sync_folder(folder.parent)  # the name of `folder` itself
        finally:
            shutil.rmtree(stage, ignore_errors=True)  # after a failure
    return target


def prune(folder: Path, keep: int, step: int, warn: Callable[[str], None]) -> None:
    """Delete all checkpoints but the newest `keep` up to `step`, and one more if the weights of all those exploded.

    Each is renamed before it is deleted, so that none is ever found incomplete. Checkpoints after `step` are damaged:
    otherwise the run would have resumed from them. warn: called with a message for each that cannot be deleted.
    """
    newest = folder / _name(step)
    try:
        found = committed(folder)
    except OSError as error:
        warn(f"{folder} cannot be listed: {error.strerror}; old checkpoints stay")
        return
    kept, old = [p for p in found if p <= newest][:keep], [p for p in found if p <= newest][keep:]
    if all(map(_exploded, kept)):
        good = next((path for path in old if not _exploded(path)), None)
        old = [path for path in old if path != good]
    for path in [p for p in found if p > newest] + old:
        try:
            _remove(path)
        except OSError as error:
            warn(f"{path} cannot be deleted: {error.strerror}")


def set_aside(folder: Path, step: int) -> list[Path]:
    """Move the checkpoints after `step` to the folder "aside" beside `folder`. Return their new paths."""
    aside, moved = folder.with_name(ASIDE), []
    with writing(aside):
        for path in [p for p in committed(folder) if p > folder / _name(step)]:
            aside.mkdir(exist_ok=True)
            shutil.rmtree(aside / path.name, ignore_errors=True)
            os.rename(path, aside / path.name)
            moved.append(aside / path.name)
    return moved


def committed(folder: Path) -> list[Path]:
    """Return the paths of committed checkpoints, newest first."""
    return sorted((path for path in folder.glob("step-*") if path.name[5:].isdecimal()), reverse=True)


def newest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest checkpoint that verifies, or None if there are no checkpoints.

    warn: called with a message for each damaged one. Raises CheckpointError if all are damaged.
    """
    found = committed(folder)
    for path in found:
        try:
            return verify(path)
        except CheckpointError as error:
            if not path.exists():  # pruned by a training run, which has newer ones
                return newest(folder, warn)
            warn(f"{error}; trying an older one")
    if found:
        raise CheckpointError(f"no checkpoint in {folder} is usable")
    return None


def loaded(folder: Path, warn: Callable[[str], None]) -> tuple[Checkpoint, dict[str, dict[str, Tensor]]] | None:
    """Return the newest checkpoint that verifies, with its tensors, as `newest` does."""
    while (found := newest(folder, warn)) is not None:
        try:
            return found, found.parts()
        except OSError:
            if found.path.exists():
                raise
    return None


def at(folder: Path, step: int) -> Checkpoint:
    """Return the checkpoint of a step. Raises UsageError if there is none, and CheckpointError if it is damaged."""
    found = committed(folder)
    if folder / _name(step) not in found:
        known = ", ".join(map(str, steps(folder)))
        raise UsageError(f"there is no checkpoint of step {step} in {folder}; there are {known or 'none'}")
    return verify(folder / _name(step))


def steps(folder: Path) -> list[int]:
    """Return the steps of the committed checkpoints, oldest first."""
    return [_step(path) for path in reversed(committed(folder))]


def verify(path: Path) -> Checkpoint:
    """Check the size and SHA-256 of every file. Raises CheckpointError that names the first wrong file."""
    try:
        info = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        sound = info.pop("sha256") == digest_of(info) and path.name == _name(info["step"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise CheckpointError(f"checkpoint {path} is damaged: its {MANIFEST} is missing or invalid")
    for name, expected in info["files"].items():
        try:
            data = (path / name).read_bytes()
        except OSError:
            raise CheckpointError(f"checkpoint {path} lacks {name}") from None
        if _digest(data) != expected:
            raise CheckpointError(f"checkpoint {path} is damaged: {name} does not match its checksum")
    return Checkpoint(path, info)


def _written(path: Path, data: bytes) -> dict[str, int | str]:
    write_synced(path, data)
    return _digest(data)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _exploded(path: Path) -> bool:
    with suppress(OSError, ValueError, LookupError, TypeError):
        return bool(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["largest_weight"] >= EXPLODED)
    return False


def _digest(data: bytes) -> dict[str, int | str]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _remove(path: Path) -> None:
    doomed = path.with_name(f".old-{path.name}")
    os.rename(path, doomed)
    shutil.rmtree(doomed)
