"""The method against iterations written out by hand, in float64: networks and batches are a run's, no more."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

SMALL = (
    "precision=fp64",
    "steps=4",
    "data.image_size=32",
    "data.batch_size=2",
    "networks.generator={use: esrgan/rrdb, width: 4, growth: 2, blocks: 1}",
    "networks.discriminator={use: esrgan/vgg_discriminator, width: 4, levels: 2, hidden: 4}",
    "optimizers.generator.lr={use: esrgan/piecewise, values: [2e-3, 1e-3], at: [1]}",
    "phases.pretraining.until=2",
    "phases.discriminator.after=2",
    "phases.generator.after=2",
    *(f"hooks.{name}=null" for name in ("samples", "psnr", "progress")),
)


def run_of(*sets: str) -> Run:
    return Run(load("esrgan.yaml", [*SMALL, *sets], discover()), make_accelerator("fp64"), None)


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def relativistic(a: Tensor, b: Tensor) -> Tensor:
    """−E log D_Ra(a, b) − E log(1 − D_Ra(b, a)), with D_Ra(a, b) = σ(C(a) − E C(b)) (equation 1)."""
    first, second = torch.sigmoid(a - b.mean()), torch.sigmoid(b - a.mean())
    return -first.log().mean() - (1 - second).log().mean()


@pytest.fixture
def features(tmp_path: Path) -> tuple[str, ...]:
    """Changes that add a perceptual loss, with the first convolution of a random VGG19."""
    torch.manual_seed(0)
    path = tmp_path / "vgg.pth"
    torch.save({"features.0.weight": torch.randn(64, 3, 3, 3), "features.0.bias": torch.randn(64)}, path)
    return (
        f"networks.features={{use: esrgan/vgg19, weights: {path}, layer: conv1_1, frozen: true}}",
        "losses.generator.perceptual={use: l1, input: fake_features, target: real_features, weight: 0.5}",
    )


@pytest.mark.parametrize("perceptual", [False, True])
def test_the_two_stages_are_iterations_by_hand(perceptual: bool, features: tuple[str, ...]) -> None:
    sets = features if perceptual else ()
    start = run_of(*sets)
    networks = copy.deepcopy(start.networks)
    G, C = networks["generator"], networks["discriminator"]
    step_g = torch.optim.Adam(G.parameters(), lr=2e-3, betas=(0.9, 0.999))
    step_c = torch.optim.Adam(C.parameters(), lr=1e-4, betas=(0.9, 0.999))
    for step, batch in enumerate(start.batches()):
        x, large = batch["x_real"], batch["x_pair"]
        assert (x.shape, large.shape) == ((2, 3, 8, 8), (2, 3, 32, 32))
        step_g.param_groups[0]["lr"] = 1e-3 if step else 2e-3
        made = G(x)
        if step < 2:
            minimise((made - large).abs().mean(), step_g)
            continue
        minimise(relativistic(C(large), C(made.detach())), step_c)
        C.requires_grad_(False)
        loss = 0.002 * relativistic(C(made), C(large)) + (made - large).abs().mean()
        if perceptual:
            phi = networks["features"]
            loss = loss + 0.5 * (phi(made) - phi(large)).abs().mean()
        minimise(loss, step_g)
        C.requires_grad_(True)
    run = run_of(*sets)
    run.start()
    run.trainer.train(run)
    assert_agree(run, networks, start)


def assert_agree(run: Run, networks: dict[str, nn.Module], start: Run) -> None:
    """All parameters to 1e-9, but for biases that a norm cancels; each network moved, but for the frozen one."""
    assert networks.keys() == run.networks.keys()
    for name, network in networks.items():
        first, found = (dict(of.networks[name].named_parameters()) for of in (start, run))
        moved = 0.0
        for key, p in network.named_parameters():
            if p.grad is not None and p.grad.abs().max() < 1e-12 and key.endswith("bias"):
                continue
            torch.testing.assert_close(found[key], p, rtol=0, atol=1e-9, msg=lambda said, at=key: f"{at}: {said}")
            moved = max(moved, float((p - first[key]).abs().max().detach()))
        assert moved == 0 if name == "features" else moved > 5e-5


def test_a_resumed_run_has_the_same_bits() -> None:
    whole, first, second = (run_of(f"steps={n}") for n in (4, 3, 4))
    for run in (whole, first):
        run.start()
        run.trainer.train(run)
    second.start()
    second.step = 3
    second.saved_parts.load(first.saved_parts.pack(), Path())
    second.trainer.train(second)
    ours, theirs = whole.saved_parts.pack(), second.saved_parts.pack()
    assert ours.keys() == theirs.keys()
    assert [part for part in ours for name, t in ours[part].items() if not t.equal(theirs[part][name])] == []


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        (
            "data.targets=all",
            "--set data.targets=all: esrgan/method enlarges the pictures of one domain, but data.targets does not name "
            "the two domains (write targets: {small: large} with the names of the domains)",
        ),
        (
            "data.targets={large: small}",
            "network esrgan/rrdb: pictures of 32 x 32 cannot be enlarged to 8 x 8 pixels: both sides need the same "
            "factor 2, 4, 8, ...; change the sizes of the domains",
        ),
        (
            "networks.features={use: esrgan/vgg19, weights: none.pth, frozen: true}",
            "network esrgan/vgg19: cannot read the weights of VGG19 none.pth: No such file or directory; the README of "
            "i2i-gan-esrgan says what to fetch",
        ),
        (
            "losses.generator.perceptual={use: l1, input: fake_features, target: real_features}",
            "no network or tensor is called features: phase generator needs losses.generator.perceptual -> "
            "fake_features -> features",
        ),
    ],
)
def test_a_mistake_is_told_in_a_sentence(assignment: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        run_of(assignment)
    assert said in str(error.value)
