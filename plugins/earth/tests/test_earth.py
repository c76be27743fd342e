"""The promises of earth/tiles: splits share no pixel, pairs are true, unpaired domains share no place."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import sys
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from i2i_earth import maps
from i2i_earth.tiles import MIN_LAND, SIZES, Tiles

NAMES = ("satellite", "elevation", "relief")


def covered(tiles: Tiles, domain: int) -> np.ndarray[Any, Any]:
    """Mask of the map's pixels that are in a tile of `domain`."""
    seen = np.zeros((maps.BAND[3] - maps.BAND[1], maps.BAND[2] - maps.BAND[0]), dtype=bool)
    for row, column in tiles.corners[domain]:
        seen[row : row + tiles.size, column : column + tiles.size] = True
    return seen


def sea(picture: Any) -> np.ndarray[Any, Any]:
    """Blue pixels, in any of the three maps."""
    red, _, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)
    return np.asarray(blue - red > 15)


def test_counts_at_64_px() -> None:
    train, val = Tiles(image_size=(64, 64)), Tiles(split="val", image_size=(64, 64))
    paired = Tiles(image_size=(64, 64), paired=True)
    assert train.domains == val.domains == NAMES
    assert (train.paired, val.paired, paired.paired) == (False, True, True)
    counts = [train.count(domain) for domain in range(3)]
    assert all(2200 <= count <= 2700 for count in counts), counts
    assert 150 <= val.count(0) <= 165 and len({val.count(domain) for domain in range(3)}) == 1
    assert len({paired.count(domain) for domain in range(3)}) == 1 and paired.count(0) > sum(counts)


@pytest.mark.parametrize("size", SIZES)
def test_no_pixel_is_in_both_splits(size: int) -> None:
    held_out = covered(Tiles(split="val", image_size=(size, size)), 0)
    assert held_out.any()
    for paired in (False, True):
        train = Tiles(image_size=(size, size), paired=paired)
        assert not any((covered(train, domain) & held_out).any() for domain in range(3))


@pytest.mark.parametrize("size", SIZES)
def test_unpaired_domains_see_different_places(size: int) -> None:
    train = Tiles(image_size=(size, size))
    for a, b in combinations([covered(train, domain) for domain in range(3)], 2):
        assert not (a & b).any()


@pytest.mark.parametrize("kind", [{"split": "val"}, {"paired": True}])
def test_paired_tiles_are_the_same_place_in_every_domain(kind: dict[str, Any]) -> None:
    tiles = Tiles(image_size=(64, 64), **kind)
    for domain in (1, 2):
        np.testing.assert_array_equal(tiles.corners[0], tiles.corners[domain])


def test_coasts_of_a_pair_agree_to_the_pixel() -> None:
    tiles = Tiles(split="val", image_size=(64, 64))
    coasts = [i for i in range(tiles.count(1)) if 0.2 < sea(tiles.picture(1, i)).mean() < 0.7]
    assert len(coasts) >= 15
    satellite, elevation = (np.stack([sea(tiles.picture(domain, i)) for i in coasts]) for domain in (0, 1))
    true = (satellite == elevation).mean()
    shuffled = (satellite == np.roll(elevation, 1, axis=0)).mean()
    assert true > 0.9 and shuffled < 0.75, (true, shuffled)
    shifts = {
        (y, x): (satellite == np.roll(elevation, (y, x), (1, 2)))[:, 4:-4, 4:-4].mean()
        for y in range(-3, 4)
        for x in range(-3, 4)
    }
    assert max(shifts, key=lambda shift: shifts[shift]) == (0, 0)


def test_the_slopes_of_a_relief_pair_agree() -> None:
    tiles = Tiles(split="val", image_size=(64, 64))

    def slopes(domain: int, index: int) -> np.ndarray[Any, Any]:
        shade = np.asarray(tiles.picture(domain, index)).astype(float).mean(-1)
        edges = np.hypot(*np.gradient(shade))
        return np.asarray((edges - edges.mean()) / (edges.std() + 1e-9))

    elevation, relief = (np.stack([slopes(domain, i) for i in range(tiles.count(1))]) for domain in (1, 2))
    true = (elevation * relief).mean()
    shuffled = (elevation * np.roll(relief, tiles.count(1) // 2, axis=0)).mean()
    assert true > 0.3 and shuffled < 0.1, (true, shuffled)


@pytest.mark.parametrize("kind", [{}, {"split": "val"}])
def test_every_tile_has_land_and_is_away_from_the_poles(kind: dict[str, Any]) -> None:
    tiles, land = Tiles(image_size=(64, 64), **kind), maps.land()
    for domain in range(3):
        for row, column in tiles.corners[domain]:
            assert land[row : row + 64, column : column + 64].mean() >= MIN_LAND
            north, south = (90 - (maps.BAND[1] + edge) / 15 for edge in (row, row + 64))
            assert -72 < south < north < 72


def test_pictures_are_square_rgb_and_the_same_every_time() -> None:
    first, again = Tiles(image_size=(64, 64)), Tiles(image_size=(64, 64))
    for domain in range(3):
        np.testing.assert_array_equal(first.corners[domain], again.corners[domain])
        picture = first.picture(domain, 7)
        assert (picture.mode, picture.size) == ("RGB", (64, 64))
        maps.band.cache_clear()
        assert picture.tobytes() == again.picture(domain, 7).tobytes()


def test_the_pickle_has_no_maps() -> None:
    tiles = Tiles(image_size=(64, 64))
    data = pickle.dumps(tiles)
    assert len(data) < 300_000
    assert pickle.loads(data).picture(2, 5).tobytes() == tiles.picture(2, 5).tobytes()


def test_domains_are_chosen_and_ordered_by_the_recipe() -> None:
    two = Tiles(split="val", image_size=(64, 64), domains=["relief", "satellite"])
    three = Tiles(split="val", image_size=(64, 64))
    assert two.domains == ("relief", "satellite")
    assert two.picture(0, 3).tobytes() == three.picture(2, 3).tobytes()


@pytest.mark.parametrize("size", [(256, 256), (64, 128), (48, 48)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"32, 64, 128 px, not {size[0]} x {size[1]}"):
        Tiles(image_size=size)


@pytest.mark.parametrize("domains", [[], ["satelite"], ["relief", "relief"]])
def test_wrong_domains_are_refused(domains: list[str]) -> None:
    with pytest.raises(ValueError, match="satellite, elevation, relief"):
        Tiles(image_size=(64, 64), domains=domains)


def test_without_the_maps_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(maps, "distribution", missing)
    maps.band.cache_clear()
    with pytest.raises(ValueError, match="pip install i2i-gan-earth"):
        maps.band("relief")


def test_listing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, i2i_earth; from i2i_core.registry.entries import Registrar, Registry; registry = Registry();"
        "i2i_earth.i2i_components(Registrar(registry, 'i2i-gan-earth', 'earth/'));"
        "print(registry.names('dataset'), {'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stdout.strip() == "['earth/tiles'] set()", run.stdout + run.stderr


def test_other_tiles_have_another_fingerprint() -> None:
    def fingerprints() -> list[str]:
        return [
            Tiles(image_size=(64, 64)).fingerprint(),
            Tiles(image_size=(64, 64), split="val").fingerprint(),
            Tiles(image_size=(64, 64), paired=True).fingerprint(),
            Tiles(image_size=(32, 32)).fingerprint(),
            Tiles(image_size=(64, 64), domains=["relief", "satellite"]).fingerprint(),
        ]

    assert fingerprints() == fingerprints()
    assert len(set(fingerprints())) == 5
