"""TIFFs of every kind, each with the pixels that it was made from."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 21, 27


class Made(NamedTuple):
    """A file and what reading it should give."""

    kind: str
    name: str
    contents: bytes
    pixels: Array | None
    """The RGB pixels (H, W, 3); None if the file is to be refused."""
    off: float = 0
    """Greatest difference of a pixel; for lossy files, the greatest mean difference."""
    reason: str = ""
    """A pattern of the reason for which it is refused."""
    lossy: bool = False


def unit(channels: int, seed: int = 0) -> Array:
    """Return numbers in [0, 1], (H, W, channels): ramps with all levels of 16 bits in them, 0 and 1 included."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = (
        x / (WIDTH - 1),
        y / (HEIGHT - 1),
        (x + y) / (WIDTH + HEIGHT - 2),
        1 - x / (WIDTH - 1),
        1 - y / (HEIGHT - 1),
    )
    noise = np.random.default_rng(seed).uniform(-0.02, 0.02, (HEIGHT, WIDTH, channels))
    return (np.stack(ramps[:channels], -1) + noise).clip(0, 1)


def levels(bits: int, channels: int) -> Array:
    return (unit(channels) * (2**bits - 1)).round().astype(np.uint64)


def eight(numbers: Array, top: float) -> Array:
    return (numbers.astype(np.float64) / top * 255).round().astype(np.uint8)


def rgb(shown: Array) -> Array:
    """Return grey (H, W, 1) or RGB as RGB."""
    return np.broadcast_to(shown, (*shown.shape[:2], 3)) if shown.shape[2] == 1 else shown


def on_white(colours: Array, alpha: Array) -> Array:
    share = alpha.astype(np.float64) / 255
    return rgb((colours * share + 255 * (1 - share)).round().astype(np.uint8))


# TIFF


def packed(numbers: Array, bits: int, order: str, numeric: str) -> bytes:
    """Return samples (rows, n) of any number of bits as the bytes of a strip."""
    if bits in (8, 16, 32, 64):
        return numbers.astype(f"{order}{numeric}{bits // 8}").tobytes()
    each = (numbers.astype(np.uint64)[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(each.reshape(len(numbers), -1).astype(np.uint8), axis=1).tobytes()


COMPRESS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: partial(imagecodecs.lzma_encode),
    50000: imagecodecs.zstd_encode,
}


def tiff(
    numbers: Array,
    bits: int,
    model: int,
    *,
    numeric: str = "u",
    order: str = "<",
    planar: bool = False,
    compression: int = 1,
    extra: Sequence[int] = (),
    predictor: int = 1,
    orientation: int = 1,
    tags: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """Return a TIFF of samples (H, W, C)."""
    height, width, channels = numbers.shape
    rows = 8
    planes = numbers.transpose(2, 0, 1)[..., None] if planar else numbers[None]
    strips = []
    for plane in planes:
        for top in range(0, height, rows):
            strip = plane[top : top + rows]
            if predictor == 2:
                strip = np.diff(strip.astype(np.int64), axis=1, prepend=0) % 2**bits
            flat = strip.reshape(len(strip), -1)
            data = packed(flat, bits, order, numeric)
            strips.append(COMPRESS[compression](data))
    entries = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels), (259, 3, [compression]), (262, 3, [model]),
        (273, 4, [0] * len(strips)), (274, 3, [orientation]), (277, 3, [channels]), (278, 4, [rows]),
        (279, 4, [len(strip) for strip in strips]), (284, 3, [2 if planar else 1]), (317, 3, [predictor]),
        (339, 3, [{"u": 1, "i": 2, "f": 3, "c": 6}[numeric]] * channels),
        *([(338, 3, [*extra])] if extra else []), *tags,
    ]  # fmt: skip
    entries = sorted((entry for entry in entries if entry[0] != 317 or predictor != 1), key=lambda entry: entry[0])
    sizes = {1: 1, 3: 2, 4: 4, 7: 1}
    beyond = 8 + 2 + 12 * len(entries) + 4
    after = sum(sizes[kind] * len(values) for _, kind, values in entries if sizes[kind] * len(values) > 4)
    offsets = np.cumsum([beyond + after, *map(len, strips)])[:-1].tolist()
    table, body = struct.pack(order + "H", len(entries)), b""
    for tag, kind, values in entries:
        values = offsets if tag == 273 else values
        data = struct.pack(f"{order}{len(values)}{ {1: 'B', 3: 'H', 4: 'I', 7: 'B'}[kind] }", *values)
        table += struct.pack(order + "HHI", tag, kind, len(values))
        table += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", beyond + len(body))
        body += data if len(data) > 4 else b""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return start + table + b"\0" * 4 + body + b"".join(strips)


