"""The folder of a trained model: config.json describes it, model.safetensors holds its weights.

The folder holds no code, and nothing in it is unpickled. config.json names components, as recipes do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors.torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, ValidationInfo, field_validator
from safetensors import SafetensorError
from torch import Tensor

from i2i_core.disk import foreign
from i2i_core.disk.files import need_text, staged
from i2i_core.disk.seals import digest_of
from i2i_core.disk.unknown import open_regular, read_text
from i2i_core.errors import CheckpointError, RecipeError, UsageError
from i2i_core.recipe.document import MAX_BYTES, Document, json_in_yaml, load_text
from i2i_core.recipe.names import FileName, Names
from i2i_core.recipe.problems import shape_problems
from i2i_core.recipe.sections import Fit, ModelUse, Named, Section

CONFIG, WEIGHTS, CARD, RECIPE = "config.json", "model.safetensors", "README.md", "recipe.yaml"
Side = Annotated[int, Field(ge=1, le=8192)]
"""Pixels. The limit guards against a config.json of unknown origin, since pictures are padded to this size."""


class File(Section):
    """Size in bytes and SHA-256 of a file beside config.json."""

    size: NonNegativeInt
    sha256: str


class SeenPictures(Section):
    """The pictures of training, without the most extreme hundredths."""

    aspects: tuple[PositiveFloat, PositiveFloat]
    """Range of width / height."""
    sides: tuple[PositiveInt, PositiveInt]
    """Range of the shorter side in pixels."""


class FieldLayout(Section):
    """The form of a batch field."""

    format: Named
    """Its format."""
    size: tuple[Side, Side]
    """Height and width in pixels to which pictures are fitted."""
    fit: Fit = "stretch"
    """The way in which they are fitted."""
    seen: SeenPictures | None = None
    """The pictures of training, where they are known."""
    half: Literal["left", "right"] | None = None
    """The half of a file that was a picture of training, for pairs side by side."""


class Config(Section):
    """The contents of config.json."""

    i2i: Literal[1]
    """Version of the format."""
    method: Named
    """The method, which defines the named tensors."""
    image_size: tuple[Side, Side]
    """Height and width in pixels of pictures whose layout gives no other size."""
    domains: Names[FileName] = Field(min_length=1)
    """Names of the domains, in the order of the class index y."""
    sources: Names[FileName]
    """Domains of the pictures that the model was trained to translate."""
    targets: Names[FileName]
    """Target domains that the model was trained for."""
    layouts: dict[FileName, FieldLayout]
    """Formats and sizes of the batch fields that the uses need, by name."""
    uses: dict[FileName, ModelUse] = Field(min_length=1)
    """The uses of the model by name."""
    networks: dict[FileName, Named]
    """Networks by name."""
    tensors: dict[FileName, Named] = {}
    """Named tensors that extend or replace those of the method."""
    plugins: dict[str, str] = {}
    """Requirement for pip by plugin, for the plugins of all components."""
    versions: dict[str, str] = {}
    """Versions of the libraries that it was trained with, by distribution."""
    training: dict[str, Any] = {}
    """Facts about the training: steps, seed, data, metrics."""
    files: dict[str, File]
    """All files that the model is read from, by name."""
    sha256: str | None = None
    """Checksum of everything else in this file."""

    @field_validator("layouts")
    @classmethod
    def _both_sides(cls, layouts: dict[str, FieldLayout]) -> dict[str, FieldLayout]:
        for name in ("x_real", "x_ref"):
            if name not in layouts:
                raise ValueError(f"it lacks {name}")
        return layouts

    @field_validator("sources", "targets")
    @classmethod
    def _are_domains(cls, targets: list[str], info: ValidationInfo) -> list[str]:
        for name in targets:
            if name not in info.data.get("domains", targets):
                raise ValueError(f"there is no domain {name}")
        return targets


@dataclass(frozen=True)
class Model:
    """A trained model that is read, but not built. Its files may be in any folder."""

    name: str
    document: Document
    """The contents of config.json, with marks."""
    networks: Mapping[str, Mapping[str, Tensor]]
    """State dicts by network, on the CPU; networks that only training needs may be among them."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Files that its named tensors read, by their names in config.json."""

    @property
    def config(self) -> Config:
        return read_config(self.document)


def read(folder: Path) -> Model:
    """Read the model in a folder and verify its files. Raises UsageError for a folder of none, and CheckpointError."""
    document = describe(folder)
    config = read_config(document)
    if config.sha256 not in (None, _seal(document.data)):
        raise CheckpointError(
            f"the model {folder} is damaged: {CONFIG} does not match its checksum; fetch it again, or if you edited "
            f"it, take out its sha256"
        )
    for name, expected in config.files.items():
        if Path(name).name != name:
            raise CheckpointError(f"{folder / CONFIG} names the file {name}, which is not in its folder")
        if not (folder / name).is_file():
            raise CheckpointError(f"the model {folder} lacks {name}; fetch it again")
        try:
            digest, head = _digest(folder / name), _head(folder / name)
        except OSError as error:
            raise CheckpointError(f"{folder / name} cannot be read: {error.strerror}") from None
        if digest != expected:
            raise CheckpointError(f"the model {folder} is damaged: {name} does not match its checksum; fetch it again")
        if not foreign.is_safetensors(head):
            raise CheckpointError(f"the model {folder} is refused: {name} is not a safetensors file; no other is read")
    networks: dict[str, dict[str, Tensor]] = {name: {} for name in config.networks}
    try:
        for place, tensor in safetensors.torch.load_file(folder / WEIGHTS).items():
            network, _, name = place.partition(".")
            networks.setdefault(network, {})[name] = tensor
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the model {folder} is damaged: {WEIGHTS} cannot be read ({error})") from None
    files = {name: folder / name for name in config.files if name != WEIGHTS}
    return Model(folder.resolve().name, document, networks, files)


