"""Tiny trainings: in this process, in forked ones that may be killed, and as two processes of one run."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file

from i2i_core.disk.checkpoints import committed
from i2i_core.registry.plugins import Plugins, discover
from i2i_core.training import launch
from i2i_core.training.compute import has_bf16
from i2i_core.training.run import Run

ROOT = Path(__file__).resolve().parents[1]
TROUBLE = Path(__file__).with_name("trouble.py")
GRID = "sample_grid, every: 3, sources: 2, rows: 2"
TINY = (
    *(
        f"networks.{network}.{key}={value}"
        for network in ("generator", "style_encoder", "discriminator")
        for key, value in (("channel_base", 64), ("max_channels", 8))
    ),
    "networks.mapping_network.hidden_dim=16",
    "data.image_size=32",
    "data.batch_size=4",
    "steps=6",
    "optimizers.default.lr=1e-4",
    "losses.discriminator.r1.gamma=1",
    "hooks.ema.decay=0.99",
    "hooks.progress=null",
    "hooks.true_pairs=null",
    "hooks.metrics.every=1",
    "hooks.checkpoint={every: 3, keep: 2}",
    f"hooks.latent={{use: {GRID}, phase: g_latent}}",
    f"hooks.reference={{use: {GRID}, phase: g_reference}}",
)
"""The quick start with networks of a few channels: masks, the skip and R1 stay."""
NO_GRIDS = ("hooks.latent=null", "hooks.reference=null")
SGD = ("optimizers.default={use: sgd, lr: 1e-4}", "optimizers.mapping_network={lr: 1e-5}")
"""Slow enough that no rounding moves a pixel of an L1 loss from one side of its kink to the other."""


needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this CPU has no convolutions in bf16")


@cache
def plugins() -> Plugins:
    return discover(files=(TROUBLE,))


def train(
    folder: Path,
    *sets: str,
    recipe: str | Path | None = "stargan_v2.yaml",
    resume: bool = False,
    resume_from: int | None = None,
    warn: Callable[[str], None] = print,
) -> Run:
    """Train, or with `resume` continue, the quick start at a tiny size in this process."""
    AcceleratorState._reset_state(True)  # it remembers the precision of the training before
    GradientState._reset_state()
    tiny = TINY if recipe == "stargan_v2.yaml" and not resume else ()
    return launch.train(
        None if resume and recipe == "stargan_v2.yaml" else recipe,
        plugins(),
        sets=(*tiny, *sets),
        run_dir=folder,
        resume=resume,
        resume_from=resume_from,
        warn=warn,
    )


def arguments(folder: Path, *sets: str, resume: bool = False) -> list[str]:
    """The same training as arguments of `i2i`."""
    chosen = ["--resume"] if resume else ["--recipe", "stargan_v2.yaml"]
    named = [word for value in (*(() if resume else TINY), *sets) for word in ("--set", value)]
    return ["train", *chosen, "--run-dir", str(folder), "--plugin", str(TROUBLE), *named]


@dataclass
class Ended:
    """How the processes of a run ended: the exit code of each, and what each printed."""

    codes: list[int]
    printed: list[str]


class Processes:
    """`i2i` in one or several forked processes of one run, which may be signalled.

    before: called in each process before the command.
    """

    def __init__(
        self,
        logs: Path,
        argv: list[str],
        world: int = 1,
        before: Callable[[], object] | None = None,
        **environment: str,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = [logs / f"rank-{rank}.txt" for rank in range(world)]
        port = str(free_port())
        self.all = []
        for rank, log in enumerate(self.logs):
            log.write_text("")  # a process may be killed before it opens it
            place = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world),
                "LOCAL_WORLD_SIZE": str(world),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            }
            process = _forks().Process(
                target=_become_i2i, args=(argv, {**(place if world > 1 else {}), **environment}, str(log), before)
            )
            process.start()
            self.all.append(process)

    def wait(self, seconds: float = 60) -> Ended:
        """Their exit codes (−9 when killed by signal 9) and what they printed."""
        for process in self.all:
            process.join(seconds)
            if process.exitcode is None:
                for p in self.all:
                    p.kill()
                raise AssertionError(f"still running after {seconds} s:\n{self.logs[0].read_text()}")
        return Ended([p.exitcode or 0 for p in self.all], [log.read_text() for log in self.logs])


def run_forked(folder: Path, *sets: str, resume: bool = False, world: int = 1, **environment: str) -> Ended:
    """Train or resume in processes of their own, and wait for them."""
    return Processes(
        folder.with_name(f"{folder.name}-logs"), arguments(folder, *sets, resume=resume), world, **environment
    ).wait()


@cache
def _forks() -> Any:
    """A server that has imported everything, so that a process is there in a moment."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system forks no processes")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "tests.runs",
            "i2i_core.training.hooks.sample_grid",
            "i2i_core.training.hooks.true_pairs",
            "i2i_stargan_v2.networks",
            "i2i_fan_mask.components",
            "i2i_emoji.drawings",
        ]
    )
    with pytest.MonkeyPatch.context() as patch:  # for the server alone: elsewhere it would hide what is installed
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        forkserver.ensure_running()
    return context


def _become_i2i(
    argv: list[str], environment: dict[str, str], log: str, before: Callable[[], object] | None = None
) -> None:
    from i2i_cli.main import main

    os.environ |= {"CUDA_VISIBLE_DEVICES": "", **environment}
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of data workers; here it would be the server's
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if "IGNORED_SIGNAL" in environment:
        signal.signal(int(environment["IGNORED_SIGNAL"]), signal.SIG_IGN)
    os.setsid()  # so that a signal to the group reaches its data workers, and nothing of ours
    if before:
        before()
    main(argv)


def torchrun(argv: list[str], log: Path, world: int = 2) -> subprocess.Popen[bytes]:
    """`i2i` under torch's launcher, in a session of its own."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(world),
        "--master-port",
        str(free_port()),
        "-m",
        "i2i_cli",
        *argv,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with open(log, "wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=ROOT, start_new_session=True)


def wait_for(condition: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "nothing was printed"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Everything in the newest checkpoint of a run."""
    newest = committed(folder / "checkpoints")[0]
    return {
        f"{file.relative_to(newest).with_suffix('')}: {name}": tensor
        for file in sorted(newest.rglob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def kept(folder: Path) -> dict[str, bytes]:
    """What a run leaves and must leave again: the newest checkpoint's tensors, metrics and pictures, as bytes."""
    newest = committed(folder / "checkpoints")[0]
    files = [*newest.rglob("*.safetensors"), *(folder / "samples").glob("*.png"), folder / "metrics.jsonl"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def logged(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_bits(ours: Path, theirs: Path) -> None:
    a, b = kept(ours), kept(theirs)
    assert a.keys() == b.keys()
    assert len(a) >= 10  # a file for each network, each optimizer and the EMA, and the metrics
    assert [name for name in a if a[name] != b[name]] == []


def largest_difference(ours: Path, theirs: Path, parts: Iterable[str] = ("networks", "hooks")) -> float:
    """Between the tensors of two runs' newest checkpoints."""
    a, b = tensors(ours), tensors(theirs)
    assert a.keys() == b.keys()
    chosen = [name for name in a if name.startswith(tuple(parts))]
    assert len(chosen) > 50
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in chosen)


def copy_of(folder: Path, to: Path) -> Path:
    """A copy of a run to do harm to."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("run.lock"))
    return to
