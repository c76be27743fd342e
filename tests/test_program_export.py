"""Exported files make what the model makes, for any number of real pictures, where there is no i2i and no torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from i2i.program_export import SUFFIXES, ProgramFormat, export, write
from i2i.program_parts import parts
from i2i.translator import Translator
from i2i_core.data.formats.picture import Picture
from i2i_core.models.folder import write as write_model
from i2i_emoji.drawings import Drawings
from i2i_fan_mask.fan import FAN
from tests.exported import CYCLEGAN, EMOJI, PLAIN, SIZE, SMALL, emoji, run_file, translated
from tests.models import untrained

PAGE = Path(__file__).resolve().parents[1] / "docs" / "export.md"


@pytest.fixture(scope="module")
def stargan() -> Translator:
    """The quick start's, small: with masks and the skip."""
    return untrained("stargan_v2.yaml", *SMALL)


@pytest.fixture(scope="module")
def exported(stargan: Translator, tmp_path_factory: pytest.TempPathFactory) -> Callable[[ProgramFormat], Path]:
    folder = tmp_path_factory.mktemp("exported")

    def made(kind: ProgramFormat) -> Path:
        if not (folder / kind).exists():
            write(stargan, folder / kind, kind)
        return folder / kind

    return made


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.parametrize("count", [1, 3])
def test_exported_files_translate_emoji_as_the_model_does(
    stargan: Translator, exported: Callable[[ProgramFormat], Path], kind: ProgramFormat, count: int
) -> None:
    x_real, references = emoji(count), emoji(5)[-count:]
    y_trg = torch.arange(count) % 2
    z_trg = torch.randn(count, 16)
    arrays = {"x_real": x_real, "x_ref": references, "y_trg": y_trg, "z_trg": z_trg}
    codes = {
        "latent": stargan.networks["mapping_network"](z_trg, y_trg),
        "reference": stargan.networks["style_encoder"](references, y_trg),
    }
    masks = (torch.ones(count, 1, SIZE, SIZE),) * 2
    for guide, s_trg in codes.items():
        made = translated(exported(kind), guide, arrays)
        expected = stargan.networks["generator"](x_real, s_trg, masks)
        assert (made["s_trg"] - s_trg).abs().max() < 1e-4
        assert (made["x_fake"] - expected).abs().max() < 1e-4
        assert expected.std() > 0.1
    others = translated(exported(kind), "latent", {**arrays, "z_trg": -z_trg})
    assert (others["x_fake"] - made["x_fake"]).abs().max() > 1e-2


def test_parts_are_named_tensors_and_share_no_weights_that_they_do_not_read(
    stargan: Translator, exported: Callable[[ProgramFormat], Path]
) -> None:
    about = json.loads((exported("onnx") / "model.json").read_text())
    assert {name: use["order"] for name, use in about["uses"].items()} == {
        "latent": ["s_latent.onnx", "content.onnx", "masks.onnx", "x_fake.onnx"],
        "reference": ["s_reference.onnx", "content.onnx", "masks.onnx", "x_fake.onnx"],
    }
    assert about["domains"] == ["flat", "high_contrast"]
    layout = {"format": {"use": "picture"}, "size": [SIZE, SIZE], "fit": "stretch"}
    assert about["layouts"] == {"x_real": layout, "x_ref": layout}
    for use in about["uses"].values():
        assert (use["source"], use["inputs"], use["gives"], use["layout"]) == ("x_real", {}, "x_fake", layout)
    holds = {name: said.get("holds") for file in about["files"].values() for name, said in file["takes"].items()}
    pictures, domains = "picture from -1 to 1", "indices of `domains`, from 0"
    assert {name: said for name, said in holds.items() if said} == {
        "z_trg": "random numbers from N(0, 1)",
        "y_trg": domains,
        "x_real": pictures,
        "x_ref": pictures,
    }
    content = torch.export.load(exported("torch-export") / "content.pt2")
    assert len(content.state_dict) > 5
    assert not [name for name in content.state_dict if "decode" in name or "to_rgb" in name]


def test_files_say_nothing_of_the_machine_that_made_them(exported: Callable[[ProgramFormat], Path]) -> None:
    here = str(Path(__file__).resolve().parents[1]).encode()
    for kind in SUFFIXES:
        for path in exported(kind).iterdir():
            assert here not in path.read_bytes(), path.name


