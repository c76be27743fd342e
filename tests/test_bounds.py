"""Bounds: what files of unknown origin may take of memory and time, and what is refused before it takes more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_core.data.decoding import budget
from i2i_core.data.decoding.budget import BUDGET, Budget
from i2i_core.data.decoding.files import open_picture
from i2i_core.errors import UsageError

ABOVE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from PIL import Image
from i2i_core.data.formats.labels import Labels, Mask
from i2i_core.data.formats.picture import Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.data.looks import examine

def kilobytes(name):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if name in line)

def taken(path, form, copies):
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    with ThreadPoolExecutor(copies) as threads:
        for look in threads.map(lambda _: examine(path, form, 8), range(copies)):
            assert not look.reason, look
    return (kilobytes("VmHWM") - before) * 1024

small, path = Path(sys.argv[1]), Path(sys.argv[2])
for form, copies in eval(sys.argv[3]):
    taken(small, form, 1)
    print(taken(path, form, copies))
"""
"""A program that prints by how many bytes looks at a picture raise the peak of its memory."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey picture of 36 megapixels with 16 bits, and one of a few pixels beside it."""
    folder = tmp_path_factory.mktemp("large")
    rows = np.repeat(np.arange(0, 60000, 10, np.uint16)[:, None], 6000, 1)
    Image.fromarray(rows).save(folder / "large.png", compress_level=1)
    Image.fromarray(rows[::100, ::100]).save(folder / "small.png")
    return folder


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a part")
def test_a_picture_takes_what_is_decoded_and_its_result(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(budget.VARIABLE, "40")
    bytes_of_a_pixel = {
        "Picture(), 1": 2 + 4,  # as it is decoded, and as RGB, of which Pillow's pixels take four bytes
        "Picture(), 4": 2 + 4,
        "Labels(classes=65536), 1": 2 + 2,
        "Mask(), 1": 2 + 4 + 2 + 1,
        "Raster(channels=1, range=(0, 65535)), 1": 2 + 2,
    }
    looks = ", ".join(f"({look})" for look in bytes_of_a_pixel)
    command = [sys.executable, "-c", ABOVE, str(large / "small.png"), str(large / "large.png"), f"[{looks}]"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for (look, most), taken in zip(bytes_of_a_pixel.items(), map(int, printed.split()), strict=True):
        assert taken < most * 36_000_000 + 75_000_000, look


def test_a_large_picture_waits_and_is_not_overtaken_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(budget.VARIABLE, "10")
    shared, order, used, most = Budget(), list[int](), 0, 0
    lock, first = threading.Lock(), threading.Event()

    def decode(megapixels: int) -> None:
        nonlocal used, most
        with shared.turn():
            shared.take(megapixels * 1_000_000)
            with lock:
                order.append(megapixels)
                used += megapixels
                most = max(most, used)
            if len(order) == 1:
                first.wait()
            time.sleep(0.01)
            with lock:
                used -= megapixels

    threads = [threading.Thread(target=decode, args=(size,)) for size in (6, 25, 4, 4, 4, 4)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # so that they are in line in this order
    first.set()
    for thread in threads:
        thread.join(10)
    assert order == [6, 25, 4, 4, 4, 4] and most == 25


def test_turns_with_several_pictures_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(budget.VARIABLE, "10")
    shared, both = Budget(), threading.Barrier(2)

    def pair() -> None:
        with shared.turn():
            shared.take(5_000_000)
            both.wait(10)
            with shared.turn():
                shared.take(5_000_000)

    threads = [threading.Thread(target=pair) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    with shared.turn():
        shared.take(10_000_000)  # all were given back


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(budget.VARIABLE, "1")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with BUDGET.turn():
            BUDGET.take(1_000_000)
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    if (child := os.fork()) == 0:
        signal.alarm(10)
        os._exit(open_picture(tmp_path / "a.png").width)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 64
    done.set()
    thread.join()


def test_a_budget_that_is_no_number_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for wrong in ("many", "0", "-1", "nan"):
        monkeypatch.setenv(budget.VARIABLE, wrong)
        with pytest.raises(UsageError, match=f"I2I_MEGAPIXELS_AT_ONCE is {wrong}; set it to a number of megapixels"):
            open_picture(tmp_path / "a.png")
