"""Parts of every plugin in one recipe, by a change of YAML alone: each trained for 20 real steps on emoji."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from i2i_core.run import Run

from . import runs

SHORT = ("steps=20", "data.batch_size=2", "hooks.start=trouble/remember", *runs.NO_GRIDS)
DISCRIMINATOR = "{use: stargan_v2/discriminator, channel_base: 64, max_channels: 8}"


def wrapped(use: str) -> str:
    """The discriminator in a wrapper."""
    return f"networks.discriminator={{use: {use}, network: {DISCRIMINATOR}}}"


CASES: dict[str, tuple[str, ...]] = {
    "spectral_norm": (wrapped("regularize/spectral_norm"),),
    "diffaugment": (wrapped("regularize/diffaugment"),),
    "ada": (
        wrapped("regularize/ada"),
        "losses.discriminator.overfitting={use: regularize/overfitting, weight: 0}",
        "hooks.ada={use: regularize/ada, network: discriminator, phase: d_latent, target: -1, speed: 40}"),
}
"""Changes of the quick start, by what they bring."""


def train(folder: Path, *sets: str) -> Run:
    """The quick start with slim networks and these changes: 20 steps of 2 emoji at 32 px."""
    return runs.train(folder, *SHORT, *sets)


def losses(run: Run) -> list[dict[str, float]]:
    """Of every step, by phase and name."""
    assert run.folder is not None
    return runs.logged(run.folder)


def still(run: Run, network: str) -> list[str]:
    """Parameters of a network that are what they were at the start."""
    start = run.hooks["start"].parameters
    return [name for name, p in run.networks[network].named_parameters() if p.equal(start[f"{network}/{name}"])]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Without any change."""
    return train(tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("sets", CASES.values(), ids=CASES)
def test_it_trains_otherwise_than_the_plain_recipe(plain: Run, tmp_path: Path, sets: tuple[str, ...]) -> None:
    run = train(tmp_path / "run", *sets)
    assert run.step == 20
    assert all(math.isfinite(value) for line in losses(run) for value in line.values())
    assert all(tensor.isfinite().all() for tensor in runs.tensors(tmp_path / "run").values())
    assert still(run, "discriminator") == []
    last, plain_last = losses(run)[-1], losses(plain)[-1]
    assert last.keys() >= plain_last.keys()
    assert any(abs(last[name] - value) > 1e-4 for name, value in plain_last.items())


def test_the_same_recipe_trains_alike(plain: Run, tmp_path: Path) -> None:
    """Else the cases above might differ by chance."""
    assert losses(train(tmp_path / "run")) == losses(plain)
