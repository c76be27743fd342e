"""The distributions as a stranger installs them: wheels in an environment that has nothing of i2i."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from i2i_core.registry.plugins import load_registry_file

from .runs import TINY
from .venvs import LEFTOVERS, build_wheel, make_venv_without_i2i, pip

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = load_registry_file(ROOT / "registry.yaml")["plugins"]
PROJECTS = [ROOT, *(ROOT / row["folder"] for row in PLUGINS.values())]
NAMES = [tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] for project in PROJECTS]
FIRST = {"i2i-gan", "i2i-gan-stargan-v2", "i2i-gan-fan-mask", "i2i-gan-emoji"}
"""Those that the first recipe needs."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of all distributions."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS:
        build_wheel(project, folder)
    return folder


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)


def installed(python: Path) -> set[str]:
    """The distributions of i2i in an environment."""
    found = json.loads(pip(python, "list", "--format", "json"))
    return {row["name"] for row in found if row["name"].startswith("i2i")}


def test_the_distributions_are_those_of_the_registry():
    listed = [row["distribution"] for row in PLUGINS.values()]
    assert listed == NAMES[1:]


@pytest.mark.slow
def test_wheels_alone_train_the_first_recipe_once_the_hint_was_followed(wheels, tmp_path):
    python, here = make_venv_without_i2i(tmp_path / "venv"), tmp_path / "here"
    command, index = python.with_name("i2i"), ("--find-links", wheels)
    report = json.loads(pip(python, "install", *index, "--dry-run", "--quiet", "--report", "-", "i2i-gan[all]"))
    assert sorted(row["metadata"]["name"] for row in report["install"]) == sorted(NAMES)

    pip(python, "install", *index, "i2i-gan")
    assert installed(python) == {"i2i-gan"}
    refused = run(here, command, "train", "--recipe", "stargan_v2.yaml")
    assert (refused.returncode, refused.stdout) == (2, "")
    hints = re.findall(r"\(pip (install .*)\)\n", refused.stderr)
    assert hints == ['install "i2i-gan[stargan-v2]"']
    pip(python, *shlex.split(hints[0]), *index)
    assert installed(python) == FIRST
    pip(python, "check")

    sets = [word for change in (*TINY, "steps=1") for word in ("--set", change)]
    trained = run(here, command, "train", "--recipe", "stargan_v2.yaml", *sets)
    assert trained.returncode == 0, trained.stderr
    assert "checkpoint  runs/stargan_v2-001/checkpoints/step-00000001\n" in trained.stdout
    for extra in ("demo", "export", "hub", "video"):  # as messages have it, of an i2i that no index knows
        pip(python, "install", f"i2i-gan[{extra}]")


def test_beside_a_clone_called_i2i_an_editable_installation_is_imported(tmp_path):
    clone = shutil.copytree(ROOT, tmp_path / "i2i", ignore=LEFTOVERS)
    python = make_venv_without_i2i(tmp_path / "venv")
    pip(python, "install", "--no-deps", "--no-build-isolation", "--editable", clone)
    imported = run(tmp_path, python, "-c", "import i2i, i2i_core, i2i_cli; print(i2i.__file__)")
    assert imported.stdout == f"{clone / 'i2i' / '__init__.py'}\n", imported.stderr
