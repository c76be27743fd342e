"""Bounds: what files of unknown origin may take of memory and time, and what is refused before it takes more."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from i2i.opening import opened
from i2i_core.data.datasets.tables import read_table
from i2i_core.data.decoding import budget
from i2i_core.data.decoding.budget import BUDGET, Budget
from i2i_core.data.decoding.files import decode_numbers, open_picture
from i2i_core.data.decoding.repairs import repaired
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.disk.sandbox import read_apart
from i2i_core.errors import CheckpointError, DataError, DiskError, I2IError, PluginError, RecipeError, UsageError
from i2i_core.models.folder import read as read_model
from i2i_core.plan.check import check_recipe, load
from i2i_core.recipe.reading import load_recipe, parse_recipe
from i2i_core.registry.plugins import discover, load_registry_file
from i2i_core.training.assembly import build_networks

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


BOMBS = {
    "equal keys": "x:\n" + " a: 1\n" * 150_000,
    "a list": "[" + "a," * 400_000 + "]",
    "brackets": "[" * 500_000,
    "unknown keys": "\n".join(f"k{n}: 1" for n in range(9_000)),
    "networks": "networks:\n" + "\n".join(f"  n{n}: tiny/generator" for n in range(9_000)),
    "networks that are not there": "networks:\n" + "\n".join(f"  n{n}: {{use: x{n}, y: 1}}" for n in range(2_900)),
    "phases": "phases:\n" + "\n".join(f"  p{n}: {{train: [q{n}], losses: d}}" for n in range(1_800)),
    "transforms": "data: {augment: {also: [" + "RandomErasing," * 9_000 + "]}}",
    "a long key": "k" * 900_000 + ": 1",
    "large numbers": "data: {image_size: [" + ",".join(["9" * 50] * 9_000) + "]}",
}
BOMB_SECONDS, BOMB_BYTES, BOMB_LINES = 6, 200_000_000, 110
"""Limits of a mistake of a megabyte; it takes about a second of a usual processor."""


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_recipe_takes_little_time_and_memory_and_says_little(bomb: str) -> None:
    plugins = discover(files=[Path(__file__).with_name("tiny.py")])
    whole = yaml.safe_load(Path(__file__).with_name("tiny.yaml").read_text())
    written = BOMBS[bomb]
    section = written.partition(":")[0]
    kept = {name: part for name, part in whole.items() if name != section} if section in whole else {}
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")
    before, start = _kilobytes("VmRSS"), time.process_time()
    with pytest.raises(RecipeError) as error:
        check_recipe(parse_recipe(f"{yaml.safe_dump(kept) if kept else ''}{written}", "r.yaml"), plugins)
    assert time.process_time() - start < BOMB_SECONDS
    assert (_kilobytes("VmHWM") - before) * 1024 < BOMB_BYTES
    said = str(error.value)
    assert len(said.splitlines()) < BOMB_LINES and len(said) < BOMB_LINES * 1000


def _kilobytes(name: str) -> int:
    """Return a size of this process as Linux tells it, elsewhere 0."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if name in line), 0)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize(
    "reader",
    [
        lambda path: open_picture(path),
        lambda path: decode_numbers(path),
        lambda path: Raster(channels=1, range=(0, 255)).read(path),
        lambda path: Numbers(names=("a",)).read(path),
        lambda path: read_table(path, "a", ["b"]),
        lambda path: load_registry_file(path),
        lambda path: load_recipe(path),
        lambda path: read_apart(path),
        lambda path: read_model(path.rename(path.with_name("config.json")).parent),
    ],
)
def test_a_pipe_is_refused_and_not_waited_for(pipe: Path, reader: Callable[[Path], object]) -> None:
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for the other end"))
    signal.alarm(10)
    try:
        with pytest.raises((OSError, ValueError, I2IError), match="not a regular file"):
            reader(pipe)
    finally:
        signal.alarm(0)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no such device")
def test_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    for given in ("/dev/zero", "/dev/null"):
        with pytest.raises(UsageError, match=f"{given} cannot be read: not a regular file"):
            read_apart(Path(given))
        with pytest.raises(DataError, match="cannot be used as a picture: not a regular file"):
            opened(given, Picture())
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(DataError, match="cannot be used as a picture: no such device or address"):
            opened(tmp_path / "socket", Picture())


def test_a_recipe_of_terabytes_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "large.yaml", "wb") as file:
        file.truncate(2**40)  # which takes no disk
    with pytest.raises(RecipeError, match=r"large.yaml: the recipe cannot be read: it has more than 1,048,576 bytes"):
        load_recipe(tmp_path / "large.yaml")
    with pytest.raises(PluginError, match=r"it has more than 1,048,576 bytes"):
        load_registry_file(tmp_path / "large.yaml")


def test_a_sparse_picture_of_terabytes_is_not_read(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        Image.new("RGB", (64, 64)).save(tmp_path / "a", kind)
        with open(tmp_path / "a", "ab") as file:
            file.truncate(2**40)
        with pytest.raises(DataError, match=r"1,099,511,627,776 bytes are more than a picture has"):
            opened(tmp_path / "a", Picture())
        assert not repaired_or_refused(tmp_path / "a")


def repaired_or_refused(path: Path) -> Path | None:
    try:
        return repaired(path)
    except OSError:
        return None


def test_a_tensor_with_the_name_that_safetensors_keep_is_told(tmp_path: Path) -> None:
    torch.save({"__metadata__": torch.ones(2), "a": torch.ones(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is refused: it calls a tensor __metadata__, which"):
        read_apart(tmp_path / "a.pt")


def test_a_user_without_a_home_is_told_where_repaired_pictures_could_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.effect_noise((64, 64), 50).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-500])
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DiskError, match=r"a\.png cannot be kept: the user has no home folder; set XDG_CACHE_HOME"):
        repaired(tmp_path / "a.png")


def homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_number_that_no_tensor_has_is_a_mistake_of_the_recipe() -> None:
    names = ("generator", "mapping_network", "style_encoder")
    checked = load("stargan_v2.yaml", [f"networks.{name}.style_dim={2**62}" for name in names], discover())
    facts = {"num_domains": 2, "domains": ("a", "b"), "image_size": (64, 64)}
    with pytest.raises(RecipeError, match="network stargan_v2/generator: a number is too large"):
        build_networks(checked, facts, 0)
