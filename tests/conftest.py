"""The command as tests call it, and plugins in one file: toy trains in a moment, tiny is for mistakes."""

from __future__ import annotations

import functools
import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from i2i_core.errors import RecipeError
from i2i_core.plan.check import check_recipe
from i2i_core.plan.checked import Checked
from i2i_core.recipe.reading import parse_recipe
from i2i_core.registry.plugins import Plugins, discover

if TYPE_CHECKING:
    from tests.warm import Warm

torch.set_num_threads(1)  # two threads under load can be far slower than one
TINY, STEPS = (Path(__file__).with_name(file) for file in ("tiny.py", "steps.py"))

TOY = '''
"""A toy: one network that recolours noise."""
from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.method("method", "toy")
    registry.dataset("noise", "toy:Noise")
    registry.network("recolour", "toy:make_recolour")
    registry.hook("trouble", "toy:Trouble")


class Noise:
    """Pictures of noise."""

    paired = False

    def __init__(self, *, domains: list[str] = ["a", "b"]):
        self.domains = domains

    def count(self, domain):
        return 3

    def picture(self, domain, index):
        from PIL import Image

        return Image.effect_noise((16, 16), 10 + 10 * domain + index).convert("RGB")


def make_recolour(*, image_size: tuple[int, int], width: int = 3):
    """A convolution, followed by another."""
    from torch import nn

    if image_size[0] % 2:
        raise ValueError(f"image_size must be even, not {image_size[0]}")
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, 3, 1))


def x_fake(recolour, x_real):
    return recolour(x_real)


class Trouble:
    """Raises what it is told to."""

    def __init__(self, *, error: str):
        if error == "none":
            raise ValueError("there is no error none")
        self.error = error

    def after_step(self, run):
        raise {"type": TypeError("one\\ntwo"), "interrupt": KeyboardInterrupt()}[self.error]
'''

RECIPE = """\
i2i: 1
steps: 3
method: toy/method
data: {use: toy/noise, image_size: 16, batch_size: 2}
networks:
  recolour: {use: toy/recolour}
losses:
  all:
    same: {use: l1, input: x_fake, target: x_real, weight: {ramp: [1.0, 0.5], over: 10}}
phases:
  learn: {train: [recolour], losses: all}
hooks:
  grid: {use: sample_grid, phase: learn, every: 1, sources: 2, rows: 2}
"""


@dataclass
class Answer:
    """What a call of the command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the quick start, trained for two steps at a tiny size, with a checkpoint and grids of both."""
    from tests.runs import train

    folder = tmp_path_factory.mktemp("tiny") / "emoji-001"
    grid = "{use: sample_grid, every: 1, sources: 2, rows: 2, phase: %s}"
    train(
        folder,
        "steps=2",
        "hooks.checkpoint={every: 1, keep: 2}",
        f"hooks.latent={grid % 'g_latent'}",
        f"hooks.reference={grid % 'g_reference'}",
        "hooks.ema.decay=0.5",
        "hooks.ema.unbiased=false",
    )
    return folder


@pytest.fixture(scope="session")
def call() -> Callable[..., Answer]:
    """Like `i2i`, for fixtures of any scope."""
    from i2i_cli.main import main

    def called(*arguments: object) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
            main([str(a) for a in arguments])
        assert isinstance(stopped.value.code, int)
        return Answer(stopped.value.code, out.getvalue(), err.getvalue())

    return called


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Runs the command in processes of its own that start at once."""
    from tests.warm import Warm

    processes = Warm()
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, call: Callable[..., Answer]) -> Path:
    """What `i2i export` makes of it."""
    folder = tmp_path_factory.mktemp("models") / "emoji"
    assert call("export", tiny_run, "--to", folder) == Answer(0, f"{folder}\n", "")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the recipes of `tests.drawn`: in one process a plugin has one place."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="session")
def made(drawn: Path) -> Callable[..., Any]:
    """The model that a recipe of `tests.drawn` starts from, by source, target and uses."""
    from tests.drawn import written
    from tests.models import untrained

    @functools.cache
    def model(*names: str) -> Any:
        plugin, recipe = written(drawn, *names)
        return untrained(str(recipe), files=(plugin,))

    return model


@pytest.fixture(scope="session")
def drawings() -> Any:
    """Held-out drawings."""
    from i2i_emoji.drawings import Drawings

    return Drawings(split="val")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawings: Any) -> Path:
    """A working folder with some drawings in pictures/."""
    monkeypatch.chdir(tmp_path)
    Path("pictures/more").mkdir(parents=True)
    for n, name in enumerate(("a.png", "b.webp", "more/c.jpg")):
        drawings.picture(0, n).save(Path("pictures") / name)
    drawings.picture(1, 9).save("reference.png")
    return Path("pictures")


@pytest.fixture
def i2i(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """i2i("ls", "loss"): the command, in this process."""
    from i2i_cli.main import main

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("I2I_REGISTRY", raising=False)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Answer(stopped.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """An empty working folder but for toy.yaml and toy.py, as the options that load the plugin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "toy.yaml").write_text(RECIPE)
    yield ("--plugin", "toy.py")
    sys.modules.pop("toy", None)


