"""`i2i new`: a plugin project that is whole, and works on the machine of whoever installs it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover

from .venvs import build_wheel, make_venv, pip

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    ".github/workflows/test.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "tests/test_my_blur.py",
    *(
        f"i2i_my_blur/{name}"
        for name in (
            "__init__.py",
            "data.py",
            "hooks.py",
            "losses.py",
            "networks.py",
            "py.typed",
            "recipes/my_blur.yaml",
            "tensors.py",
        )
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_new_writes_a_project_and_says_what_to_do_next(i2i, here):
    answer = i2i("new", "my_blur")
    assert (answer.code, answer.out) == (0, "i2i-my-blur\n")
    assert answer.err == (
        'next:\n  cd i2i-my-blur\n  pip install -e ".[test]"\n  pytest\n  i2i train --recipe my_blur.yaml\n'
    )
    assert files(here / "i2i-my-blur") == FILES


def test_nothing_in_it_is_called_after_the_template(i2i, here):
    i2i("new", "my_blur")
    texts = {file: (here / "i2i-my-blur" / file).read_text() for file in FILES}
    assert [file for file, text in texts.items() if "plugin_name" in text or "plugin-name" in text] == []
    assert 'name = "i2i-my-blur"' in texts["pyproject.toml"]
    assert 'my_blur = "i2i_my_blur"' in texts["pyproject.toml"]
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text()
    assert set(yaml.safe_load(texts[".github/workflows/test.yml"])["jobs"]["test"]) == {"runs-on", "strategy", "steps"}


def test_the_project_may_be_anywhere(i2i, here):
    answer = i2i("new", "my_blur", "--to", "projects/blur")
    assert (answer.code, answer.out) == (0, "projects/blur\n")
    assert answer.err.splitlines()[1] == "  cd projects/blur"
    assert files(here / "projects" / "blur") == FILES


@pytest.mark.parametrize("name", ["Blur", "my-blur", "2blur", "_blur", "blur_", "my__blur", "i2i.blur", "blür"])
def test_a_name_that_packages_cannot_have_is_refused(i2i, here, name):
    answer = i2i("new", name)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"{name!r} cannot be the name of a plugin; use lower-case letters and digits, with "
        "single underscores between words, such as my_blur\n"
    )
    assert files(here) == set()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("stargan_v2", "there is already a plugin stargan_v2"),
        ("core", "there is already a plugin core"),
        ("gan", "names that begin with gan are reserved for the distributions of i2i (i2i-gan...)"),
        ("gan_blur", "names that begin with gan are reserved for the distributions of i2i (i2i-gan...)"),
        ("cli", "there is already a Python package i2i_cli"),
    ],
)
def test_a_name_that_is_taken_is_refused(i2i, here, name, why):
    answer = i2i("new", name)
    assert (answer.code, answer.out, answer.err) == (2, "", f"{why}; choose another name\n")
    assert files(here) == set()


def test_the_name_of_a_known_plugin_that_is_not_installed_is_refused(i2i, here):
    (here / "team.yaml").write_text("plugins: {}\nindex: {unets: i2i-unets}\n")
    answer = i2i("new", "unets", "--registry", "team.yaml")
    assert (answer.code, answer.err) == (2, "there is already a plugin unets; choose another name\n")


def test_it_depends_on_the_core_by_the_name_that_pip_knows(i2i, here):
    i2i("new", "my_blur")
    project = tomllib.loads((here / "i2i-my-blur" / "pyproject.toml").read_text())["project"]
    assert [need for need in project["dependencies"] if need.startswith("i2i")] == ["i2i-gan>=0.1,<1"]


def test_nothing_is_overwritten(i2i, here):
    (here / "i2i-my-blur").mkdir()
    answer = i2i("new", "my_blur")
    assert (answer.code, answer.err) == (2, "i2i-my-blur exists; choose another folder with --to\n")
    (here / "file").touch()
    answer = i2i("new", "my_blur", "--to", "file/blur")
    assert (answer.code, answer.err) == (74, "file/blur cannot be written: Not a directory\n")
    assert files(here) == {"file"}


def test_its_recipe_is_valid_and_uses_every_component(project):
    project("my_blur")
    plugins = discover()
    checked = load("my_blur.yaml", (), plugins)
    specs = [checked.data, *checked.networks.values(), *checked.losses.values(), *checked.hooks.values()]
    used = {checked.recipe.method.use, *(spec.entry.name for spec in specs if spec)}
    registered = {entry.name for entry in plugins.registry if entry.plugin == "my_blur"}
    assert len(registered) == 5
    assert registered <= used


def test_its_loss_replaces_one_of_stargan_v2_as_its_readme_says(i2i, project):
    folder = project("my_blur")
    (cycle,) = re.findall(r"^          cycle: (.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    answer = i2i("validate", "stargan_v2.yaml", "--set", f"losses.generator.cycle={cycle}")
    assert (answer.code, answer.out, answer.err) == (0, "stargan_v2.yaml is valid\n", "")


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("losses.pairs.charbonnier.epsilon=0", "losses.pairs.charbonnier.epsilon should be greater than 0, not 0"),
        ("networks.generator.width=0", "networks.generator.width should be greater than 0, not 0"),
        ("hooks.smooth={use: my_blur/smooth, over: 0}", "hooks.smooth.over should be greater than 0, not 0"),
        ("data.pictures=0", "data.pictures should be greater than 0, not 0"),
    ],
)
def test_a_mistake_in_a_key_of_its_components_is_told_with_its_place(i2i, project, change, mistake):
    project("my_blur")
    answer = i2i("validate", "my_blur.yaml", "--set", change)
    assert (answer.code, answer.out, answer.err) == (2, "", f"--set {change}: {mistake}\n")


def run(*command: object, folder: Path) -> str:
    """What a command prints, on whichever of the two streams."""
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_what_the_installed_command_writes_is_built_installed_tested_and_learns(here):
    python = make_venv(here / "venv")
    pip(python, "install", "--no-deps", build_wheel(ROOT, here))
    run(python.with_name("i2i"), "new", "my_blur", folder=here)
    project = here / "i2i-my-blur"
    assert files(project) == FILES
    pip(python, "install", "--no-deps", build_wheel(project, here))
    shutil.rmtree(project / "i2i_my_blur")  # so that only what is installed can be imported
    assert "\n3 passed in " in run(python, "-m", "pytest", "-q", folder=project)
    said = run(python.with_name("i2i"), "train", "--recipe", "my_blur.yaml", "--set", "steps=100", folder=here)
    assert "\nrun         runs/my_blur-001\n" in said
    lines = [json.loads(line) for line in (here / "runs" / "my_blur-001" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["learn/charbonnier"] for line in lines if "learn/charbonnier" in line]
    assert losses[-1] < losses[0] / 2
