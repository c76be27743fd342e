"""Batches: sampling, augmentation, and conversion of pictures to tensors.

A sample is a function of the seed and its number; sample n of step t has the number t · batch_size + n. So there is no
sampler state to save, and any number of processes draws the same samples.
"""

from __future__ import annotations

import math
import pickle
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from i2i_core.data.cache import Cache
from i2i_core.data.workers import begin_work, signals_wait, start_method
from i2i_core.errors import DataError
from i2i_core.interfaces import Dataset
from i2i_core.plan.fields import PAIR, SOURCE, TARGET
from i2i_core.recipe.sections import Augment, Data
from i2i_core.registry.plugins import LoadedFiles

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset

Sample = dict[str, int | Tensor]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom as fractions of a picture's width or height, in [0, 1]."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
CROP = ".crop"
"""Suffix of fields with crops: "x_real.crop" holds the crop of each picture in x_real."""


def field_names(dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the batch fields that `dataset` can provide.

    x_real: a picture of domain y_org. x_ref, x_ref2: two pictures of domain y_trg. x_pair: the true translation of
    x_real into y_trg, if the data set is paired. All domains are equally likely, whatever their numbers of pictures.
    """
    return (*SOURCE, *TARGET, *((PAIR,) if dataset.paired else ()))


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


def to_tensor(picture: Image.Image, size: tuple[int, int], box: Box = WHOLE, flip: bool = False) -> Tensor:
    """Crop an RGB picture to `box`, resize it to (H, W), optionally flip it, and return it as uint8 (3, H, W)."""
    (height, width), (left, top, right, bottom) = size, box
    pixels = (left * picture.width, top * picture.height, right * picture.width, bottom * picture.height)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR, box=pixels)
    if flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())


def to_picture(x: Tensor, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """Return a tensor (3, H, W) in [-1, 1] as an RGB picture, cropped to `box` (left, top, right, bottom in pixels)."""
    pixels = x.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(pixels)
    return picture.crop(box) if box is not None else picture


def directions(targets: str | Mapping[str, Sequence[str]], domains: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Return the target domains of each source domain, by class index, as `data.targets` gives them."""
    if not isinstance(targets, str):
        return {domains.index(source): tuple(map(domains.index, names)) for source, names in targets.items()}
    everyone = range(len(domains))
    return {y: tuple((y + k) % len(domains) for k in everyone if k or targets == "all") for y in everyone}


class Samples:
    """A map-style data set of unlimited length for a DataLoader: sample number -> its fields in `wanted`.

    With a `cache`, pictures are whole and a further field holds their crops, which `to_device` applies. Otherwise they
    are cropped and resized.
    """

    def __init__(
        self, dataset: Dataset, wanted: Collection[str], data: Data, seed: int, cache: Cache | None = None
    ) -> None:
        self.dataset, self.wanted, self.data, self.seed, self.cache = dataset, wanted, data, seed, cache
        self.counts = [dataset.count(domain) for domain in range(len(dataset.domains))]
        self.directions = directions(data.targets, dataset.domains)
        self.sources = tuple(self.directions)

    def __getstate__(self) -> dict[str, object]:
        """Return the state with the single-file plugins first, since the data set's class may be in one of them."""
        return {"plugins": LoadedFiles(), **vars(self)}

    def __getitem__(self, number: int) -> Sample:
        rng = np.random.default_rng((self.seed, number))
        y_org, y_trg = (int(y) for y in rng.integers(len(self.counts), size=2))
        if len(self.sources) < len(self.counts):
            y_org = self.sources[rng.integers(len(self.sources))]
        if len(targets := self.directions[y_org]) < len(self.counts):
            y_trg = targets[rng.integers(len(targets))]
        source = int(rng.integers(self.counts[y_org]))
        reference, reference2 = (int(index) for index in rng.integers(self.counts[y_trg], size=2))
        sample: Sample = {name: y for name, y in (("y_org", y_org), ("y_trg", y_trg)) if name in self.wanted}
        # The last number names the crop: x_pair is cropped and mirrored like x_real.
        for name, domain, index, crop in (
            ("x_real", y_org, source, 0),
            ("x_pair", y_trg, source, 0),
            ("x_ref", y_trg, reference, 1),
            ("x_ref2", y_trg, reference2, 2),
        ):
            if name in self.wanted:
                # A random stream for each crop, so that leaving out a field changes no other one.
                stream = np.random.default_rng(np.random.SeedSequence((self.seed, number), spawn_key=(crop,)))
                if self.cache is None:
                    picture = self.dataset.picture(domain, index)
                    box, flip = draw_crop(self.data.augment, stream, picture.width / picture.height)
                    sample[name] = to_tensor(picture, self.data.image_size, box, flip)
                else:
                    sample[name], aspect = self.cache.picture(domain, index)
                    box, flip = draw_crop(self.data.augment, stream, aspect)
                    sample[name + CROP] = torch.tensor((*_pixels(box, self.cache.size), flip))
        return sample


def loader(
    samples: Samples,
    *,
    start: int,
    steps: int,
    batch_size: int,
    rank: int,
    world: int,
    workers: int,
    pin_memory: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Iterate over this process's share of each global batch, for steps [start, steps).

    Pictures are uint8 (n, 3, H, W), where n is batch_size / world; cached ones are (n, h, w, 3). Raises DataError if
    the data set cannot be pickled for data workers.
    """
    if not samples.wanted:
        return iter([{}] * (steps - start))
    share = batch_size // world
    firsts = (step * batch_size + rank * share for step in range(start, steps))
    source: TorchDataset[Sample] = samples  # type: ignore[assignment]  # map-style by __getitem__ alone
    try:
        with signals_wait(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Got pickle error")  # the error below says it
            batches = iter(
                DataLoader(
                    source,
                    batch_sampler=(list(range(first, first + share)) for first in firsts),
                    num_workers=workers,
                    pin_memory=pin_memory,
                    worker_init_fn=begin_work,
                    multiprocessing_context=start_method() if workers else None,
                )
            )
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # raised for objects without a pickle
        raise DataError(
            f"{type(samples.dataset).__name__} cannot be sent to data workers: {error}; keep what cannot "
            f"be pickled out of its attributes, or set data.workers to 0"
        ) from error
    return _explained(batches) if workers else batches


def _explained(batches: Iterator[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Yield the batches. A DataError of a data worker is raised again without the worker's traceback in its text."""
    try:
        yield from batches
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # else the error keeps the workers alive, and so does this frame
        if not isinstance(error, DataError):
            raise
        raise DataError(str(error).rstrip().splitlines()[-1].partition(": ")[2]) from None
    finally:
        del batches


def to_device(
    batch: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype, size: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """Move a batch to a device, where uint8 pictures become `dtype` in [-1, 1], (n, 3, H, W).

    Pictures of a cache, (n, h, w, 3), are cropped there and resized to `size`, (H, W).
    """
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items() if not name.endswith(CROP)}
    for name, value in moved.items():
        if value.dtype == torch.uint8:
            parts = [value]
            if name + CROP in batch:
                assert size is not None
                parts = cut(value, batch[name + CROP], size)
            moved[name] = normalise(parts if device.type == "cpu" else [torch.cat(parts)], dtype)
    return moved


def cut(pictures: Tensor, crops: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """Crop each of the uint8 pictures (n, h, w, 3) and resize it to (H, W). Return n tensors (1, 3, H, W).

    crops: left, top, right and bottom in pixels, and 1 for a horizontal flip or 0, (n, 5), on the CPU.
    """
    if pictures.device.type != "cpu":
        pictures = pictures.float()  # F.interpolate resizes uint8 on a CPU only, where it is faster
    parts = []
    for n, (left, top, right, bottom, flip) in enumerate(crops.tolist()):
        part = pictures[n : n + 1, top:bottom, left:right].permute(0, 3, 1, 2)
        if part.shape[2:] != size:
            part = F.interpolate(part, size, mode="bilinear", antialias=True)
        parts.append(part.flip(3) if flip else part)
    return parts


def normalise(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Join parts of a batch, scaled from [0, 255] to [-1, 1]. Small parts stay in the CPU's cache meanwhile."""
    made = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=dtype, device=parts[0].device)
    for out, part in zip(torch.split(made, [len(part) for part in parts]), parts, strict=True):
        out.copy_(part).div_(127.5).sub_(1.0)
    return made


def _pixels(box: Box, size: tuple[int, int]) -> Box:
    """Return a box in whole pixels of a picture of (H, W), at least one pixel wide and high."""
    (left, top, right, bottom), (height, width) = box, size
    x, y = min(round(left * width), width - 1), min(round(top * height), height - 1)
    return x, y, max(round(right * width), x + 1), max(round(bottom * height), y + 1)
