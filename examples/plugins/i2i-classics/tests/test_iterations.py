"""The methods against iterations written out by hand, in float64: networks, batches and draws are a run's, no more.

Compared are all parameters after three iterations, but for biases that a norm right behind them cancels: in exact
arithmetic their gradient is zero, and Adam makes steps of the rounding noise, which nothing else can see.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path

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
    "hooks.samples=null",
    "hooks.true_pairs=null",
    "hooks.progress=null",
    "optimizers.default.lr=2e-4",
)
BETAS = (0.5, 0.999)


def run_of(recipe: str, *sets: str) -> Run:
    return Run(load(recipe, [*SMALL, *sets], discover()), make_accelerator("fp64"), None)


def trained(recipe: str, *sets: str) -> Run:
    run = run_of(recipe, *sets)
    run.start()
    run.trainer.train(run)
    return run


def adam(*networks: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for network in networks for p in network.parameters()], lr=2e-4, betas=BETAS)


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
            first = dict(start.networks[name].named_parameters())[key]
            assert p.grad is not None
            if p.grad.abs().max() < 1e-12:
                assert key.endswith("bias"), f"{name}.{key} has no gradient"
                continue
            torch.testing.assert_close(
                found[key], p, rtol=0, atol=1e-9, msg=lambda said, at=f"{name}.{key}": f"{at}: {said}"
            )
            moved = max(moved, float((p - first).abs().max().detach()))
        assert moved > 1e-4


class Pool:
    """Earlier fakes, by hand: lists and loops."""

    def __init__(self, size: int) -> None:
        self.size, self.pictures = size, list[Tensor]()

    def __call__(self, fakes: Tensor, draws: Tensor) -> Tensor:
        shown = []
        for fake, (coin, z) in zip(fakes.detach(), draws.tolist(), strict=True):
            if len(self.pictures) < self.size:
                self.pictures.append(fake)
                shown.append(fake)
            elif coin < 0:
                place = int(0.5 * (1 + torch.erf(torch.tensor(z / 2**0.5, dtype=torch.float64))) * self.size)
                shown.append(self.pictures[place])
                self.pictures[place] = fake
            else:
                shown.append(fake)
        return torch.stack(shown)


def test_cyclegan_is_an_iteration_by_hand() -> None:
    sets = (
        *(f"networks.{name}.width=4" for name in ("G", "F", "D_X", "D_Y")),
        "networks.G.blocks=2",
        "networks.F.blocks=3",
        "tensors.pooled_x.size=1",
        "tensors.pooled_y.size=2",
        "losses.generators.identity_x={use: l1, weight: 5, input: x_same, target: x_real}",
        "losses.generators.identity_y={use: l1, weight: 5, input: ref_same, target: x_ref}",
    )
    start = run_of("cyclegan.yaml", *sets)
    networks = copy.deepcopy(start.networks)
    G, F_, D_X, D_Y = (networks[name] for name in ("G", "F", "D_X", "D_Y"))
    step_g, step_d = adam(G, F_), adam(D_X, D_Y)
    pool_x, pool_y = Pool(1), Pool(2)
    for step, batch in enumerate(start.batches()):
        assert set(batch) == {"x_real", "x_ref"}
        x, y, draws = batch["x_real"], batch["x_ref"], start.draws(step)
        fake_y, fake_x = G(x), F_(y)
        shown_y, shown_x = pool_y(fake_y, draws.normal("pooled_y")(2)), pool_x(fake_x, draws.normal("pooled_x")(2))
        loss_y = ((D_Y(y) - 1) ** 2).mean() + (D_Y(shown_y) ** 2).mean()
        loss_x = ((D_X(x) - 1) ** 2).mean() + (D_X(shown_x) ** 2).mean()
        minimise(loss_y / 2 + loss_x / 2, step_d)
        adversarial = ((D_Y(fake_y) - 1) ** 2).mean() + ((D_X(fake_x) - 1) ** 2).mean()
        cycle = (F_(fake_y) - x).abs().mean() + (G(fake_x) - y).abs().mean()
        identity = (G(y) - y).abs().mean() + (F_(x) - x).abs().mean()
        D_X.requires_grad_(False), D_Y.requires_grad_(False)
        minimise(adversarial + 10 * cycle + 5 * identity, step_g)
        D_X.requires_grad_(True), D_Y.requires_grad_(True)
    assert_agree(trained("cyclegan.yaml", *sets), networks, start)


def test_pix2pix_is_an_iteration_by_hand() -> None:
    emoji = (
        "data={use: emoji/drawings, image_size: 32, batch_size: 2, targets: {flat: high_contrast}}",
        "networks.generator={use: classics/unet, levels: 4, width: 4, norm: batch}",
        "networks.discriminator.width=4",
        "networks.discriminator.norm=batch",
    )
    start = run_of("pix2pix.yaml", *emoji)
    networks = copy.deepcopy(start.networks)
    G, D = networks["generator"], networks["discriminator"]
    step_g, step_d = adam(G), adam(D)
    for step, batch in enumerate(start.batches()):
        x, y = batch["x_real"], batch["x_pair"]
        fake = G(x, start.draws(step).normal("z")(G.noise_size))
        real_logits, fake_logits = D(torch.cat([x, y], 1)), D(torch.cat([x, fake.detach()], 1))
        ones, zeros = torch.ones_like(real_logits), torch.zeros_like(fake_logits)
        bce = F.binary_cross_entropy_with_logits
        minimise((bce(real_logits, ones) + bce(fake_logits, zeros)) / 2, step_d)
        D.requires_grad_(False)
        minimise(bce(D(torch.cat([x, fake], 1)), ones) + 100 * (fake - y).abs().mean(), step_g)
        D.requires_grad_(True)
    assert_agree(trained("pix2pix.yaml", *emoji), networks, start)


def test_a_pool_that_swaps_is_resumed_bit_for_bit() -> None:
    sets = (
        *(f"networks.{name}.width=4" for name in ("G", "F", "D_X", "D_Y")),
        "networks.G.blocks=1",
        "networks.F.blocks=1",
        "tensors.pooled_x.size=2",
        "tensors.pooled_y.size=2",
    )
    whole, first, second = (run_of("cyclegan.yaml", *sets, f"steps={n}") for n in (6, 3, 6))
    for run in (whole, first):
        run.start()
        run.trainer.train(run)
    second.start()
    second.step = 3
    second.saved_parts.load(first.saved_parts.pack(), Path())
    second.trainer.train(second)
    ours, theirs = whole.saved_parts.pack(), second.saved_parts.pack()
    assert ours["tensors/pooled_y"]["pictures"].shape == (1, 2, 3, 32, 32)
    assert ours.keys() == theirs.keys()
    assert [
        f"{part}: {name}"
        for part in ours
        for name, tensor in ours[part].items()
        if not tensor.equal(theirs[part][name])
    ] == []
    assert not first.saved_parts.pack()["tensors/pooled_y"]["pictures"].equal(ours["tensors/pooled_y"]["pictures"])


CUT = (
    "networks.generator={use: classics/resnet, width: 4, blocks: 3}",
    "networks.discriminator.width=4",
    "networks.projector.width=8",
)
LAYERS = (0, 3, 5, 7)


def patch_nce(heads: nn.ModuleList, features: list[Tensor], fakes: list[Tensor], draws: Tensor, patches: int) -> Tensor:
    """Equation 3, a picture, a layer and a patch at a time."""
    losses, used = list[Tensor](), 0
    for head, layer in zip(heads, LAYERS, strict=True):
        n, channels, h, w = features[layer].shape
        numbers, used = draws[:, used : used + h * w], used + h * w
        for i in range(n):
            places = sorted(range(h * w), key=lambda p, row=numbers[i]: -row[p])[:patches]
            z, z_hat = (
                [unit(head(maps[layer][i].reshape(channels, -1)[:, p])) for p in places] for maps in (features, fakes)
            )
            for s, query in enumerate(z_hat):
                scores = torch.stack([query @ key.detach() / 0.07 for key in z])
                losses.append(torch.logsumexp(scores, 0) - scores[s])
    return torch.stack(losses).mean()


def unit(vector: Tensor) -> Tensor:
    return vector / vector.square().sum().sqrt()


def cut_by_hand(start: Run, networks: dict[str, nn.Module], fast: bool) -> Iterator[None]:
    G, D, H = (networks[name] for name in ("generator", "discriminator", "projector"))
    step_g, step_d = adam(G, H), adam(D)
    patches = 16
    for step, batch in enumerate(start.batches()):
        x, y, draws = batch["x_real"], batch["x_ref"], start.draws(step)
        turned = draws.normal("turned")(1, 1, 1).flatten() > 0
        fake = torch.cat([G(x[i : i + 1].flip(3) if fast and turned[i] else x[i : i + 1]) for i in range(len(x))])
        minimise((((D(y) - 1) ** 2).mean() + (D(fake.detach()) ** 2).mean()) / 2, step_d)
        fake_features = [
            torch.stack([f.flip(2) if fast and turned[i] else f for i, f in enumerate(features)])
            for features in G.encode(fake)
        ]
        numbers = draws.normal("losses.generator.nce_x")(1024 + 256 + 64 + 64)
        nce_x = patch_nce(H.heads, G.encode(x), fake_features, numbers, patches)
        loss = ((D(fake) - 1) ** 2).mean() + (10 if fast else 1) * nce_x
        if not fast:
            numbers = draws.normal("losses.generator.nce_y")(1024 + 256 + 64 + 64)
            loss = loss + patch_nce(H.heads, G.encode(y), G.encode(G(y)), numbers, patches)
        D.requires_grad_(False)
        minimise(loss, step_g)
        D.requires_grad_(True)
        yield


def done(iterations: Iterable[None]) -> None:
    assert len(list(iterations)) == 3


def test_cut_is_an_iteration_by_hand() -> None:
    sets = (*CUT, "losses.generator.nce_x.patches=16", "losses.generator.nce_y.patches=16")
    start = run_of("cut.yaml", *sets)
    networks = copy.deepcopy(start.networks)
    done(cut_by_hand(start, networks, fast=False))
    assert_agree(trained("cut.yaml", *sets), networks, start)


def test_fastcut_is_an_iteration_by_hand() -> None:
    sets = (*CUT, "losses.generator.nce_x.patches=16", "losses.generator.nce_x.weight=10")
    start = run_of("fastcut.yaml", *sets)
    networks = copy.deepcopy(start.networks)
    done(cut_by_hand(start, networks, fast=True))
    turned = torch.cat([start.draws(step).normal("turned")(1, 1, 1).flatten() > 0 for step in range(3)])
    assert turned.any() and not turned.all()
    assert_agree(trained("fastcut.yaml", *sets), networks, start)
