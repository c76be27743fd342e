"""The life of a model: TIFFs of 16 bits, training, export, translation of files, ONNX; and the long one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tifffile
from PIL import Image

import i2i
from i2i_cli.main import main
from i2i_core.data.sets import build_data
from i2i_core.disk import checkpoints
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_multispectral.land import RANGE, Land

SIDE = 16
SMALL: dict[str, object] = {
    "networks.generator.width": 4,
    "networks.generator.levels": 2,
    "networks.discriminator.width": 4,
    "hooks.samples.sources": 2,
}


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code of a command, and what it said."""
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    assert isinstance(exit.value.code, int)
    return exit.value.code, printed.out + printed.err


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four places as files: PNGs, and TIFFs of four bands with 16 bits."""
    root, data, rng = tmp_path_factory.mktemp("land"), Land(image_size=(SIDE, SIDE)), np.random.default_rng(0)
    for name in ("rgb", "bands"):
        (root / name).mkdir()
    for n in range(4):
        data.record(0, n, ["x"], rng)["x"].save(root / "rgb" / f"{n}.png")
        tifffile.imwrite(
            root / "bands" / f"{n}.tif",
            data.record(1, n, ["x"], rng)["x"],
            photometric="minisblack",
            planarconfig="contig",
        )
    return root


def trained(files: Path, folder: Path, recipe: str, source: str, target: str) -> Path:
    """Two steps of a recipe on files."""
    data = {
        "use": "image_folders",
        "root": str(files),
        "domains": {"rgb": {}, "bands": {"format": {"use": "raster", "channels": 4, "range": RANGE}}},
        "paired": True,
        "image_size": SIDE,
        "batch_size": 2,
        "targets": {source: target},
    }
    i2i.train(recipe, set={**SMALL, "steps": 2, "data": data}, run_dir=folder)
    return folder


@pytest.fixture(scope="module")
def run(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(files, tmp_path_factory.mktemp("runs") / "bands", "multispectral.yaml", "rgb", "bands")


def test_pictures_become_tiffs_of_16_bits(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "export", run, "--to", tmp_path / "model")[0] == 0
    assert answer(capsys, "translate", tmp_path / "model", files / "rgb", "--out", tmp_path / "out")[0] == 0
    written = sorted((tmp_path / "out").glob("*.tif"))
    assert len(written) == 4
    model = i2i.load(tmp_path / "model", device="cpu")
    for path, source in zip(written, sorted((files / "rgb").iterdir()), strict=True):
        made = tifffile.imread(path)
        assert made.shape == (SIDE, SIDE, 4) and made.dtype == np.uint16
        assert (made == model(source, fit_by="stretch")).all()
        assert len(np.unique(made)) > 256, "finer than 8 bits"


def test_the_errors_of_bands_are_those_of_the_files(run: Path, files: Path) -> None:
    model = i2i.load(run, device="cpu")
    made = np.stack([model(path, fit_by="stretch") for path in sorted((files / "rgb").iterdir())]).astype(float)
    true = np.stack([tifffile.imread(path) for path in sorted((files / "bands").iterdir())]).astype(float)
    measured = json.loads((run / "eval" / "band_errors.json").read_text())
    np.testing.assert_allclose(measured["translated"], np.abs(made - true).mean((0, 1, 2)), atol=0.01)
    constant = np.abs(true - np.median(true, axis=(0, 1, 2))).mean((0, 1, 2))
    np.testing.assert_allclose(measured["constant"], constant, rtol=1e-6)


def test_tiffs_become_pictures_and_their_values_reach_the_network(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(files, tmp_path / "run", "multispectral_rgb.yaml", "bands", "rgb")
    assert answer(capsys, "translate", run, files / "bands", "--out", tmp_path / "out")[0] == 0
    assert [Image.open(path).size for path in (tmp_path / "out").glob("*.png")] == [(SIDE, SIDE)] * 4
    model = i2i.load(run, device="cpu")
    sources = model.sources([files / "bands" / "1.tif"], "stretch")
    kept = model.main_use.source.format.decode(sources.x[0])
    assert (kept == tifffile.imread(files / "bands" / "1.tif")).all()
    for name, array, said in (
        ("three.tif", np.zeros((8, 8, 3), np.uint16), "its shape is (8, 8, 3), and it should be (height, width, 4)"),
        ("bright.tif", np.full((8, 8, 4), 6001, np.uint16), "256 numbers are not in the range 0 to 6000"),
    ):
        tifffile.imwrite(tmp_path / name, array, photometric="minisblack", planarconfig="contig")
        code, text = answer(capsys, "translate", run, tmp_path / name, "--out", tmp_path / "no")
        assert code == 3
        assert said in text


def test_onnx_makes_the_same_values(run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "export", run, "--to", tmp_path / "onnx", "--as", "onnx")[0] == 0
    model = i2i.load(run, device="cpu")
    sources = model.sources([files / "rgb" / f"{n}.png" for n in (0, 1)], "stretch")
    (style,) = model.styles("bands", seeds=[0])
    (made,) = onnxruntime.InferenceSession(tmp_path / "onnx" / "x_fake.onnx").run(None, {"x_real": sources.x.numpy()})
    np.testing.assert_allclose(made, sources.into(style).numpy(), atol=1e-4)


def test_the_recipe_for_satellite_images_takes_files_in_two_folders(files: Path) -> None:
    data = build_data(
        load("multispectral_sentinel2.yaml", [f"data.root={files}", f"data.validation.root={files}"], discover())
    )
    assert data.train.batch(1, [0, 1])["x"].shape == (2, 4, 256, 256)
    assert (data.facts["source_channels"], data.facts["target_channels"]) == (3, 4)


# The long life.


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "i2i_cli", "train", "--run-dir", str(folder), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bits_and_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = {**SMALL, "data.image_size": SIDE, "steps": 60, "hooks.checkpoint": {"every": 10, "keep": 9}}
    words = ["--recipe", "multispectral.yaml"]
    words += [word for key, value in sets.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    assert started(tmp_path / "whole", *words).wait(600) == 0
    killed = started(tmp_path / "killed", *words)
    while not [*(tmp_path / "killed").glob("checkpoints/step-00000010/manifest.json")]:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert started(tmp_path / "killed", "--resume").wait(600) == 0
    ours, theirs = (
        checkpoints.verify(tmp_path / name / "checkpoints" / "step-00000060").parts() for name in ("whole", "killed")
    )
    assert ours.keys() == theirs.keys()
    assert all(tensor.equal(theirs[part][name]) for part in ours for name, tensor in ours[part].items())
    assert Image.open(tmp_path / "killed" / "samples" / "step-00000060-samples.png").height > 2 * SIDE
    assert answer(capsys, "report", tmp_path / "killed", "--to", tmp_path / "report.html")[0] == 0
    assert "multispectral/unet" in (tmp_path / "report.html").read_text()
