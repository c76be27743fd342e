"""A stranger's checkpoint gives its tensors or a reason, and runs nothing: the readers inside of the sandbox."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from i2i_core.disk import foreign
from i2i_core.disk.sandbox import allowance, tensors

from .conftest import Tally
from .fence import fenced
from .scale import times

resource = pytest.importorskip("resource", reason="this system limits no memory")

STATE = {
    "generator": {"to_rgb.2.bias": torch.arange(3.0), "half": torch.ones(2, 3, dtype=torch.bfloat16).T},
    "steps": {"done": torch.tensor(7)},
    "epoch": 3,
}
FLAT = {"generator/to_rgb.2.bias": torch.arange(3.0), "mask": torch.tensor([True, False])}
WORDS = (
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"ctorch\nload\n",
    b"cposix\nsystem\n(S'true'\ntR.",
    b"\x93",
    b"\x8c\x02os",
)
NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def saved(**how: Any) -> bytes:
    file = io.BytesIO()
    torch.save(STATE, file, **how)
    return file.getvalue()


def changed(chance: random.Random, data: bytes) -> bytes:
    """Return bytes with some changed, cut, repeated or inserted."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(max(1, len(made)))
        kind = chance.randrange(6)
        if kind == 0 and made:
            made[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            size = chance.choice((1, 2, 4, 8))
            made[place : place + size] = chance.choice(NUMBERS).to_bytes(8, "little")[:size]
        elif kind == 2:
            del made[place : place + chance.choice((1, 8, len(made)))]
        elif kind == 3:
            made[place:place] = chance.choice(WORDS)
        elif kind == 4:
            made[place:place] = made[place : place + 32]
        else:
            made[place : place + 8] = chance.randbytes(8)
    return bytes(made)


def zipped(chance: random.Random) -> bytes:
    """Return a file of torch.save of which one member was changed: its pickle, mostly."""
    source, target = zipfile.ZipFile(io.BytesIO(saved())), io.BytesIO()
    names = source.namelist()
    spoilt = chance.choice([next(n for n in names if n.endswith("data.pkl"))] * 3 + names)
    with zipfile.ZipFile(
        target, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as file:
        for name in names:
            data = source.read(name)
            file.writestr(name, changed(chance, data) if name == spoilt else data)
    return target.getvalue() if chance.randrange(4) else changed(chance, target.getvalue())


def legacy(chance: random.Random) -> bytes:
    return changed(chance, saved(_use_new_zipfile_serialization=False))


def safe(chance: random.Random) -> bytes:
    """Return a safetensors file of which the header was changed."""
    data = safetensors.torch.save(FLAT, {"format": "pt"})
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    kind = chance.randrange(6)
    if kind == 0:
        return changed(chance, data)
    if kind == 5:
        return data[: 8 + size] + chance.randbytes(len(data) - 8 - size)
    entry = header[chance.choice([*header])]
    key = chance.choice([*entry])
    odd = chance.choice([None, -1, 2**63, [], [2**40, 2**40], "F64", "", {"a": 1}, [0, 2**62], [8, 0], "x" * 1000])
    if kind == 1:
        entry[key] = odd
    elif kind == 2:
        header[chance.choice(["__metadata__", "", "a/b", "../x", "\u0000"])] = chance.choice([entry, odd])
    elif kind == 3:
        del entry[key]
    text = json.dumps(header).encode()
    if kind == 4:
        text = changed(chance, text)
    return (len(text) + chance.choice((0, 0, 0, 1, -1))).to_bytes(8, "little") + text + data[8 + size :]


KINDS: dict[str, Callable[[random.Random], bytes]] = {"zip": zipped, "pickle": legacy, "safetensors": safe}


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Limit the memory of this process as the sandbox does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + allowance(size), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell the memory of a process")
@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints(tmp_path: Path, tally: Tally, kind: str) -> None:
    chance, path, tally.what = random.Random(kind), tmp_path / "checkpoint", f"checkpoints ({kind})"
    for data in (saved(), saved(_use_new_zipfile_serialization=False), safetensors.torch.save(FLAT)):
        path.write_bytes(data)
        assert dict(tensors(foreign.read(path)))
    for number in range(times(2_000)):
        data = KINDS[kind](chance)
        path.write_bytes(data)
        try:
            with tally.one(), limited(len(data)), fenced(tmp_path, memory=2 * allowance(len(data))):
                if not _reads(path):
                    tally.refuse()
        except BaseException as error:
            kept = Path(f"{tmp_path}-{number}")
            kept.write_bytes(data)
            raise AssertionError(f"{kept}: {type(error).__name__}: {error}") from error
    assert tally.read, "every change was found out: the readers behind the first checks were not tried"


def _reads(path: Path) -> bool:
    found, reason = dict[str, torch.Tensor](), ""
    try:
        found = dict(tensors(foreign.read(path)))
    except ValueError as error:
        reason = str(error)
    assert not reason or (str(path) in reason and len(reason) < 2_000)
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
    return not reason
