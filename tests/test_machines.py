"""i2i on other systems: without what only Linux has, with data workers that are not forked, without a home."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i_core.data.batches import Samples, loader
from i2i_core.data.sets import SampledRecords
from i2i_core.errors import DataError
from i2i_core.recipe.sections import Data

from .conftest import RECIPE, TOY
from .runs import kept, status

SYSTEMS = Path(__file__).with_name("systems")
CALLS = """
import json, multiprocessing, sys
from i2i_cli.main import main
method, calls = json.loads(sys.argv[1])
multiprocessing.set_start_method(method, force=True)
for call in calls:
    try:
        main(call)
    except SystemExit as done:
        print("exit code", done.code)
"""
PLUGIN = (
    TOY
    + '''

class Noise:
    """Pictures of one colour, and a warning."""

    domains, paired = ("a", "b"), False

    def count(self, domain):
        return 5

    def picture(self, domain, index):
        import warnings

        from PIL import Image

        warnings.warn("this picture is old", stacklevel=1)
        return Image.new("RGB", (16, 16), (domain * 200, index * 40, 90))
'''
)


def python(
    folder: Path, *arguments: str, system: str = "", without: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, in a session of its own, on one of the SYSTEMS, `without` some of our environment."""
    if system and sys.platform != "linux":
        pytest.skip("other systems are made of Linux")
    path = [str(SYSTEMS / system)] if system else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        env={name: env[name] for name in env.keys() - {*without}},
    )


def calls(
    folder: Path, *arguments: Sequence[str], method: str = "spawn", **how: Any
) -> subprocess.CompletedProcess[str]:
    """Call `i2i` in one process, as often as there are lists of arguments."""
    return python(folder, "-c", CALLS, json.dumps([method, arguments]), **how)


def codes(done: subprocess.CompletedProcess[str]) -> list[int]:
    """The exit code of each call."""
    return [int(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("exit code")]


@pytest.fixture
def toy_elsewhere(tmp_path: Path) -> Path:
    """A folder with toy.yaml, some drawings in photos/, and the plugin in a folder of its own."""
    from i2i_emoji.drawings import Drawings

    (tmp_path / "toy.yaml").write_text(RECIPE)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "toy.py").write_text(PLUGIN)
    drawings = Drawings(split="val")
    for domain in range(2):
        (tmp_path / "photos" / str(domain)).mkdir(parents=True)
        for n in range(3):
            drawings.picture(domain, n).save(tmp_path / "photos" / str(domain) / f"{n}.png")
    return tmp_path


def training(name: str, data: str, *sets: str) -> list[str]:
    words = [word for change in (f"data={data}", "hooks.metrics.every=1", *sets) for word in ("--set", change)]
    return ["train", "--recipe", "toy.yaml", "--plugin", "plugins/toy.py", "--run-dir", name, *words]


PHOTOS = "{use: image_folders, root: photos, image_size: 16, batch_size: 2, workers: %d}"
DRAWINGS = "{use: emoji/drawings, image_size: 16, batch_size: 2, workers: %d}"
NOISE = "{use: toy/noise, image_size: 16, batch_size: 2, workers: %d}"


# Without what only Linux has


