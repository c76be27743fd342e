"""BMPs of every kind, each with the pixels that it was made from."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from tests.tiff_kinds import HEIGHT, WIDTH, Array, Made, eight, levels, on_white, packed, unit


def bmp(width: int, height: int, bits: int, body: bytes, *, header: int = 40, compression: int = 0,
        palette: bytes = b"", masks: Sequence[int] = (), colours: int = 0) -> bytes:  # fmt: skip
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack(
            "<IiiHHIIiiII", header, width, height, 1, bits, compression, len(body), 2835, 2835, colours, 0
        )
        info += struct.pack(f"<{len(masks)}I", *masks) if header == 40 else b""
        if header > 40:
            info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + palette + body


def bmp_rows(data: Sequence[bytes], upside_down: bool = True) -> bytes:
    return b"".join(row + b"\0" * (-len(row) % 4) for row in (data[::-1] if upside_down else data))


def run_lengths(indices: Array, bits: int) -> bytes:
    """Return rows of palette indices in runs of RLE4 or RLE8: some as runs, some as they are, and ends of lines."""
    body = b""
    for number, row in enumerate(indices[::-1]):
        at = 0
        while at < len(row):
            if number % 2:  # as they are
                part = row[at : at + 7]
                if len(part) < 3:
                    body += b"".join(bytes([1, value << 4 if bits == 4 else value]) for value in part)
                else:
                    digits = [int(value) for value in part]
                    if bits == 4:
                        digits += [0] * (len(digits) % 2)
                        digits = [a << 4 | b for a, b in zip(digits[::2], digits[1::2], strict=True)]
                    body += bytes([0, len(part), *digits, *([0] * (len(digits) % 2))])
                at += len(part)
            else:  # runs of pairs for 4 bits
                end = at + 1
                if bits == 4:
                    while (
                        end < len(row)
                        and end - at < 250
                        and row[end] == row[at + (end - at) % 2 if end - at > 1 else end]
                    ):
                        end += 1
                    pair = row[at] << 4 | (row[at + 1] if end - at > 1 else 0)
                    body += bytes([end - at, pair])
                else:
                    while end < len(row) and end - at < 250 and row[end] == row[at]:
                        end += 1
                    body += bytes([end - at, row[at]])
                at = end
        body += b"\0\0"
    return body + b"\0\1"


def bmps() -> Iterator[Made]:
    made = partial(Made, "BMP")
    for bits in (1, 4, 8):
        places = (levels(bits, 1)[..., 0] // np.uint64(1)).astype(np.uint8)
        palette = np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint8)
        quads = b"".join(bytes(colour[::-1]) + b"\0" for colour in palette)
        rows = [packed(row[None].astype(np.uint64), bits, "<", "u") for row in places]
        yield made(f"p{bits}.bmp", bmp(WIDTH, HEIGHT, bits, bmp_rows(rows), palette=quads), palette[places])
        yield made(f"p{bits}down.bmp", bmp(WIDTH, -HEIGHT, bits, bmp_rows(rows, False), palette=quads), palette[places])
        triples = b"".join(bytes(colour[::-1]) for colour in palette)
        yield made(
            f"p{bits}os2.bmp", bmp(WIDTH, HEIGHT, bits, bmp_rows(rows), header=12, palette=triples), palette[places]
        )
        if bits != 1:
            coarse = (places // 3 * 3).clip(0, 2**bits - 1)
            for stored, name in ((places, "fine"), (coarse, "runs")):
                body = run_lengths(stored, bits)
                file = bmp(WIDTH, HEIGHT, bits, body, compression=2 if bits == 4 else 1, palette=quads)
                yield made(f"rle{bits}{name}.bmp", file, palette[stored])
    colours = eight(unit(3), 1.0)
    blue_first = [row[:, ::-1].tobytes() for row in colours]
    yield made("24.bmp", bmp(WIDTH, HEIGHT, 24, bmp_rows(blue_first)), colours)
    yield made("24down.bmp", bmp(WIDTH, -HEIGHT, 24, bmp_rows(blue_first, False)), colours)
    yield made("24os2.bmp", bmp(WIDTH, HEIGHT, 24, bmp_rows(blue_first), header=12), colours)
    four = np.dstack([colours[..., ::-1], np.zeros((HEIGHT, WIDTH, 1), np.uint8)])
    yield made("32.bmp", bmp(WIDTH, HEIGHT, 32, bmp_rows([row.tobytes() for row in four])), colours)
    alpha = eight(unit(4), 1.0)[..., 3:]
    four = np.dstack([colours[..., ::-1], alpha])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    file = bmp(WIDTH, HEIGHT, 32, bmp_rows([row.tobytes() for row in four]), header=124, compression=3, masks=masks)
    yield made("32alpha.bmp", file, on_white(colours, alpha), off=1)
    for name, depths, compression, masks in (
        ("555", (5, 5, 5), 0, ()),
        ("565", (5, 6, 5), 3, (0xF800, 0x7E0, 0x1F)),
        ("555masks", (5, 5, 5), 3, (0x7C00, 0x3E0, 0x1F)),
    ):
        parts = [(unit(3)[..., n] * (2**bits - 1)).round().astype(np.uint32) for n, bits in enumerate(depths)]
        shown = np.stack([eight(part, 2**bits - 1) for part, bits in zip(parts, depths, strict=True)], -1)
        word = (parts[0] << (depths[1] + depths[2]) | parts[1] << depths[2] | parts[2]).astype("<u2")
        file = bmp(WIDTH, HEIGHT, 16, bmp_rows([row.tobytes() for row in word]), compression=compression, masks=masks)
        yield made(f"16-{name}.bmp", file, shown, off=1)
    for bits in (4, 8):
        shades = b"".join(bytes([level * 15] * 3 + [0]) for level in range(16))
        begin = bytes([4, 0x55 if bits == 4 else 5, 0, 0, 0, 2, 3, 2, 2, 0x77 if bits == 4 else 7])
        shown = np.zeros((HEIGHT, WIDTH), np.uint8)
        shown[-1, :4], shown[-4, 3:5] = 5, 7
        palette = np.repeat(np.arange(16, dtype=np.uint8)[:, None] * 15, 3, 1)
        how = {"compression": 2 if bits == 4 else 1, "palette": shades + bytes(4 * (2**bits - 16))}
        file = bmp(WIDTH, HEIGHT, bits, begin + b"\0\0" * 9 + b"\0\1", **how)
        yield made(f"rle{bits}moves.bmp", file, palette[shown])
        for name, end in (("row", b"\0\0"), ("plain", b"\0\x09\x11"), ("move", b"\0\x02\x11"), ("none", b"")):
            file = bmp(WIDTH, HEIGHT, bits, begin + b"\0\0" * 6 + end, **how)
            yield Made("cut short", f"rle{bits}{name}.bmp", file, None, reason="cut short$")
        lie = bmp(15_000, 15_000, bits, begin + b"\0\1", **how)
        yield Made("cut short", f"rle{bits}lie.bmp", lie, None, reason="cut short$")
    odd = bmp(WIDTH, HEIGHT, 16, b"\0" * 2 * HEIGHT * 28, compression=3, masks=(0xF00, 0xF0, 0xF))
    yield Made("BMP, odd bits", "444.bmp", odd, None, reason="a BMP of a kind that is not read: ")
