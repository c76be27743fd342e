"""Names in letters of every kind, from the data to the page about a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import i2i
from i2i_core.recipe.document import json_in_yaml, load_text

from .runs import NO_GRIDS, TINY

DOMAINS = ("\U0001f600", "\U0001d538 b", "\u732b\u2028")
"""Two with letters beyond Unicode's basic plane, one with an end of a line."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, call: Any) -> Path:
    """A run of one step on domains of these names."""
    base = tmp_path_factory.mktemp("letters")
    for shade, domain in enumerate(DOMAINS):
        (base / "data" / domain).mkdir(parents=True)
        Image.new("RGB", (32, 32), (80 * shade, 0, 0)).save(base / "data" / domain / "a.png")
    data = f"data={{use: image_folders, root: {base}/data, image_size: 32, batch_size: 2}}"
    sets = [
        word
        for change in (data, *TINY, "steps=1", f"data.domains={json_in_yaml(DOMAINS)}")
        for word in ("--set", change)
    ]
    answer = call("train", "--recipe", "stargan_v2.yaml", "--run-dir", base / "run", *sets)
    assert answer.code == 0, answer.err
    return base / "run"


def test_a_model_is_exported_and_used_by_its_domains_names(i2i, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = folder.parent / "data" / DOMAINS[0] / "a.png"
    assert i2i("export", folder, "--to", "model").code == 0
    assert json.loads(Path("model/config.json").read_text(encoding="utf-8"))["domains"] == list(DOMAINS)
    for domain in DOMAINS:
        assert f"{domain[0]}" in Path("model/README.md").read_text(encoding="utf-8")
        assert i2i("translate", "model", picture, "--domain", domain, "--out", "made.png", "--overwrite").code == 0
    assert i2i("grid", "model", picture).code == 0
    assert i2i("translate", folder, picture, "--out", "all").code == 0
    assert len(list(Path("all").iterdir())) == 3


def test_its_page_names_them(i2i, folder):
    assert i2i("report", folder).code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(domain in page for domain in DOMAINS)


def test_a_run_of_them_is_resumed_and_repeated(i2i, folder, tmp_path):
    assert i2i("validate", folder / "recipe.yaml").code == 0
    answer = i2i("train", "--resume", "--run-dir", folder, "--set", "steps=2")
    assert answer.code == 0, answer.err


def test_python_trains_on_them(folder, tmp_path):
    sets = {name: load_text(value, "").data for name, _, value in (change.partition("=") for change in TINY)}
    data = {"use": "image_folders", "root": str(folder.parent / "data"), "domains": list(DOMAINS)}
    run = i2i.train(
        "stargan_v2.yaml",
        set={
            "data": data,
            **sets,
            "data.batch_size": 2,
            "steps": 1,
            **{name.partition("=")[0]: None for name in NO_GRIDS},
        },
        run_dir=tmp_path / "run",
    )
    assert run.model(device="cpu").domains == DOMAINS


@pytest.mark.parametrize("text", [*DOMAINS, "\x7f", "a\x85b", "\\ud83d", '"\t\n\ufffe', "\ufeff"])
def test_json_is_read_as_yaml_alike(text):
    written = json_in_yaml({text: [text]}, indent=1)
    assert json.loads(written) == load_text(written, "").data == {text: [text]}
