"""The method against iterations written out by hand, in float64: networks, batches and draws are a run's, no more."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

SMALL = (
    "precision=fp64",
    "steps=5",
    "data.image_size=32",
    "data.batch_size=2",
    "networks.generator={use: stargan_v1/generator, attributes: 4, width: 4, blocks: 1}",
    "networks.discriminator={use: stargan_v1/discriminator, attributes: 4, width: 4, levels: 3}",
    "losses.generator.reconstruction.weight=10",
    "phases.generator.every=2",
    "optimizers.default.lr=2e-4",
    "optimizers.discriminator.lr=2e-4",
    *(f"hooks.{name}=null" for name in ("samples", "edits", "progress")),
)


def run_of() -> Run:
    return Run(load("stargan_v1.yaml", SMALL, discover()), make_accelerator("fp64"), None)


def classification(logits: Tensor, given: Tensor) -> Tensor:
    """−log D_cls(c | x), an attribute at a time."""
    p = torch.sigmoid(logits)
    terms = [(p[n, k] if c else 1 - p[n, k]).log() for n, row in enumerate(given) for k, c in enumerate(row)]
    return -torch.stack(terms).sum() / len(given)


def test_stargan_is_an_iteration_by_hand() -> None:
    start = run_of()
    networks = copy.deepcopy(start.networks)
    G, D = networks["generator"], networks["discriminator"]
    step_g, step_d = (torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (G, D))
    for step, batch in enumerate(start.batches()):
        x, c, c_org = batch["x_real"], batch["given_ref"], batch["given_real"]
        fake = G(x, c)
        (src_real, cls_real), (src_fake, _) = D(x), D(fake.detach())
        epsilon = start.draws(step).uniform("interpolate")(1, 1, 1)
        x_hat = (epsilon * x + (1 - epsilon) * fake.detach()).requires_grad_()
        critic = D(x_hat)[0].mean((1, 2, 3))
        (gradient,) = torch.autograd.grad(critic.sum(), x_hat, create_graph=True)
        penalty = ((gradient.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
        minimise(src_fake.mean() - src_real.mean() + 10 * penalty + classification(cls_real, c_org), step_d)
        if step % 2 == 0:
            D.requires_grad_(False)
            src, cls = D(fake)
            rec = (G(fake, c_org) - x).abs().mean()
            minimise(-src.mean() + classification(cls, c) + 10 * rec, step_g)
            D.requires_grad_(True)
    run = run_of()
    run.start()
    run.trainer.train(run)
    for name, network in networks.items():
        first, found = (dict(of.networks[name].named_parameters()) for of in (start, run))
        for key, p in network.named_parameters():
            torch.testing.assert_close(found[key], p, rtol=0, atol=1e-9, msg=lambda said, at=key: f"{at}: {said}")
        assert max(float((p - first[key]).abs().max().detach()) for key, p in network.named_parameters()) > 1e-4


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
