"""Who may import whom, and how long a function may be."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from importlinter import api

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ("i2i_stargan_v2", "i2i_fan_mask", "i2i_emoji", "i2i_earth", "i2i_regularize")
FOLDERS = {
    "i2i_core": ROOT / "i2i_core",
    "i2i_cli": ROOT / "cli",
    **{name: ROOT / "plugins" / name.removeprefix("i2i_") / name for name in PLUGINS},
}


def python_files(*folders: Path) -> list[Path]:
    return sorted(
        f for folder in folders for f in folder.rglob("*.py") if not {".venv", "build"} & set(f.relative_to(ROOT).parts)
    )


def imports(file: Path) -> set[str]:
    """The first part of every module that a file imports, anywhere in it, by its own name or by a string."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ":" in node.value:
            found.add(node.value.partition(":")[0].partition(".")[0])
    return found


@pytest.mark.parametrize("package", FOLDERS)
def test_core_imports_no_plugin_and_no_plugin_another(package):
    """Neither in code nor as a target: a plugin may register what the core or its own package has."""
    allowed = {"i2i_core": {"i2i_core"}, "i2i_cli": {"i2i_cli", "i2i_core"}}.get(package, {package, "i2i_core"})
    files = python_files(FOLDERS[package])
    assert files
    for file in files:
        assert imports(file) & FOLDERS.keys() <= allowed, file


def test_a_wheel_has_every_folder_with_code():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    places = {"i2i": ROOT / "i2i", "i2i_core": ROOT / "i2i_core", "i2i_cli": ROOT / "cli"}
    folders = {
        ".".join([name, *file.parent.relative_to(place).parts])
        for name, place in places.items()
        for file in place.rglob("__init__.py")
        if "template" not in file.parts
    }
    assert set(settings["packages"]) == folders


def test_the_contracts_of_import_linter_hold():
    assert api.read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_functions_are_short_and_a_file_can_be_read_in_a_sitting():
    files = python_files(ROOT / "i2i", ROOT / "i2i_core", ROOT / "cli", ROOT / "plugins", ROOT / "tests")
    assert len(files) > 50
    assert {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > 500} == {}
    long = {
        f"{f.relative_to(ROOT)}:{node.lineno}": lines
        for f in files
        if f.is_relative_to(ROOT / "i2i_core")
        for node in ast.walk(ast.parse(f.read_text()))
        if isinstance(node, ast.FunctionDef)
        if (lines := node.end_lineno - node.lineno + 1) > 60
    }
    assert long == {}


def test_the_page_names_every_file_of_the_core_and_no_other():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = page[page.index("## Where things are") : page.index("## Four tasks")]
    named, room = set(), ""
    for row in re.findall(r"^\| (?:`(\w+)/`)? ?\| (.+?) \|", rooms, re.MULTILINE):
        room = row[0] or room
        named |= {f"{room}/{file}" for file in re.findall(r"`([\w/]+\.py)`", row[1])}
    files = {str(f.relative_to(ROOT / "i2i_core")) for f in python_files(ROOT / "i2i_core")}
    inside = {f for f in files if "/" in f and not f.endswith("__init__.py") and "hooks/" not in f}
    assert named == inside
    for task in re.findall(
        r"`((?:training|disk|registry)/[\w/]+\.py|interfaces\.py)`", page[page.index("## Four tasks") :]
    ):
        assert task in files or "my_" in task, task


def test_only_data_and_formats_know_how_pictures_are_stored() -> None:
    """Elsewhere, channels, values, sizes and names of fields come from formats and layouts."""
    stored = re.compile(r'127\.5|uint8|[bB]ilinear|BILINEAR|startswith\("x_|, 3, \*')
    core = ROOT / "i2i_core"
    known = {
        str(path.relative_to(core))
        for path in core.rglob("*.py")
        if stored.search(path.read_text(encoding="utf-8")) and path.relative_to(core).parts[0] != "data"
    }
    assert known == set()
