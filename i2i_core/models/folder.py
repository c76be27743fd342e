"""A trained model as a folder: config.json says what it is, model.safetensors holds its weights.

Nothing in it is code, and nothing in it is ever unpickled: config.json names components, as recipes do.
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
from pydantic import Field, NonNegativeInt, ValidationError, ValidationInfo, field_validator
from safetensors import SafetensorError
from torch import Tensor

from i2i_core.disk import foreign
from i2i_core.disk.files import staged
from i2i_core.errors import CheckpointError, RecipeError, UsageError
from i2i_core.recipe.document import MAX_BYTES, Document, json_in_yaml, load_text
from i2i_core.recipe.names import FileName, Names
from i2i_core.recipe.problems import shape_problems
from i2i_core.recipe.sections import Named, Section

CONFIG, WEIGHTS, CARD, RECIPE = "config.json", "model.safetensors", "README.md", "recipe.yaml"
Guide = Literal["latent", "reference", "plain"]
"""What makes a style: random numbers, a picture of the target domain, or nothing."""
Side = Annotated[int, Field(ge=1, le=8192)]
"""Pixels. A picture is padded to the size that config.json gives, whoever wrote that."""


class File(Section):
    """What a file beside config.json must be."""

    size: NonNegativeInt
    sha256: str


class Config(Section):
    """config.json."""

    i2i: Literal[1]
    """The format of this file."""
    method: Named
    """The named tensors."""
    image_size: tuple[Side, Side]
    """H and W in pixels that the networks see."""
    domains: Names[FileName] = Field(min_length=2)
    """In the order of the class index y."""
    targets: Names[FileName]
    """The domains that it was trained to translate into."""
    show: FileName
    """The tensor that is the translation."""
    guides: dict[Guide, dict[FileName, FileName]] = Field(min_length=1)
    """By what makes the style: which tensors the names of style codes then stand for, as in a phase's `where`."""
    networks: dict[FileName, Named]
    tensors: dict[FileName, Named] = {}
    plugins: dict[str, str] = {}
    """What brings each plugin of these components, as pip takes it."""
    versions: dict[str, str] = {}
    """With which it was trained."""
    training: dict[str, Any] = {}
    """What people want to know: steps, seed, data, metrics."""
    files: dict[str, File]
    """Every file that the model is read from."""

    @field_validator("targets")
    @classmethod
    def _are_domains(cls, targets: list[str], info: ValidationInfo) -> list[str]:
        for name in targets:
            if name not in info.data.get("domains", targets):
                raise ValueError(f"there is no domain {name}")
        return targets


@dataclass(frozen=True)
class Model:
    """A trained model, read but not built. In memory the files of its tensors may lie anywhere."""

    name: str
    document: Document
    """What config.json says, with marks."""
    networks: Mapping[str, Mapping[str, Tensor]]
    """The state of each network, on the CPU; maybe also of some that only training needs."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """What its tensors read, by the name that config.json uses."""

    @property
    def config(self) -> Config:
        return read_config(self.document)


def read(folder: Path) -> Model:
    """The model in a folder, its files verified; raises CheckpointError."""
    try:
        with open(folder / CONFIG, encoding="utf-8") as file:
            document = load_text(file.read(MAX_BYTES + 1), str(folder / CONFIG))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no model: there is no {folder / CONFIG}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder} is no model: its {CONFIG} cannot be read ({error})") from None
    except RecipeError as error:
        raise CheckpointError(f"the model {folder} is damaged: {error}") from None
    config = read_config(document)
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
            raise CheckpointError(f"the model {folder} is refused: {name} is no .safetensors, and nothing else is read")
    networks: dict[str, dict[str, Tensor]] = {name: {} for name in config.networks}
    try:
        for place, tensor in safetensors.torch.load_file(folder / WEIGHTS).items():
            network, _, name = place.partition(".")
            networks.setdefault(network, {})[name] = tensor
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the model {folder} is damaged: {WEIGHTS} cannot be read ({error})") from None
    files = {name: folder / name for name in config.files if name != WEIGHTS}
    return Model(folder.resolve().name, document, networks, files)


def read_config(document: Document) -> Config:
    """What a config.json says; raises CheckpointError for what cannot be one."""
    try:
        return Config.model_validate(document.data)
    except ValidationError as error:
        if not isinstance(document.data, dict):
            raise CheckpointError(f"{document.file} is no model's: it should be a mapping") from None
        problems = shape_problems(error.errors(), document, (), lambda _: Config.model_fields)
        raise CheckpointError(f"the model cannot be used. {'; '.join(map(str, problems))}") from None


def write(model: Model, folder: Path, others: Mapping[str, bytes], overwrite: bool = False) -> None:
    """Write a model and `others` (a card, pictures) as `folder`, which is there wholly or not at all.

    overwrite: whether a model that is there may be replaced; a folder that holds anything else never is. Raises
    UsageError, DiskError, and CheckpointError for weights that are NaN.
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
                f"{len(broken)} of the weights are not numbers (NaN), first {broken[0]}: it would "
                f"translate into nothing"
            )
        (stage / WEIGHTS).write_bytes(safetensors.torch.save(flat, {"format": "pt"}))
        for name, path in model.files.items():
            _write_tensors(path, stage / name)
        files = {path.name: vars(_digest(path)) for path in sorted(stage.iterdir())}
        config = {**model.document.data, "files": files}
        for name, content in {CONFIG: json_in_yaml(config, indent=1).encode(), **others}.items():
            (stage / name).write_bytes(content)


def own_files(folder: Path, mark: str = CONFIG) -> list[str]:
    """The names of a model's files: `mark`, those that it names, the recipe, the card and the pictures in it.

    There are none where `mark` is not there, or is nothing of ours.
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
    """Raise UsageError for a folder that is there, unless it is empty, or is what has the file `mark` and may change.

    what: that which such a folder holds.
    """
    if folder.exists() and not (own_files(folder, mark) or (folder.is_dir() and not any(folder.iterdir()))):
        raise UsageError(f"{folder} is there and holds no {what}; choose another folder with --to")
    if (folder / mark).exists() and not overwrite:
        raise UsageError(
            f"{folder} already holds a {what}; choose another folder with --to, or allow it with --overwrite"
        )


def refuse_others(folder: Path, mark: str, what: str) -> None:
    """Raise UsageError for a folder that cannot be replaced: by what else it holds, or by who is in it."""
    others = {path.name for path in folder.iterdir()} - {*own_files(folder, mark)} if folder.exists() else ()
    if others:
        raise UsageError(
            f"{folder} holds {min(others)} besides a {what}; take it out, or choose another folder with --to"
        )
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} is the folder that you are in, or holds it; choose another one with --to")


def _write_tensors(source: Path, target: Path) -> None:
    """Copy a file that a tensor reads; one that torch.save wrote becomes what needs no unpickling."""
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


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(9)


def _digest(path: Path) -> File:
    with open(path, "rb") as file:
        return File(size=os.fstat(file.fileno()).st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())
