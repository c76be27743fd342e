"""The life of a model: files of label maps, training, export, translation of a file, ONNX; and the long one."""

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
import torch
from PIL import Image

import i2i
from i2i_cli.main import main
from i2i_core.disk import checkpoints
from i2i_spade.scenes import PALETTE, Scenes

SIDE = 16
SMALL: dict[str, object] = {
    "networks.generator.width": 2,
    "networks.generator.levels": 1,
    "networks.generator.hidden": 4,
    "networks.discriminator.width": 4,
    "networks.discriminator.levels": 1,
    "networks.encoder.width": 4,
    "hooks.samples.sources": 2,
}


def command(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command, which has to succeed, and return what it printed."""
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    assert exit.value.code == 0, printed.err
    return printed.out


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes as files: indexed PNGs of classes, grey PNGs of 16 bits of instances, and JPEGs."""
    root, data, rng = tmp_path_factory.mktemp("scenes"), Scenes(image_size=(SIDE, SIDE)), np.random.default_rng(0)
    for name in ("labels", "photo", "instance"):
        (root / name).mkdir()
    for n in range(4):
        record = data.record(0, n, ["x", "instance"], rng)
        record["x"].save(root / "labels" / f"{n}.png")
        Image.fromarray(1000 * np.asarray(record["instance"]).astype(np.uint16)).save(root / "instance" / f"{n}.png")
        data.record(1, n, ["x"], rng)["x"].save(root / "photo" / f"{n}.jpg")
    return root


@pytest.fixture(scope="module")
def run(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "spade"
    data = {
        "use": "image_folders",
        "root": str(files),
        "domains": {
            "labels": {"format": {"use": "labels", "classes": 6, "palette": PALETTE}},
            "photo": {"files": "*.jpg"},
        },
        "fields": {"instance": {"format": {"use": "labels", "one_hot": False}}},
        "paired": True,
        "image_size": SIDE,
        "batch_size": 2,
        "targets": {"labels": "photo"},
    }
    i2i.train("spade.yaml", set={**SMALL, "steps": 2, "data": data}, run_dir=folder)
    return folder


def test_label_maps_become_a_model_that_translates_their_files(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "export", run, "--to", tmp_path / "model")
    edges = ("--input", f"instance={files / 'instance'}")
    for name, style in (("latent", ("--seed", 3)), ("reference", ("--reference", files / "photo" / "2.jpg"))):
        command(capsys, "translate", tmp_path / "model", files / "labels", *edges, *style, "--out", tmp_path / name)
        made = [np.asarray(Image.open(path)) for path in sorted((tmp_path / name).glob("*.png"))]
        assert [picture.shape for picture in made] == [(SIDE, SIDE, 3)] * 4
        assert (made[0] != made[1]).any()
    one = (files / "labels" / "1.png", *edges, "--cells", 2, "--out", tmp_path / "styles.png")
    command(capsys, "styles", tmp_path / "model", *one)
    assert Image.open(tmp_path / "styles.png").width >= 2 * SIDE
    model = i2i.load(tmp_path / "model", device="cpu")
    assert {name: use.style for name, use in model.uses.items()} == {"latent": "latent", "reference": "reference"}
    assert dict(model.main_use.inputs) == {"instance": "instance_real"}
    sources = model.sources([files / "labels" / "1.png"], "stretch", inputs={"instance": files / "instance" / "1.png"})
    kept = model.main_use.source.format.decode(sources.x[0])
    assert (np.asarray(kept) == np.asarray(Image.open(files / "labels" / "1.png"))).all()


def test_a_label_map_with_an_unknown_class_is_refused(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((SIDE, SIDE), 6, np.uint8)).save(tmp_path / "six.png")
    with pytest.raises(SystemExit) as exit:
        main(["translate", str(run), str(tmp_path / "six.png"), "--input", f"instance={files / 'instance' / '1.png'}",
              "--out", str(tmp_path / "out")])  # fmt: skip
    assert exit.value.code == 3
    assert "256 pixels have ids beyond the 6 classes 0 to 5, for example 6" in capsys.readouterr().err


@pytest.mark.slow
def test_onnx_makes_the_same_pictures(
    run: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "export", run, "--to", tmp_path / "onnx", "--as", "onnx")
    model = i2i.load(run, device="cpu")
    paths = [files / "labels" / f"{n}.png" for n in (0, 1)]
    instances = [files / "instance" / f"{n}.png" for n in (0, 1)]
    sources = model.sources(paths, "stretch", inputs={"instance": instances})
    (style,) = model.styles("photo", seeds=[5])
    about = json.loads((tmp_path / "onnx" / "model.json").read_text())
    ids = torch.stack([torch.from_numpy(np.asarray(Image.open(path)).astype(np.int64))[None] for path in instances])
    arrays = {"x_real": sources.x.numpy(), "instance_real": ids.numpy()}
    arrays |= {name: code.expand(2, -1).numpy() for name, code in style.codes.items()}
    for file in about["uses"]["latent"]["order"]:
        takes = about["files"][file]["takes"]
        if takes.keys() - arrays.keys():
            continue  # the latent's style: given as the code
        session = onnxruntime.InferenceSession(tmp_path / "onnx" / file)
        found = session.run(None, {name: arrays[name] for name in takes})
        arrays |= {o.name: array for o, array in zip(session.get_outputs(), found, strict=True)}
    np.testing.assert_allclose(arrays["x_fake"], sources.into(style).numpy(), atol=1e-4)


# The long life.


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "i2i_cli", "train", "--run-dir", str(folder), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bits_and_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = {**SMALL, "data.image_size": 16, "steps": 40, "hooks.checkpoint": {"every": 10, "keep": 9}}
    words = ["--recipe", "spade.yaml"]
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
        checkpoints.verify(tmp_path / name / "checkpoints" / "step-00000040").parts() for name in ("whole", "killed")
    )
    assert ours.keys() == theirs.keys()
    assert all(tensor.equal(theirs[part][name]) for part in ours for name, tensor in ours[part].items())
    grid = Image.open(tmp_path / "killed" / "samples" / "step-00000040-samples.png")
    assert grid.height > 5 * 16
    measured = json.loads((tmp_path / "killed" / "eval" / "true_pairs.json").read_text())
    assert 0 < measured["labels -> photo"]["error"]["translated"] < 1
    command(capsys, "report", tmp_path / "killed", "--to", tmp_path / "report.html")
    assert "spade/generator" in (tmp_path / "report.html").read_text()
