"""Batches: sampling, augmentation, and conversion of fitted values to what networks get.

A sample is a function of the seed and its number; sample n of step t has the number t · batch_size + n. So there is no
sampler state to save, and any number of processes draws the same samples.
"""

from __future__ import annotations

import math
import multiprocessing
import pickle
import warnings
from collections.abc import Collection, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from i2i_core.data.cache import Cache
from i2i_core.data.fitting import Layout, extent, fit, padded, part_of, patch_at
from i2i_core.data.sets import SampledRecords, directions
from i2i_core.data.transforms import Transforms
from i2i_core.data.watched import Watched, watched
from i2i_core.data.workers import begin_work, signals_wait, start_method
from i2i_core.errors import DataError
from i2i_core.interfaces import WHOLE, Box, Format, Size
from i2i_core.plan.fields import ROLES, in_role, role_of
from i2i_core.recipe.sections import Augment, Data
from i2i_core.registry.plugins import LoadedFiles

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset

Sample = dict[str, int | Tensor]
CROP = ".crop"
"""Suffix of fields with crops: "x_real.crop" holds the crop of each picture in x_real."""


def draw_crop(augment: Augment, rng: np.random.Generator, aspect: float = 1.0) -> tuple[Box, bool]:
    """Draw the box of a random resized crop, and a flag for a horizontal flip.

    With probability `augment.crop` the box is random, with area and aspect ratio in `augment`'s ranges; otherwise it is
    the whole picture. aspect: width / height of the picture. Equal states of `rng` give equal boxes for equal aspects.
    """
    do_crop, area, u, x, y, do_flip = rng.random(6)
    flip = bool(do_flip < augment.flip)
    if do_crop >= augment.crop:
        return WHOLE, flip
    share = augment.scale[0] + (augment.scale[1] - augment.scale[0]) * area
    low, high = math.log(augment.ratio[0]), math.log(augment.ratio[1])
    ratio = math.exp(low + (high - low) * u)
    width, height = min(1.0, math.sqrt(share * ratio / aspect)), min(1.0, math.sqrt(share / ratio * aspect))
    left, top = (1 - width) * x, (1 - height) * y
    return (left, top, left + width, top + height), flip


def draw_patch(augment: Augment, rng: np.random.Generator, extent: Size, size: Size, step: int = 1) -> tuple[Box, bool]:
    """Draw the box of a random patch of `size` pixels of a picture, and a flag for a horizontal flip.

    extent: height and width of the picture. step: the patch begins at a multiple of so many pixels.
    """
    y, x, do_flip = rng.random(3)
    return patch_at((y, x), extent, size, step), bool(do_flip < augment.flip)


