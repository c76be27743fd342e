"""ADA's augmentations are the paper's, each as likely as it says, and none of them at p = 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i_regularize.ada import ADA, Amounts, draw, geometry, recolour, sample

HEIGHT, WIDTH = 7, 10


def pictures(n: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, channels, HEIGHT, WIDTH, dtype=torch.float64, generator=generator) * 2 - 1


def amounts(n: int, p: float = 1.0) -> Amounts:
    torch.manual_seed(0)
    return draw(n, torch.tensor(p, dtype=torch.float64))


def only(name: str, n: int) -> Amounts:
    """All amounts are zero but one."""
    drawn = amounts(n)
    return Amounts(**{key: value if key == name else torch.zeros_like(value) for key, value in drawn._asdict().items()})


# By hand: what happens to a picture, first things first, as matrices of homogeneous coordinates; then their inverse.


def scaling(x, y):
    return np.array([[x, 0, 0], [0, y, 0], [0, 0, 1.0]])


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def translation(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def forward(a: dict[str, np.ndarray]):
    """From a place in the picture to one in the augmented picture, for one sample's amounts."""
    g = np.eye(3)
    g = scaling(-1 if a["flip"] else 1, 1) @ g
    g = rotation(-np.pi / 2 * a["quarter"]) @ g
    g = translation(round(a["shift"][0] * WIDTH), round(a["shift"][1] * HEIGHT)) @ g
    g = scaling(2 ** a["scale"], 2 ** a["scale"]) @ g
    g = rotation(-a["turn"]) @ g
    g = scaling(2 ** a["stretch"], 1 / 2 ** a["stretch"]) @ g
    g = rotation(-a["turn_after"]) @ g
    return translation(a["move"][0] * WIDTH, a["move"][1] * HEIGHT) @ g


def pixel(picture, row, column):
    """A pixel; outside, that of the picture mirrored at the middle of its border pixels."""
    while not 0 <= row < HEIGHT:
        row = -row if row < 0 else 2 * (HEIGHT - 1) - row
    while not 0 <= column < WIDTH:
        column = -column if column < 0 else 2 * (WIDTH - 1) - column
    return picture[:, row, column]


def sampled(picture, origin):
    out = np.zeros_like(picture)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            x, y, _ = origin @ [j - (WIDTH - 1) / 2, i - (HEIGHT - 1) / 2, 1]
            x, y = x + (WIDTH - 1) / 2, y + (HEIGHT - 1) / 2
            row, column = math.floor(y), math.floor(x)
            for k in (0, 1):
                for m in (0, 1):
                    weight = (1 - abs(y - row - k)) * (1 - abs(x - column - m))
                    out[:, i, j] += weight * pixel(picture, row + k, column + m)
    return out


def recoloured(picture, a):
    """Homogeneous colours (r, g, b, 1), as in the paper."""
    v = np.array([1, 1, 1, 0]) / np.sqrt(3)
    axis, identity = np.outer(v, v), np.eye(4)
    cross = np.zeros((4, 4))
    cross[:3, :3] = np.stack([np.cross(v[:3], basis) for basis in np.eye(3)], axis=1)
    c = np.eye(4)
    c[:3, 3] += a["brightness"]
    c = np.diag([2 ** a["contrast"]] * 3 + [1]) @ c
    c = (identity - 2 * axis * a["luma"]) @ c
    turn = np.cos(a["hue"]) * identity + np.sin(a["hue"]) * cross + (1 - np.cos(a["hue"])) * axis
    turn[3, 3] = 1
    c = turn @ c
    saturate = axis + (identity - axis) * 2 ** a["saturation"]
    saturate[3, 3] = 1
    c = saturate @ c
    out = np.empty_like(picture)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            out[:, i, j] = (c @ [*picture[:, i, j], 1])[:3]
    return out


def one_by_one(drawn: Amounts):
    """The amounts of each sample, by name."""
    for n in range(drawn.flip.shape[0]):
        yield {name: value[..., n].numpy() for name, value in drawn._asdict().items()}


GEOMETRY, COLOUR = Amounts._fields[:8], Amounts._fields[8:]


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_change_of_geometry_is_the_one_by_hand(name: str) -> None:
    x, drawn = pictures(4), only(name, 4)
    origin = geometry(drawn, HEIGHT, WIDTH)
    inverses = np.stack([np.linalg.inv(forward(a)) for a in one_by_one(drawn)])
    np.testing.assert_allclose(origin.numpy(), inverses, rtol=0, atol=1e-9)
    expected = np.stack([sampled(picture, by) for picture, by in zip(x.numpy(), inverses, strict=True)])
    np.testing.assert_allclose(sample(x, origin).numpy(), expected, rtol=0, atol=1e-9)
    assert not np.allclose(expected, x.numpy())


@pytest.mark.parametrize("name", COLOUR)
def test_a_change_of_colour_is_the_one_by_hand(name: str) -> None:
    x, drawn = pictures(4), only(name, 4)
    expected = np.stack([recoloured(picture, a) for picture, a in zip(x.numpy(), one_by_one(drawn), strict=True)])
    np.testing.assert_allclose(recolour(x, drawn).numpy(), expected, rtol=0, atol=1e-9)
    assert not np.allclose(expected, x.numpy())


