"""Training iteration of StarGAN v2: D twice, then G with F and E, then G alone, then EMA."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fan import FAN
from .networks import LATENT_DIM, Masks

Batch = Mapping[str, Tensor]
Style = Callable[[], Tensor]
Losses = dict[str, Tensor]
AVERAGED = ("generator", "mapping_network", "style_encoder")


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


class Training:
    """Networks with their optimizers and averages.

    fan: network that computes masks, or None.
    diversity: initial weight of the diversity loss, which decays linearly to 0 over `over` iterations.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], fan: FAN | None = None, *, diversity: float = 2.0, over: int = 100_000
    ) -> None:
        self.networks, self.fan = networks, fan
        self.G, self.F, self.E, self.D = (networks[name] for name in (*AVERAGED, "discriminator"))
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(),
                lr=1e-6 if name == "mapping_network" else 1e-4,
                betas=(0.0, 0.99),
                weight_decay=1e-4,
            )
            for name, network in networks.items()
        }
        self.averages = {name: copy.deepcopy(networks[name]).requires_grad_(False) for name in AVERAGED}
        self.diversity, self.over, self.done = diversity, over, 0

    def iterate(self, batch: Batch, z: Tensor | None = None, z2: Tensor | None = None) -> Losses:
        """Train on one batch and return the unweighted losses as PHASE/LOSS.

        z, z2: latents (N, 16), drawn if not given.
        """
        y = batch["y_trg"]
        z = torch.randn(len(y), LATENT_DIM, device=y.device) if z is None else z
        z2 = torch.randn(len(y), LATENT_DIM, device=y.device) if z2 is None else z2
        masks = self._masks(batch["x_real"])
        latent, latent2 = lambda: self.F(z, y), lambda: self.F(z2, y)
        reference, reference2 = lambda: self.E(batch["x_ref"], y), lambda: self.E(batch["x_ref2"], y)
        found: Losses = {}

        def descend(phase: str, losses: Losses, *trained: str) -> None:
            weights = {"diversity": -self.diversity * (1 - self.done / self.over)}
            total = sum((weights.get(name, 1.0) * loss for name, loss in losses.items()), torch.zeros(()))
            for optimizer in self.optimizers.values():
                optimizer.zero_grad()
            total.backward()
            for name in trained:
                self.optimizers[name].step()
            found.update({f"{phase}/{name}": loss.detach() for name, loss in losses.items()})

        descend("d_latent", self._d_losses(batch, latent, masks), "discriminator")
        descend("d_reference", self._d_losses(batch, reference, masks), "discriminator")
        descend("g_latent", self._g_losses(batch, latent, latent2, masks), *AVERAGED)
        descend("g_reference", self._g_losses(batch, reference, reference2, masks), "generator")
        self.done += 1
        with torch.no_grad():
            for name, average in self.averages.items():
                for mine, its in zip(average.parameters(), self.networks[name].parameters(), strict=True):
                    mine.lerp_(its, 1 - 0.999)
        return found

    def _masks(self, x: Tensor) -> Masks | None:
        return None if self.fan is None else self.fan(x)

    def _d_losses(self, batch: Batch, style: Style, masks: Masks | None) -> Losses:
        x = batch["x_real"].detach().requires_grad_()
        real = self.D(x, batch["y_org"])
        (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        with torch.no_grad():
            x_fake = self.G(x, style(), masks)
        fake = self.D(x_fake, batch["y_trg"])
        return {"adversarial": bce(real, 1) + bce(fake, 0), "r1": 0.5 * gradient.square().sum((1, 2, 3)).mean()}

    def _g_losses(self, batch: Batch, style: Style, style2: Style, masks: Masks | None) -> Losses:
        x = batch["x_real"]
        s = style()
        x_fake = self.G(x, s, masks)
        with torch.no_grad():
            x_fake2 = self.G(x, style2(), masks)
        x_rec = self.G(x_fake, self.E(x, batch["y_org"]), self._masks(x_fake))
        return {
            "adversarial": bce(self.D(x_fake, batch["y_trg"]), 1),
            "style": (self.E(x_fake, batch["y_trg"]) - s).abs().mean(),
            "diversity": (x_fake - x_fake2).abs().mean(),
            "cycle": (x_rec - x).abs().mean(),
        }
