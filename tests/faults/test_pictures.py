"""Pictures that are deleted, cut or replaced while a run trains on them."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from . import reader
from .machine import SLOW, Machine, ends_as_undisturbed, says_what_to_do, wait_until
from .results import attempt, some

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(side: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut in its header": lambda path: os.truncate(path, 20),
    "emptied": lambda path: os.truncate(path, 0),
    "replaced by text": lambda path: path.write_text("a note"),
    "replaced by zeros": lambda path: path.write_bytes(bytes(1000)),
    "replaced by a folder": replaced_by_folder,
    "replaced by a bomb": lambda path: path.write_bytes(SIGNATURE + header(60_000) + chunk(b"IDAT", bytes(9))),
    "replaced by a broken PNG": lambda path: path.write_bytes(SIGNATURE + b"\0\0\0\x0dIHDX" + bytes(60)),
    "replaced by a broken TIFF": lambda path: path.write_bytes(b"II*\0\x08\0\0\0\xff\xff" + bytes(50)),
    "replaced by a broken GIF": lambda path: path.write_bytes(b"GIF89a" + b"\xff" * 60),
}
CASES = [(harm, workers) for harm in HARMS for workers in (0, 1)]


@pytest.mark.parametrize(("harm", "workers"), some(CASES, ordinary=3, quarter=8))
def test_pictures_are_harmed(machine: Machine, run: Path, harm: str, workers: int) -> None:
    with attempt("pictures harmed in mid-run", CASES.index((harm, workers))) as tried:
        tried.tried = f"all pictures {harm}, {workers} data workers"
        here = machine.elsewhere(run.parent)
        pictures = here.place / "pictures"
        shutil.copytree(pictures, here.place / "kept")
        processes = here.start(run, SLOW, f"data.workers={workers}")
        wait_until(lambda: reader.reached(run) >= 1, "at step 1")
        for path in (pictures / "train").rglob("*.png"):
            HARMS[harm](path)
        ended = processes.wait()
        says_what_to_do(tried, ended, 3)
        assert str(pictures / "train") in tried.said, f"no picture is named: {tried.said}"
        shutil.rmtree(pictures)
        (here.place / "kept").rename(pictures)
        ends_as_undisturbed(here, tried, run)
