"""TIFFs by their tags: those that Pillow reads rightly, and the others as arrays of tifffile."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImagePalette
from PIL.TiffImagePlugin import OPEN_INFO, ImageFileDirectory_v2, TiffImageFile

from i2i_core.data.decoding.budget import BUDGET
from i2i_core.data.decoding.colours import boxes, scaled
from i2i_core.data.decoding.tiff_parts import refuse_holes

Array = np.ndarray[Any, Any]
WHITE_IS_ZERO, GREY, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
COLOURS = {WHITE_IS_ZERO: 1, GREY: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
"""The number of colours of a pixel, by the tag PhotometricInterpretation."""
MODELS = {
    PALETTE: "palette", 4: "mask", CMYK: "CMYK", YCBCR: "YCbCr", LAB: "L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
    32803: "raw (CFA)", 32844: "LogL", 32845: "LogLuv", 34892: "raw (linear)",
}  # fmt: skip
NUMBERS = {1: "unsigned", 2: "signed", 3: "float", 4: "untyped", 5: "complex", 6: "complex"}
"""Types of numbers by the tag SampleFormat."""
BY_PILLOW = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946)
"""The compressions of each Pillow: none, fax, LZW, JPEG, deflate and packbits."""
JPEG = (6, 7)
DNG_VERSION, ORIENTATION, COLOUR_MAP, PROFILE = 50706, 274, 320, 34675
NEEDED = 'pip install "i2i-gan[raster]"'


class Kind(NamedTuple):
    """The kind of the first picture in a TIFF, by its tags."""

    bits: tuple[int, ...]
    """Bits of each sample of a pixel."""
    numbers: str
    """One of the values of `NUMBERS`."""
    model: int
    """PhotometricInterpretation."""
    planar: bool
    compression: int
    extra: tuple[int, ...]
    """ExtraSamples: 1 and 2 are alpha channels, by which colours are multiplied or not."""
    little: bool
    """True for the byte order of Intel's processors."""
    orientation: int
    known: bool
    """True if Pillow takes it for a picture of a kind that it knows."""
    preview: bool
    """True if the first picture is a smaller version of another one, as in raw photographs."""
    cut: bool
    """True if strips or tiles go beyond the end of the file, which is cut short if they cannot be decoded."""

    def __str__(self) -> str:
        several = f"{len(self.bits)} x " if len(self.bits) > 1 else ""
        size = "/".join(map(str, dict.fromkeys(self.bits)))
        kinds = [f"{several}{size}-bit" + (f" {self.numbers}" if self.numbers != "unsigned" else "")]
        kinds += [MODELS[self.model]] if self.model in MODELS else []
        return ", ".join([*kinds, *(["planar"] if self.planar else [])])

    @property
    def by_pillow(self) -> bool:
        """True if Pillow decodes all numbers of the picture rightly."""
        if not self.known or self.compression not in BY_PILLOW:
            return False
        if self.numbers == "unsigned" and self.bits[0] <= 8:
            return not (self.planar and self.extra) and (self.model != YCBCR or self.compression in JPEG)
        if self.numbers == "float":  # which it reads wrongly if they are compressed in the other byte order
            return self.bits == (32,) and self.model == GREY and (self.little or self.compression == 1)
        colours = () if self.planar else {GREY: (1,), WHITE_IS_ZERO: (1,), RGB: (3, 4)}.get(self.model, ())
        return self.numbers == "unsigned" and self.bits[0] == 16 and len(self.bits) in colours and 1 not in self.extra


