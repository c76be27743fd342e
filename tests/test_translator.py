"""i2i.load: pictures and styles in, pictures out; the same as what a run computes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.style_map import style_map
from i2i.translator import Translator
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import DataError, UsageError
from i2i_core.plan.draws import Draws

from .models import SIZE, pixels, tensor


@pytest.fixture(scope="module")
def model(tiny_run) -> Translator:
    return i2i.load(tiny_run, device="cpu")


def test_three_lines_translate_a_picture(tiny_run, drawings):
    picture, other = drawings.picture(0, 3), drawings.picture(1, 50)
    model = i2i.load(tiny_run)
    by_seed = model(picture, domain="high_contrast", seed=3)
    by_reference = model(picture, domain="high_contrast", reference=other)
    assert by_seed.size == by_reference.size == (SIZE, SIZE)
    assert by_seed.mode == "RGB"
    assert abs(pixels(by_seed) - pixels(by_reference)).max() > 0


def test_a_style_is_a_function_of_its_seed_or_reference(model, drawings):
    picture = drawings.picture(0, 3)
    one = model(picture, domain="flat", seed=1)
    assert (pixels(one) == pixels(model(picture, domain="flat", seed=1))).all()
    assert (pixels(one) != pixels(model(picture, domain="flat", seed=2))).any()
    assert (pixels(model(picture, domain="flat")) == pixels(model(picture, domain="flat", seed=0))).all()


def test_paths_and_several_pictures_are_taken_too(model, drawings, tmp_path):
    pictures = [drawings.picture(0, n) for n in range(3)]
    pictures[0].save(tmp_path / "one.png")
    single = [model(p, domain="flat", seed=1) for p in pictures]
    several = model([tmp_path / "one.png", *pictures[1:]], domain="flat", seed=1)
    for one, other in zip(single, several, strict=True):
        assert abs(pixels(one) - pixels(other)).max() <= 1  # a batch rounds otherwise
    assert isinstance(model(str(tmp_path / "one.png"), domain="flat"), Image.Image)


def test_a_translation_is_what_the_run_computes_with_its_averages(tiny_run, drawings, tmp_path):
    from tests.runs import train

    run = train(tmp_path / "run", "steps=2", "hooks.latent=null", "hooks.reference=null")
    model = i2i.load(tmp_path / "run", device="cpu")
    x_real, x_ref = tensor(drawings.picture(0, 1), drawings.picture(0, 2)), tensor(drawings.picture(1, 3))
    y = torch.tensor([1, 1])
    batch = {"x_real": x_real / 127.5 - 1, "y_trg": y, "x_ref": (x_ref / 127.5 - 1).expand(2, -1, -1, -1)}
    draws = Draws(5, 0, 0, 2, 2, torch.device("cpu"), torch.float32, shared=True)
    latent = run.tensors(["x_fake"], batch, phase="g_latent", draws=draws)["x_fake"]
    reference = run.tensors(["x_fake"], batch, phase="g_reference")["x_fake"]
    sources = model.sources(x_real)
    styles = model.styles("high_contrast", seeds=[5], references=[Picture().decode(x_ref[0] / 127.5 - 1)])
    assert torch.allclose(sources.into(styles[0]), latent, atol=1e-4)
    assert torch.allclose(sources.into(styles[1]), reference, atol=1e-4)


def test_pictures_are_encoded_once_whatever_the_number_of_styles(model, drawings):
    calls = {"encode": 0, "decode": 0}
    generator = model.networks["generator"]
    handles = [
        getattr(generator, half).register_forward_hook(lambda *_, half=half: calls.__setitem__(half, calls[half] + 1))
        for half in calls
    ]
    sources = model.sources(tensor(drawings.picture(0, 1)))
    made = [sources.into(style) for style in model.styles("flat", seeds=range(4))]
    for handle in handles:
        handle.remove()
    assert calls == {"encode": 1, "decode": 4}
    assert not torch.equal(made[0], made[1])
    again = model.sources(tensor(drawings.picture(0, 1))).into(model.styles("flat", seeds=[2])[0])
    assert torch.equal(made[2], again)


def test_psi_leads_from_the_mean_style_to_the_style(model):
    (style,) = model.styles("flat", seeds=[4])
    mean = model.mean_style(0)
    assert torch.equal(model.styles("flat", seeds=[4], psi=0)[0].codes["s_trg"], mean.codes["s_trg"])
    half = model.styles("flat", seeds=[4], psi=0.5)[0].codes["s_trg"]
    assert torch.allclose(half, (style.codes["s_trg"] + mean.codes["s_trg"]) / 2)
    many = torch.cat([s.codes["s_trg"] for s in model.styles("flat", seeds=range(300))])
    assert (many.mean(0) - mean.codes["s_trg"]).norm() < 0.2 * many.std(0).norm()


def test_psi_keeps_the_seed(model):
    assert [style.seed for style in model.styles("flat", seeds=[5, 6], psi=0.5)] == [5, 6]


def test_a_seed_of_numpy_is_a_seed(model):
    (one,), (same,) = model.styles("flat", seeds=[5]), model.styles("flat", seeds=list(np.arange(5, 6)))
    assert torch.equal(one.codes["s_trg"], same.codes["s_trg"])


def test_styles_are_mixed_on_a_straight_line(model):
    one, other = model.styles("flat", seeds=[1])[0], model.styles("high_contrast", seeds=[1])[0]
    mixed = one.towards(other, 0.25)
    expected = 0.75 * one.codes["s_trg"] + 0.25 * other.codes["s_trg"]
    assert torch.allclose(mixed.codes["s_trg"], expected)
    assert (mixed.domain, one.towards(other, 0.75).domain) == (0, 1)


def test_the_map_of_styles_spans_the_plane_in_which_they_differ_most(model):
    found = style_map(model, "flat", 3, 1.0)
    codes = model.sample_codes(0, 1024)["s_trg"].double()
    centred = codes - codes.mean(0)
    variances = torch.linalg.eigvalsh(centred.T @ centred / 1023).flip(0)
    assert found.explained == pytest.approx(tuple((variances[:2] / variances.sum()).tolist()), rel=1e-6)
    middle = found.styles[1][1].codes["s_trg"]
    assert torch.allclose(middle[0], codes.mean(0).float(), atol=1e-6)
    across = (found.styles[1][2].codes["s_trg"] - middle).norm()
    assert across == pytest.approx(float(variances[0].sqrt()), rel=1e-4)


def test_a_translation_has_the_aspect_of_its_picture_if_asked_to(model):
    tall = Image.new("RGB", (30, 90), "red")
    assert model(tall, domain="flat").size == (32, 32), "training stretches pictures"
    assert model(tall, domain="flat", fit_by="keep").size == (11, 32)
    assert model(tall, domain="flat", fit_by="crop").size == (32, 32)


def test_pil_images_of_every_mode_become_rgb_as_files_do(model, drawings, tmp_path):
    drawing = drawings.picture(0, 3).resize((80, 60))
    clear = drawing.convert("RGBA")
    clear.putalpha(drawing.convert("L").point(lambda grey: 255 * (grey < 250)))
    clear.save(tmp_path / "clear.png")
    clear.quantize(64).save(tmp_path / "palette.png")
    Image.fromarray(np.asarray(drawing.convert("L")).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing.save(tmp_path / "turned.jpg", exif=exif)
    for path in sorted(tmp_path.iterdir()):
        by_path = model(path, domain="flat")
        with Image.open(path) as picture:
            assert (pixels(model(picture, domain="flat")) == pixels(by_path)).all(), path.name
            (style,) = model.styles("flat", references=[picture])
        (like,) = model.styles("flat", references=[path])
        assert all(torch.equal(style.codes[name], like.codes[name]) for name in style.codes), path.name


def test_any_iterable_of_pictures_is_taken_and_none_of_them_too(model, drawings):
    assert len(model((drawings.picture(0, n) for n in range(2)), domain="flat")) == 2
    assert model([], domain="flat") == []


def test_mistakes_of_a_caller_are_sentences(model, tmp_path):
    picture = Image.new("RGB", (40, 40))
    for said, given, keys in (
        (
            "a picture must be a path or a PIL image, not ndarray; convert an array with PIL.Image.fromarray",
            np.zeros((40, 40, 3), np.uint8),
            {},
        ),
        ("a picture must be a path or a PIL image, not NoneType; convert an array with PIL.Image.fromarray", None, {}),
        ("a picture must be a path or a PIL image, not bytes; convert an array with PIL.Image.fromarray", b"abc", {}),
        ("a seed must be an integer, not '3'", picture, {"seed": "3"}),
        ("a seed must be an integer, not 1.5", picture, {"seed": 1.5}),
        (
            "a style comes from either a seed or a reference; leave one of them out",
            picture,
            {"seed": 0, "reference": picture},
        ),
        (
            "psi is nan; it should be a number from 0 (the mean style) to 1 (the style as trained)",
            picture,
            {"psi": float("nan")},
        ),
        ("fit_by cannot be cropp (did you mean crop?)", picture, {"fit_by": "cropp"}),
        ("the model cannot translate into a domain 1 (known: flat, high_contrast)", picture, {"domain": 1}),
    ):
        with pytest.raises(UsageError) as error:
            model(given, **{"domain": "flat", **keys})
        assert str(error.value) == said
    with pytest.raises(DataError) as data_error:
        model(tmp_path / "nothing.png", domain="flat")
    assert str(data_error.value) == f"{tmp_path / 'nothing.png'} cannot be used as a picture: no such file or directory"
    with pytest.raises(UsageError) as error:
        model(picture, domain="flatt")
    assert str(error.value) == "the model cannot translate into a domain flatt (did you mean flat?)"
    with pytest.raises(UsageError) as error:
        model(picture)
    assert str(error.value) == "name a domain: flat, high_contrast"
    (tmp_path / "letter.png").write_text("dear")
    with pytest.raises(DataError) as error:
        model(tmp_path / "letter.png", domain="flat")
    letter = tmp_path / "letter.png"
    assert str(error.value) == f"{letter} cannot be used as a picture: it is text, not a picture"
    with pytest.raises(UsageError) as error:
        i2i.load(tmp_path / "nothing")
    assert str(error.value) == (
        f"there is no model {tmp_path / 'nothing'}; name a folder that i2i export wrote, the "
        f"folder of a run, or OWNER/MODEL on a hub"
    )


def test_a_picture_that_pillow_has_not_decoded_yet_may_be_cut(model, tmp_path):
    path = tmp_path / "noise.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with Image.open(path) as picture, pytest.raises(DataError) as error:
        model(picture, domain="flat")
    assert str(error.value) == "the picture cannot be used: cut short"
    with pytest.raises(DataError) as error:
        model(Image.new("RGB", (0, 4)), domain="flat")
    assert str(error.value) == "the picture cannot be used: it has no pixels"


def test_importing_i2i_is_light():
    import subprocess
    import sys

    code = "import i2i, sys; assert 'torch' not in sys.modules; i2i.load; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent).returncode == 0