def test_all_of_them_together_are_those_by_hand() -> None:
    x, drawn = pictures(8), amounts(8)
    expected = np.stack(
        [
            recoloured(sampled(picture, np.linalg.inv(forward(a))), a)
            for picture, a in zip(x.numpy(), one_by_one(drawn), strict=True)
        ]
    )
    np.testing.assert_allclose(ADA(nn.Identity()).augment(x, drawn).numpy(), expected, rtol=0, atol=1e-9)


def test_a_rotation_keeps_lightness_and_the_flip_of_lightness_keeps_colours() -> None:
    x = pictures(4)
    assert recolour(x, only("hue", 4)).mean(1).allclose(x.mean(1))
    flip = only("luma", 4)._replace(luma=torch.ones(4, dtype=torch.float64))
    flipped = recolour(x, flip)
    assert flipped.mean(1).allclose(-x.mean(1))
    assert (flipped - flipped.mean(1, keepdim=True)).allclose(x - x.mean(1, keepdim=True))


def test_pixels_are_moved_and_not_blended_by_blitting() -> None:
    square = pictures(4)[..., :HEIGHT].float()
    none = Amounts(*(torch.zeros_like(value).float() for value in amounts(4)))
    flipped = sample(square, geometry(none._replace(flip=torch.ones(4)), HEIGHT, HEIGHT))
    assert flipped.equal(square.flip(3))
    turned = sample(square, geometry(none._replace(quarter=torch.tensor([0.0, 1, 2, 3])), HEIGHT, HEIGHT))
    assert all(t.equal(s.rot90(k, (1, 2))) for k, (t, s) in enumerate(zip(turned, square, strict=True)))
    shifted = sample(square, geometry(none._replace(shift=torch.full((2, 4), 0.125)), HEIGHT, HEIGHT))  # 0.9 px: one
    assert shifted[:, :, 1:, 1:].equal(square[:, :, :-1, :-1])


def test_nothing_happens_at_p_0_to_the_bit() -> None:
    wrapper = ADA(nn.Identity())
    assert float(wrapper.p) == 0
    for x in (pictures(8), pictures(8).float(), pictures(8).bfloat16(), pictures(8, channels=6)):
        assert wrapper(x).equal(x)


def test_at_p_1_every_picture_changes() -> None:
    x, wrapper = pictures(64), ADA(nn.Identity())
    wrapper.p.fill_(1)
    assert bool(((wrapper(x) - x).abs().amax((1, 2, 3)) > 0.01).all())


def test_stacked_pictures_are_changed_like_those_alone() -> None:
    x, drawn, wrapper = pictures(4, channels=6), amounts(4), ADA(nn.Identity())
    both = wrapper.augment(x, drawn)
    assert both.allclose(torch.cat([wrapper.augment(x[:, :3], drawn), wrapper.augment(x[:, 3:], drawn)], dim=1))


# How often, and how much. n = 40,000: a share is known to ± 0.0025 (one standard deviation), a spread to 0.4 %.

N = 40_000
EVER = {"flip": 1 / 2, "quarter": 3 / 4, "luma": 1 / 2}
"""The share of draws that change something, where a draw may say: leave it."""


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_augmentation_is_as_likely_as_p_says(p: float) -> None:
    drawn = amounts(N, p)
    happened = {name: (value if value.dim() == 1 else value[0]) != 0 for name, value in drawn._asdict().items()}
    turned, turned_after = happened.pop("turn"), happened.pop("turn_after")
    assert float((turned | turned_after).double().mean()) == pytest.approx(p, abs=0.01), "one rotation or both"
    assert float(turned.double().mean()) == pytest.approx(1 - math.sqrt(1 - p), abs=0.01)
    for name, which in happened.items():
        assert float(which.double().mean()) == pytest.approx(p * EVER.get(name, 1), abs=0.01), name
    assert float((happened["scale"] & happened["hue"]).double().mean()) == pytest.approx(p * p, abs=0.01)
    for both in (drawn.shift, drawn.move):
        assert (both[0] != 0).equal(both[1] != 0), "both axes or none"


def test_strengths_are_the_papers() -> None:
    drawn = amounts(N)
    spreads = {"scale": 0.2, "stretch": 0.2, "move": 0.125, "brightness": 0.2, "contrast": 0.5, "saturation": 1.0}
    for name, spread in spreads.items():
        value = getattr(drawn, name)
        assert float(value.std()) == pytest.approx(spread, rel=0.03), name
        assert float(value.abs().max()) > 3 * spread, f"{name} is normal"
    for name, reach in {"shift": 0.125, "turn": math.pi, "turn_after": math.pi, "hue": math.pi}.items():
        value = getattr(drawn, name)
        assert float(value.std()) == pytest.approx(reach / math.sqrt(3), rel=0.03), name
        assert reach * 0.99 < float(value.abs().max()) <= reach, f"{name} is uniform"
    for name, count in {"flip": 2, "quarter": 4, "luma": 2}.items():
        shares = torch.bincount(getattr(drawn, name).long(), minlength=count) / N
        assert shares.allclose(torch.full((count,), 1 / count), atol=0.02), name
