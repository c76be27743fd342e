"""A place with pictures, a recipe and a plugin, where real processes of `i2i train` run, are disturbed, and go on."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from tests.runs import Ended, Processes

from . import disk, reader
from .results import Attempt

RECIPE, PLUGIN = (Path(__file__).with_name(name) for name in ("fast.yaml", "fast.py"))
STEPS, EVERY = 6, 2
"""As in fast.yaml: steps of a run, and steps between its checkpoints."""
SLOW = "hooks.pause={use: fast/pause, seconds: 0.3}"
"""A run that is not over before it is disturbed."""


class Machine:
    """Trains runs of fast.yaml below `place`, as processes, and remembers undisturbed ones."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._undisturbed: dict[tuple[object, ...], reader.Result] = {}
        self._pictures(place / "pictures")

    def elsewhere(self, place: Path) -> Machine:
        """Return a machine with the same pictures in another place, to do harm to them."""
        other = Machine(place)
        other._undisturbed = self._undisturbed
        return other

    def words(self, run: Path, *sets: str, resume: bool = False) -> list[str]:
        """Return the arguments of `i2i` that start or resume a run."""
        pictures = self.place / "pictures"
        where = (f"data.root={pictures}/train", f"data.validation.root={pictures}/val")
        chosen = ["--resume"] if resume else ["--recipe", str(RECIPE)]
        named = [word for value in (*(() if resume else where), *sets) for word in ("--set", value)]
        return ["train", *chosen, "--run-dir", str(run), "--plugin", str(PLUGIN), *named]

    def start(
        self,
        run: Path,
        *sets: str,
        resume: bool = False,
        world: int = 1,
        before: Callable[[], object] | None = None,
        **environment: str,
    ) -> Processes:
        """Start a run, or resume it, in `world` processes. before: called in each of them at its start."""
        logs = self.place / "logs" / run.name
        return Processes(logs, self.words(run, *sets, resume=resume), world, before, **environment)

    def go_on(self, run: Path, *sets: str, world: int = 1, before: Callable[[], object] | None = None) -> Processes:
        """Do what a message after a fault says: resume the run, or start it again if training had not begun."""
        return self.start(run, *sets, resume=(run / "recipe.yaml").exists(), world=world, before=before)

    def undisturbed(self, *sets: str, world: int = 1) -> reader.Result:
        """Return the result of a run in which nothing goes wrong."""
        key = (*sets, world)
        if key not in self._undisturbed:
            run = self.place / f"undisturbed-{len(self._undisturbed)}"
            ended = self.start(run, *sets, world=world).wait()
            assert ended.codes == [0] * world, ended.printed
            self._undisturbed[key] = reader.result(run)
        return self._undisturbed[key]

    @cached_property
    def seconds(self) -> float:
        """Seconds that an undisturbed run takes, from the start of its process to its end."""
        self.undisturbed()
        began = time.monotonic()
        self.start(self.place / "timed").wait()
        return time.monotonic() - began

    @cached_property
    def operations(self) -> list[disk.Operation]:
        """Every operation on files of an undisturbed run."""
        return self._record(self.place / "recorded")

    @cached_property
    def half(self) -> Path:
        """A run that was killed when it had logged step 5, and saved steps 2 and 4. To copy."""
        run = self.place / "half"
        logs = [n for n, o in enumerate(disk.numbered(self.operations)) if o.name == "write" and "metrics" in o.path]
        ended = self.start(run, before=disk.Kill(run, logs[4] + 1)).wait()
        assert ended.codes == [-signal.SIGKILL], ended.printed
        assert (reader.reached(run), reader.newest_sound(run)) == (5, 4)
        return run

    @cached_property
    def operations_of_second_half(self) -> list[disk.Operation]:
        """Every operation on files of the process that resumes `half`."""
        return self._record(self.copy(self.half, self.place / "resumed"))

    @cached_property
    def model(self) -> Path:
        """A model, exported from an undisturbed run. To copy."""
        run, words = self.place / "trained", ["export", str(self.place / "trained"), "--to", str(self.place / "model")]
        for argv in (self.words(run), [*words, "--plugin", str(PLUGIN)]):
            ended = Processes(self.place / "logs" / "model", argv).wait()
            assert ended.codes == [0], ended.printed
        return self.place / "model"

    def _record(self, run: Path) -> list[disk.Operation]:
        log = run.with_suffix(".log")
        ended = self.go_on(run, before=disk.Record(run, log)).wait()
        assert ended.codes == [0], ended.printed
        return disk.recorded(log)

    def copy(self, run: Path, to: Path) -> Path:
        """Copy a run to do harm to."""
        shutil.copytree(run, to, symlinks=True)
        return to

    def _pictures(self, folder: Path) -> None:
        from PIL import Image

        for n, path in enumerate((s, d, i) for s in ("train", "val") for d in ("a", "b") for i in range(3)):
            split, domain, index = path
            (folder / split / domain).mkdir(parents=True, exist_ok=True)
            noise = Image.frombytes("RGB", (16, 16), random.Random(n).randbytes(16 * 16 * 3))
            noise.save(folder / split / domain / f"{index}.png")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Wait for a condition. Raises AssertionError if it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s: not {what}"
        time.sleep(0.02)


def note(tried: Attempt, ended: Ended, rank: int = 0) -> None:
    """Note how one of the processes ended, and what it said last."""
    tried.exit_code, tried.said = ended.codes[rank], _last_line(ended, rank)


def says_what_to_do(tried: Attempt, ended: Ended, code: int | None = None, rank: int = 0) -> None:
    """Require that processes ended by a decision of i2i: with a sentence, and neither by surprise nor by a crash.

    code: the exit code of the process with this rank.
    """
    note(tried, ended, rank)
    for found, printed in zip(ended.codes, ended.printed, strict=True):
        surprise = next((line for line in printed.splitlines() if "unexpected" in line or "Traceback" in line), "")
        assert not surprise, surprise
        assert found >= 0 and (found == 0 or printed.strip()), f"exit code {found}: {printed}"
    assert code in (None, tried.exit_code), f"exit code {tried.exit_code}, not {code}: {tried.said}"


def _last_line(ended: Ended, rank: int = 0) -> str:
    return (ended.printed[rank].strip().splitlines() or [""])[-1]


def ends_as_undisturbed(
    machine: Machine,
    tried: Attempt,
    run: Path,
    *sets: str,
    world: int = 1,
    reached: int | None = None,
    repair: Sequence[str] = (),
) -> None:
    """Let the run go on to its end; require the undisturbed bits, and that at most one interval was lost.

    sets: assignments of the undisturbed run. reached: the last step before the fault, if metrics.jsonl cannot tell.
    repair: assignments with which the run goes on.
    """
    kept = reader.newest_sound(run)
    reached = reader.reached(run) if reached is None else reached
    tried.lost = max(reached - kept, 0)
    assert tried.lost <= EVERY, f"step {reached} was reached, and step {kept} is kept"
    ended = machine.go_on(run, *repair, world=world).wait()
    assert ended.codes == [0] * world, f"it does not go on: {ended.codes} {_last_line(ended)}"
    reader.same(reader.result(run), machine.undisturbed(*sets, world=world))