def tiffs() -> Iterator[Made]:
    made = partial(Made, "TIFF, whole numbers")
    for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32):
        top = 2**bits - 1
        for order in "<>":
            for model in (0, 1):
                grey = levels(bits, 1)
                shown = rgb(eight(grey if model else top - grey, top))
                if bits not in (6, 24):
                    yield made(f"grey{bits}-{model}{order}.tif", tiff(grey, bits, model, order=order), shown)
                if bits in (8, 16, 32):
                    for compression in (5, 8, 32773, 50000):
                        file = tiff(grey, bits, model, order=order, compression=compression)
                        yield made(f"grey{bits}-{model}{order}{compression}.tif", file, shown)
            if bits >= 8 and bits != 24:
                for planar in (False, True):
                    colours = levels(bits, 3)
                    shown = eight(colours, top)
                    for compression in (1, 8, 5) if bits in (8, 16) else (1,):
                        file = tiff(colours, bits, 2, order=order, planar=planar, compression=compression)
                        yield made(f"rgb{bits}{order}{planar}{compression}.tif", file, shown)
    for bits in (8, 16):
        for order in "<>":
            for channels, model in ((1, 1), (3, 2)):
                numbers = levels(bits, channels)
                file = tiff(numbers, bits, model, order=order, compression=8, predictor=2)
                yield made(f"predictor{bits}{order}{channels}.tif", file, rgb(eight(numbers, 2**bits - 1)))
    yield from tiffs_with_alpha()
    yield from tiffs_of_floats()
    yield from other_tiffs()


def tiffs_with_alpha() -> Iterator[Made]:
    made = partial(Made, "TIFF, alpha and further samples")
    for bits in (8, 16):
        top = 2**bits - 1
        for order in "<>":
            for planar in (False, True):
                for colours, model in ((1, 1), (3, 2)):
                    numbers = levels(bits, colours + 1)
                    name = f"{bits}{order}{planar}{colours}.tif"
                    plain, alpha = eight(numbers[..., :-1], top), eight(numbers[..., -1:], top)
                    write = partial(tiff, bits=bits, model=model, order=order, planar=planar)
                    yield made(f"alpha{name}", write(numbers, extra=(2,)), on_white(plain, alpha), off=1)
                    times = numbers.copy()
                    times[..., :-1] = (times[..., :-1] * (times[..., -1:] / top)).round().astype(np.uint64)
                    yield made(f"associated{name}", write(times, extra=(1,)), on_white(plain, alpha), off=2)
                    if colours == 3:
                        yield made(f"unspecified{name}", write(numbers, extra=(0,)), plain)


def tiffs_of_floats() -> Iterator[Made]:
    made = partial(Made, "TIFF, floats")
    for bits in (16, 32, 64):
        for order in "<>":
            for compression in (1, 8):
                for channels, model in ((1, 1), (1, 0), (3, 2)):
                    numbers = unit(channels).astype(f"f{bits // 8}")
                    shown = rgb(eight(numbers if model else 1 - numbers.astype(float), 1.0))
                    write = partial(tiff, bits=bits, model=model, numeric="f", order=order, compression=compression)
                    name = f"{bits}{order}{compression}{model}.tif"
                    yield made(f"float{name}", write(numbers), shown, off=1 if bits == 16 else 0)
                    said = r"its floats go from 0 to 63, and pictures of floats from 0 to 1; the format raster"
                    yield made(f"beyond{name}", write(numbers * 63), None, reason=said)
    for channels, photometric in ((1, "minisblack"), (3, "rgb")):
        for planar in ("contig", "separate") if channels == 3 else ("contig",):
            numbers = unit(channels).astype(np.float32)
            file = io.BytesIO()
            data = numbers[..., 0] if channels == 1 else numbers if planar == "contig" else numbers.transpose(2, 0, 1)
            how = {"planarconfig": planar} if channels == 3 else {}
            tifffile.imwrite(file, data, photometric=photometric, compression="zlib", predictor=3, **how)
            yield made(f"predictor3{channels}{planar}.tif", file.getvalue(), rgb(eight(numbers, 1.0)))


