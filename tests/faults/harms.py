"""Damage to files: flipped bits, cuts and zeros."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from .results import Attempt


def flip(data: bytearray, random: Random) -> str:
    place, bit = random.randrange(len(data)), random.randrange(8)
    data[place] ^= 1 << bit
    return f"bit {bit} of byte {place} flipped"


def cut(data: bytearray, random: Random) -> str:
    del data[random.randrange(len(data)) :]
    return f"cut to {len(data)} bytes"


def zeros(data: bytearray, random: Random) -> str:
    start = random.randrange(len(data))
    end = random.randint(start + 1, len(data))
    data[start:end] = bytes(end - start)
    return f"zeros from {start} to {end}"


def empty(data: bytearray, random: Random) -> str:
    data.clear()
    return "empty"


HARMS: tuple[Callable[[bytearray, Random], str], ...] = (flip, flip, flip, cut, cut, zeros, zeros, empty)


def harm(folder: Path, tried: Attempt) -> Path:
    """Damage one file of a folder; return its path inside the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[tried.seed % len(files)]
    data = bytearray(path.read_bytes())
    done = tried.random.choice(HARMS)(data, tried.random)
    path.write_bytes(data)
    tried.tried = f"{path.relative_to(folder)}: {done}"
    return path.relative_to(folder)
