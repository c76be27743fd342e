"""The method against iterations written out by hand, in float64: networks, batches and draws are a run's, no more.

Compared are all parameters after three iterations, but for biases that an instance norm right behind them cancels: in
exact arithmetic their gradient is zero, and Adam makes steps of the rounding noise, which nothing else can see.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

SMALL = (
    "precision=fp64",
    "steps=3",
    "data.image_size=32",
    "data.batch_size=2",
    *(f"networks.{kind}_{d}.width=4" for kind in ("Ec", "Es", "G", "D") for d in "ab"),
    *(f"networks.{kind}_{d}.blocks=1" for kind in ("Ec", "G") for d in "ab"),
    "losses.generators.cycle_a={use: l1, weight: 10, input: x_aba, target: x_real}",
    "losses.generators.cycle_b={use: l1, weight: 10, input: x_bab, target: x_ref}",
    "optimizers.default.lr=2e-4",
    *(f"hooks.{name}=null" for name in ("samples", "samples_back", "a_to_b", "b_to_a", "progress")),
)


def run_of() -> Run:
    return Run(load("munit.yaml", SMALL, discover()), make_accelerator("fp64"), None)


def normalized(z: Tensor) -> Tensor:
    centred = z - z.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def decoded(G: nn.Module, c: Tensor, s: Tensor) -> Tensor:
    """G(c, s) with one block, written out."""
    first, up = G.blocks[0], G.up
    (gamma_1, beta_1), (gamma_2, beta_2) = G.mlp(s).reshape(len(s), 2, 2, c.shape[1], 1, 1).permute(1, 2, 0, 3, 4, 5)
    h = (gamma_1 * normalized(first.first(c)) + beta_1).clamp(min=0)
    z = c + gamma_2 * normalized(first.second(h)) + beta_2
    for conv, norm in ((up[1], up[2]), (up[5], up[6])):
        z = conv(z.repeat_interleave(2, 2).repeat_interleave(2, 3))
        z = F.layer_norm(z, z.shape[1:], eps=norm.eps) * norm.weight[:, None, None] + norm.bias[:, None, None]
        z = z.clamp(min=0)
    return torch.tanh(up[8](z))


def lsgan(logits: list[Tensor], wanted: float) -> Tensor:
    return sum((((of - wanted) ** 2).mean() for of in logits), torch.tensor(0.0)) / len(logits)


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def test_munit_is_an_iteration_by_hand() -> None:
    start = run_of()
    networks = copy.deepcopy(start.networks)
    Ec_a, Ec_b, Es_a, Es_b, G_a, G_b, D_a, D_b = (
        networks[f"{kind}_{domain}"] for kind in ("Ec", "Es", "G", "D") for domain in "ab"
    )
    step_d, step_g = (
        torch.optim.Adam([p for of in group for p in of.parameters()], lr=2e-4, betas=(0.5, 0.999))
        for group in ((D_a, D_b), (Ec_a, Ec_b, Es_a, Es_b, G_a, G_b))
    )
    for step, batch in enumerate(start.batches()):
        assert set(batch) == {"x_real", "x_ref"}
        a, b, draws = batch["x_real"], batch["x_ref"], start.draws(step)
        s_a, s_b = draws.normal("s_a_prior")(8), draws.normal("s_b_prior")(8)
        c_a, c_b, own_a, own_b = Ec_a(a), Ec_b(b), Es_a(a), Es_b(b)
        ab, ba = decoded(G_b, c_a, s_b), decoded(G_a, c_b, s_a)
        loss = sum(lsgan(D(x), 1) + lsgan(D(made.detach()), 0) for D, x, made in ((D_a, a, ba), (D_b, b, ab)))
        minimise(loss, step_d)
        D_a.requires_grad_(False), D_b.requires_grad_(False)
        c_ab, c_ba = Ec_b(ab), Ec_a(ba)
        within = distance(decoded(G_a, c_a, own_a), a) + distance(decoded(G_b, c_b, own_b), b)
        latent = distance(c_ab, c_a) + distance(c_ba, c_b) + distance(Es_b(ab), s_b) + distance(Es_a(ba), s_a)
        cycle = distance(decoded(G_a, c_ab, own_a), a) + distance(decoded(G_b, c_ba, own_b), b)
        minimise(lsgan(D_b(ab), 1) + lsgan(D_a(ba), 1) + 10 * within + latent + 10 * cycle, step_g)
        D_a.requires_grad_(True), D_b.requires_grad_(True)
    run = run_of()
    run.start()
    run.trainer.train(run)
    assert_agree(run, networks, start)


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_agree(run: Run, networks: dict[str, nn.Module], start: Run) -> None:
    """All parameters to 1e-9, and each network moved."""
    assert networks.keys() == run.networks.keys()
    for name, network in networks.items():
        first, found = (dict(of.networks[name].named_parameters()) for of in (start, run))
        moved = 0.0
        for key, p in network.named_parameters():
            assert p.grad is not None
            if p.grad.abs().max() < 1e-12:
                assert key.endswith("bias"), f"{name}.{key} has no gradient"
                continue
            torch.testing.assert_close(
                found[key], p, rtol=0, atol=1e-9, msg=lambda said, at=f"{name}.{key}": f"{at}: {said}"
            )
            moved = max(moved, float((p - first[key]).abs().max().detach()))
        assert moved > 1e-4
