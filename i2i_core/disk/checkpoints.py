"""Checkpoints on disk: safetensors and JSON with checksums, committed atomically.

A checkpoint is written to a staging folder beside its final path. Every file is fsynced, then the manifest, then the
folder; one rename commits it. Loading takes the newest checkpoint whose manifest verifies. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from i2i_core.disk.files import sync_folder, write_synced, writing
from i2i_core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
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
            _written(stage / MANIFEST, json.dumps({**manifest, "sha256": _seal(manifest)}, indent=1).encode())
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


def prune(folder: Path, keep: int, step: int) -> None:
    """Delete all checkpoints but the newest `keep` up to `step`.

    Each is renamed before it is deleted, so that none is ever found incomplete. Checkpoints after `step` are damaged:
    otherwise the run would have resumed from them.
    """
    newest = folder / _name(step)
    found = committed(folder)
    for path in [p for p in found if p > newest] + [p for p in found if p <= newest][keep:]:
        _remove(path)


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
            warn(f"{error}; trying an older one")
    if found:
        raise CheckpointError(f"no checkpoint in {folder} is usable")
    return None


def verify(path: Path) -> Checkpoint:
    """Check the size and SHA-256 of every file. Raises CheckpointError that names the first wrong file."""
    try:
        info = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        sound = info.pop("sha256") == _seal(info) and path.name == _name(info["step"])
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


def _seal(manifest: Mapping[str, object]) -> str:
    """Return the checksum of the manifest itself, which detects errors in steps and names."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _digest(data: bytes) -> dict[str, int | str]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _remove(path: Path) -> None:
    doomed = path.with_name(f".old-{path.name}")
    os.rename(path, doomed)
    shutil.rmtree(doomed)