class Samples:
    """A map-style data set of unlimited length for a DataLoader: sample number -> its fields in `wanted`.

    All domains are equally likely, whatever their numbers of pictures. The fields of a record and of its pair get the
    same crop. With a `cache`, pictures are whole and a further field holds their crops, which `to_device` applies.
    Otherwise they are cropped and resized. With `transforms`, which are applied last, pictures of a cache are, too.
    """

    def __init__(
        self,
        records: SampledRecords,
        wanted: Collection[str],
        data: Data,
        seed: int,
        cache: Cache | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        self.records, self.wanted, self.data, self.seed, self.cache = records, wanted, data, seed, cache
        self.transforms = transforms
        self.counts = [records.count(domain) for domain in range(len(records.domains))]
        self.directions = directions(data.targets, records.domains)
        self.sources = tuple(self.directions)
        self.fields = {role: [f for f in records.field_names if in_role(f, role) in wanted] for role in ROLES}

    def __getstate__(self) -> dict[str, object]:
        """Return the state with the single-file plugins first, since the data set's class may be in one of them."""
        return {"plugins": LoadedFiles(), **vars(self)}

    def __getitem__(self, number: int) -> Sample:
        y_org, y_trg, streams = self._chosen(number)
        sample: Sample = {name: y for name, y in (("y_org", y_org), ("y_trg", y_trg)) if name in self.wanted}
        for stream, records in enumerate(streams):
            self._add(sample, number, stream, {role: record for role, record in records.items() if self.fields[role]})
        return sample

    def _chosen(self, number: int) -> tuple[int, int, tuple[Mapping[str, tuple[int, int]], ...]]:
        """Return the domains of a sample, and its records by role; those of one stream share a crop."""
        rng = np.random.default_rng((self.seed, number))
        y_org, y_trg = (int(y) for y in rng.integers(len(self.counts), size=2))
        if len(self.sources) < len(self.counts):
            y_org = self.sources[rng.integers(len(self.sources))]
        if len(targets := self.directions[y_org]) < len(self.counts):
            y_trg = targets[rng.integers(len(targets))]
        source = int(rng.integers(self.counts[y_org]))
        reference, reference2 = (int(index) for index in rng.integers(self.counts[y_trg], size=2))
        # Records of one stream, which has the number of its first role, are cropped and mirrored in the same way.
        own = {"real": (y_org, source), "pair": (y_trg, source)}
        return y_org, y_trg, (own, {"ref": (y_trg, reference)}, {"ref2": (y_trg, reference2)})

    def describe(self, number: int) -> str:
        """Return the files of a sample's pictures, or their places in the data set, for messages."""
        *_, streams = self._chosen(number)
        chosen = [record for records in streams for role, record in records.items() if self.fields[role]]
        files = getattr(self.records.dataset, "files", None)
        names = (
            str(files[y][n]) if isinstance(files, list) else f"{self.records.domains[y]} number {n}" for y, n in chosen
        )
        return ", ".join(dict.fromkeys(names))

    def _drawn(self, rng: np.random.Generator, size: Size, domain: int) -> tuple[Box, bool]:
        """Draw the crop of a record whose picture has this height and width."""
        augment = self.data.augment
        if self.records.fit != "patch":
            return draw_crop(augment, rng, size[1] / size[0])
        return draw_patch(augment, rng, size, self.records.layout(domain).size, self.records.step(domain))

    def _add(self, sample: Sample, number: int, stream: int, records: Mapping[str, tuple[int, int]]) -> None:
        """Add the wanted fields of records, by role, that share a crop."""
        crop: tuple[Box, bool] | None = None

        def rng(*key: int) -> np.random.Generator:
            # A random stream for each purpose, so that leaving out a field changes no other one.
            return np.random.default_rng(np.random.SeedSequence((self.seed, number), spawn_key=(stream, *key)))

        fitted: dict[str, Tensor] = {}
        for role, (domain, index) in records.items():
            fields = self.fields[role]
            if self.cache is not None:
                for field in fields:
                    name = in_role(field, role)
                    fitted[name], aspect = self.cache.fitted(domain, index, field)
                    crop = crop or draw_crop(self.data.augment, rng(), aspect)
                    part, inner = part_of((1.0, aspect), self.records.layout(domain, field), crop[0])
                    fitted[name + CROP] = torch.tensor((*_pixels(part, self.cache.size), crop[1], *inner))
                continue
            values = self.records.values(domain, index, fields, rng(1))
            if crop is None:
                size = next(filter(None, (extent(values[field]) for field in fields)), (1, 1))
                crop = self._drawn(rng(), size, domain)
            for field in fields:
                fitted[in_role(field, role)], _ = fit(values[field], self.records.layout(domain, field), *crop)
        sample |= fitted if self.transforms is None else self._transformed(fitted, records, rng(2))

    def _transformed(
        self, fitted: Mapping[str, Tensor], records: Mapping[str, tuple[int, int]], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Return fitted values after the transforms. Those of a cache are cropped before, here instead of later."""
        assert self.transforms is not None
        found, forms = dict[str, Tensor](), dict[str, Format]()
        for name, value in fitted.items():
            if not name.endswith(CROP):
                field, role = role_of(name)
                layout, crop = self.records.layout(records[role][0], field), fitted.get(name + CROP)
                found[name] = value if crop is None else next(cut(value[None], crop[None], layout))[0]
                forms[name] = layout.format
        return self.transforms(found, forms, int(rng.integers(2**63)))


def loader(
    samples: Samples,
    *,
    start: int,
    steps: int,
    batch_size: int,
    rank: int,
    world: int,
    workers: int,
    timeout: float = 0,
    pin_memory: bool = False,
) -> Generator[dict[str, Tensor]]:
    """Iterate over this process's share of each global batch, for steps [start, steps).

    Values are as their formats fit them, (n, ...) where n is batch_size / world. timeout: seconds to wait for a batch
    of data workers; 0 stands for any time. Close the iterator to end them. Raises DataError if the data set cannot be
    pickled for data workers.
    """
    if not samples.wanted:
        return (batch for batch in [dict[str, Tensor]()] * (steps - start))
    share = batch_size // world
    firsts = (step * batch_size + rank * share for step in range(start, steps))
    items = Watched(samples, workers) if workers else samples
    others = {*multiprocessing.active_children()}
    try:
        with signals_wait(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Got pickle error")  # the error below says it
            batches = iter(
                DataLoader(
                    cast("TorchDataset[Sample]", items),  # map-style by __getitem__ alone
                    batch_sampler=(list(range(first, first + share)) for first in firsts),
                    num_workers=workers,
                    pin_memory=pin_memory,
                    worker_init_fn=begin_work,
                    multiprocessing_context=start_method() if workers else None,
                )
            )
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # raised for objects without a pickle
        raise DataError(
            f"{type(samples.records.dataset).__name__} cannot be sent to data workers: {error}; keep what cannot "
            f"be pickled out of its attributes, or set data.workers to 0"
        ) from error
    if isinstance(items, Watched):
        started = sorted({*multiprocessing.active_children()} - others, key=lambda process: process.name.rjust(99))
        return watched(batches, items, started, timeout)
    return (batch for batch in batches)


def to_device(
    batch: Mapping[str, Tensor], layouts: Mapping[str, Layout], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Move a batch to a device, where its formats encode it.

    Values of a cache are cropped there and resized to the sizes of their layouts.
    """
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items() if not name.endswith(CROP)}
    for name in moved.keys() & layouts.keys():
        layout, crops = layouts[name], batch.get(name + CROP)
        fitted = moved[name] if crops is None else torch.cat([*cut(moved[name], crops, layout)])
        moved[name] = layout.format.encode(fitted, dtype)
    return moved


def cut(fitted: Tensor, crops: Tensor, layout: Layout) -> Iterator[Tensor]:
    """Crop each of the fitted values (N, h, w, C) of a cache and resize it; yield N tensors (1, C, H, W).

    crops: left, top, right and bottom in pixels, 1 for a horizontal flip or 0, and the height and width that the part
    takes, (N, 7), on the CPU.
    """
    for n, (left, top, right, bottom, flip, *inner) in enumerate(crops.tolist()):
        part = fitted[n : n + 1]
        if part.dim() == 4:  # else numbers
            part = part[:, top:bottom, left:right].permute(0, 3, 1, 2)
            if part.shape[2:] != (size := (inner[0], inner[1])):
                part = layout.format.resize(part, size)
            part, _ = padded(part.flip(3) if flip else part, layout.size)
        yield part


def _pixels(box: Box, size: Size) -> Box:
    """Return a box in whole pixels of a picture of (H, W), at least one pixel wide and high."""
    (left, top, right, bottom), (height, width) = box, size
    x, y = min(round(left * width), width - 1), min(round(top * height), height - 1)
    return x, y, max(round(right * width), x + 1), max(round(bottom * height), y + 1)
