"""The plugin as users meet it: its names, its page, and that looking at it costs nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from i2i_core.plan.check import load
from i2i_core.plan.checked import Checked
from i2i_core.recipe.document import load_text
from i2i_core.registry.plugins import discover

BLOCKS = re.findall(r"```yaml\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)


def changes(written: dict[str, Any], *place: str) -> list[str]:
    """A page of YAML as `--set` assignments of its components."""
    if "use" in written:
        return [f"{'.'.join(place)}={json.dumps(written)}"]
    return [change for name, value in written.items() for change in changes(value, *place, name)]


def test_the_plugin_names_what_exists() -> None:
    plugins = discover()
    (row,) = [row for row in plugins.rows if row.name == "regularize"]
    assert sorted(row.components) == [
        "regularize/ada",
        "regularize/ada",
        "regularize/diffaugment",
        "regularize/overfitting",
        "regularize/probability",
        "regularize/spectral_norm",
    ]
    assert all(callable(entry.load()) for entry in plugins.registry if entry.plugin == "regularize")


@pytest.mark.parametrize("block", BLOCKS, ids=["spectral_norm", "diffaugment", "ada"])
def test_a_block_of_the_readme_is_a_change_of_the_quick_start(block: str) -> None:
    sets = changes(load_text(block, "README.md").data)
    checked: Checked = load("stargan_v2.yaml", sets, discover())
    assert checked.networks["discriminator"].entry.name.startswith("regularize/")


def test_declaring_the_plugin_does_not_import_torch() -> None:
    code = "import sys, i2i_regularize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
