"""The life of a model with both directions: folders, training, its four uses, files of ONNX; and the long life."""

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

SIDE = 32
SMALL: dict[str, object] = {
    **{f"networks.{kind}_{d}.width": 4 for kind in ("Ec", "Es", "G", "D") for d in "ab"},
    **{f"networks.{kind}_{d}.blocks": 1 for kind in ("Ec", "G") for d in "ab"},
    "data.image_size": SIDE,
    "hooks.a_to_b": None,
    "hooks.b_to_a": None,
    "hooks.samples.sources": 2,
    "hooks.samples_back.sources": 2,
}
WAYS = {
    "a_to_b": ("edges", "shoes", "s_b"),
    "a_to_b_like": ("edges", "shoes", "s_b"),
    "b_to_a": ("shoes", "edges", "s_a"),
    "b_to_a_like": ("shoes", "edges", "s_a"),
}
"""Source domain, target domain and style code of each use."""


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert stopped.value.code == 0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of each domain: grey lines on white, and colours."""
    root, rng = tmp_path_factory.mktemp("edges2shoes"), np.random.default_rng(0)
    for name in ("edges", "shoes"):
        (root / name).mkdir()
        for n in range(3):
            pixels = rng.integers(256, size=(SIDE, SIDE, 3 if name == "shoes" else 1), dtype=np.uint8)
            Image.fromarray(pixels.repeat(3 // pixels.shape[2], 2)).save(root / name / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def model(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("munit")
    data = {
        "use": "image_folders",
        "root": str(files),
        "domains": ["edges", "shoes"],
        "image_size": SIDE,
        "batch_size": 2,
        "targets": {"edges": "shoes"},
    }
    i2i.train("munit.yaml", set={**SMALL, "steps": 2, "data": data}, run_dir=folder / "run")
    command("export", folder / "run", "--to", folder / "model")
    return folder / "model"


def guide(use: str, files: Path) -> list[object]:
    """Options that choose a style: a reference of the target domain, or a seed."""
    return ["--reference", files / WAYS[use][1] / "1.png"] if use.endswith("like") else ["--seed", 3]


@pytest.mark.parametrize("use", WAYS)
def test_each_direction_takes_random_styles_and_those_of_references(
    model: Path, files: Path, tmp_path: Path, use: str
) -> None:
    source, target, code = WAYS[use]
    picture, reference = files / source / "0.png", files / target / "1.png"
    loaded = i2i.load(model, device="cpu")
    served = loaded.use(use)
    assert ((target,), [code]) == (served.targets, [*served.codes])
    keys = {"reference": reference} if use.endswith("like") else {"seed": 3}
    made = np.asarray(loaded(picture, domain=target, **keys))
    assert made.shape == (SIDE, SIDE, 3)
    for options in (["--use", use], ["--domain", target]):
        out = tmp_path / f"{options[1]}.png"
        command("translate", model, picture, *options, *guide(use, files), "--out", out)
        np.testing.assert_array_equal(np.asarray(Image.open(out)), made)
    command(
        "grid", model, picture, files / source / "2.png", "--use", use, *guide(use, files), "--out", out, "--overwrite"
    )
    assert Image.open(out).height > 2 * SIDE
    other = {"reference": files / target / "2.png"} if use.endswith("like") else {"seed": 4}
    assert (np.asarray(loaded(picture, domain=target, **other)) != made).any(), "the style matters"


def test_styles_come_from_the_encoder_of_the_target_domain(model: Path, files: Path) -> None:
    loaded = i2i.load(model, device="cpu")
    for use in ("a_to_b_like", "b_to_a_like"):
        _, target, code = WAYS[use]
        (style,) = loaded.styles(target, references=[files / target / "1.png"])
        x = loaded.reference_sources(files / target / "1.png", use).x
        with torch.no_grad():
            expected = loaded.networks[f"Es_{code[-1]}"](x)
        torch.testing.assert_close(style.codes[code], expected)


@pytest.mark.slow
def test_files_of_onnx_translate_in_both_directions(model: Path, files: Path, tmp_path: Path) -> None:
    command("export", model, "--to", tmp_path / "onnx", "--as", "onnx")
    about = json.loads((tmp_path / "onnx" / "model.json").read_text())
    loaded = i2i.load(model, device="cpu")
    assert {name: use["targets"] for name, use in about["uses"].items()} == {n: [way[1]] for n, way in WAYS.items()}
    for use, (source, target, code) in WAYS.items():
        served, reference = loaded.use(use), files / target / "1.png"
        sources = loaded.sources([files / source / "0.png"], use=use)
        like = use.endswith("like")
        (style,) = loaded.styles(target, references=[reference]) if like else loaded.styles(target, seeds=[3])
        values = {served.use.source: sources.x, f"{code}_prior": style.codes[code]}
        if like:
            (field,) = served.references
            values[field] = loaded.reference_sources(reference, use).x
        given = {name: value.numpy() for name, value in values.items()}
        for file in about["uses"][use]["order"]:
            session = onnxruntime.InferenceSession(tmp_path / "onnx" / file)
            taken = {of.name: given[of.name] for of in session.get_inputs()}
            given |= dict(zip([of.name for of in session.get_outputs()], session.run(None, taken), strict=True))
        np.testing.assert_allclose(given[about["uses"][use]["gives"]], sources.into(style).numpy(), atol=1e-4)


# The long life.


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    line = [sys.executable, "-m", "i2i_cli", "train", "--run-dir", str(folder), *words]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bits_and_is_reported(tmp_path: Path) -> None:
    sets = {**SMALL, "steps": 40, "hooks.checkpoint": {"every": 10, "keep": 9}}
    words = ["--recipe", "munit.yaml"]
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
    command("report", tmp_path / "killed", "--to", tmp_path / "report.html")
    assert "munit/decoder" in (tmp_path / "report.html").read_text()
