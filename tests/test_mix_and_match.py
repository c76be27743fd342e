"""Parts of every plugin in one recipe, by a change of YAML alone: each trained for a few real steps on emoji."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from i2i_core.training.run import Run

from . import runs

SHORT = ("steps=8", "data.batch_size=2", "hooks.start=trouble/remember", *runs.NO_GRIDS)
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
        "hooks.ada={use: regularize/ada, network: discriminator, phase: d_latent, target: -1, speed: 40}",
    ),
    "hinge": (
        "losses.discriminator.adversarial={use: gan/hinge, player: discriminator}",
        "losses.generator.adversarial={use: gan/hinge, player: generator}",
    ),
    "patch_nce_of_cut": (
        "networks.projector={use: classics/projector, layers: 2, width: 16}",
        "tensors.features={use: classics/features, layers: [encode.0, encode.1], x: x_real}",
        "tensors.fake_features={use: classics/features, layers: [encode.0, encode.1], x: x_fake}",
        "losses.generator.nce={use: classics/patch_nce, patches: 64}",
        "phases.g_latent.train=[generator, mapping_network, style_encoder, projector]",
    ),
    "patchgan": ("networks.discriminator={use: classics/domain_patchgan, width: 8, levels: 2}",),
    "masks_of_ink": ("tensors.masks={use: emoji/ink, of: x_real}", "tensors.fake_masks={use: emoji/ink, of: x_fake}"),
    "lazy_r1": ("losses.discriminator.r1={use: stargan_v2/r1, gamma: 1, every: 16}",),
    "accumulation": ("data.batch_size=4", "data.gradient_accumulation=2"),
    "clipping": ("optimizers.default.clip_norm=0.1",),
    "cosine": ("optimizers.default.lr={ramp: [1e-4, 0], over: 8, curve: cosine}",),
    "warm_up": ("optimizers.default.lr={ramp: [1e-4, 1e-4], warmup: 4}",),
}
"""Changes of the quick start, by what they bring."""


def train(folder: Path, *sets: str) -> Run:
    """The quick start with slim networks and these changes: 8 steps of 2 emoji at 32 px."""
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
    assert run.step == 8
    assert all(math.isfinite(value) for line in losses(run) for value in line.values())
    assert all(tensor.isfinite().all() for tensor in runs.tensors(tmp_path / "run").values())
    assert still(run, "discriminator") == []
    last, plain_last = losses(run)[-1], losses(plain)[-1]
    assert last.keys() >= plain_last.keys() - {"d_latent/r1", "d_reference/r1"}  # it may come every 16th step alone
    assert any(abs(last[name] - value) > 1e-4 for name, value in plain_last.items() if name in last)


def test_lazy_r1_comes_every_sixteenth_step(tmp_path: Path) -> None:
    run = train(tmp_path / "run", *CASES["lazy_r1"], "steps=17")
    assert [line["step"] for line in losses(run) if "d_latent/r1" in line] == [1, 17]


def test_the_projector_of_patch_nce_learns_with_the_generator(tmp_path: Path) -> None:
    run = train(tmp_path / "run", *CASES["patch_nce_of_cut"])
    assert still(run, "projector") == []
    assert losses(run)[-1]["g_latent/nce"] < losses(run)[0]["g_latent/nce"]


def test_rates_go_where_their_schedules_say(tmp_path: Path) -> None:
    for name, last in (("cosine", 1e-4 * (1 + math.cos(math.pi * 7 / 8)) / 2), ("warm_up", 1e-4)):
        run = train(tmp_path / name, *CASES[name])
        assert run.optimizers["generator"].optimizer.param_groups[0]["lr"] == pytest.approx(last, rel=1e-9)


def test_the_same_recipe_trains_alike(plain: Run, tmp_path: Path) -> None:
    """Else the cases above might differ by chance."""
    assert losses(train(tmp_path / "run")) == losses(plain)
