"""A first recipe for a folder of pictures: a bundled one, changed so that it fits them and the machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import torch
import yaml

from i2i.survey.facts import Facts, facts_of
from i2i.survey.notes import Note
from i2i.survey.pairs import SIDE_BY_SIDE, Doubles, doubles_in
from i2i.yaml_edits import RecipeText
from i2i_core.data.datasets.file_records import FileRecords
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.datasets.image_list import ImageList
from i2i_core.data.datasets.splits import as_yaml, split_advice
from i2i_core.data.fitting import Layout, fit
from i2i_core.data.formats.picture import Picture
from i2i_core.data.sets import no_pictures
from i2i_core.data.walking import folders_in
from i2i_core.errors import DataError, UsageError, counted
from i2i_core.plan.fields import PICTURE
from i2i_core.recipe.document import Document
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.specs import Checker, build

QUICK, PAPER, PAIRED = "stargan_v2.yaml", "stargan_v2_afhq.yaml", "pix2pix.yaml"
"""The recipes that are changed: for CPUs, for accelerators, and for pairs."""
LISTS = (".csv", ".tsv", ".jsonl", ".parquet")
LOOKED_AT, FACES = 24, 0.6
"""Number of pictures in which faces are looked for, and the share with a face from which they are portraits."""
VARIED = 1.3
"""Ratio of the greatest and the least aspect ratio above which pictures are cropped instead of stretched."""
MASKS = "fan_mask/face68"
LEAST, MOST = 16, 1024
"""Limits of the size in pixels."""


@dataclass(frozen=True)
class First:
    """A recipe, and what was found."""

    text: str
    said: Sequence[str]
    """Sentences about the choices."""


@dataclass(frozen=True)
class Wish:
    """Choices of a user; the others are made from the pictures and the machine."""

    name: str | None = None
    """The bundled recipe to change."""
    size: int | None = None
    """Height and width of the networks in pixels."""
    steps: int | None = None
    paired: bool | None = None
    """True if files of one name in all domains are pairs."""


def first_recipe(place: Path, plugins: Plugins, wish: Wish, fast: bool) -> First:
    """Write a recipe for the pictures of a folder or a list. Raises DataError and UsageError.

    fast: whether an accelerator trains; else the recipe trains in minutes on CPUs.
    """
    name, size, steps = wish.name, wish.size, wish.steps
    keys, dataset = _data_of(place, plugins, wish.paired)
    facts = facts_of(dataset, str(place))
    paired = facts.paired or bool(facts.look_like_pairs if wish.paired is None else wish.paired)
    if name is None:
        name = PAIRED if paired and PAIRED in plugins.recipes() else PAPER if fast else QUICK
    text = RecipeText(_bundled(name, plugins))
    base = yaml.safe_load(text.text)
    if paired or _has_one_direction(base["data"]):
        first, second = [*facts.domains][:2]
        keys |= {"paired": True} if paired and keys["use"] != SIDE_BY_SIDE else {}
        keys["targets"] = {first: second}
    pictures = sum(of.pictures for of in facts.domains.values())
    side = _side(facts, fast) if size is None else size
    said = [f"{counted(pictures, 'picture')}: {', '.join(f'{n} {of.pictures:,}' for n, of in facts.domains.items())}"]
    count = steps or _steps(int(base["steps"]), pictures, fast)
    _resize(text, side)
    _rescale(text, int(base["steps"]), count)
    text.replace_lines(("data",), "\n".join(_data_lines(keys, facts, base["data"], side)))
    if not paired and text.has(("hooks", "true_pairs")):
        text.replace_lines(("hooks", "true_pairs"), "")
    if text.has(("tensors", "masks")) or text.has(("networks", "mapping_network")):
        share = _share_of_faces(dataset, plugins)
        if share >= FACES:
            _add_masks(text, side)
            said.append(f"{share:.0%} of {LOOKED_AT} pictures show a face, so the skip has masks of faces")
    said += _about_pairs(keys, facts)
    said.append(f"{side} x {side} pixels, {counted(count, 'step')}, from {name}")
    if _fit(facts) == "crop":
        said.append(f"fit: crop takes {_cropped(facts)}; stretch, keep and patch are the others")
    said += [_told(note) for note in facts.notes if note.about in ("labels", "unread", "folders", "partners")]
    *others, last = facts.domains
    first = f"# Translates {', '.join(others)} and {last} of {place}. It is {name} with other data and settings."
    body = text.text[text.text.index("i2i: 1") :]
    return First(f"{first}\n{body.rstrip()}\n", said)


def _data_of(place: Path, plugins: Plugins, paired: bool | None) -> tuple[dict[str, Any], FileRecords]:
    """Return the keys of `data` that name the pictures, and the data set."""
    try:
        if place.is_file() and place.suffix.lower() in LISTS:
            return _of_list(place)
        if not place.is_dir():
            raise DataError(f"there is no folder {place}, which should hold one folder of pictures per domain")
        if paired is not False and (doubles := doubles_in(place)):
            return _of_doubles(doubles, plugins, bool(paired))
        advice = split_advice(place, folders_in(place))
        keys: dict[str, Any] = {"use": "image_folders", "root": str(place), **(advice.write if advice else {})}
        if keys["use"] != "image_folders":
            raise DataError(f"{place} holds pictures of one domain; put those of another one into a folder of its own")
        dataset = ImageFolders(root=Path(keys["root"]), domains=keys.get("domains"), broken="skip")
    except ValueError as error:
        raise DataError(str(error)) from None
    if dataset.broken:
        keys["broken"] = "skip"
    if len(dataset.domains) < 2:
        raise DataError(f"{place} has only the domain {dataset.domains[0]}; a translation needs two folders")
    if empty := [name for name, files in zip(dataset.domains, dataset.files, strict=True) if not files]:
        folder, what = dataset.places[empty[0]], no_pictures(dataset, empty[0])
        raise DataError(f"{folder} has {what}; put the pictures of the domain {empty[0]} there, or remove the folder")
    return keys, dataset


def _of_doubles(doubles: Doubles, plugins: Plugins, wished: bool) -> tuple[dict[str, Any], FileRecords]:
    """Return the keys for pairs side by side. Raises DataError if they are unlikely, UsageError without a plugin."""
    if not doubles.likely and not wished:
        raise DataError(
            f"{doubles.says}; if each holds a pair, add --paired, else put the pictures of each domain into a folder "
            f"of its own"
        )
    keys = dict(doubles.write)
    if not any(SIDE_BY_SIDE in row.components for row in plugins.rows):
        hint = plugins.hint_for_plugin(SIDE_BY_SIDE.partition("/")[0])
        raise UsageError(
            f"{doubles.says}; to train on them: {hint}, and run this again. It will write\n{as_yaml(keys)}"
        )
    inner = {key: value for key, value in keys.items() if key in ("use", "root", "domains")}
    spec = Checker(plugins, Document("")).check("dataset", {**inner, "broken": "skip"}, ())
    assert spec is not None
    dataset: FileRecords = build(spec, {})
    if dataset.broken:
        keys["broken"] = "skip"
    return keys, dataset


def _of_list(file: Path) -> tuple[dict[str, Any], FileRecords]:
    """Return the keys for a list, with the split `train` if it has splits."""
    keys: dict[str, Any] = {"use": "image_list", "file": str(file)}
    try:
        return keys, ImageList(file=file, broken="skip")
    except ValueError:
        keys |= {"split": "train", "validation": {"split": "val"}}
        return keys, ImageList(file=file, split="train", broken="skip")


def _bundled(name: str, plugins: Plugins) -> str:
    file = name if name.endswith(".yaml") else f"{name}.yaml"
    found = plugins.recipes().get(file)
    if found is None:
        hint = plugins.hint_for_recipe(file)
        raise UsageError(f"no installed plugin provides the recipe {file}" + (f" ({hint})" if hint else ""))
    return found.read_text(encoding="utf-8")


def _about_pairs(keys: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    """Yield why the data has pairs, or none, where that was guessed."""
    if keys["use"] == SIDE_BY_SIDE:
        yield "each file holds a pair: {} is its left half, {} its right half".format(*facts.domains)
    elif any(note.about == "pairs" for note in facts.notes):
        seen = {True: "look like pairs", False: "do not look like pairs", None: "may be pairs, too few to tell"}
        yield f"files of one name {seen[facts.look_like_pairs]}; --paired or --unpaired says so"


def _told(note: Note) -> str:
    return f"{note.text}:\n{indent(note.write, '    ')}" if note.write else note.text


def _has_one_direction(data: Mapping[str, Any]) -> bool:
    """Return True if the recipe of this `data` translates one domain into another, as that of CycleGAN."""
    targets = data.get("targets")
    return isinstance(targets, dict) and all(source != target for source, target in targets.items())


def _side(facts: Facts, fast: bool) -> int:
    """Return the greatest power of two that half of the pictures have, at most 64 on a CPU and 256 otherwise."""
    shorter = [min(of.sizes[1]) for of in facts.domains.values() if of.sizes]
    fits: int = 1 << int(math.log2(max(LEAST, min(shorter, default=64))))
    return min(fits, 256 if fast else 64)


def _steps(base: int, pictures: int, fast: bool) -> int:
    """Return the number of steps: on an accelerator some 50 epochs of batches of 8, within limits; else minutes."""
    if fast:
        return int(round(min(100_000, max(20_000, pictures * 50 / 8)), -3))
    return int(round(base * min(5.0, max(1.0, pictures / 3000)), -2))


def _resize(text: RecipeText, new: int) -> None:
    """Change what depends on the size: the depth of U-Nets, and the sizes at which a skip acts."""
    levels = ("networks", "generator", "levels")
    if text.has(levels):
        text.replace(levels, str(int(math.log2(new))))
    if text.has(("networks", "generator", "skip")):
        sizes = ("networks", "generator", "skip", "sizes")
        wanted = f"[{', '.join(str(max(1, new // part)) for part in (8, 4, 2))}]"
        if text.has(sizes):
            text.replace(sizes, wanted)


def _rescale(text: RecipeText, old: int, new: int) -> None:
    """Change the number of steps, and all schedules and intervals in proportion."""
    for path, value in list(text.numbers()):
        if path[-1] in ("over", "after", "every") and path[0] in ("losses", "optimizers", "hooks"):
            scaled = float(value.replace("_", "")) * new / old
            text.replace(path, str(max(1, round(scaled))))
    text.replace(("steps",), str(new))


def _data_lines(keys: Mapping[str, Any], facts: Facts, base: Mapping[str, Any], side: int) -> Iterator[str]:
    """Yield the lines of the section `data`."""
    yield "data:"
    written = {key: value for key, value in keys.items() if key not in ("validation", "targets")}
    counts = ", ".join(f"{name} ({counted(of.pictures, 'picture')})" for name, of in facts.domains.items())
    for n, (key, value) in enumerate(written.items()):
        line = f"  {key}: {_flow(value)}"
        yield f"{line:<31} # domains: {counts}" if n == 1 else line
    sizes = sorted(of.sizes[1] for of in facts.domains.values() if of.sizes)
    about = f"; the median picture has {sizes[0][0]} x {sizes[0][1]}" if sizes else ""
    yield f"  {f'image_size: {side}':<29} # pixels{about}"
    how = _fit(facts)
    lost = f"crop: {_cropped(facts)}; or" if how == "crop" else "how pictures come to that size: stretch, crop,"
    yield f"  {f'fit: {how}':<29} # {lost} {'stretch, ' * (how == 'crop')}keep or patch"
    yield f"  {'batch_size: ' + str(base['batch_size']):<29} # over all processes"
    yield f"  {'workers: 2':<29} # processes that load pictures"
    if "targets" in keys:
        source, target = map(_flow, next(iter(keys["targets"].items())))
        yield f"  {f'targets: {{{source}: {target}}}':<29} # the direction; or {{{target}: {source}}}"
    elif "targets" in base and isinstance(base["targets"], str):
        yield f"  {'targets: ' + base['targets']:<29} # others: never into the own domain; all: also into it"
    if "validation" in keys:
        yield f"  {'validation: ' + _flow(keys['validation']):<29} # held-out pictures"
    elif keys["use"] == SIDE_BY_SIDE:  # which no list can hold out
        yield "  # validation: none yet        # {root: FOLDER}, with files of pairs moved there"
    else:
        yield "  # validation: none yet        # held-out pictures; i2i data split holds some out"


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip().removesuffix("\n...")


def _fit(facts: Facts) -> str:
    """Return crop for pictures of varied aspect ratios, or for wide and high ones; else stretch."""
    aspects = [aspect for of in facts.domains.values() for aspect in of.aspects]
    if not aspects:
        return "stretch"
    return "crop" if max(aspects) / min(aspects) > VARIED or not 1 / VARIED < aspects[1] < VARIED else "stretch"


def _cropped(facts: Facts) -> str:
    """Return what a crop takes of the pictures, and leaves out, as a phrase."""
    aspects = [aspect for of in facts.domains.values() for aspect in of.aspects]
    medians = {name: of.aspects[1] for name, of in facts.domains.items() if of.aspects}
    name, middle = max(medians.items(), key=lambda item: abs(math.log(item[1])))
    lost, most = 1 - min(middle, 1 / middle), max(1 - min(aspect, 1 / aspect) for aspect in aspects)
    side = "width" if middle > 1 else "height"
    whose = f" of {name}" * (len({*medians.values()}) > 1)
    more = f" (at most {most:.0%} of a side)" if most > lost + 0.01 else ""
    return f"the middle; {lost:.0%} of the {side} of the median picture{whose} is left out{more}"


def _share_of_faces(dataset: FileRecords, plugins: Plugins) -> float:
    """Return the share of some pictures of all domains that show a face; 0 if nothing finds faces."""
    if not any(MASKS in row.components for row in plugins.rows):
        return 0.0
    spec = Checker(plugins, Document("")).check("tensor", {"use": MASKS, "of": "x_real"}, ())
    assert spec is not None
    finder: Any = build(spec, {})
    found = []
    for y, domain in enumerate(dataset.domains):
        files = dataset.files[y]
        form, most = dataset.formats[domain], max(1, LOOKED_AT // len(dataset.domains))
        if form != Picture():
            return 0.0
        for index in range(0, len(files), max(1, len(files) // most))[:most]:
            picture = dataset.record(y, index, (PICTURE,), np.random.default_rng(0))[PICTURE]
            x, _ = fit(picture, Layout(form, (256, 256), "crop"))
            found.append(bool(finder.faces(form.encode(x[None], torch.float32))[0]))
    return sum(found) / max(1, len(found))


def _add_masks(text: RecipeText, side: int) -> None:
    for name, of in (("masks", "x_real"), ("fake_masks", "x_fake")):
        if text.has(("tensors", name)):
            text.replace(("tensors", name), f"{{use: {MASKS}, of: {of}}}")
    if not text.has(("tensors",)):
        sizes = ", ".join(str(side // part) for part in (8, 4, 2))
        skip = f"{{use: fan_mask/high_pass, strength: 1.0, sizes: [{sizes}]}}"
        text.replace(("networks", "generator"), f"{{use: stargan_v2/generator, skip: {skip}}}")
        masks = {"masks": "x_real", "fake_masks": "x_fake"}
        lines = ["tensors:", *(f"  {name}: {{use: {MASKS}, of: {of}}}" for name, of in masks.items())]
        text.text = text.text.replace("\nlosses:", "\n" + "\n".join(lines) + "\n\nlosses:", 1)
