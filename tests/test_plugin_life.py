"""What becomes of real wheels of third parties: used, failing, in each other's way, updated and removed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .conftest import Answer
from .venvs import LEFTOVERS, build_wheel, make_venv

FLOWERS = Path(__file__).with_name("downstream") / "flowers"
RECIPE = FLOWERS / "i2i_flowers" / "flowers.yaml"
OTHERS = ["earth", "emoji", "fan_mask", "stargan_v2"]
Edit = tuple[str, str, str]


@dataclass
class Machine:
    """An environment of its own, and `i2i` in it."""

    python: Path
    folder: Path

    def i2i(self, *arguments: object) -> Answer:
        done = self._run("-m", "i2i_cli", *arguments)
        return Answer(done.returncode, done.stdout, done.stderr)

    def row(self, name: str, distribution: str = "") -> dict[str, Any]:
        """The row of a plugin in `i2i plugins`; those of this tree are always in use."""
        rows = json.loads(self.i2i("plugins", "--json").out)
        assert [r["name"] for r in rows if r["name"] in OTHERS and not r["error"]] == OTHERS
        (found,) = [r for r in rows if r["name"] == name and distribution in ("", r["distribution"])]
        return found

    def pip(self, *arguments: object) -> None:
        done = self._run("-m", "pip", "--disable-pip-version-check", *arguments)
        assert done.returncode == 0, done.stderr

    def _run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(self.python), *map(str, arguments)], capture_output=True, text=True, cwd=self.folder)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    return Machine(make_venv(folder / "venv"), folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """wheel((file, old, new), ...): of flowers with these changes; each `old` occurs once."""

    @cache
    def changed(*edits: Edit) -> Path:
        folder = tmp_path_factory.mktemp("wheel")
        project = shutil.copytree(FLOWERS, folder / "project", ignore=LEFTOVERS)
        for name, old, new in edits:
            text = (project / name).read_text()
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
            (project / name).write_text(text.replace(old, new))
        return build_wheel(project, folder)

    return changed


@pytest.fixture
def install(machine: Machine, wheel: Callable[..., Path]) -> Iterator[Callable[..., Path]]:
    """install((file, old, new), ...): that wheel, until the test ends; gives its first module.

    No dependency is looked at, as `pip install --no-deps` has it.
    """
    names = set()

    def installed(*edits: Edit) -> Path:
        built = wheel(*edits)
        machine.pip("install", "--no-deps", "--no-index", built)
        names.add(built.name.partition("-")[0])
        (packages,) = machine.python.parents[1].glob("lib/python*/site-packages")
        return packages / "i2i_flowers" / "__init__.py"

    yield installed
    machine.pip("uninstall", "--yes", *names)


def version(number: str) -> Edit:
    return "pyproject.toml", 'version = "1.2"', f'version = "{number}"'


INIT, PARTS = "i2i_flowers/__init__.py", "i2i_flowers/parts.py"
RAISES = (INIT, "from i2i_core import hookimpl\n", "from i2i_core import hookimpl\n\nraise ValueError('no\\n  soil')\n")


def test_a_strangers_wheel_is_listed_with_what_it_brings(machine, install):
    install()
    assert machine.row("flowers") == {
        "name": "flowers",
        "version": "1.2",
        "distribution": "i2i-flowers",
        "error": "",
        "recipes": ["flowers.yaml"],
        "components": ["flowers/method", "flowers/meadow", "flowers/tint", "flowers/darker", "flowers/count"],
    }
    shown = [line.split() for line in machine.i2i("plugins").out.splitlines()]
    assert ["flowers", "1.2", "i2i-flowers", "5"] in shown


def test_one_that_raises_says_what_where_and_what_to_do(machine, install):
    module = install(RAISES)
    assert machine.row("flowers") == {
        "name": "flowers",
        "version": "1.2",
        "distribution": "i2i-flowers",
        "components": [],
        "recipes": [],
        "error": f"ValueError: no soil, at {module}:7; update or uninstall i2i-flowers",
    }
    assert "stargan_v2/generator" in machine.i2i("ls", "network").out


@pytest.mark.slow
def test_one_that_needs_another_core_is_not_imported(machine, install):
    install(("pyproject.toml", '"i2i-gan>=0.1"', '"numpy>=1", "i2i-gan>=99"'), RAISES)
    error = 'it needs i2i-gan>=99, and 0.1.0 is installed; pip install "i2i-gan>=99", or another version of i2i-flowers'
    assert machine.row("flowers") == {
        "name": "flowers",
        "version": "1.2",
        "distribution": "i2i-flowers",
        "components": [],
        "recipes": [],
        "error": error,
    }
    answer = machine.i2i("validate", RECIPE)
    assert (answer.code, answer.out) == (2, "")
    mistake = f"{RECIPE}:7:9: there is no network called flowers/tint (plugin flowers is not in use: {error})"
    assert mistake in answer.err.splitlines()


def test_of_two_with_one_name_none_is_in_use_until_one_is_listed(machine, install):
    install()
    install(("pyproject.toml", "i2i-flowers", "i2i-bouquet"))
    error = (
        "i2i-bouquet 1.2 and i2i-flowers 1.2 bring a plugin called flowers, so it is unclear which one is meant; "
        "uninstall all but one, or list that one in a registry file"
    )
    for distribution in ("i2i-bouquet", "i2i-flowers"):
        assert machine.row("flowers", distribution) == {
            "name": "flowers",
            "version": "1.2",
            "distribution": distribution,
            "components": [],
            "recipes": [],
            "error": error,
        }
    answer = machine.i2i("validate", RECIPE)
    assert answer.code == 2 and f"plugin flowers is not in use: {error}" in answer.err
    team = machine.folder / "team.yaml"
    team.write_text("plugins: {flowers: {package: i2i_flowers, distribution: i2i-flowers}}")
    _, listed = json.loads(machine.i2i("plugins", "--json", "--registry", team).out)
    assert (listed["distribution"], len(listed["components"]), listed["error"]) == ("i2i-flowers", 5, "")


@pytest.mark.slow
def test_a_misspelt_event_is_found_where_its_hook_is_used_or_shown(machine, install):
    install((PARTS, "after_step", "after_stpe"))
    assert machine.row("flowers")["error"] == ""  # listing imports no hook
    problem = "hook Count has a method after_stpe, which is not an event (did you mean after_step?)"
    answer = machine.i2i("validate", RECIPE)
    assert (answer.code, answer.err) == (2, f"{RECIPE}:14:10: {problem}\n")
    answer = machine.i2i("show", "flowers/count")
    assert (answer.code, answer.err) == (0, f"warning: {problem}\n")


def test_a_misspelt_hook_of_the_plugin_is_its_error(machine, install):
    install((INIT, "def i2i_components", "def i2i_compnents"))
    assert machine.row("flowers")["error"] == "there is no hook called i2i_compnents (did you mean i2i_components?)"


@pytest.mark.slow
def test_a_run_outlives_its_plugin(machine, install):
    """Trained, its plugin removed, broken, updated: the run says what it was trained with, and loses nothing."""
    install()
    answer = machine.i2i("train", "--recipe", "flowers.yaml", "--run-dir", "run")
    assert (answer.code, answer.out.splitlines()[:2]) == (0, ["counted 1", "counted 2"])
    run, resume = machine.folder / "run", ("train", "--run-dir", "run", "--resume", "--set", "steps=3")
    facts = json.loads((run / "env.json").read_text())
    assert facts["plugins"] == {"flowers": "i2i-flowers==1.2"}  # not what the run did not use
    files = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}

    machine.pip("uninstall", "--yes", "i2i-flowers")
    answer = machine.i2i(*resume)
    assert (answer.code, answer.out) == (5, "")
    assert answer.err == "run was trained with plugin flowers, which is not installed; pip install i2i-flowers==1.2\n"

    module = install(version("1.3"), RAISES)
    answer = machine.i2i(*resume)
    assert answer.code == 5
    assert answer.err == (
        "run was trained with plugin flowers (i2i-flowers==1.2), which is not in use: ValueError: "
        f"no soil, at {module}:7; update or uninstall i2i-flowers\n"
    )

    install(version("2.0"))
    answer = machine.i2i(*resume)
    assert (answer.code, answer.out) == (2, "")
    place = next(n for n, line in enumerate((run / "recipe.yaml").read_text().splitlines(), 1) if "  flowers: " in line)
    assert answer.err.splitlines() == [
        f"run/recipe.yaml:{place}:12: the recipe requires flowers >=1,<2, and 2.0 is installed "
        f'(pip install "i2i-flowers>=1,<2")',
        "run was trained with i2i-flowers==1.2, and now there is i2i-flowers==2.0",
    ]
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == files

    install(version("1.4"))
    answer = machine.i2i(*resume)
    assert (answer.code, answer.out.splitlines()[0]) == (0, "counted 3")
    assert answer.err == (
        "warning: run was trained with i2i-flowers==1.2, and now there is i2i-flowers==1.4, so "
        "results may not be equal bit for bit\n"
    )
    assert json.loads((run / "env.json").read_text())["plugins"] == {"flowers": "i2i-flowers==1.4"}
