"""Listing what there is must stay instant: what it imports is checked by `sys.modules` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

from .runs import TINY

HEAVY = {"torch", "torchvision", "numpy", "pydantic", "accelerate", "PIL", "safetensors", "rich"}
MODULES = [
    "i2i_core",
    "i2i_core.errors",
    "i2i_core.interfaces",
    "i2i_core.registry.hookspecs",
    "i2i_core.registry.entries",
    "i2i_core.registry.plugins",
    "i2i_core.registry.builtins",
    "i2i_cli.catalogue",
    "i2i_cli.main",
    "i2i_cli.new",
]

UNUSED = {"torch._dynamo", "torch._inductor", "torchvision", "sympy", "tensorboard"}
"""What takes longest to import of what torch and others import when they are carelessly used."""


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """For each module, the heavy ones that are there after it was imported, one after another."""
    plugins = [point.value for point in metadata.entry_points(group="i2i.plugins")]
    assert len(plugins) >= 4
    code = (
        f"import importlib, json, sys\nfound = {{}}\nfor name in {MODULES + plugins!r}:\n"
        f"    importlib.import_module(name)\n    found[name] = sorted(set(sys.modules) & {HEAVY!r})\n"
        f"from i2i_core.registry.plugins import discover\n"
        f"found['errors'] = [r.error for r in discover().rows if r.error]\n"
        f"found['discover'] = sorted(set(sys.modules) & {HEAVY!r})\nprint(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def test_the_core_a_plugin_and_the_discovery_of_all_import_nothing_heavy(imported):
    assert imported.keys() > {
        "i2i_core",
        "i2i_stargan_v2",
        "i2i_fan_mask",
        "i2i_emoji",
        "i2i_earth",
        "i2i_regularize",
        "discover",
    }
    assert {name: heavy for name, heavy in imported.items() if heavy} == {}


def test_a_run_imports_neither_torchvision_nor_torch_s_compiler(tmp_path):
    sets = [word for change in (*TINY, "steps=1") for word in ("--set", change)]
    train = ["train", "--recipe", "stargan_v2.yaml", "--run-dir", str(tmp_path / "run"), *sets]
    code = (
        f"import sys\nfrom i2i_cli.main import main\ntry:\n    main({train!r})\n"
        f"except SystemExit as done:\n    assert not done.code\n"
        f"print('imported', *sorted(set(sys.modules) & {UNUSED!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported"
