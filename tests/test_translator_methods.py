"""Translations by methods without styles, with references alone, with lazy networks: what each can do and refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import i2i
from i2i.style_map import style_map
from i2i.translator import Translator
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import CheckpointError, UsageError
from i2i_core.registry.plugins import discover

from .models import SIZE, pixels, tensor, untrained


@pytest.mark.parametrize(
    ("recipe", "networks"), [("cyclegan.yaml", {"G"}), ("cut.yaml", {"generator"}), ("fastcut.yaml", {"generator"})]
)
def test_a_method_without_styles_translates_one_way(recipe, networks, drawings):
    model = untrained(recipe, "data.image_size=32")
    assert sorted(model.domains) == ["flat", "high_contrast"]
    assert (model.targets, [*model.uses], model.networks.keys()) == (("high_contrast",), ["plain"], networks)
    picture = drawings.picture(0, 3)
    x_fake = model.sources(tensor(picture)).into(model.styles(None, seeds=[0])[0])
    assert pixels(model(picture)).shape == (32, 32, 3)
    assert (pixels(model(picture)) == pixels(Picture().decode(x_fake[0]))).all()
    with pytest.raises(UsageError) as error:
        model(picture, reference=picture)
    assert str(error.value) == "the model cannot take styles from references; leave the reference out"
    with pytest.raises(UsageError) as error:
        model(picture, psi=0.5)
    assert str(error.value) == "psi needs the mean of styles from latents, and the model has none; leave psi out"
    with pytest.raises(UsageError):
        style_map(model, "high_contrast", 3, 1.0)


def test_a_model_that_has_only_references_has_no_psi(tiny_run, drawings):
    model = i2i.load(tiny_run, device="cpu")
    document = replace(
        model.model.document,
        data={**model.model.document.data, "uses": {"reference": model.model.document.data["uses"]["reference"]}},
    )
    alone = Translator(replace(model.model, document=document), discover(), model.device)
    picture = drawings.picture(0, 3)
    assert alone(picture, domain="flat", reference=picture).size == (SIZE, SIZE)
    for keys, said in (
        (
            {"reference": picture, "psi": 0.5},
            "psi needs the mean of styles from latents, and the model has none; leave psi out",
        ),
        ({"seed": 1}, "the model cannot make styles from latents; name a reference"),
    ):
        with pytest.raises(UsageError) as error:
            alone(picture, domain="flat", **keys)
        assert str(error.value) == said


def test_a_domain_chooses_the_use_and_each_direction_has_a_mean_style(drawings):
    small = (f"networks.{kind}_{d}.width=4" for kind in ("Ec", "Es", "G", "D") for d in "ab")
    model = untrained("munit.yaml", "data.image_size=32", *small)
    picture = drawings.picture(0, 3)
    for domain, way, code in (("flat", "a_to_b", "s_b"), ("high_contrast", "b_to_a", "s_a")):
        (style,), (mean,) = (model.styles(domain, seeds=[3], psi=psi) for psi in (1, 0))
        (like,) = model.styles(domain, references=[picture])
        assert (style.use, mean.use, like.use) == (way, way, f"{way}_like")
        assert style.codes.keys() == mean.codes.keys() == like.codes.keys() == {code}
        assert torch.equal(mean.codes[code], model.mean_style(model.domains.index(domain)).codes[code])
        assert mean.codes[code].abs().max() < 0.2 < style.codes[code].abs().max()
        named = model(picture, domain=domain, seed=3, use=way)
        assert (pixels(model(picture, domain=domain, seed=3)) == pixels(named)).all()
        found = style_map(model, domain, 3, 1.0)
        assert found.styles[0][0].use == way
        assert torch.allclose(found.styles[1][1].codes[code], mean.codes[code], atol=1e-6)


def test_styles_of_one_number_lie_on_a_line():
    model = untrained(
        "stargan_v2.yaml",
        "data.image_size=32",
        "networks.generator.channel_base=128",
        "networks.style_encoder.channel_base=128",
        "networks.discriminator.channel_base=128",
        "networks.generator.max_channels=16",
        *(f"networks.{name}.style_dim=1" for name in ("generator", "mapping_network", "style_encoder")),
    )
    found = style_map(model, model.targets[0], 3, 1.0)
    assert found.explained == (1.0, 0.0)
    assert torch.equal(found.styles[0][0].codes["s_trg"], found.styles[2][0].codes["s_trg"])


def test_a_method_that_draws_without_a_style_code_draws_by_the_seed(drawings):
    model = untrained("pix2pix.yaml", "data.image_size=32", "networks.generator.levels=4")
    assert [*model.uses] == ["latent"]
    picture = drawings.picture(0, 3)
    one, same, other = (pixels(model(picture, seed=seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


LAZY = '''
"""A network that learns its sizes from what it is given."""
from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.network("recolour", "lazy_net:recolour")


def recolour():
    """Two convolutions."""
    from torch import nn

    return nn.Sequential(nn.LazyConv2d(4, 1), nn.Conv2d(4, 3, 1))
'''


def test_lazy_layers_take_their_sizes_from_the_weights(tmp_path, drawings):
    (tmp_path / "lazy_net.py").write_text(LAZY)
    model = untrained(
        "cyclegan.yaml",
        "data.image_size=32",
        "networks.G={use: lazy_net/recolour}",
        *(f"networks.{name}.width=4" for name in ("F", "D_X", "D_Y")),
        files=(tmp_path / "lazy_net.py",),
    )
    x_real = tensor(drawings.picture(0, 3)).float() / 127.5 - 1
    with torch.no_grad():
        expected = model.networks["G"](x_real)
    torch.testing.assert_close(model.sources(x_real).into(model.styles(None, seeds=[0])[0]), expected)
    networks = {"G": {name: t for name, t in model.model.networks["G"].items() if name != "0.weight"}}
    with pytest.raises(CheckpointError) as error:
        Translator(replace(model.model, networks=networks), discover(files=(tmp_path / "lazy_net.py",)), model.device)
    assert str(error.value) == (
        "the weights of the model tiny do not fit its networks. only in the networks: G: 0.weight [0]"
    )