def describe(folder: Path) -> Document:
    """Read config.json in a folder, without its files. Raises as `read` does."""
    try:
        return load_text(read_text(folder / CONFIG, MAX_BYTES), str(folder / CONFIG))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a model: there is no {folder / CONFIG}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{folder} is not a model: its {CONFIG} cannot be read ({why})") from None
    except RecipeError as error:
        raise CheckpointError(f"the model {folder} is damaged: {error}") from None


def read_config(document: Document) -> Config:
    """Validate the contents of config.json and return them. Raises CheckpointError."""
    try:
        return Config.model_validate(document.data)
    except ValidationError as error:
        if not isinstance(document.data, dict):
            raise CheckpointError(f"{document.file} is not that of a model: it should be a mapping") from None
        problems = shape_problems(error.errors(), document, (), lambda _: Config.model_fields, CONFIG)
        raise CheckpointError(f"the model cannot be used. {'; '.join(map(str, problems))}") from None


def write(model: Model, folder: Path, others: Mapping[str, bytes], overwrite: bool = False) -> None:
    """Write a model to `folder`, atomically.

    others: contents of further files, such as the model card and pictures, by name.
    overwrite: allow an existing model to be replaced. A folder that holds anything else is never replaced.
    Raises UsageError, DiskError, and CheckpointError if weights are NaN.
    """
    refuse(folder, CONFIG, "model", overwrite)
    refuse_others(folder, CONFIG, "model")
    with staged(folder) as stage:
        flat = {
            f"{network}.{name}": tensor.contiguous().clone()
            for network, tensors in model.networks.items()
            for name, tensor in tensors.items()
        }
        if broken := [name for name, tensor in flat.items() if tensor.isnan().any()]:
            raise CheckpointError(
                f"{len(broken)} of the weights are not numbers (NaN), first {broken[0]}: the model cannot translate"
            )
        (stage / WEIGHTS).write_bytes(safetensors.torch.save(flat, {"format": "pt"}))
        for name, path in model.files.items():
            _write_tensors(path, stage / name)
        files = {path.name: vars(_digest(path)) for path in sorted(stage.iterdir())}
        config = {**model.document.data, "files": files}
        config["sha256"] = _seal(load_text(json_in_yaml(config), CONFIG).data)
        for name, content in {CONFIG: json_in_yaml(config, indent=1).encode(), **others}.items():
            (stage / name).write_bytes(content)


def own_files(folder: Path, mark: str = CONFIG) -> list[str]:
    """Return the names of a model's files: `mark`, the files that it lists, the recipe, the card and its pictures.

    Returns [] if `mark` is missing or was not written by i2i.
    """
    try:
        about = json.loads((folder / mark).read_text(encoding="utf-8"))
        card = (folder / CARD).read_text(encoding="utf-8", errors="replace") if (folder / CARD).is_file() else ""
        pictures = [
            path.name for path in folder.glob("*.png") if path.name.startswith("samples-") or f"]({path.name})" in card
        ]
        return [mark, *about["files"], CARD, RECIPE, *pictures]
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return []


def refuse(folder: Path, mark: str, what: str, overwrite: bool) -> None:
    """Raise UsageError for an existing folder, unless it is empty, or holds the file `mark` and `overwrite` is set.

    what: name of the contents of such a folder in messages, for example "model".
    """
    need_text(folder)
    if folder.exists() and not (own_files(folder, mark) or (folder.is_dir() and not any(folder.iterdir()))):
        raise UsageError(f"{folder} exists and holds no {what}; choose another folder with --to")
    if (folder / mark).exists() and not overwrite:
        raise UsageError(
            f"{folder} already holds a {what}; choose another folder with --to, or allow it with --overwrite"
        )


def refuse_others(folder: Path, mark: str, what: str) -> None:
    """Raise UsageError for a folder that cannot be replaced: it holds other files, or the working directory."""
    others = {path.name for path in folder.iterdir()} - {*own_files(folder, mark)} if folder.exists() else ()
    if others:
        raise UsageError(
            f"{folder} holds {min(others)} besides a {what}; take it out, or choose another folder with --to"
        )
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} is or contains the working directory; choose another folder with --to")


def _write_tensors(source: Path, target: Path) -> None:
    """Copy a file that a named tensor reads; convert one that torch.save wrote to safetensors."""
    try:
        if foreign.is_safetensors(_head(source)):
            shutil.copyfile(source, target)
            return
        found = foreign.state_dict(foreign.read(source))
    except OSError as error:
        raise UsageError(f"the model reads {source}, which cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    target.write_bytes(safetensors.torch.save({name: t.contiguous().clone() for name, t in found.items()}))


def _seal(config: Mapping[str, Any]) -> str:
    return digest_of({key: value for key, value in config.items() if key != "sha256"})


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(9)


def _digest(path: Path) -> File:
    with open_regular(path) as file:
        return File(size=os.fstat(file.fileno()).st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())
