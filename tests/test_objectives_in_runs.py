"""Other objectives and regularisers in the quick start: swapped by YAML, trained, killed, resumed and shared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from i2i_core.errors import RecipeError
from i2i_core.training.run import Run

from .runs import NO_GRIDS, assert_same_bits, largest_difference, logged, run_forked, tensors, train


def both(use: str, keys: str = "") -> tuple[str, ...]:
    """The objective of both players."""
    return tuple(
        f"losses.{player}.adversarial={{use: {use}, player: {player}{keys}}}"
        for player in ("discriminator", "generator")
    )


WGAN_GP = (
    *both("gan/wasserstein"),
    "tensors.interpolate={use: interpolate, real: x_ref, fake: x_fake}",
    "losses.discriminator.r1=null",
    "losses.discriminator.penalty={use: gradient_penalty, weight: 10, interpolate_logits: fake_logits, "
    "where: {x_fake: interpolate}}",
)
R3GAN = (
    *both("gan/relativistic"),
    "tensors.x_fake_leaf={use: leaf, of: x_fake}",
    "losses.discriminator.r2={use: r2, gamma: 2}",
    "phases.d_latent.where.x_fake=x_fake_leaf",
    "phases.d_reference.where.x_fake=x_fake_leaf",
)
LECAM = ("losses.discriminator.lecam={use: lecam, decay: 0.5, weight: 0.3}",)
FP64 = "precision=fp64"


def at_the_start(folder: Path, *sets: str) -> tuple[Run, dict[str, Tensor], dict[str, float]]:
    """A run that learns nothing, its first batch, and what it logged about it."""
    still = ("optimizers.default={use: sgd, lr: 0}", "optimizers.mapping_network={lr: 0}", "steps=1", FP64)
    run = train(folder, *sets, *still, *NO_GRIDS)
    run.step, run.eval_networks = 0, dict(run.networks)
    return run, next(run.batches()), logged(folder)[0]


def squared_slopes(run: Run, x: Tensor, y: Tensor) -> Tensor:
    """‖∇ₓ D(x, y)‖² of each picture."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(run.networks["discriminator"](x, y).sum(), x)
    return slope.square().sum((1, 2, 3))


def test_wgan_gp_penalises_the_critic_between_real_and_fake_pictures(tmp_path: Path) -> None:
    run, batch, lines = at_the_start(tmp_path / "run", *WGAN_GP)
    for phase in ("d_latent", "d_reference"):
        x = run.tensors(["interpolate", "x_fake"], batch, phase=phase)
        real, fake, between = batch["x_ref"], x["x_fake"], x["interpolate"]
        share = ((between - fake) * (real - fake)).sum((1, 2, 3)) / (real - fake).square().sum((1, 2, 3))
        assert torch.allclose(between, fake + share.view(-1, 1, 1, 1) * (real - fake))
        assert (share > 0).all() and (share < 1).all() and len(set(share.tolist())) == len(share)
        expected = (squared_slopes(run, between, batch["y_trg"]).sqrt() - 1).square().mean()
        assert lines[f"{phase}/penalty"] == pytest.approx(float(expected), rel=1e-6)
        d = run.networks["discriminator"]
        with torch.no_grad():
            gap = d(fake, batch["y_trg"]).mean() - d(batch["x_real"], batch["y_org"]).mean()
        assert lines[f"{phase}/adversarial"] == pytest.approx(float(gap), rel=1e-6)


def test_relativistic_with_r1_and_r2_is_their_formulas_at_the_start(tmp_path: Path) -> None:
    run, batch, lines = at_the_start(tmp_path / "run", *R3GAN)
    d = run.networks["discriminator"]
    for kind in ("latent", "reference"):
        x_fake = run.tensors(["x_fake"], batch, phase=f"g_{kind}")["x_fake"]
        with torch.no_grad():
            margin = d(batch["x_real"], batch["y_org"]) - d(x_fake, batch["y_trg"])
        softplus = torch.nn.functional.softplus
        r1, r2 = (
            squared_slopes(run, x, y).mean() for x, y in ((batch["x_real"], batch["y_org"]), (x_fake, batch["y_trg"]))
        )
        for name, expected in (
            (f"d_{kind}/adversarial", softplus(-margin).mean()),
            (f"g_{kind}/adversarial", softplus(margin).mean()),
            (f"d_{kind}/r1", r1 / 2),
            (f"d_{kind}/r2", r2),
        ):
            assert lines[name] == pytest.approx(float(expected), rel=1e-6), name


