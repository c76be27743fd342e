"""The table of docs/data.md: common layouts of files are read by the line that stands beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i_core.data.sets import build_data
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover

PAGE = Path(__file__).resolve().parents[1] / "docs" / "data.md"
ROW = re.compile(r"^\| ([^|]+) \| (`[^|]+`) \| `(\{use: .+\})` \|$", re.MULTILINE)


def rows() -> list[Any]:
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [pytest.param(re.findall(r"`([^`]+)`", files), data, id=name) for name, files, data in found]


def write(path: Path) -> None:
    """Write what a file of this name holds in such a data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng, side = np.random.default_rng(len(str(path))), 40 if "X4" in str(path) else 160
    if path.name == "list_attr_celeba.txt":
        path.write_text("1\nSmiling Male\n1.jpg  1 -1\n")
    elif path.suffix == ".tif":
        bands = rng.integers(10_000, size=(160, 160, 13)).astype(np.uint16)
        tifffile.imwrite(path, bands, photometric="minisblack", planarconfig="contig")
    elif re.search("inst", str(path.parent.name)):
        Image.fromarray(rng.integers(30_000, size=(160, 160)).astype(np.uint16)).save(path)
    elif re.search("label|annotations|gtFine", str(path)):
        Image.fromarray(rng.integers(35, size=(160, 160)).astype(np.uint8)).save(path)
    else:
        Image.fromarray(rng.integers(255, size=(side, side, 3)).astype(np.uint8)).save(path)


def test_the_table_names_the_layouts_of_the_field() -> None:
    assert len(rows()) == 10


@pytest.mark.parametrize(("files", "data"), rows())
def test_a_layout_is_read_by_its_line(
    files: list[str], data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    for file in files:
        write(Path(file))
    sets = (f"data={data}", "data.image_size=64", "data.batch_size=1", "hooks.true_pairs=null")
    found = build_data(load("stargan_v2.yaml", sets, discover()))
    wanted = found.train.field_names
    for y in range(len(found.train.domains)):
        assert found.train.count(y) == 1
        batch = found.train.batch(y, [0], wanted)
        for name in wanted:
            low, high = found.train.format(y, name).limits
            assert batch[name].shape == (1, *found.train.layout(y, name).shape)
            assert low <= float(batch[name].min()) and float(batch[name].max()) <= high
    assert found.train.paired == ("paired: true" in data or "side_by_side" in data)
