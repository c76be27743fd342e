"""SPADE against iterations written out by hand, in float64: networks, batches and draws are a run's, no more.

Compared are all parameters after three iterations, but for biases that a norm right behind them cancels: in exact
arithmetic their gradient is zero, and Adam makes steps of the rounding noise.
"""

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
    "networks.generator={use: spade/generator, edges: true, width: 2, levels: 2, latent_dim: 3, hidden: 4, "
    "norm: instance}",
    "networks.discriminator={use: spade/discriminator, edges: true, width: 4, levels: 1}",
    "networks.encoder={use: spade/encoder, width: 4, latent_dim: 3}",
    "optimizers.default={use: adam, lr: 2e-4, betas: [0.5, 0.999]}",
    *(f"hooks.{name}=null" for name in ("samples", "true_pairs", "progress", "ema")),
)
PLAIN = (
    "networks={generator: {use: spade/generator, width: 2, levels: 2, latent_dim: 3, hidden: 4, norm: batch}, "
    "discriminator: {use: spade/discriminator, width: 4, levels: 1}}",
    "tensors=null",
    "losses.generator.kld=null",
    "phases={d: {train: discriminator, losses: discriminator}, g: {train: generator, losses: generator}}",
    "uses=null",
)


def run_of(*sets: str) -> Run:
    return Run(load("spade.yaml", [*SMALL, *sets], discover()), make_accelerator("fp64"), None)


def trained(*sets: str) -> Run:
    run = run_of(*sets)
    run.start()
    run.trainer.train(run)
    return run


def adam(*networks: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for network in networks for p in network.parameters()], lr=2e-4, betas=(0.5, 0.999))


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_agree(run: Run, networks: dict[str, nn.Module], start: Run) -> None:
    """All parameters to 1e-9, and each network moved."""
    assert networks.keys() == run.networks.keys()
    for name, network in networks.items():
        found = dict(run.networks[name].named_parameters())
        moved = 0.0
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


def boundaries(ids: Tensor) -> Tensor:
    """Edges of instances, a direction at a time: a border of copies makes none."""
    around = F.pad(ids.double(), (1, 1, 1, 1), mode="replicate")
    moved = (around[:, :, :-2, 1:-1], around[:, :, 2:, 1:-1], around[:, :, 1:-1, :-2], around[:, :, 1:-1, 2:])
    return torch.stack([(other != ids) for other in moved]).any(0).double()


def hinge_d(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    return sum(((1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean()) / len(real) for r, f in zip(real, fake))  # type: ignore[return-value]  # noqa: B905


def matching(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    distances = [(r.detach() - f).abs().mean() for a, b in zip(real, fake) for r, f in zip(a, b)]  # noqa: B905
    return sum(distances) / len(distances)  # type: ignore[return-value]


def test_spade_with_edges_and_an_encoder_is_an_iteration_by_hand() -> None:
    start = run_of()
    networks = copy.deepcopy(start.networks)
    G, D, E = (networks[name] for name in ("generator", "discriminator", "encoder"))
    step_g, step_d = adam(G, E), adam(D)
    for step, batch in enumerate(start.batches()):
        assert set(batch) == {"x_real", "x_pair", "instance_real"}
        x, draws = batch["x_pair"], start.draws(step)
        m = torch.cat([batch["x_real"], boundaries(batch["instance_real"])], 1)
        mu, log_variance = E(x).unbind(1)
        z = mu + torch.exp(log_variance / 2) * draws.normal("z_pair")(3)
        fake = G(m, z)
        real_logits, _ = D(torch.cat([m, x], 1))
        fake_logits, _ = D(torch.cat([m, fake.detach()], 1))
        minimise(hinge_d(real_logits, fake_logits), step_d)
        D.requires_grad_(False)
        fake_logits, fake_features = D(torch.cat([m, fake], 1))
        _, real_features = D(torch.cat([m, x], 1))
        adversarial = -sum(f.mean() for f in fake_logits) / len(fake_logits)
        divergence = (-0.5 * (1 + log_variance - mu**2 - torch.exp(log_variance))).sum() / len(x)
        minimise(adversarial + 30 * matching(real_features, fake_features) + 0.05 * divergence, step_g)
        D.requires_grad_(True)
    assert_agree(trained(), networks, start)


def test_spade_without_edges_and_encoder_is_an_iteration_by_hand() -> None:
    start = run_of(*PLAIN)
    networks = copy.deepcopy(start.networks)
    G, D = networks["generator"], networks["discriminator"]
    step_g, step_d = adam(G), adam(D)
    for step, batch in enumerate(start.batches()):
        m, x = batch["x_real"], batch["x_pair"]
        fake = G(m, start.draws(step).normal("z_latent")(3))
        real_logits, _ = D(torch.cat([m, x], 1))
        fake_logits, _ = D(torch.cat([m, fake.detach()], 1))
        minimise(hinge_d(real_logits, fake_logits), step_d)
        D.requires_grad_(False)
        fake_logits, fake_features = D(torch.cat([m, fake], 1))
        _, real_features = D(torch.cat([m, x], 1))
        adversarial = -sum(f.mean() for f in fake_logits) / len(fake_logits)
        minimise(adversarial + 30 * matching(real_features, fake_features), step_g)
        D.requires_grad_(True)
    assert_agree(trained(*PLAIN), networks, start)


def test_a_resumed_run_has_the_same_bits() -> None:
    whole, first, second = (run_of(f"steps={n}") for n in (3, 1, 3))
    for run in (whole, first):
        run.start()
        run.trainer.train(run)
    second.start()
    second.step = 1
    second.saved_parts.load(first.saved_parts.pack(), Path())
    second.trainer.train(second)
    ours, theirs = whole.saved_parts.pack(), second.saved_parts.pack()
    assert ours.keys() == theirs.keys()
    assert [
        f"{part}: {name}"
        for part in ours
        for name, tensor in ours[part].items()
        if not tensor.equal(theirs[part][name])
    ] == []


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        (
            "data.targets=all",
            "spade/method makes photos of label maps, but data.targets does not name the two domains "
            "(write targets: {LABELS: PHOTO} with the names of the domains)",
        ),
        ("networks.generator.levels=0", "networks.generator.levels should be greater than or equal to 1, not 0"),
    ],
)
def test_a_mistake_is_told_with_its_place(assignment: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        run_of(assignment)
    assert f"--set {assignment}: {said}" in str(error.value).splitlines()


def test_a_network_that_expects_no_edges_is_told_of_them() -> None:
    with pytest.raises(RecipeError) as error:
        trained("networks.generator.edges=false")
    assert str(error.value).endswith(
        "in the tensor x_fake: the generator takes 6 channels, but its input has 7; set its edges to true exactly if "
        "the recipe has the tensor edges"
    )