def test_the_page_translates_where_there_is_no_torch_and_no_i2i(
    stargan: Translator, exported: Callable[[ProgramFormat], Path], tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "emoji-onnx").symlink_to(exported("onnx"))
    (tmp_path / "photos" / "val" / "cat").mkdir(parents=True)
    drawing = Drawings(split="val").picture(0, 7)
    drawing.save(tmp_path / "photos" / "val" / "cat" / "0.png")
    without = "import sys\nsys.modules.update(dict.fromkeys(['torch', 'i2i', 'i2i_core']))\n"
    subprocess.run([sys.executable, "-c", without + code], cwd=tmp_path, check=True)
    z_trg = torch.from_numpy(np.random.default_rng(3).standard_normal((1, 16), np.float32))
    s_trg = stargan.networks["mapping_network"](z_trg, torch.tensor([1]))
    expected = stargan.networks["generator"](
        Picture().fit(drawing, (SIZE, SIZE))[None] / 127.5 - 1, s_trg, (torch.ones(1, 1, SIZE, SIZE),) * 2
    )
    made = np.asarray(Image.open(tmp_path / "line_art.png")).transpose(2, 0, 1)
    np.testing.assert_allclose(made, ((expected[0] + 1) * 127.5).clamp(0, 255), atol=0.6)


def test_without_masks_there_is_no_file_of_them(tmp_path: Path) -> None:
    model = untrained("stargan_v2.yaml", *SMALL, *PLAIN)
    found = parts(model)
    assert [part.file for part in found["latent"]] == ["s_latent", "content", "x_fake"]
    _, content, x_fake = found["latent"]
    (tmp_path / "x_fake.onnx").write_bytes(export(x_fake, "onnx"))
    arrays = {**content({"x_real": emoji(3)}), "s_trg": torch.randn(3, 64)}
    assert arrays.keys() == x_fake.example.keys()
    made = run_file(tmp_path / "x_fake.onnx", arrays)
    assert (made["x_fake"] - model.networks["generator"](emoji(3), arrays["s_trg"])).abs().max() < 1e-4


PIX2PIX = ("pix2pix.yaml", EMOJI, "networks.generator={use: classics/unet, levels: 4, width: 4, norm: batch}")


@pytest.mark.parametrize("sets", [CYCLEGAN, PIX2PIX], ids=lambda sets: sets[0])
def test_a_translation_without_a_style_is_one_file(sets: tuple[str, ...], tmp_path: Path) -> None:
    model = untrained(*sets)
    write(model, tmp_path / "one", "onnx")
    assert [path.name for path in (tmp_path / "one").glob("*.onnx")] == ["x_fake.onnx"]
    (use,) = model.uses
    for count in (1, 3):
        arrays = {"x_real": emoji(count)}
        if sets == PIX2PIX:
            arrays["z"] = torch.randn(count, model.networks["generator"].noise_size)
        expected = next(iter(model.networks.values()))(*arrays.values())
        assert (translated(tmp_path / "one", use, arrays)["x_fake"] - expected).abs().max() < 1e-4
        assert expected.std() > 0.01


def faces(count: int) -> Tensor:
    """Smooth pictures, (N, 3, 64, 64) in [-1, 1]."""
    rough = torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(rough, size=(64, 64), mode="bicubic").clamp(-1, 1)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """The quick start's with masks by a FAN whose heatmaps are random, and reach far above the floor of 0.1."""
    torch.manual_seed(0)
    fan = FAN().eval().requires_grad_(False)
    fan.l0.weight *= 1000
    maps = fan(faces(3))
    fan.l0.bias[:98] -= torch.lerp(maps.amin((0, 2, 3)), maps.amax((0, 2, 3)), 0.85)
    path = tmp_path_factory.mktemp("fan") / "fan.safetensors"
    save_file(fan.state_dict(), path)
    return untrained(
        "stargan_v2.yaml",
        *SMALL,
        "data.image_size=64",
        "networks.generator.skip.sizes=[32, 16]",
        f"tensors.masks={{use: fan_mask/heatmaps, of: x_real, weights: {path}}}",
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", SUFFIXES)
def test_masks_by_fan_are_the_same_elsewhere(masked: Translator, kind: ProgramFormat, tmp_path: Path) -> None:
    (part,) = [part for part in parts(masked)["latent"] if part.file == "masks"]
    file = tmp_path / f"masks{SUFFIXES[kind]}"
    file.write_bytes(export(part, kind))
    for count in (1, 3):
        expected, made = part({"x_real": faces(count)}), run_file(file, {"x_real": faces(count)})
        assert list(made) == ["masks.0", "masks.1"] and 0.1 < expected["masks.0"].mean() < 0.9
        assert all((made[name] - expected[name]).abs().max() < 1e-4 for name in expected)


def test_a_model_is_exported_as_a_run_is(i2i: Callable[..., Any], tmp_path: Path) -> None:
    model = untrained(*CYCLEGAN)
    write_model(model.model, tmp_path / "model", {})
    answer = i2i("export", tmp_path / "model", "--to", tmp_path / "files", "--as", "torch-export")
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'files'}\n"), answer.err
    made = translated(tmp_path / "files", "plain", {"x_real": emoji(2)})
    torch.testing.assert_close(made["x_fake"], model.networks["G"](emoji(2)))
    answer = i2i("export", tmp_path / "model", "--to", tmp_path / "more", "--as", "onnx", "--step", 3)
    assert (answer.code, answer.err) == (
        2,
        f"{tmp_path / 'model'} is a model, whose step and tensor are fixed; leave --step and --show out, "
        "or name a run\n",
    )
