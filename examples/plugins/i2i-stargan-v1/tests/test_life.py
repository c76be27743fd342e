"""The short life of the plugin: a folder and a table in CelebA's form, training, a model, edited pictures, ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import i2i
from i2i_cli.main import main
from i2i_core.errors import RecipeError
from i2i_stargan_v1.draw import write_faces
from i2i_stargan_v1.drawing import ATTRIBUTES
from i2i_stargan_v1.faces import Faces

CHANGES = {
    "steps": 2,
    "networks.generator": {"use": "stargan_v1/generator", "attributes": 4, "width": 4, "blocks": 1},
    "networks.discriminator": {"use": "stargan_v1/discriminator", "attributes": 4, "width": 4, "levels": 3},
    "phases.generator.every": 1,
    "hooks.progress": None,
    "hooks.edits": None,
    "hooks.samples": {"use": "sample_grid", "sources": 2, "rows": 2},
}


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stargan_v1")
    write_faces(folder, Faces(size=6))
    given = {
        "table": "list_attr.csv",
        "key": "image_id",
        "columns": list(ATTRIBUTES),
        "format": {"use": "numbers", "range": [-1, 1]},
    }
    data = {
        "use": "image_folders",
        "root": str(folder),
        "domains": {"photos": "photos"},
        "fields": {"given": given},
        "image_size": 32,
        "batch_size": 2,
        "targets": {"photos": "photos"},
    }
    i2i.train("stargan_v1.yaml", set={**CHANGES, "data": data}, run_dir=folder / "run")
    return folder / "run"


def test_a_fork_needs_attributes_in_the_order_of_its_source(run: Path, tmp_path: Path) -> None:
    """The table and the recipe agree with each other in any order, and networks know attributes by their place."""
    assert command("export", run, "--to", tmp_path / "model") == 0
    swapped = [ATTRIBUTES[1], ATTRIBUTES[0], *ATTRIBUTES[2:]]
    data = {
        "use": "image_folders",
        "root": str(run.parent),
        "domains": {"photos": "photos"},
        "fields": {
            "given": {
                "table": "list_attr.csv",
                "key": "image_id",
                "columns": swapped,
                "format": {"use": "numbers", "range": [-1, 1]},
            }
        },
        "image_size": 32,
        "batch_size": 2,
        "targets": {"photos": "photos"},
    }
    listed = tmp_path / "list.csv"
    rows = (run.parent / "list_attr.csv").read_text().splitlines()
    listed.write_text("\n".join([rows[0].replace("image_id", "path"), *(f"photos/{row}" for row in rows[1:])]))
    fields = {"given": {"columns": swapped, "format": {"use": "numbers", "range": [-1, 1]}}}
    of_list = {"use": "image_list", "file": str(listed), "root": str(run.parent), "fields": fields, "image_size": 32,
               "batch_size": 2, "targets": {"pictures": "pictures"}}  # fmt: skip
    for source in (run, tmp_path / "model"):
        for keys in (data, of_list):
            with pytest.raises(RecipeError) as error:
                i2i.train(start_from=source, set={"data": keys}, run_dir=tmp_path / "fork")
            said = f"given_real has the numbers {', '.join(swapped)}, and in {source} they were {', '.join(ATTRIBUTES)}"
            assert said in str(error.value).replace("given_ref", "given_real")
    fields["given"]["columns"] = list(ATTRIBUTES)
    i2i.train(start_from=tmp_path / "model", set={"data": of_list, "steps": 1}, run_dir=tmp_path / "fork")


def given(**attributes: int) -> str:
    return "given=" + ",".join(f"{name}={attributes.get(name, -1)}" for name in ATTRIBUTES)


def test_several_attributes_are_changed_at_once(run: Path, tmp_path: Path) -> None:
    photo = run.parent / "photos" / "000001.png"
    assert command("export", run, "--to", tmp_path / "model") == 0
    made = []
    for n, attributes in enumerate(({}, {"Smiling": 1}, {"Smiling": 1, "Eyeglasses": 1})):
        out = tmp_path / f"{n}.png"
        assert command("translate", tmp_path / "model", photo, "--input", given(**attributes), "--out", out) == 0
        made.append(np.asarray(Image.open(out)).astype(int))
    assert made[0].shape == (32, 32, 3)
    assert np.abs(made[0] - made[1]).max() > 2 and np.abs(made[1] - made[2]).max() > 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("given=Smiling=1", "the number Blond_Hair is missing"),
        ("given=Smilng=1", "there is no number Smilng (did you mean Smiling?)"),
        (given(Smiling=3), "Smiling is 3, which is not in the range -1 to 1"),
        ("give=Smiling=1", "names no input of the use edit; its inputs are given=Blond_Hair=NUMBER,Eyeglasses=NUMBER,"),
    ],
)
def test_attributes_that_cannot_be_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str, said: str
) -> None:
    photo = run.parent / "photos" / "000001.png"
    assert command("translate", run, photo, "--input", written, "--out", tmp_path / "x.png") in (2, 3)
    assert said in capsys.readouterr().err


def test_the_exported_program_edits_as_the_model_does(run: Path, tmp_path: Path) -> None:
    assert command("export", run, "--to", tmp_path / "onnx", "--as", "onnx") == 0
    (file,) = (tmp_path / "onnx").glob("*.onnx")
    x, attributes = torch.rand(3, 3, 32, 32) * 2 - 1, torch.tensor([[0.0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    (made,) = onnxruntime.InferenceSession(file).run(None, {"x_real": x.numpy(), "given_ref": attributes.numpy()})
    with torch.no_grad():
        expected = i2i.load(run).networks["generator"](x, attributes)
    torch.testing.assert_close(torch.from_numpy(made), expected, rtol=0, atol=1e-4)