@pytest.fixture
def project(i2i, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """project("my_blur", ("losses.py", "old", "new"), ...): a new plugin with these changes, as if installed."""
    monkeypatch.chdir(tmp_path)
    names = set(sys.modules)

    def make(name: str, *edits: tuple[str, str, str]) -> Path:
        assert i2i("new", name).code == 0
        folder = tmp_path / f"i2i-{name.replace('_', '-')}"
        for file, old, new in edits:
            path = folder / f"i2i_{name}" / file
            text = path.read_text()
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}"
            path.write_text(text.replace(old, new))
        info = folder / f"i2i_{name}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: i2i-{name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[i2i.plugins]\n{name} = i2i_{name}\n")
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield make
    for name in set(sys.modules) - names:
        if name.startswith("i2i_"):
            del sys.modules[name]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of these tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """What is installed, and tiny.py."""
    return discover(files=(TINY,))


@pytest.fixture(scope="session")
def check(plugins: Plugins) -> Callable[..., Checked]:
    """check(("old", "new"), ..., sets=["a=1"]): tiny.yaml with these changes, checked; each `old` occurs once."""

    def checked(*edits: tuple[str, str], sets: tuple[str, ...] = ()) -> Checked:
        text = TINY.with_suffix(".yaml").read_text()
        for old, new in edits:
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
            text = text.replace(old, new)
        return check_recipe(parse_recipe(text, "tiny.yaml", sets), plugins)

    return checked


@pytest.fixture(scope="session")
def mistakes(check: Callable[..., Checked]) -> Callable[..., list[str]]:
    """Like `check`, giving the problems as the user sees them."""

    def found(*edits: tuple[str, str], sets: tuple[str, ...] = ()) -> list[str]:
        with pytest.raises(RecipeError) as error:
            check(*edits, sets=sets)
        return list(map(str, error.value.problems))

    return found


@pytest.fixture(scope="session")
def check_steps() -> Callable[..., Checked]:
    """check_steps("a=1", ..., edits=[("old", "new")]): steps.yaml with these changes, checked."""
    plugins = discover(files=(STEPS,))

    def checked(*sets: str, edits: Sequence[tuple[str, str]] = ()) -> Checked:
        text = STEPS.with_suffix(".yaml").read_text()
        for old, new in edits:
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
            text = text.replace(old, new)
        return check_recipe(parse_recipe(text, "steps.yaml", sets), plugins)

    return checked


@pytest.fixture(scope="session")
def step_mistakes(check_steps: Callable[..., Checked]) -> Callable[..., list[str]]:
    """Like `check_steps`, giving the problems as the user sees them."""

    def found(*sets: str, edits: Sequence[tuple[str, str]] = ()) -> list[str]:
        with pytest.raises(RecipeError) as error:
            check_steps(*sets, edits=edits)
        return list(map(str, error.value.problems))

    return found


@pytest.fixture(scope="session")
def run_of(check_steps: Callable[..., Checked]) -> Callable[..., Any]:
    """run_of("a=1", ...): the run of steps.yaml with these changes, started, without a folder."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    from i2i_core.training.run import Run

    def made(*sets: str) -> Run:
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        run = Run(check_steps(*sets), Accelerator(cpu=True), None)
        run.start()
        return run

    return made
