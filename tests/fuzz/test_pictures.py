"""A stranger's file is a picture, or one sentence why not, in little time and memory."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from i2i_core.data.decoding.files import read_picture
from i2i_core.errors import DataError
from tests import picture_kinds

from .conftest import Tally
from .fence import fenced
from .scale import times

EACH = 20_000
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".gif", ".bmp", ".avif", ".heic")
NUMBERS = [0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@cache
def originals() -> dict[str, list[bytes]]:
    """Good and bad files of each format, as the tests of pictures make them."""
    found = defaultdict(list)
    for maker in picture_kinds.MAKERS:
        for made in picture_kinds.made_by(maker):
            found[Path(made.name).suffix].append(made.contents)
    return found


def mutated(chance: random.Random, files: list[bytes]) -> bytes:
    """Return a file of which some bytes or fields were changed, cut, repeated, or taken from another file."""
    data = bytearray(chance.choice(files))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            break
        # headers matter most
        place = chance.randrange(min(len(data), chance.choice((16, 64, 400, len(data)))))
        kind, size = chance.randrange(8), chance.choice((1, 2, 4, 4))
        if kind == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif kind in (1, 2):
            data[place : place + size] = chance.choice(NUMBERS).to_bytes(8, chance.choice(("big", "little")))[:size]
        elif kind == 3:
            del data[place : place + chance.choice((1, 4, 100, len(data)))]
        elif kind == 4:
            data[place:place] = data[place : place + chance.choice((4, 12, 64))]
        elif kind == 5:
            data[place : place + 64] = chance.randbytes(chance.choice((1, 8, 64)))
        elif kind == 6:
            other = chance.choice(files)
            start = chance.randrange(len(other))
            data[place:] = other[start : start + 4096]
        else:
            data[place : place + 16] = bytes(min(16, len(data) - place))
    return bytes(data)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures(tmp_path: Path, tally: Tally, suffix: str) -> None:
    files = originals()[suffix]
    tally.what = f"pictures ({suffix})"
    chance, path = random.Random(suffix), tmp_path / f"picture{suffix}"
    for file in files:  # loads what the format needs
        path.write_bytes(file)
        _read(path)
    for number in range(times(EACH)):
        data = mutated(chance, files)
        path.write_bytes(data)
        try:
            with tally.one(), fenced(tmp_path, memory=2**30):
                if _read(path):
                    tally.refuse()
        except BaseException as error:
            kept = Path(f"{tmp_path}-{number}{suffix}")
            kept.write_bytes(data)
            raise AssertionError(f"{kept}: {type(error).__name__}: {error}") from error


def _read(path: Path) -> str:
    """Read a picture; return the reason if it is refused."""
    reason, picture = "", Image.new("RGB", (1, 1))
    try:
        picture = read_picture(path)
    except DataError as error:
        reason = str(error)
    assert not reason or (str(path) in reason and len(reason) < 1000)
    assert picture.mode == "RGB"
    return reason
