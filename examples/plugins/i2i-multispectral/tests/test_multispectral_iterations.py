"""The method against iterations written out by hand, in float64: networks and batches are a run's, no more."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

SMALL = (
    "precision=fp64",
    "steps=3",
    "data.image_size=16",
    "data.batch_size=2",
    "networks.generator={use: multispectral/unet, width: 4, levels: 3, norm: batch}",
    "networks.discriminator={use: multispectral/patchgan, width: 4, levels: 1, norm: batch}",
    "optimizers.default.lr=2e-4",
    *(f"hooks.{name}=null" for name in ("samples", "true_pairs", "band_errors", "progress")),
)


def run_of(recipe: str, *sets: str) -> Run:
    return Run(load(recipe, [*SMALL, *sets], discover()), make_accelerator("fp64"), None)


def trained(recipe: str, *sets: str) -> Run:
    run = run_of(recipe, *sets)
    run.start()
    run.trainer.train(run)
    return run


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_agree(run: Run, networks: dict[str, nn.Module], start: Run) -> None:
    """All parameters to 1e-9, but for biases that a norm cancels, and each network moved."""
    assert networks.keys() == run.networks.keys()
    for name, network in networks.items():
        found, moved = dict(run.networks[name].named_parameters()), 0.0
        for key, p in network.named_parameters():
            assert p.grad is not None
            if p.grad.abs().max() < 1e-12:
                assert key.endswith("bias"), f"{name}.{key} has no gradient"
                continue
            torch.testing.assert_close(
                found[key], p, rtol=0, atol=1e-9, msg=lambda said, at=f"{name}.{key}": f"{at}: {said}"
            )
            first = dict(start.networks[name].named_parameters())[key]
            moved = max(moved, float((p - first).abs().max().detach()))
        assert moved > 1e-4


def lsgan(logits: Tensor, real: bool) -> Tensor:
    return ((logits - 1) ** 2).mean() if real else (logits**2).mean()


def bce(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


@pytest.mark.parametrize(
    ("recipe", "gan", "channels"), [("multispectral.yaml", lsgan, (3, 4)), ("multispectral_rgb.yaml", bce, (4, 3))]
)
def test_multispectral_is_an_iteration_by_hand(recipe: str, gan: object, channels: tuple[int, int]) -> None:
    assert gan in (lsgan, bce)
    adversarial = lsgan if gan is lsgan else bce
    start = run_of(recipe)
    networks = copy.deepcopy(start.networks)
    G, D = networks["generator"], networks["discriminator"]
    step_g, step_d = adam(G), adam(D)
    for batch in start.batches():
        x, y = batch["x_real"], batch["x_pair"]
        assert (x.shape[1], y.shape[1]) == channels
        fake = G(x)
        real_logits, fake_logits = D(torch.cat([x, y], 1)), D(torch.cat([x, fake.detach()], 1))
        minimise((adversarial(real_logits, True) + adversarial(fake_logits, False)) / 2, step_d)
        D.requires_grad_(False)
        minimise(adversarial(D(torch.cat([x, fake], 1)), True) + 100 * (fake - y).abs().mean(), step_g)
        D.requires_grad_(True)
    assert_agree(trained(recipe), networks, start)


def test_a_resumed_run_has_the_same_bits() -> None:
    whole, first, second = (run_of("multispectral.yaml", f"steps={n}") for n in (3, 1, 3))
    for run in (whole, first):
        run.start()
        run.trainer.train(run)
    second.start()
    second.step = 1
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
            "multispectral/method translates one domain into another, but data.targets does not name the two "
            "(write targets: {X: Y} with the names of the domains)",
        ),
        ("data.targets={rgb: band}", "data.targets names the domain band, which the data does not have "
         "(did you mean bands?)"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(assignment: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        run_of("multispectral.yaml", assignment)
    assert f"--set {assignment}: {said}" in str(error.value).splitlines()
