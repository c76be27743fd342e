"""A few hundred picture files of every kind, each with the pixels that it was made from.

`python -m tests.picture_kinds` reads them all and prints how many of each kind are right, refused or wrong.
"""

from __future__ import annotations

import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from i2i_core.data.decoding.files import open_picture, why_broken
from i2i_core.data.decoding.profiles import SRGB, SRGB_CURVE, matrix_profile
from tests.bmp_kinds import bmps
from tests.tiff_kinds import (
    HEIGHT,
    WIDTH,
    Array,
    Made,
    eight,
    levels,
    on_white,
    packed,
    rgb,
    saved,
    tiff,
    tiffs,
    turned,
    unit,
)  # fmt: skip

P3 = matrix_profile(((0.3127, 0.329), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), SRGB_CURVE)
ADOBE = matrix_profile(((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), (2.19921875,))
PROPHOTO = matrix_profile(((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (1.8,))
LINEAR = matrix_profile(SRGB, (1.0,))


# PNG

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
COLOUR_TYPES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(numbers: Array, bits: int, colour: int, interlaced: bool = False, chunks: Sequence[bytes] = ()) -> bytes:
    """Return a PNG of samples (H, W, C), with further chunks before its pixels."""
    rows = b""
    for left, top, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        part = numbers[top::down, left::right]
        for row in part.reshape(len(part), -1) if part.size else ():
            rows += b"\0" + packed(row[None], bits, ">", "u")
    header = struct.pack(">IIBBBBB", numbers.shape[1], numbers.shape[0], bits, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pngs() -> Iterator[Made]:
    made = partial(Made, "PNG")
    for interlaced in (False, True):
        for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items():
            for bits in depths:
                top = 2**bits - 1
                numbers = levels(bits, COLOUR_TYPES[colour])
                name = f"png{colour}-{bits}{'i' * interlaced}"
                shown = eight(numbers, top)
                if colour in (4, 6):
                    shown = on_white(shown[..., :-1], shown[..., -1:])
                    yield made(f"{name}.png", png(numbers, bits, colour, interlaced), shown, off=1)
                    continue
                yield made(f"{name}.png", png(numbers, bits, colour, interlaced), rgb(shown))
                clear = numbers[3, 4]
                hidden = (numbers == clear).all(2)[..., None]
                chunks = [chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))]
                file = png(numbers, bits, colour, interlaced, chunks)
                yield made(f"{name}-clear.png", file, rgb(np.where(hidden, 255, shown)))
        for bits in (1, 2, 4, 8):
            numbers = levels(bits, 1)
            palette = np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint8)
            opaque = np.full(2**bits, 255, np.uint8)
            opaque[:2] = 0, 100
            plte, trns = chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", opaque.tobytes())
            places = numbers[..., 0]
            name = f"png3-{bits}{'i' * interlaced}"
            yield made(f"{name}.png", png(numbers, bits, 3, interlaced, [plte]), palette[places])
            yield made(f"{name}-clear.png", png(numbers, bits, 3, interlaced, [plte, trns]),
                       on_white(palette[places], opaque[places][..., None]), off=1)  # fmt: skip
    for orientation in range(1, 9):
        numbers = levels(16, 3)
        exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", orientation, 0, 0))
        shown = turned(eight(numbers, 65535), orientation)
        yield made(f"turned{orientation}.png", png(numbers, 16, 2, chunks=[exif]), shown)
    frames = [Image.fromarray(np.full((HEIGHT, WIDTH, 3), level, np.uint8)) for level in (10, 200)]
    yield made("moving.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
               np.full((HEIGHT, WIDTH, 3), 10, np.uint8))  # fmt: skip


# Lossy kinds, of a smooth picture


def smooth(channels: int = 3) -> Array:
    """Return a picture without edges, which lossy files hardly change."""
    y, x = np.mgrid[0:64, 0:72] / 71
    return eight(np.stack([x, y, (x + y) / 2, 1 - x / 2][:channels], -1), 1.0)


def jpegs() -> Iterator[Made]:
    made = partial(Made, "JPEG", off=3, lossy=True)
    colours, grey, inks = smooth(), smooth(1), smooth(4)
    picture = Image.fromarray(colours)
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            for restart in ({}, {"restart_marker_blocks": 3}):
                file = saved(picture, "JPEG", quality=98, subsampling=subsampling, progressive=progressive, **restart)
                name = f"{subsampling}{progressive}{len(restart)}.jpg"
                yield made(name, file, colours)
                yield made(f"endless{name}", file[:-2], colours)
                yield made(f"endless1{name}", file[:-1], colours)
                yield made(f"after{name}", file + b"\0" * 99, colours)
                yield Made("cut short", f"cut{name}", file[: len(file) * 6 // 10], None, reason="cut short")
                yield Made("cut short", f"cut9{name}", file[:-40], None, reason="cut short")
                zeros = file[: len(file) // 2].ljust(len(file), b"\0")
                yield Made("cut short", f"zeros{name}", zeros, None, reason="cut short")
    yield made("grey.jpg", saved(Image.fromarray(grey[..., 0]), "JPEG", quality=98), rgb(grey))
    yield made("rgb.jpg", saved(picture, "JPEG", quality=98, keep_rgb=True), colours)
    yield made("named.png", saved(picture, "JPEG", quality=98), colours)
    shown = ((255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255).round().astype(np.uint8)
    cmyk = Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())
    yield made("cmyk.jpg", saved(cmyk, "JPEG", quality=98), shown)
    ycck = imagecodecs.jpeg8_encode(255 - inks, level=98, colorspace="CMYK", outcolorspace="YCCK")
    yield made("ycck.jpg", ycck, shown)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        yield made(
            f"turned{orientation}.jpg", saved(picture, "JPEG", quality=98, exif=exif), turned(colours, orientation)
        )
    for size in ((1501, 997), (16, 16), (8, 2001)):
        for how in ({"optimize": True}, {"progressive": True}, {"optimize": True, "subsampling": 0}):
            flat = Image.new("RGB", size, (12, 40, 90))
            name = f"flat{size[0]}{'-'.join(how)}.jpg"
            yield made(name, saved(flat, "JPEG", quality=10, **how), np.asarray(flat), off=9)
    for name, file in (("lie", saved(picture, "JPEG")), ("late", saved(picture, "JPEG", progressive=True))):
        for cut in (0, 2, 99):
            taller = resized(file, 15_000, 15_000)
            yield Made("cut short", f"{name}{cut}.jpg", taller[: len(file) - cut], None, reason="cut short$")
    second = Image.fromarray(255 - colours)
    yield made("phone.jpg", saved(picture, "MPO", quality=98, save_all=True, append_images=[second]), colours)


def resized(file: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose frame says another size than it has."""
    frame = re.search(rb"\xff[\xc0\xc2]\0\x11\x08", file)
    assert frame
    return file[: frame.end()] + struct.pack(">HH", height, width) + file[frame.end() + 4 :]


def other_kinds() -> Iterator[Made]:
    colours, inks = smooth(), smooth(4)
    picture, clear = Image.fromarray(colours), Image.fromarray(inks)
    shown = on_white(inks[..., :3], inks[..., 3:])
    for kind, off in (("WEBP", 6), ("AVIF", 6)):
        made = partial(Made, kind, off=off, lossy=True)
        yield made(f"lossy.{kind.lower()}", saved(picture, kind, quality=95), colours)
        yield made(f"clear.{kind.lower()}", saved(clear, kind, quality=95), shown)
        yield made(f"named-{kind}.jpg", saved(picture, kind, quality=95), colours)
        frames = [Image.fromarray(255 - colours)]
        yield made(
            f"moving.{kind.lower()}", saved(picture, kind, quality=95, save_all=True, append_images=frames), colours
        )
        for orientation in (3, 6, 8):
            exif = Image.Exif()
            exif[274] = orientation
            file = saved(picture, kind, quality=95, exif=exif)
            yield made(f"turned{orientation}.{kind.lower()}", file, turned(colours, orientation))
        file = saved(picture, kind, quality=95)
        yield Made("cut short", f"cut.{kind.lower()}", file[: len(file) * 6 // 10], None, reason="cut short")
    yield Made("WEBP", "lossless.webp", saved(clear, "WEBP", lossless=True, exact=True), shown, off=1)
    indexed = Image.fromarray(colours).quantize(64, dither=Image.Dither.NONE)
    drawn = np.asarray(indexed.convert("RGB"))
    for interlace in (0, 1):
        yield Made("GIF", f"still{interlace}.gif", saved(indexed, "GIF", interlace=interlace), drawn)
    hidden = np.asarray(indexed) == 5
    yield Made("GIF", "clear.gif", saved(indexed, "GIF", transparency=5), np.where(hidden[..., None], 255, drawn))
    yield Made("GIF", "moving.gif", saved(indexed, "GIF", save_all=True, append_images=[picture]), drawn)
    if not heif():
        return
    for name, given, what in (("plain", picture, colours), ("clear", clear, shown)):
        yield Made("HEIC", f"{name}.heic", saved(given, "HEIF", quality=95), what, off=6, lossy=True)
    exif = Image.Exif()
    exif[274] = 6  # which its standard tells readers to ignore
    yield Made("HEIC", "phone.jpg", saved(picture, "HEIF", quality=95, exif=exif), colours, off=6, lossy=True)


def heif() -> Sequence[str]:
    """Return the name that Pillow writes HEIC by, if it can."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return ()
    register_heif_opener()
    return ("HEIF",)


# Colour profiles


def converted(colours: Array, primaries: Sequence[tuple[float, float]], exponent: float | None) -> Array:
    """Return colours of RGB primaries (with D65) as sRGB, in float64."""

    def matrix(points: Sequence[tuple[float, float]]) -> Array:
        white, *columns = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
        return np.stack(columns, 1) * np.linalg.solve(np.stack(columns, 1), white)

    share = colours / 255.0
    light = share**exponent if exponent else np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    light = (light @ (np.linalg.inv(matrix(SRGB)) @ matrix(primaries)).T).clip(0, 1)
    return eight(np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light), 1.0)


def profiles() -> Iterator[Made]:
    made = partial(Made, "colour profiles")
    colours = eight(unit(3), 1.0)
    picture = Image.fromarray(colours)
    p3, adobe = (
        (SRGB[0], (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
        (SRGB[0], (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
    )
    for name, profile, primaries, exponent in (
        ("p3", P3, p3, None),
        ("adobe", ADOBE, adobe, 2.19921875),
        ("linear", LINEAR, SRGB, 1.0),
    ):
        shown = converted(colours, primaries, exponent)
        for kind in ("PNG", "TIFF", "WEBP"):
            how = {"lossless": True, "exact": True} if kind == "WEBP" else {}
            yield made(f"{name}.{kind.lower()}", saved(picture, kind, icc_profile=profile, **how), shown, off=2)
        number = (7, [*profile])
        for bits, planar in ((8, True), (16, False), (16, True)):
            file = tiff(
                (colours.astype(np.uint64) * (2**bits - 1) // 255), bits, 2, planar=planar, tags=[(34675, *number)]
            )
            yield made(f"{name}{bits}{planar}.tif", file, shown, off=2)
        gentle = smooth()
        file = saved(Image.fromarray(gentle), "JPEG", quality=98, subsampling=0, icc_profile=profile)
        yield made(f"{name}.jpg", file, converted(gentle, primaries, exponent), off=3, lossy=True)
        file = saved(Image.fromarray(gentle), "AVIF", quality=95, icc_profile=profile)
        yield made(f"{name}.avif", file, converted(gentle, primaries, exponent), off=6, lossy=True)
        alpha = eight(unit(4), 1.0)[..., 3:]
        clear = Image.fromarray(np.dstack([colours, alpha]))
        yield made(f"{name}-clear.png", saved(clear, "PNG", icc_profile=profile), on_white(shown, alpha), off=2)
        table = picture.quantize(16, dither=Image.Dither.NONE)
        shown = converted(np.asarray(table.convert("RGB")), primaries, exponent)
        yield made(f"{name}-indexed.png", saved(table, "PNG", icc_profile=profile), shown, off=2)
    gamma = partial(struct.pack, ">I")
    for name, exponent in (("usual", 0.45455), ("linear", 1.0), ("mac", 0.55556)):
        shown = colours if name == "usual" else converted(colours, SRGB, 1 / exponent)
        chunks = [chunk(b"gAMA", gamma(round(exponent * 100000)))]
        yield made(f"gamma-{name}.png", png(colours, 8, 2, chunks=chunks), shown, off=2)
        yield made(f"gamma-{name}-srgb.png", png(colours, 8, 2, chunks=[*chunks, chunk(b"sRGB", b"\0")]), colours)
        grey = colours[..., :1]
        yield made(
            f"gamma-{name}-grey.png",
            png(grey, 8, 0, chunks=chunks),
            rgb(shown[..., :1] if name == "usual" else converted(rgb(grey), SRGB, 1 / exponent)),
            off=2,
        )
    points = struct.pack(">8I", *(round(number * 100000) for point in p3 for number in point))
    chunks = [chunk(b"gAMA", gamma(45455)), chunk(b"cHRM", points)]
    yield made("primaries.png", png(colours, 8, 2, chunks=chunks), converted(colours, p3, None), off=2)
    srgb = matrix_profile(SRGB, SRGB_CURVE)
    for name, profile in (("srgb", srgb), ("broken", P3[:200]), ("nonsense", b"no profile"), ("zeros", b"\0" * 500)):
        yield made(f"{name}.png", saved(picture, "PNG", icc_profile=profile), colours)
    yield made(
        "grey-with-rgb.png", saved(Image.fromarray(colours[..., 0]), "PNG", icc_profile=P3), rgb(colours[..., :1])
    )


def coded_colours() -> Iterator[Made]:
    """Return pictures whose colours are named by the numbers of H.273, as in a PNG's chunk cICP."""
    made = partial(Made, "colours by number")
    colours = eight(unit(3), 1.0)
    p3, wide = p3_points(), (SRGB[0], (0.708, 0.292), (0.17, 0.797), (0.131, 0.046))
    for name, codes, primaries, exponent in (
        ("srgb", (1, 13), SRGB, None),
        ("p3", (12, 13), p3, None),
        ("wide", (9, 8), wide, 1.0),
        ("gamma", (1, 4), SRGB, 2.2),
        ("unspecified", (2, 2), SRGB, None),
    ):
        named = chunk(b"cICP", bytes([*codes, 0, 1]))
        shown = colours if primaries is SRGB and not exponent else converted(colours, primaries, exponent)
        yield made(f"cicp-{name}.png", png(colours, 8, 2, chunks=[named]), shown, off=2)
        wrong = [chunk(b"gAMA", struct.pack(">I", 100_000)), chunk(b"iCCP", b"a\0\0" + zlib.compress(ADOBE or b""))]
        yield made(f"cicp-{name}-first.png", png(colours, 8, 2, chunks=[*wrong, named]), shown, off=2)
        deep = colours.astype(np.uint64) * 257
        yield made(f"cicp-{name}-16.png", png(deep, 16, 2, chunks=[named]), shown, off=2)
        gentle = smooth()
        for kind in ("AVIF", *heif()):
            file = saved(Image.fromarray(gentle), kind, quality=95)
            usual = b"colrnclx" + struct.pack(">3H", 1, 13, 6)
            assert usual in file
            file = file.replace(usual, b"colrnclx" + struct.pack(">3H", *codes, 6))
            shown = gentle if primaries is SRGB and not exponent else converted(gentle, primaries, exponent)
            yield made(f"nclx-{name}.{kind.lower()}", file, shown, off=6, lossy=True)
    for code, full in ((1, 1), (1, 0), (6, 1), (14, 1)):  # FFmpeg writes them for frames of videos, also with range 0
        named = chunk(b"cICP", bytes([1, code, 0, full]))
        yield made(f"cicp-video{code}-{full}.png", png(colours, 8, 2, chunks=[named]), colours)
    for codes, reason in (
        ((9, 16, 0, 1), r"its colours are of high dynamic range \(PQ\)"),
        ((9, 18, 0, 1), r"its colours are of high dynamic range \(HLG\)"),
        ((10, 13, 0, 1), "its colours have the primaries 10 and transfer characteristics 13 of H.273, which are not"),
    ):
        file = png(colours, 8, 2, chunks=[chunk(b"cICP", bytes(codes))])
        yield Made("colours by number", f"cicp-{codes[0]}-{codes[1]}-{codes[3]}.png", file, None, reason=reason)


def texts() -> Iterator[Made]:
    """Return PNGs with much text, which says nothing of their pixels, and with large profiles."""
    made = partial(Made, "PNG with much text")
    colours = eight(unit(3), 1.0)
    zeros, long = zlib.compress(bytes(2**26)), b"words of no use " * 2**17
    assert P3
    noise = np.random.default_rng(0).integers(256, size=3 * 2**20, dtype=np.uint8).tobytes()
    large = zlib.compress(larger(P3, noise), 1)
    turned_6 = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    raw = b"\nexif\n      %d\n%s\n" % (len(turned_6) + 6, (b"Exif\0\0" + turned_6).hex().encode())
    for name, chunks, shown in (
        ("packed", [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(long))], colours),
        ("bomb", [chunk(b"zTXt", b"Comment\0\0" + zeros)] * 9, colours),
        ("bombs", [chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros)] * 9, colours),
        ("many", [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(long[: 2**20]))] * 70, colours),
        ("coded", [chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(long))], colours),
        ("method", [chunk(b"zTXt", b"Comment\0\7" + zlib.compress(long))], colours),
        ("keyless", [chunk(name, body) for name, body in ((b"tEXt", b"\0\xff"), (b"zTXt", b""), (b"iTXt", b"a\0"))],
         colours),
        ("nothing", [chunk(b"iCCP", b""), chunk(b"cICP", b"")], colours),
        ("damaged", [chunk(b"zTXt", b"a\0\0" + long[:99])[:-4] + b"\0\0\0\0"], colours),
        ("exif", [chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))], turned(colours, 6)),
        ("xmp", [chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<tiff:Orientation>6</tiff:Orientation>")],
         turned(colours, 6)),
        ("longxmp", [chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(long + b'tiff:Orientation="6"'))],
         turned(colours, 6)),
        ("profile", [chunk(b"iCCP", b"large\0\0" + large)], converted(colours, p3_points(), None)),
        ("profile-bomb", [chunk(b"iCCP", b"large\0\0" + zeros)], colours),
    ):  # fmt: skip
        yield made(f"text-{name}.png", png(colours, 8, 2, chunks=chunks), shown, off=2)
        if b"iCCP" not in chunks[0][:8]:
            end = png(colours, 8, 2)
            yield made(f"text-{name}-behind.png", end[:-12] + b"".join(chunks) + end[-12:], shown, off=2)
        deep = png(colours.astype(np.uint64) * 257, 16, 2, chunks=chunks)
        yield made(f"text-{name}-16.png", deep, shown, off=2)


def larger(profile: bytes, more: bytes) -> bytes:
    """Return a profile with a further tag of no use."""
    (count,) = struct.unpack_from(">I", profile, 128)
    table = b"".join(
        profile[at : at + 4] + struct.pack(">II", struct.unpack_from(">I", profile, at + 4)[0] + 12, *size)
        for at in range(132, 132 + 12 * count, 12)
        for size in [struct.unpack_from(">I", profile, at + 8)]
    )
    body = profile[132 + 12 * count :]
    place = 132 + 12 * (count + 1) + len(body)
    table += b"more" + struct.pack(">II", place, len(more) + 8)
    made = profile[:128] + struct.pack(">I", count + 1) + table + body + b"data" + bytes(4) + more
    return struct.pack(">I", len(made)) + made[4:]


def p3_points() -> Sequence[tuple[float, float]]:
    return SRGB[0], (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)


# Files that are no pictures


def no_pictures() -> Iterator[Made]:
    said = "it is {}, which is not read; convert it"
    for name, contents, reason in (
        ("empty.jpg", b"", "it is empty"),
        ("zeros.jpg", b"\0" * 5000, "it begins with nothing but zero bytes"),
        ("lfs.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "it is a Git LFS.*git lfs pull"),
        ("page.jpg", b"<!DOCTYPE html><html><body>404", "it is a web page"),
        ("page2.png", b"\n  <html lang='en'>", "it is a web page"),
        ("denied.png", b"<?xml version='1.0'?><Error><Code>AccessDenied", "it is text"),
        ("drawing.png", b"<?xml version='1.0'?>\n<svg xmlns='x'>", said.format("an SVG drawing")),
        ("text.png", "caf\u00e9 ".encode() * 300, "it is text"),
        ("a.png", b"8BPS\0\1" + b"\0" * 99, said.format("a Photoshop document")),
        ("b.png", b"%PDF-1.4 " + b"\xff" * 99, said.format("a PDF")),
        ("c.jpg", b"\xff\x0a" + b"\x55\xfe" * 99, said.format("JPEG XL")),
        ("d.jpg", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 99, said.format("JPEG XL")),
        ("e.jpg", b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 99, said.format("JPEG 2000")),
        ("f.jpg", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", said.format("a video")),
        ("g.tif", b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 99, said.format(r"a raw photograph \(CR2\)")),
        ("h.png", b"PK\3\4" + b"\0" * 99, said.format("a ZIP archive")),
        ("i.png", b"v/1\1" + b"\2" * 99, said.format("OpenEXR")),
        ("j.png", b"P6\n2 2\n255\n" + b"\1" * 12, "it is a netpbm picture"),
        ("k.jpg", b"\0" * 128 + b"DICM" + b"\2" * 99, said.format("DICOM")),
        ("l.png", b"\x93NUMPY\1\0", said.format("a NumPy array")),
        ("m.jpg", b"\x7fELF\xff\xfe" * 9, "not a PNG, JPEG, WEBP, BMP, TIFF, GIF, AVIF or HEIC"),
        ("n.png", b"\x89PNG\r\n\x1a\n", "cut short"),
        ("o.jpg", b"\xff\xd8\xff", "."),
        ("p.tif", b"II*\0\x08\0\0\0", "."),
        ("q.gif", b"GIF89a", "."),
        ("r.bmp", b"BM" + b"\0" * 12 + b"\x28\0\0\0", "."),
        ("t.png", png(levels(8, 1), 8, 3), "a damaged PNG: its pixels are places in a palette, and it has none"),
        ("u.jpg", imagecodecs.jpeg8_encode(levels(12, 3).astype(np.uint16), bitspersample=12), "a JPEG of 12 bits"),
        ("v.jpg", imagecodecs.jpegls_encode(eight(unit(3), 1.0)), "it is JPEG-LS, which is not read; convert it"),
        ("s.webp", b"RIFF\0\0\0\0WEBPVP8 ", "."),
    ):  # fmt: skip
        yield Made("no pictures", name, contents, None, reason=reason)
    colours = eight(unit(3), 1.0)
    large = Image.fromarray(np.tile(colours, (8, 8, 1)))
    for kind in ("PNG", "WEBP", "BMP", "GIF", "TIFF"):
        file = saved(large, kind)
        yield Made("cut short", f"cut-{kind}", file[: len(file) * 6 // 10], None, reason="cut short")
    for planar in (False, True):
        file = tiff(levels(16, 3), 16, 2, planar=planar)
        yield Made("cut short", f"cut-{planar}.tif", file[: len(file) * 6 // 10], None, reason="cut short")
    for size in (20_000, 60_000):
        header = struct.pack(">IIBBBBB", size, 20_000, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"\0" * 99))
            + chunk(b"IEND", b"")
        )
        yield Made(
            "too large", f"bomb{size}.png", bomb, None, reason=f"{size} x 20000 pixels are more than 250,000,000"
        )


MAKERS = (tiffs, pngs, texts, jpegs, other_kinds, bmps, profiles, coded_colours, no_pictures)


@cache
def made_by(maker: Callable[[], Iterator[Made]]) -> list[Made]:
    return [*maker()]


def place(made: Made, folder: Path) -> Path:
    """Write a file, and return its path."""
    path = folder / re.sub(r"[<>(), ]", lambda sign: {"<": "little", ">": "big"}.get(sign[0], "-"), made.name)
    path.write_bytes(made.contents)
    return path


def outcome(made: Made, folder: Path) -> tuple[str, str]:
    """Read a file; return "right", "refused" or "wrong", and what was found."""
    path = place(made, folder)
    try:
        found = np.asarray(open_picture(path)).astype(int)
    except Exception as error:  # as data sets do
        said = why_broken(error)
        expected = made.pixels is None and re.match(made.reason, said)
        return ("refused" if expected else "wrong"), f"{said!r}, and the reason is {made.reason!r}"
    if made.pixels is None:
        return "wrong", "read, and should be refused"
    if found.shape != made.pixels.shape:
        return "wrong", f"shape {found.shape}, and {made.pixels.shape} is right"
    off = np.abs(found - made.pixels)
    measured = float(off.mean() if made.lossy else off.max())
    return ("right" if measured <= made.off else "wrong"), f"differs by {measured:.2f}"


def table() -> list[tuple[str, int, int, int]]:
    """Return the numbers of files that are right, refused with their reason, and wrong, for each kind."""
    counts: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for made in (made for maker in MAKERS for made in made_by(maker)):
            how, said = outcome(made, Path(folder))
            counts.setdefault(made.kind, dict.fromkeys(("right", "refused", "wrong"), 0))[how] += 1
            if how == "wrong":
                print(f"{made.kind}: {made.name}: {said}", file=sys.stderr)
    return [(kind, *of.values()) for kind, of in counts.items()]


if __name__ == "__main__":
    rows = table()
    rows.append(("all", *(sum(row[n] for row in rows) for n in (1, 2, 3))))
    print("| files | right | refused, with the reason | wrong |\n|---|---|---|---|")
    for kind, *numbers in rows:
        print(f"| {kind} | {' | '.join(map(str, numbers))} |")