def other_tiffs() -> Iterator[Made]:
    made = partial(Made, "TIFF, palettes, tiles, fax, JPEG, L*a*b*")
    for bits in (1, 2, 4, 8):
        for order in "<>":
            indices = levels(bits, 1)
            palette = np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint64)
            table = (palette.T * 257).ravel().tolist()
            yield made(f"palette{bits}{order}.tif", tiff(indices, bits, 3, order=order, tags=[(320, 3, table)]),
                       palette[indices[..., 0]].astype(np.uint8))  # fmt: skip
    for orientation in range(1, 9):
        for bits, planar in ((8, False), (16, False), (16, True)):
            numbers = levels(bits, 3)
            yield made(f"turned{orientation}{bits}{planar}.tif",
                       tiff(numbers, bits, 2, planar=planar, orientation=orientation),
                       turned(eight(numbers, 2**bits - 1), orientation))  # fmt: skip
    for kind in (np.uint8, np.uint16):
        for big in (False, True):
            numbers = levels(8 * np.dtype(kind).itemsize, 3).astype(kind)
            file = io.BytesIO()
            tifffile.imwrite(file, numbers, photometric="rgb", tile=(16, 16), bigtiff=big, compression="zlib")
            yield made(f"tiles{numbers.dtype}{big}.tif", file.getvalue(), eight(numbers, np.iinfo(kind).max))
    black = levels(1, 1)[..., 0].astype(bool)
    for compression in ("group3", "group4", "tiff_ccitt", "packbits"):
        file = io.BytesIO()
        Image.fromarray(black).save(file, "TIFF", compression=compression)
        yield made(f"{compression}.tif", file.getvalue(), rgb(black[..., None] * np.uint8(255)))
    smooth = eight(unit(3, 1) * 0 + np.mgrid[0:HEIGHT, 0:WIDTH][1][..., None] / (WIDTH - 1), 1.0)
    yield made(
        "jpeg.tif", saved(Image.fromarray(smooth), "TIFF", compression="jpeg", quality=100), smooth, off=3, lossy=True
    )
    for compression in ("webp", "lzma", "zstd", "jpeg2000", "jpegxl", "png"):
        file = io.BytesIO()
        tifffile.imwrite(file, smooth, photometric="rgb", compression=compression)
        yield made(f"{compression}.tif", file.getvalue(), smooth, off=6, lossy=True)
    large = np.tile(smooth, (4, 4, 1))
    luminance = np.asarray(Image.fromarray(large).convert("YCbCr"))
    for subsampling in ((1, 1), (2, 2)):
        file = io.BytesIO()
        how = {"subsampling": subsampling, "compressionargs": {"level": 95}}
        tifffile.imwrite(file, luminance, photometric="ycbcr", compression="jpeg", **how)
        yield made(f"ycbcr{subsampling}.tif", file.getvalue(), large, off=3, lossy=True)
    for order in "<>":
        for compression in (1, 5, 8):
            file = tiff(luminance, 8, 6, order=order, compression=compression, tags=[(530, 3, [1, 1])])
            yield made(f"ycbcr{order}{compression}.tif", file, large, off=3, lossy=True)
    inks = levels(8, 4)
    for bits in (8, 16):
        numbers = levels(bits, 4)
        inks = eight(numbers, 2**bits - 1).astype(int)
        shown = ((255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255).round().astype(np.uint8)
        for order in "<>":
            for planar in (False, True):
                yield made(
                    f"cmyk{bits}{order}{planar}.tif", tiff(numbers, bits, 5, order=order, planar=planar), shown, off=1
                )
    lab = np.zeros((HEIGHT, WIDTH, 3), np.uint64)
    lab[..., 0] = levels(8, 1)[..., 0]
    light = (lab[..., :1] / 255 * 100 + 16) / 116
    light = np.where(light > 6 / 29, light**3, 3 * (6 / 29) ** 2 * (light - 4 / 29))
    grey = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    yield made("lab8.tif", tiff(lab, 8, 8), rgb(eight(grey, 1.0)), off=2)
    for name, said, file in (
        ("signed8", "a TIFF of 8-bit signed numbers, which have no fixed range", tiff(levels(7, 1), 8, 1, numeric="i")),
        ("signed16", "a TIFF of 16-bit signed numbers, which", tiff(levels(15, 1), 16, 1, numeric="i", order=">")),
        ("signed32", "a TIFF of 3 x 32-bit signed numbers, which", tiff(levels(31, 3), 32, 2, numeric="i")),
        ("complex", "a TIFF of 64-bit complex numbers, which", tiff(unit(1).astype(np.complex64), 64, 1, numeric="c")),
        ("lab16", r"a TIFF of a kind that is not read: 3 x 16-bit, L\*a\*b\*$", tiff(levels(16, 3), 16, 8)),
        ("icclab", "a TIFF of a kind that is not read: 3 x 8-bit, ICC ", tiff(levels(8, 3), 8, 9)),
        ("raw", r"a TIFF of a kind that is not read: 16-bit, raw \(CFA\)$", tiff(levels(16, 1), 16, 32803)),
        ("bands5", "a TIFF of 5 x 16-bit, which is no picture; ", tiff(levels(16, 5), 16, 1, extra=[0] * 4)),
        ("bands2", "a TIFF of 2 x 8-bit, planar, which is no", tiff(levels(8, 2), 8, 1, planar=True, extra=[0])),
        ("thumbnail", "a raw photograph, of which", tiff(levels(8, 3), 8, 2, tags=[(254, 4, [1])])),
    ):  # fmt: skip
        yield Made("TIFF, no pictures", f"{name}.tif", file, None, reason=said)
    yield from damaged_tiffs()


def damaged_tiffs() -> Iterator[Made]:
    """Return TIFFs of each kind whose tags are wrong, and of which pixels are missing."""
    empty, nowhere = (
        "{} of its {} strips or tiles are empty: a copy that failed, or a sparse",
        "a damaged TIFF: its tags",
    )
    for bits, channels, planar, compression in (
        (8, 3, False, 1),
        (8, 1, False, 8),
        (12, 1, False, 1),
        (16, 3, True, 8),
    ):
        whole = tiff(levels(bits, channels), bits, min(channels, 2), planar=planar, compression=compression)
        strips = 3 * (channels if planar else 1)
        for name, tag, value, place, said in (
            ("size0", 279, 0, 1, empty.format(1, strips)),
            ("sizes0", 279, 0, None, empty.format(strips, strips)),
            ("place0", 273, 0, 2, empty.format(1, strips)),
            ("beyond", 273, 10**6, 1, "cut short"),
            ("nowhere", 273, None, None, nowhere),
            ("unsized", 279, None, None, nowhere),
            ("norows", 278, 0, 0, "a damaged TIFF: its RowsPerStrip is 0"),
            ("rows", 278, 4, 0, f"a damaged TIFF: it has {strips} of its {strips * 2} strips"),
            ("narrow", 256, 0, 0, "a damaged TIFF: its ImageWidth is 0"),
            ("flat", 257, 0, 0, "a damaged TIFF: its ImageLength is 0"),
            ("wide", 256, None, 0, "a damaged TIFF: it has no ImageWidth"),
            ("bits", 258, 0, 0, "a damaged TIFF: its BitsPerSample is 0"),
        ):
            file = with_tag(whole, tag, value, place)
            yield Made("TIFF, damaged", f"{name}-{bits}{planar}{compression}.tif", file, None, reason=said)
    tiles = io.BytesIO()
    tifffile.imwrite(tiles, eight(unit(3), 1.0), photometric="rgb", tile=(16, 16), compression="zlib")
    sparse = with_tag(with_tag(tiles.getvalue(), 324, 0, 2), 325, 0, 2)
    yield Made("TIFF, damaged", "sparse.tif", sparse, None, reason=empty.format(1, 4))


def with_tag(file: bytes, tag: int, value: int | None, place: int | None) -> bytes:
    """Return a TIFF with another value of a tag at one place or at all of them, or without the tag."""
    order, changed = "<" if file[:2] == b"II" else ">", bytearray(file)
    (table,) = struct.unpack_from(order + "I", file, 4)
    for entry in range(table + 2, table + 2 + 12 * struct.unpack_from(order + "H", file, table)[0], 12):
        found, kind, count = struct.unpack_from(order + "HHI", file, entry)
        if found == tag and value is None:
            struct.pack_into(order + "H", changed, entry, 65_000)
        elif found == tag:
            form = order + {1: "B", 3: "H", 4: "I"}[kind]
            size = struct.calcsize(form)
            values = entry + 8 if size * count <= 4 else struct.unpack_from(order + "I", file, entry + 8)[0]
            for at in range(count) if place is None else [place]:
                struct.pack_into(form, changed, values + size * at, value)
    assert changed != file
    return bytes(changed)


def turned(pixels: Array, orientation: int) -> Array:
    """Return pixels as a viewer shows them that are stored with an orientation of EXIF."""
    pixels = pixels.swapaxes(0, 1) if orientation > 4 else pixels
    return pixels[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]


def saved(picture: Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()
