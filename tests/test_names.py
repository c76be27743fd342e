"""Names for pip: i2i's distributions are called i2i-gan, since a package called i2i is a stranger's."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from i2i_core.registry.plugins import load_registry_file

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = load_registry_file(ROOT / "registry.yaml")["plugins"]
DISTRIBUTIONS = {name: row["distribution"] for name, row in PLUGINS.items()}
BARE = r"(?<![\w./-])i2i(?!\w|[./-]\w)"
EXTRAS = r"\[[^\]\n]*\]"
REQUIRED = re.compile(
    rf"{BARE}({EXTRAS})?\s*(===|~=|==|!=|<=|>=|<|>)\s*[\d{{*]|{BARE}{EXTRAS}"
    rf"|\b((pip3?|pipx|conda|mamba|poetry|pdm|uv)( pip| tool)?\s+(install|add)|pipx run|uvx)\b[^\n,;&|#)`]*?{BARE}"
    rf"|\b(dependencies|requires)\s*=\s*\[[^\]]*?[\"']{BARE}|Requires-Dist:\s*{BARE}",
    re.IGNORECASE,
)
"""A bare i2i where a requirement or what to install is meant. Not `requires: {i2i: ...}` of a recipe, nor what a
message says of it (the recipe requires i2i >=9): there i2i is the program, as other keys are plugins."""


def texts() -> Iterator[tuple[str, str]]:
    """Every file of this repository that is text, by its place."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("this is no repository of git")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and b"\0" not in (data := (ROOT / name).read_bytes()):
            yield name, data.decode("utf-8", "replace")


def bare(text: str) -> list[str]:
    return [found[0] for found in REQUIRED.finditer(text.replace("the recipe requires i2i", "").replace("\\n", "\n"))]


@pytest.mark.parametrize(
    "text",
    [
        "pip install {}",
        "pip install -U --pre {}",
        'pip install "{}[demo]"',
        "pip install other {}",
        "pip3 install '{}>=1'",
        'pip install "{}{{need}}"',
        "uv add {}",
        "uv pip install {}",
        "uvx {}",
        "pipx run {} train",
        "conda install {}",
        '"{}[demo,docs]"',
        '"{}>=0.1,<1"',
        "{}==0.1.0",
        'f"{}=={{version}}"',
        "{} <2",
        "{}~=1.0",
        'dependencies = ["{}", "numpy"]',
        'dependencies = [\n  "torch",\n  "{}",\n]',
        "requires = ['{}']",
        "Requires-Dist: {} (>=1)",
    ],
)
def test_a_bare_name_is_found_in_every_way_to_require_it(text):
    assert bare(text.format("i2i"))
    assert not bare(text.format("i2i-gan"))
    assert not bare(text.format("i2i-my-blur"))


@pytest.mark.parametrize(
    "text",
    [
        "pip install -e . -e plugins/emoji; i2i train",
        "requires: {i2i: '>=0.1'}",
        "the recipe requires i2i >=9",
        "i2i train --recipe stargan_v2.yaml",
        "pip install -e i2i/plugins/emoji",
        "`pip install torch`, then i2i",
        "import i2i",
        'import_name = ["i2i"]',
        "packages = ['i2i', 'i2i.demo']",
    ],
)
def test_the_program_the_package_and_the_key_of_a_recipe_are_called_i2i(text):
    assert not bare(text)


def test_nothing_requires_or_installs_a_bare_i2i():
    found = {name: wrong for name, text in texts() if name != "tests/test_names.py" and (wrong := bare(text))}
    assert found == {}


def test_no_project_requires_a_bare_i2i_and_every_plugin_the_core():
    projects = {name: tomllib.loads(text) for name, text in texts() if Path(name).name == "pyproject.toml"}
    assert len(projects) >= 9
    for name, project in projects.items():
        extras = project["project"].get("optional-dependencies", {}).values()
        needs = [*project["build-system"]["requires"], *project["project"]["dependencies"], *sum(extras, [])]
        names = {canonicalize_name(Requirement(need).name) for need in needs}
        assert "i2i" not in names, name
        assert "i2i-gan" in names, name


def test_every_name_that_begins_with_ours_is_one_of_ours():
    found = {match for name, text in texts() for match in re.findall(r"\bi2i-gan(?:-[a-z0-9]+)*(?![\w-])", text)}
    assert found == {"i2i-gan", *DISTRIBUTIONS.values()}


def test_the_extras_bring_what_the_first_recipe_needs_and_every_plugin():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    first = {str(Requirement(need)) for need in extras["stargan-v2"]}
    rest = {str(Requirement(need)) for need in extras["all"]} - {"i2i-gan[stargan-v2]"}
    listed = {name: str(Requirement(row["distribution"] + row["version"])) for name, row in PLUGINS.items()}
    assert first == {listed[name] for name in PLUGINS["stargan_v2"]["recipes"]["stargan_v2.yaml"]}
    assert first | rest == set(listed.values())