@pytest.mark.parametrize(
    "sets", [WGAN_GP, R3GAN, both("gan/relativistic", ", average: true")], ids=["wgan-gp", "r3gan", "ragan"]
)
def test_other_objectives_train_and_resume(tmp_path: Path, sets: tuple[str, ...]) -> None:
    train(tmp_path / "whole", *sets, *NO_GRIDS)
    train(tmp_path / "run", *sets, *NO_GRIDS, "steps=3")
    train(tmp_path / "run", "steps=6", resume=True)
    a, b = tensors(tmp_path / "whole"), tensors(tmp_path / "run")
    assert a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("sets", [WGAN_GP, R3GAN, LECAM], ids=["wgan-gp", "r3gan", "lecam"])
def test_two_processes_train_as_one(tmp_path: Path, sets: tuple[str, ...]) -> None:
    train(tmp_path / "one", *sets, FP64, *NO_GRIDS)
    ended = run_forked(tmp_path / "two", *sets, FP64, *NO_GRIDS, world=2)
    assert ended.codes == [0, 0], ended.printed
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6


@pytest.mark.slow
def test_lecam_is_resumed_bit_for_bit_and_its_averages_are_of_the_whole_batch(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    kill = "hooks.kill={use: trouble/signal, step: 4}"
    for world in (1, 2):
        ours, killed = whole / str(world), folder / str(world)
        assert run_forked(ours, *LECAM, *NO_GRIDS, world=world).codes == [0] * world
        assert run_forked(killed, *LECAM, *NO_GRIDS, kill, world=world).codes == [-9] * world
        resumed = run_forked(killed, "hooks.kill=null", resume=True, world=world)
        assert resumed.codes == [0] * world, resumed.printed
        assert_same_bits(ours, killed)
    averages = [tensors(whole / world)["losses/discriminator.lecam: averages"] for world in "12"]
    assert averages[0].shape == (1, 1, 2) and averages[0].abs().min() > 0
    assert averages[1][0].equal(averages[1][1])
    assert torch.allclose(averages[0][0], averages[1][0], rtol=1e-3)


def test_lecam_of_one_process_goes_on_in_two(tmp_path: Path) -> None:
    train(tmp_path / "run", *LECAM, *NO_GRIDS, FP64, "steps=3")
    train(tmp_path / "whole", *LECAM, *NO_GRIDS, FP64, "steps=6")
    resumed = run_forked(tmp_path / "run", "steps=6", resume=True, world=2)
    assert resumed.codes == [0, 0], resumed.printed
    assert "results agree up to rounding\n" in resumed.printed[0]
    assert largest_difference(tmp_path / "whole", tmp_path / "run") < 1e-6


def test_logits_that_differ_in_structure_are_told_at_the_losss_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        train(tmp_path / "run", "tensors.fake_logits={use: trouble/twice, of: fake_logits}", *NO_GRIDS)
    (problem,) = error.value.problems
    assert problem.message == (
        "in the loss adversarial of phase d_latent: real_logits and fake_logits differ in structure: tensor and "
        "[tensor, tensor]; compute both with the same discriminators"
    )
    assert problem.mark is not None and problem.mark.file.endswith("stargan_v2.yaml") and problem.mark.line


def test_two_discriminators_train_as_one_that_judges_twice(tmp_path: Path) -> None:
    twice = [f"tensors.{side}_logits={{use: trouble/twice, of: {side}_logits}}" for side in ("real", "fake")]
    train(tmp_path / "once", FP64, *NO_GRIDS, "losses.discriminator.r1=null")
    train(tmp_path / "twice", FP64, *NO_GRIDS, "losses.discriminator.r1=null", *twice)
    assert largest_difference(tmp_path / "once", tmp_path / "twice") < 1e-6


def test_a_penalty_where_the_discriminator_is_not_trained_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="real_logits have no gradient with respect to x_real_leaf; compute them"):
        train(tmp_path / "run", "losses.generator.r1={use: r1, weight: 0}", "steps=1", *NO_GRIDS)