def kind_of_tiff(file: BinaryIO) -> Kind:
    """Return the kind of an open TIFF; leave it at its start. Raises ValueError for damaged tags."""
    try:
        head = file.read(8)
        head += file.read(8) if 43 in head[2:4] else b""
        tags = ImageFileDirectory_v2(head)
        size = file.seek(0, os.SEEK_END)
        if tags.next >= size:
            raise ValueError("cut short")
        file.seek(tags.next)
        tags.load(file)
        samples = int(tags.get(277, 1))
        if not 0 < samples < 2**16:
            raise KeyError("SamplesPerPixel")
        bits = tuple(map(int, tags.get(258, (1,))))
        formats = {*tags.get(339, (1,))}
        numbers = formats.pop() if len(formats) == 1 else 4
        bits = bits * samples if len(bits) == 1 else bits
        model, extra = int(tags.get(262, GREY)), tuple(map(int, tags.get(338, ())))
        preview = DNG_VERSION in tags or int(tags.get(254, 0)) & 1 == 1
        return Kind(
            bits=bits,
            numbers=NUMBERS.get(numbers, "untyped"),
            model=model,
            planar=tags.get(284, 1) == 2,
            compression=int(tags.get(259, 1)),
            extra=extra,
            little=head[:2] == b"II",
            orientation=int(tags.get(ORIENTATION, 1)),
            known=(tags.prefix, model, (numbers,), int(tags.get(266, 1)), bits, extra) in OPEN_INFO,
            preview=preview,
            cut=not preview and refuse_holes(tags, size),
        )
    except (SyntaxError, struct.error, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise ValueError("a damaged TIFF, whose tags cannot be read") from error
    finally:
        file.seek(0)


def tiff_picture(path: Path, kind: Kind, most: int) -> Image.Image:
    """Decode the first picture of a TIFF for people: 8 bits for each sample, with an alpha channel if it has one.

    most: limit of its pixels. Raises ValueError for numbers without a fixed range, and for unknown colours.
    """
    _refuse_others(kind)
    array, tags = _array(path, kind, most)
    made = _Converter(kind, tags.get(COLOUR_MAP)).picture(array)
    if PROFILE in tags:
        made.info["icc_profile"] = bytes(tags[PROFILE])
    return made


def _refuse_others(kind: Kind) -> None:
    """Raise ValueError for numbers without a fixed range, for bands and for unknown colours."""
    if kind.numbers not in ("unsigned", "float"):
        raise ValueError(
            f"a TIFF of {kind} numbers, which have no fixed range as a picture; the format raster reads them, with "
            f"one range for all files"
        )
    bits = {*kind.bits}
    plain = kind.model in COLOURS and len(bits) == 1 and len(kind.bits) >= COLOURS[kind.model]
    luminance = kind.model == YCBCR and (bits != {8} or kind.compression not in BY_PILLOW)
    if not plain or luminance or kind.model == LAB:
        raise ValueError(f"a TIFF of a kind that is not read: {kind}")
    if COLOURS[kind.model] == 1 and len(kind.bits) > 1 and not {*kind.extra[:1]} & {1, 2}:
        raise ValueError(f"a TIFF of {kind}, which is no picture; the format raster reads it")


def tiff_numbers(path: Path, kind: Kind, most: int) -> Image.Image:
    """Decode the first picture of a TIFF as grey numbers of up to 32 bits. Raises ValueError for other ones."""
    if len(kind.bits) - len(kind.extra) != 1 or kind.numbers not in ("unsigned", "signed") or kind.model > PALETTE:
        raise ValueError(f"a TIFF of {kind}, and its pixels should be whole numbers of one channel")
    array = _array(path, kind, most)[0][..., 0]
    if kind.model == WHITE_IS_ZERO:
        array = (2 ** kind.bits[0] - 1) - array if kind.numbers == "unsigned" else -1 - array
    if array.size and (array.max() >= 2**31 or array.min() < -(2**31)):
        raise ValueError("its numbers have more than 31 bits")
    small = array.dtype.itemsize <= 2 and kind.numbers == "unsigned"
    return Image.fromarray(array.astype(np.uint16 if small else np.int32))


def why_undecoded(error: Exception, cut: bool) -> str:
    """Return why tifffile could not decode a TIFF, to follow what it is."""
    if "imagecodecs" in str(error):
        return f", whose compression needs imagecodecs: {NEEDED}"
    return ", which is cut short" if cut else f" that cannot be decoded: {error}"


def lighten(file: TiffImageFile) -> None:
    """Let Pillow show a palette of levels up to 255, which old programs write, as light as viewers do."""
    palette = file.tag_v2.get(COLOUR_MAP)
    if palette is not None and file.mode == "P" and _is_low(palette):
        file.palette = ImagePalette.raw("RGB;L", bytes(palette))


def _is_low(palette: Any) -> bool:
    """Return True for levels up to 255, and not 65535 as the format says."""
    return bool(np.max(palette, initial=0) < 256)


def turned(array: Array, orientation: int) -> Array:
    """Turn an array (H, W, ...) as the tag Orientation says."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return array[::rows, ::columns]


class _Converter:
    """Conversion of the samples of a TIFF to 8 bits."""

    def __init__(self, kind: Kind, palette: Sequence[int] | None) -> None:
        self.kind, self.colours = kind, COLOURS[kind.model]
        self.top = 1.0 if kind.numbers == "float" else float(2 ** kind.bits[0] - 1)
        """The number of full light."""
        self.palette = None if palette is None else np.array(palette, np.uint16).reshape(3, -1).T
        extra = kind.extra or ((2,) if kind.model == RGB and len(kind.bits) == 4 else ())
        self.alpha = extra[0] if extra and extra[0] in (1, 2) else 0

    def picture(self, array: Array) -> Image.Image:
        """Convert an array (H, W, samples)."""
        made = Image.new(self._mode(), array.shape[1::-1])
        for box in boxes(made.size):
            strip = array[box[1] : box[3]]
            shown = self._shown(strip)
            if self.alpha and self.kind.model != CMYK:
                shown = np.dstack([shown, scaled(strip[..., self.colours], self.top)])
            made.paste(Image.frombytes(made.mode, strip.shape[1::-1], shown.tobytes()), box)
        return made.convert("RGB") if made.mode == "YCbCr" else made

    def _mode(self) -> str:
        """Return Pillow's mode for the colours and the alpha channel."""
        if self.kind.model in (CMYK, YCBCR):
            return "CMYK" if self.kind.model == CMYK else "YCbCr"
        grey = self.kind.model in (WHITE_IS_ZERO, GREY)
        return ("L" if grey else "RGB") + ("A" if self.alpha else "")

    def _shown(self, strip: Array) -> Array:
        colours = strip[..., : self.colours]
        if self.palette is not None and self.kind.model == PALETTE:
            return scaled(self.palette[colours[..., 0]], 255 if _is_low(self.palette) else 65535)
        if self.alpha == 1 and self.kind.model != CMYK:  # multiplied by the alpha channel
            share = strip[..., self.colours : self.colours + 1].astype(np.float64) / self.top
            colours = np.divide(colours, share, out=np.zeros(colours.shape), where=share > 0).clip(0, self.top)
            colours = colours / self.top
            return scaled(1 - colours if self.kind.model == WHITE_IS_ZERO else colours, 1.0)
        made = scaled(colours, self.top)
        return 255 - made if self.kind.model == WHITE_IS_ZERO else made


def _array(path: Path, kind: Kind, most: int) -> tuple[Array, dict[int, Any]]:
    """Read the first picture of a TIFF as (H, W, samples), and its tags."""
    if find_spec("tifffile") is None:
        raise ValueError(f"a TIFF of {kind}, which needs tifffile: {NEEDED}")
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if small := (pixels := page.imagewidth * page.imagelength) <= most:
                BUDGET.take(pixels)
            array = page.asarray().reshape(page.shaped)[:, 0] if small else None
            tags = {tag.code: tag.value for tag in page.tags if tag.code in (COLOUR_MAP, PROFILE)}
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise ValueError(f"a TIFF of {kind}{why_undecoded(error, kind.cut)}") from error
    if array is None:
        raise ValueError(f"{page.imagewidth} x {page.imagelength} pixels are more than {most:,}")
    return array[0] if len(array) == 1 else array[..., 0].transpose(1, 2, 0), tags
