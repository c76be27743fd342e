"""`i2i align` and `i2i masks`, as a user calls them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from i2i_cli.main import main
from i2i_fan_mask.align import MEAN
from i2i_fan_mask.components import Heatmaps
from i2i_fan_mask.photographs import tensor_of

KNOWN = ".avif, .bmp, .gif, .heic, .heif, .jfif, .jpe, .jpeg, .jpg, .png, .tif, .tiff, .webp"
EMPTY = f"there are no pictures in empty; known are {KNOWN}"


@pytest.fixture
def i2i(capsys, monkeypatch, tmp_path):
    """i2i("align", ...): the command in an empty folder; gives its exit code, stdout and the lines of stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(list(map(str, arguments)))
        printed = capsys.readouterr()
        return stopped.value.code, printed.out.strip(), printed.err.splitlines()

    return call


@pytest.fixture
def photos(astronaut, tmp_path):
    """Two photographs of one face in two folders."""
    for name in ("train/one.png", "val/two.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True)
        wide = Image.new("RGB", (600, 400), "grey")
        wide.paste(astronaut, (300, 100))
        wide.save(path)
    return tmp_path / "photos"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_align_keeps_the_folders_of_a_data_set(i2i, photos, tmp_path):
    assert i2i("align", "photos", "aligned", "--size", "64") == (0, "aligned", ["2 of 2 pictures aligned"])
    assert files(tmp_path / "aligned") == ["train/one.png", "val/two.png"]
    assert Image.open(tmp_path / "aligned/train/one.png").size == (64, 64)


def test_align_takes_one_picture_to_one_picture_and_its_masks_can_be_shown(i2i, photos, tmp_path, face68):
    assert i2i("align", "photos/train/one.png", "me.png") == (0, "me.png", ["1 of 1 picture aligned"])
    assert face68.faces(tensor_of(Image.open(tmp_path / "me.png"), face68)).all()
    assert i2i("align", "photos/train/one.png", "me.jpg")[0] == 0
    assert Image.open(tmp_path / "me.jpg").format == "JPEG"
    assert i2i("masks", "me.png", "masks.png") == (0, "masks.png", ["1 of 1 picture shown"])
    assert Image.open(tmp_path / "masks.png").size == (4 * 264 + 8, 292 + 8)


def test_globs_name_pictures_and_equal_names_do_not_collide(i2i, photos, tmp_path):
    (photos / "val/two.jpg").rename(photos / "train/one.jpg")
    assert i2i("align", "photos/*/*", "aligned")[0] == 0
    assert files(tmp_path / "aligned") == ["train/one.jpg.png", "train/one.png.png"]
    shutil.copy(photos / "train/one.png", photos / "train/one.jpg.png")
    assert i2i("align", "photos", "more")[0] == 0
    assert files(tmp_path / "more") == ["train/one.jpg.png", "train/one.jpg.png.png", "train/one.png.png"]


def test_what_cannot_be_aligned_is_named_and_the_others_go_on(i2i, photos, tmp_path):
    (photos / "text.png").write_text("hello")
    Image.new("RGB", (300, 300), "grey").save(photos / "train/wall.png")
    code, out, err = i2i("align", "photos", "aligned")
    assert (code, out) == (3, "")
    assert err == [
        "photos/text.png cannot be used as a picture: it is text, not a picture",
        "no face was found in photos/train/wall.png",
        "2 of 4 pictures aligned; the others are listed above",
    ]
    assert files(tmp_path / "aligned") == ["train/one.png", "val/two.png"]


def test_nothing_is_overwritten_unless_told(i2i, photos, tmp_path):
    (tmp_path / "me.png").write_text("mine")
    arguments = ("align", "photos/train/one.png", "me.png")
    said = "me.png would be overwritten; choose another place, or allow it with --overwrite"
    assert i2i(*arguments) == (2, "", [said])
    assert (tmp_path / "me.png").read_text() == "mine"
    assert i2i(*arguments, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("align", "nowhere", "out"), 3, "there is no file or folder nowhere"),
        (("masks", "empty", "out"), 3, EMPTY),
        (("align", "photos", "out.png"), 2, "out.png is one file, but photos has 2 pictures; give a folder as OUT"),
        (("align", "photos", "out", "--mean", "empty"), 3, EMPTY),
        (
            ("align", "photos", "out", "--mean", "walls"),
            3,
            "no aligned face was found in the pictures of walls; give a folder of aligned faces",
        ),
        (
            ("align", "photos", "out", "--mean", "walls/wall.png"),
            3,
            "walls/wall.png is not a file of mean landmarks, which is an .npz with an array `mean`",
        ),
        (
            ("align", "photos", "out", "--weights", "walls/wall.png"),
            4,
            "walls/wall.png is not a checkpoint: neither .safetensors nor written by torch.save",
        ),
        (
            ("masks", "photos", "out", "--weights", "wing.ckpt"),
            4,
            "cannot read FAN's weights wing.ckpt: No such file or "
            "directory; the README of i2i-gan-fan-mask names the file to download",
        ),
    ],
)
def test_a_mistake_is_one_sentence(i2i, photos, tmp_path, arguments, code, said):
    for folder in ("empty", "walls"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "walls/wall.png")
    assert i2i(*arguments) == (code, "", [said])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(i2i, photos, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, out, err = i2i("align", "photos", "out/faces")
    assert (code, out) == (74, "")
    assert err == ["out/faces/train/one.png cannot be written: Not a directory"]


def test_the_mean_may_be_a_file_or_measured_from_aligned_faces(i2i, photos, tmp_path):
    i2i("align", "photos", "aligned")
    np.savez(tmp_path / "celeba_lm_mean.npz", mean=np.load(MEAN)["mean"] + (0, 20))
    assert i2i("align", "photos/train/one.png", "low.png", "--mean", "celeba_lm_mean.npz")[0] == 0
    assert i2i("align", "photos/train/one.png", "same.png", "--mean", "aligned")[0] == 0
    aligned, low, same = (
        np.asarray(Image.open(tmp_path / name), float) for name in ("aligned/train/one.png", "low.png", "same.png")
    )
    assert np.abs(low[20:] - aligned[:-20])[40:-40, 40:-40].mean() < 3
    assert np.abs(same - aligned)[40:-40, 40:-40].mean() < np.abs(low - aligned)[40:-40, 40:-40].mean() / 3


def test_masks_beside_fans_where_its_weights_are_there(i2i, photos, tmp_path, wing, face68):
    i2i("align", "photos/train/one.png", "me.png")
    assert i2i("masks", "me.png", "both.png", "--weights", wing) == (0, "both.png", ["1 of 1 picture shown"])
    picture, sheet = Image.open(tmp_path / "me.png"), np.asarray(Image.open(tmp_path / "both.png"), float)
    assert sheet.shape == (2 * 292 + 8, 4 * 264 + 8, 3)
    pixels = tensor_of(picture, face68)
    for row, source in enumerate((face68, Heatmaps(weights=wing))):
        for column, mask in enumerate(source(pixels), start=2):
            cell = sheet[row * 292 + 28 :, column * 264 + 8 :][:256, :256]
            expected = torch.tensor(np.asarray(picture)) * (0.25 + 0.75 * mask[0, 0, :, :, None])
            assert np.abs(cell - expected.numpy()).max() <= 0.51


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_weights_of_any_precision_will_do(i2i, photos, tmp_path, wing, dtype):
    precise = {name: tensor.to(dtype) for name, tensor in load_file(wing).items() if tensor.is_floating_point()}
    save_file({**load_file(wing), **precise}, tmp_path / "other.safetensors")
    i2i("align", "photos/train/one.png", "me.png")
    assert i2i("masks", "me.png", "masks.png", "--weights", "other.safetensors")[0] == 0
    assert i2i("align", "photos/train/one.png", "other.png", "--weights", "other.safetensors")[0] == 0


def test_masks_of_a_small_face_say_what_to_do(i2i, photos):
    code, out, err = i2i("masks", "photos/train", "masks")
    assert (code, out) == (3, "")
    assert err == [
        "no face was found in photos/train/one.png; crop faces from photographs with i2i align first",
        "0 of 1 picture shown; the others are listed above",
    ]


@pytest.mark.parametrize("subcommand", ["align", "masks"])
def test_help_has_an_example(i2i, subcommand):
    code, out, _ = i2i(subcommand, "--help")
    assert code == 0
    assert f"\n  i2i {subcommand} " in out


def test_the_light_module_and_its_verbs_import_nothing_heavy():
    code = (
        "import sys, i2i_fan_mask.commands; "
        "print([m for m in ('torch', 'numpy', 'PIL', 'rich', 'pydantic') if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout.strip() == "[]"
