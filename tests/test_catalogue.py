"""registry.yaml: the catalogue is up to date, and what a person keeps in it survives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from i2i_cli.catalogue import describe, known_components, render
from i2i_core.errors import PluginError
from i2i_core.registry.plugins import Plugins, discover, load_registry_file

ROOT = Path(__file__).parent.parent
PLUGIN = '''
from pathlib import Path
from typing import Literal

from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.loss("far", "sample_plugin:Far")
    registry.loss("pick", "sample_plugin:pick")
    registry.network("net", "sample_plugin:Net")
    registry.method("page", "sample_plugin")


@hookimpl
def i2i_recipes():
    return Path(__file__).parent


class Far:
    """Far away: always.

    More."""

    def __init__(self, *, by: float = 1e-3, how: Literal["up", "down"] = "up", names: tuple[str, ...] = ("a", "b")):
        pass

    def __call__(self, x_fake, x_real=None):
        return x_fake


def pick(*, side: Literal["left", "right"]):
    """Pick."""
    return (lambda a, b: a) if side == "left" else (lambda b, c: c)


class Net:
    """A net."""

    def __init__(self, *, image_size: tuple[int, int], depth: int):
        pass


def second(first): ...
def first(): ...
'''


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "sample_plugin", raising=False)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sample_plugin.py").write_text(PLUGIN)
    (tmp_path / "code" / "sample.yaml").write_text("# not old/far\nmethod: sample/page\nlosses: {a: {use: gan/bce}}\n")
    file = tmp_path / "registry.yaml"
    file.write_text("""
plugins:
  sample: {package: sample_plugin, distribution: i2i-sample, version: ">=1", folder: code, enabled: true}
  old: {package: nothing, enabled: false, components: {loss: {old/far: {summary: Kept.}}}}
index: {other/thing: i2i-other}
""")
    return file


def test_the_catalogue_is_not_stale():
    assert (ROOT / "registry.yaml").read_text() == render(ROOT / "registry.yaml"), "run: make registry"


def test_the_core_ships_this_catalogue():
    assert (ROOT / "i2i_core" / "registry" / "registry.yaml").read_text() == (ROOT / "registry.yaml").read_text()


def test_every_first_party_component_has_a_summary():
    known = known_components(load_registry_file(ROOT / "registry.yaml"))
    assert {
        ("network", "stargan_v2/generator"),
        ("tensor", "fan_mask/everywhere"),
        ("dataset", "emoji/drawings"),
        ("loss", "gan/bce"),
    } <= known.keys()
    assert [name for name, description in known.items() if not description["summary"].endswith(".")] == []


def test_keys_defaults_and_reads_are_written_as_recipes_and_code_say_them(registry):
    entries = {e.name: e for e in Plugins(registry).registry}
    assert describe(entries["sample/far"]) == {
        "summary": "Far away: always.",
        "params": {"by": "float = 0.001", "how": "up | down = up", "names": "tuple[str, ...] = [a, b]"},
        "reads": ["x_fake", "x_real"],
    }
    assert describe(entries["sample/pick"]) == {
        "summary": "Pick.",
        "params": {"side": "left | right"},
        "reads": ["a", "b", "c"],
    }
    assert describe(entries["sample/net"])["params"] == {"image_size": "tuple[int, int], from the data", "depth": "int"}
    tensors = describe(entries["sample/page"])["tensors"]
    assert [name for name in tensors if name in ("first", "second")] == ["second", "first"], "in the page's order"
    assert tensors["second"] == ["first"]


def test_writing_keeps_the_edited_keys_and_is_stable(registry):
    written = render(registry)
    assert written.startswith("# The plugins of this repository, with their components and recipes.\n")
    assert "        sample/far:\n          summary: 'Far away: always.'\n" in written
    assert "          reads: [x_fake, x_real]\n" in written
    data = yaml.safe_load(written)
    sample = data["plugins"]["sample"]
    assert {k: v for k, v in sample.items() if k not in ("components", "recipes")} == {
        "package": "sample_plugin",
        "distribution": "i2i-sample",
        "version": ">=1",
        "folder": "code",
        "enabled": True,
    }
    assert data["index"] == {"other/thing": "i2i-other"}
    assert data["plugins"]["old"]["components"] == {"loss": {"old/far": {"summary": "Kept."}}}
    registry.write_text(written)
    assert render(registry) == written


def test_a_recipe_is_listed_with_the_plugins_whose_components_it_names():
    listed = load_registry_file(ROOT / "registry.yaml")["plugins"]
    assert listed["stargan_v2"]["recipes"]["stargan_v2.yaml"] == ["emoji", "fan_mask", "stargan_v2"]
    assert listed["classics"]["recipes"]["pix2pix.yaml"] == ["classics", "earth"]
    brought = [name for row in listed.values() for name in row["recipes"]]
    assert sorted(brought) == sorted(discover().recipes())


def test_what_the_code_no_longer_says_is_replaced(registry):
    written = render(registry)
    registry.write_text(written.replace("float = 0.001", "float = 0.002"))
    assert render(registry) == written


def test_the_command_rewrites_the_file(registry):
    done = subprocess.run([sys.executable, "-m", "i2i_cli.catalogue", registry], cwd=ROOT)
    assert done.returncode == 0
    assert registry.read_text() == render(registry)


def test_a_plugin_that_does_not_load_stops_the_writing(registry):
    registry.write_text(registry.read_text().replace("enabled: false", "enabled: true"))
    with pytest.raises(PluginError, match="plugin old does not load"):
        render(registry)
