"""The life of a model: pictures in folders, training, export, translation of files, ONNX; and the long one."""

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
from PIL import Image

import i2i
from i2i_cli.main import main
from i2i_core.data.sets import build_data
from i2i_core.disk import checkpoints
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover

SMALL: dict[str, object] = {
    "networks.generator": {"use": "esrgan/rrdb", "width": 4, "growth": 2, "blocks": 1},
    "networks.discriminator": {"use": "esrgan/vgg_discriminator", "width": 4, "hidden": 4},
    "phases.pretraining.until": 1,
    "phases.discriminator.after": 1,
    "phases.generator.after": 1,
    "data.batch_size": 2,
    "hooks.samples": {"use": "sample_grid", "sources": 2, "rows": 1},
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
    """Four photographs of 96 x 64 pixels, and their reductions, as DIV2K names them."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("small", "large"):
        (root / name).mkdir()
    for n in range(4):
        noise = Image.fromarray(rng.integers(256, size=(6, 9, 3), dtype=np.uint8))
        large = noise.resize((96, 64), Image.Resampling.BICUBIC)
        large.save(root / "large" / f"{n:04}.png")
        large.resize((24, 16), Image.Resampling.BICUBIC).save(root / "small" / f"{n:04}x4.png")
    return root


@pytest.fixture(scope="module")
def run(files: Path) -> Path:
    """Two steps, one of each stage, on patches of 16 and 64 pixels."""
    data = {
        "use": "image_folders",
        "root": str(files),
        "domains": {"small": {"files": "*x4", "size": 16}, "large": {"size": 64}},
        "paired": True,
        "image_size": 64,
        "batch_size": 2,
        "targets": {"small": "large"},
        "fit": "patch",
    }
    changes = {key: value for key, value in SMALL.items() if key != "data.batch_size"}
    i2i.train("esrgan.yaml", set={**changes, "steps": 2, "data": data}, run_dir=files / "run")
    return files / "run"


def test_a_picture_of_16_pixels_becomes_one_of_64(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.open(files / "small" / "0001x4.png").crop((0, 0, 16, 16)).save(tmp_path / "a.png")
    assert answer(capsys, "export", run, "--to", tmp_path / "model")[0] == 0
    assert answer(capsys, "translate", tmp_path / "model", tmp_path / "a.png", "--out", tmp_path / "out")[0] == 0
    (made,) = (tmp_path / "out").glob("*.png")
    with Image.open(made) as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGB")
        enlarged = np.asarray(picture)
    assert (enlarged == np.asarray(i2i.load(tmp_path / "model", device="cpu")(tmp_path / "a.png"))).all()
    # Only the size of the source is given back on request.
    words = ("translate", tmp_path / "model", tmp_path / "a.png", "--original-size", "--out", tmp_path / "as.png")
    assert answer(capsys, *words)[0] == 0
    assert Image.open(tmp_path / "as.png").size == (16, 16)


def test_the_signal_to_noise_ratio_is_measured(run: Path, files: Path) -> None:
    measured = json.loads((run / "eval" / "psnr.json").read_text())
    assert measured.keys() == {"enlarged", "bicubic", "nearest"}
    found = []
    for n in range(4):
        large, small = Image.open(files / "large" / f"{n:04}.png"), Image.open(files / "small" / f"{n:04}x4.png")
        left, top = (small.width - 15) // 2, (small.height - 15) // 2  # a patch in the centre
        small = small.crop((left, top, left + 16, top + 16))
        large = large.crop((4 * left, 4 * top, 4 * left + 64, 4 * top + 64))
        arrays = [np.asarray(p, float) for p in (large, small.resize((64, 64), Image.Resampling.BICUBIC))]
        found.append(10 * np.log10(255**2 / np.square(arrays[0] - arrays[1]).mean()))
    assert measured["bicubic"] == pytest.approx(np.mean(found), abs=0.2)  # Pillow rounds to 8 bits
    assert measured["enlarged"] < measured["nearest"] < measured["bicubic"], "two steps teach nothing"


def test_patches_of_both_sizes_show_the_same_place(files: Path, run: Path) -> None:
    """The mean of 4 x 4 pixels of the large patch is nearly the pixel of the small one."""
    from i2i_core.training.compute import make_accelerator
    from i2i_core.training.run import Run

    checked = load(str(run / "recipe.yaml"), ["weights=null", "hooks.progress=null"], discover())
    batch = next(iter(Run(checked, make_accelerator("fp32"), None).batches()))
    means = batch["x_pair"].unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))
    assert (means - batch["x_real"])[:, :, 1:-1, 1:-1].abs().mean() < 0.02
    assert (means - batch["x_real"].roll(1, 3))[:, :, 1:-1, 1:-1].abs().mean() > 0.05


def test_onnx_makes_the_same_pictures(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "export", run, "--to", tmp_path / "onnx", "--as", "onnx")[0] == 0
    model = i2i.load(run, device="cpu")
    sources = model.sources([files / "small" / f"{n:04}x4.png" for n in (0, 1)], "crop")
    (style,) = model.styles("large", seeds=[0])
    (made,) = onnxruntime.InferenceSession(tmp_path / "onnx" / "x_fake.onnx").run(None, {"x_real": sources.x.numpy()})
    assert made.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(made, sources.into(style).numpy(), atol=1e-4)


def test_the_papers_recipe_takes_div2ks_files(files: Path) -> None:
    sets = [f"data.root={files}", f"data.validation.root={files}"]
    data = build_data(load("esrgan_div2k.yaml", sets, discover()))
    assert (data.facts["source_size"], data.facts["target_size"]) == ((32, 32), (128, 128))


# The long life.


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "i2i_cli", "train", "--run-dir", str(folder), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bits_and_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = {**SMALL, "data.image_size": 32, "steps": 60, "hooks.checkpoint": {"every": 10, "keep": 9}}
    words = ["--recipe", "esrgan.yaml"]
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
    assert Image.open(tmp_path / "killed" / "samples" / "step-00000060-samples.png").height > 64
    assert answer(capsys, "report", tmp_path / "killed", "--to", tmp_path / "report.html")[0] == 0
    assert "esrgan/rrdb" in (tmp_path / "report.html").read_text()