def test_subcommands_that_compute_nothing_need_nothing_of_linux(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    subcommands = [
        ["--help"],
        ["ls"],
        ["show", "stargan_v2/generator"],
        ["plugins"],
        ["validate", "stargan_v2.yaml"],
        ["explain", "stargan_v2.yaml"],
        ["init", "stargan_v2.yaml", "--to", "my.yaml"],
        ["new", "my_blur"],
        ["schema"],
    ]
    done = calls(tmp_path, *subcommands, system="windows")
    assert codes(done) == [0] * len(subcommands), done.stderr


def test_what_linux_has_is_really_missing_there(tmp_path: Path) -> None:
    """Else the tests around would show nothing."""
    lacking = """
import ctypes, importlib, os, signal
for module in ("resource", "fcntl", "pwd"):
    try:
        importlib.import_module(module)
    except ImportError:
        print(module)
try:
    ctypes.CDLL(None)
except TypeError:
    print("CDLL")
print([name for name in ("pwrite", "setsid", "fork") if hasattr(os, name)], hasattr(signal, "alarm"))
"""
    done = python(tmp_path, "-c", lacking, system="windows")
    assert done.stdout.split() == ["resource", "fcntl", "pwd", "CDLL", "[]", "False"]


def test_a_run_needs_nothing_of_linux(toy_elsewhere: Path) -> None:
    """Pictures are cached, a spawned worker loads them, checkpoints are saved, pruned and resumed."""
    saving = "hooks.checkpoint={every: 1, keep: 1}"
    done = calls(
        toy_elsewhere,
        ["data", "check", "photos"],
        training("run", PHOTOS % 1, "data.cache=16", saving),
        ["train", "--run-dir", "run", "--resume", "--plugin", "plugins/toy.py", "--set", "steps=4"],
        ["report", "run"],
        system="windows",
        XDG_CACHE_HOME=str(toy_elsewhere / "cache"),
    )
    assert codes(done) == [0, 0, 0, 0], done.stderr
    assert [path.name for path in (toy_elsewhere / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    assert len(list((toy_elsewhere / "cache" / "i2i" / "pixels").iterdir())) == 2
    speed = [json.loads(line) for line in (toy_elsewhere / "run" / "speed.jsonl").read_text().splitlines()]
    assert all(line["memory"] > 50e6 for line in speed), "what the process holds is told, if not its peak"


@pytest.mark.slow
def test_a_pickle_is_read_without_limits_where_there_are_none(tmp_path: Path) -> None:
    torch.save({"generator": {"bias": torch.ones(3)}}, tmp_path / "nets.ckpt")
    (tmp_path / "bad.ckpt").write_bytes(b"PK\x03\x04" + bytes(99))
    code = """
from pathlib import Path
from i2i_core.disk.sandbox import read_apart
print({name: t.tolist() for name, t in read_apart(Path("nets.ckpt")).items()})
read_apart(Path("bad.ckpt"))
"""
    done = python(tmp_path, "-c", code, system="windows")
    assert done.stdout == "{'generator/bias': [1.0, 1.0, 1.0]}\n", done.stderr
    assert done.stderr.endswith("CheckpointError: bad.ckpt is cut short or damaged; fetch it again\n")


# Data workers that are not forked

METHODS = [
    pytest.param(method, marks=[pytest.mark.slow] if method == "forkserver" else [])
    for method in multiprocessing.get_all_start_methods()
    if method != "fork"
]
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_are_not_forked_load_what_training_loads_by_itself(toy_elsewhere: Path, method: str) -> None:
    data = {"noise": NOISE, "drawings": DRAWINGS, "photos": PHOTOS}
    done = calls(
        toy_elsewhere,
        *(training(f"{name}-{workers}", use % workers) for name, use in data.items() for workers in (0, 1)),
        method=method,
    )
    assert codes(done) == [0] * 6, done.stderr
    for name in data:
        alone, with_worker = (kept(toy_elsewhere / f"{name}-{workers}") for workers in (0, 1))
        assert alone == with_worker
        assert len(alone) == 6  # network, optimizer, metrics, three grids
    said = [line for line in done.stderr.splitlines() if "this picture is old" in line]
    assert {*said} == {"warning: this picture is old"}, "a worker warns as the command does"
    assert len(said) == 3  # by itself; with a worker, which draws no grids


@posix
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_while_workers_start_saves_the_step(toy_elsewhere: Path, method: str) -> None:
    """A worker that loads the plugin tells the whole group to stop, itself too."""
    plugin = toy_elsewhere / "plugins" / "toy.py"
    plugin.write_text(f"""{PLUGIN}
import multiprocessing, os, signal

if multiprocessing.current_process().name != "MainProcess":
    os.killpg(0, signal.SIGINT)
""")
    done = calls(toy_elsewhere, training("run", NOISE % 1, "steps=1000"), method=method)
    assert codes(done) == [130], done.stderr
    assert "saved at step " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert status(toy_elsewhere / "run")["status"] == "stopped"


@posix
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_leaves_no_workers(toy_elsewhere: Path, method: str) -> None:
    """Nor what started them: whoever is left keeps what is printed open, and is waited for."""
    kills = "import multiprocessing, os; os.kill(multiprocessing.parent_process().pid, 9)"
    plugin = toy_elsewhere / "plugins" / "toy.py"
    plugin.write_text(PLUGIN.replace('warnings.warn("this picture is old", stacklevel=1)', kills))
    done = calls(toy_elsewhere, training("run", NOISE % 2, "hooks.grid=null"), method=method)
    assert done.returncode == -9, done.stderr


class Unsent:
    """Pictures that no process can be sent."""

    domains, paired = ("a", "b"), False

    def __init__(self) -> None:
        self.open = lambda: None

    def count(self, domain: int) -> int:
        return 1

    def picture(self, domain: int, index: int) -> Any:
        raise AssertionError("no worker should have got this")


@pytest.fixture
def spawning() -> Iterator[None]:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("spawning")
def test_a_data_set_that_cannot_be_sent_to_a_worker_is_told_in_a_sentence() -> None:
    samples = Samples(
        SampledRecords(Unsent(), (16, 16)), {"x_real"}, Data(use="", image_size=(16, 16), batch_size=1), seed=0
    )
    said = (
        r"^Unsent cannot be sent to data workers: .*; keep what cannot be pickled out of its attributes, or set "
        r"data.workers to 0$"
    )
    with warnings.catch_warnings(action="error"), pytest.raises(DataError, match=said):
        loader(samples, start=0, steps=1, batch_size=1, rank=0, world=1, workers=1)


# Without a home


@pytest.mark.parametrize("system", [pytest.param("homeless", marks=pytest.mark.slow), "windows"])
def test_who_has_no_home_trains_and_is_told_where_a_cache_may_be(toy_elsewhere: Path, system: str) -> None:
    done = calls(
        toy_elsewhere,
        ["data", "check", "photos"],
        training("run", PHOTOS % 1),
        training("cached", PHOTOS % 0, "data.cache=16"),
        system=system,
        without=("HOME", "XDG_CACHE_HOME"),
    )
    assert codes(done) == [0, 0, 74], done.stderr
    assert done.stderr.splitlines()[-1] == (
        "pictures cannot be cached in ~/.cache: the user has no home folder (free some space, set XDG_CACHE_HOME to "
        "another folder, or leave data.cache out)"
    )
