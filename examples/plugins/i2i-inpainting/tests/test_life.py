"""The short life of the plugin: photographs in a folder, training, a model, a translation with a hole, ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import i2i
from i2i_cli.main import main

CHANGES = {
    "steps": 3,
    "data.image_size": 32,
    "data.batch_size": 2,
    "data.size": [0.25, 0.5],
    "data.targets": {"photos": "photos"},
    "networks.generator": {"use": "inpainting/completion", "width": 4, "dilations": [2]},
    "networks.discriminator": {"use": "inpainting/discriminator", "width": 4, "features": 8},
    "phases.completion.until": 1,
    "phases.discriminator.after": 1,
    "phases.joint.after": 2,
    "hooks.progress": None,
    "hooks.samples": {"use": "sample_grid", "sources": 2, "rows": 1},
    "hooks.holes": None,
}


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inpainting")
    rng = np.random.default_rng(0)
    (folder / "pictures" / "photos").mkdir(parents=True)
    for n in range(4):
        noise = Image.fromarray(rng.integers(256, size=(4, 5, 3), dtype=np.uint8))
        noise.resize((50, 40), Image.Resampling.BICUBIC).save(folder / "pictures" / "photos" / f"{n}.png")
    photos = {"photos": {"use": "image_folders", "root": str(folder / "pictures"), "domains": ["photos"]}}
    data = {"data.photos": photos["photos"], "data.validation": photos}
    i2i.train("inpainting.yaml", set={**CHANGES, **data}, run_dir=folder / "run")
    return folder / "run"


def test_the_error_in_the_hole_is_measured(run: Path) -> None:
    found = (run / "eval" / "hole_error.json").read_text()
    assert all(f'"{name}": 0.' in found for name in ("filled", "mean colour", "grey"))


def test_a_translation_is_the_picture_outside_the_hole_and_made_inside_it(run: Path, tmp_path: Path) -> None:
    picture = Image.open(run.parent / "pictures" / "photos" / "0.png").resize((32, 32))
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, 8:24] = 255
    picture.save(tmp_path / "a.png"), Image.fromarray(mask).save(tmp_path / "hole.png")
    assert command("export", run, "--to", tmp_path / "model") == 0
    given = ("--input", f"hole={tmp_path / 'hole.png'}", "--out", tmp_path / "filled.png")
    assert command("translate", tmp_path / "model", tmp_path / "a.png", *given) == 0
    made, before = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("filled.png", "a.png"))
    assert np.abs(made - before)[mask == 0].max() <= 1
    assert np.abs(made - before)[mask > 0].mean() > 5
    # What is below the hole does not matter.
    before[mask > 0] = 255
    Image.fromarray(before.astype(np.uint8)).save(tmp_path / "b.png")
    model = i2i.load(tmp_path / "model")
    again = model(tmp_path / "b.png", inputs={"hole": tmp_path / "hole.png"})
    assert np.abs(np.asarray(again).astype(int) - made).max() <= 1


def test_a_grid_takes_holes_from_a_folder_by_the_names_of_the_pictures(run: Path, tmp_path: Path) -> None:
    photos = sorted((run.parent / "pictures" / "photos").glob("*.png"))[:2]
    for number, photo in enumerate(photos):
        mask = np.zeros((40, 50), np.uint8)
        mask[10 : 20 + 10 * number, 10:20] = 255
        Image.fromarray(mask).save(tmp_path / photo.name)
    assert command("grid", run, *photos, "--input", f"hole={tmp_path}", "--out", tmp_path / "grid.png") == 0
    assert Image.open(tmp_path / "grid.png").width > 2 * 32


def test_a_translation_without_its_hole_is_refused_in_a_sentence(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = run.parent / "pictures" / "photos" / "0.png"
    assert command("translate", run, photo, "--out", tmp_path / "x.png") == 2
    assert "the use fill needs --input hole=FILE" in capsys.readouterr().err


def test_the_exported_program_fills_holes_as_the_model_does(run: Path, tmp_path: Path) -> None:
    assert command("export", run, "--to", tmp_path / "onnx", "--as", "onnx") == 0
    (file,) = (tmp_path / "onnx").glob("*.onnx")
    x, hole = torch.rand(3, 3, 32, 32) * 2 - 1, torch.zeros(3, 1, 32, 32)
    hole[:, :, 3:20, 10:18] = 1
    session = onnxruntime.InferenceSession(file)
    (made,) = session.run(None, {"x_real": x.numpy(), "hole_real": hole.numpy()})
    model = i2i.load(run)
    sources = model.sources(x, inputs={"hole": hole})
    expected = sources.into(model.styles(None, seeds=[0])[0])
    torch.testing.assert_close(torch.from_numpy(made), expected, rtol=0, atol=1e-4)
