"""Reads run and model folders from their documented format, and judges them. It shares no code with i2i.

safetensors: eight bytes with the length of a JSON header, little-endian; the header, which gives type, shape and place
of each tensor; their bytes, one after the other and without gaps. A manifest lists size and SHA-256 of each file.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]
"""Type, shape and bytes by name."""


class Damaged(Exception):
    """A file that is not as the format says, and why."""


class Different(Exception):
    """Results that should be the same, and in what they differ."""


@dataclass(frozen=True)
class Result:
    """What a run is judged by: the step, tensors and metrics, all of which must have the undisturbed bits."""

    step: int
    tensors: Tensors
    metrics: list[str]


def result(run: Path) -> Result:
    """Read what a run has come to. Raises Damaged."""
    for step in reversed(steps(run)):
        return Result(step, checkpoint(run / "checkpoints" / f"step-{step:08d}"), metrics(run))
    raise Damaged(f"{run} has no checkpoint")


def same(ours: Result, theirs: Result) -> None:
    """Raise Different if two results do not have the same bits."""
    found = [] if ours.step == theirs.step else [f"step {ours.step} is not {theirs.step}"]
    found += [f"only one has {name}" for name in sorted(ours.tensors.keys() ^ theirs.tensors.keys())]
    common = ours.tensors.keys() & theirs.tensors.keys()
    found += [f"{name} differs" for name in sorted(common) if ours.tensors[name] != theirs.tensors[name]]
    if ours.metrics != theirs.metrics:
        lost = [_step(line) for line in theirs.metrics if line not in ours.metrics]
        new = [_step(line) for line in ours.metrics if line not in theirs.metrics]
        found.append(f"of metrics.jsonl, {len(ours.metrics)} lines, steps {lost} are lost and {new} are new")
    if found:
        raise Different("; ".join(found))


def steps(run: Path) -> list[int]:
    """Return the steps of the committed checkpoints, oldest first."""
    folders = (run / "checkpoints").glob("step-*") if (run / "checkpoints").is_dir() else ()
    return sorted(int(path.name.removeprefix("step-")) for path in folders)


def newest_sound(run: Path) -> int:
    """Return the step of the newest checkpoint that is sound, or 0."""
    for step in reversed(steps(run)):
        try:
            checkpoint(run / "checkpoints" / f"step-{step:08d}")
        except Damaged:
            continue
        return step
    return 0


def checkpoint(folder: Path) -> Tensors:
    """Verify a checkpoint and return its tensors, each under the name of its file and its own. Raises Damaged."""
    manifest = _json(folder / "manifest.json")
    seal = manifest.pop("sha256", None)
    if seal != hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest():
        raise Damaged(f"{folder}/manifest.json does not match its own checksum")
    if f"step-{manifest['step']:08d}" != folder.name:
        raise Damaged(f"{folder} says that it is of step {manifest['step']}")
    listed = verified(folder, manifest["files"])
    if extra := {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")} - listed.keys():
        raise Damaged(f"{folder} holds {extra}, which its manifest does not list")
    return {f"{name}: {key}": value for name, data in listed.items() for key, value in tensors(data, name).items()}


def model(folder: Path) -> Tensors:
    """Verify the weights of a model and return them. Raises Damaged."""
    files = verified(folder, _json(folder / "config.json")["files"])
    return {f"{name}: {key}": value for name, data in files.items() for key, value in tensors(data, name).items()}


def verified(folder: Path, files: dict[str, Any]) -> dict[str, bytes]:
    """Read the files that a manifest lists. Raises Damaged for one that is not as it says."""
    found = {}
    for name, listed in files.items():
        try:
            data = found[name] = (folder / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{folder / name}: {error.strerror}") from None
        if listed != {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}:
            raise Damaged(f"{folder / name} does not match its checksum")
    return found


def tensors(data: bytes, name: str) -> Tensors:
    """Read a safetensors file. Raises Damaged."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise Damaged(f"{name}: its header is not JSON ({error})") from None
    header.pop("__metadata__", None)
    body, end, found = data[8 + length :], 0, {}
    for key, about in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = about["data_offsets"]
        if begin != end or stop > len(body):
            raise Damaged(f"{name}: {key} is at {begin} to {stop}, where it cannot be")
        found[key] = about["dtype"], tuple(about["shape"]), body[begin:stop]
        end = stop
    if end != len(body):
        raise Damaged(f"{name}: {len(body) - end} bytes belong to no tensor")
    return found


def infinite(found: Tensors) -> list[str]:
    """Return the names of the tensors of floats that hold a NaN or an infinity."""
    codes = {"F64": "d", "F32": "f", "F16": "e"}
    return [
        name
        for name, (kind, _, data) in found.items()
        if kind in codes and not all(isfinite(number) for (number,) in struct.iter_unpack(f"<{codes[kind]}", data))
    ]


def metrics(run: Path) -> list[str]:
    """Return the lines of metrics.jsonl, which has no times in it; whole ones only."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8") if (run / "metrics.jsonl").exists() else ""
    return [line for line in text.split("\n") if line.endswith("}")]


def reached(run: Path) -> int:
    """Return the last step that a run logged, or 0."""
    lines = metrics(run)
    return int(json.loads(lines[-1])["step"]) if lines else 0


def _step(line: str) -> object:
    try:
        return json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return line[:20]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Damaged(f"{path}: {error}") from None
