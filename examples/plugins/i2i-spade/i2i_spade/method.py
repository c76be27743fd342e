"""SPADE as named tensors (Park et al. 2019, section 3).

x_real is the label map m, one-hot (N, C, H, W), and x_pair its photo x, (N, 3, H, W) in [-1, 1], so the data set must
be paired. A recipe may add the tensor `edges`, (N, 1, H, W), such as spade/edges, and the network `encoder`. The latent
z is drawn from the prior N(0, I), unless a phase or a use says `where: {z: z_pair}` or `where: {z: z_reference}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from .discriminator import Judgement
    from .generator import Generator


def segmentation(x_real: Tensor, edges: Tensor | None = None) -> Tensor:
    """The input of the networks: the label map, with the edges of instances as a further channel if there are any."""
    return x_real if edges is None else torch.cat([x_real, edges.to(x_real.dtype)], dim=1)


def z_latent(normal: Callable[..., Tensor], generator: Generator) -> Tensor:
    """A latent from the prior N(0, I), (N, latent_dim)."""
    return normal(generator.latent_dim)


def posterior(encoder: nn.Module, x_pair: Tensor) -> Tensor:
    """Mean and log variance of q(z | x) for the true photo, (N, 2, latent_dim) (appendix A, image encoder)."""
    made: Tensor = encoder(x_pair)
    return made


def z_pair(posterior: Tensor, normal: Callable[..., Tensor]) -> Tensor:
    """A latent from q(z | x) by reparametrisation: z = μ + σ ε (section 3, multi-modal synthesis)."""
    mean, log_variance = posterior.unbind(1)
    return mean + (log_variance / 2).exp() * normal(mean.shape[1])


def z_reference(encoder: nn.Module, x_ref: Tensor) -> Tensor:
    """The latent of a reference: the mean μ of q(z | x_ref), (N, latent_dim)."""
    mean: Tensor = encoder(x_ref)[:, 0]
    return mean


def z(z_latent: Tensor) -> Tensor:
    """The latent of the translation, (N, latent_dim): from the prior, unless an alias replaces it."""
    return z_latent


def x_fake(generator: nn.Module, segmentation: Tensor, z: Tensor) -> Tensor:
    """G(m, z)."""
    x: Tensor = generator(segmentation, z)
    return x


def real_judgement(discriminator: nn.Module, segmentation: Tensor, x_pair: Tensor) -> Judgement:
    """D(m, x): logits and features."""
    return _judged(discriminator, segmentation, x_pair)


def fake_judgement(discriminator: nn.Module, segmentation: Tensor, x_fake: Tensor) -> Judgement:
    """D(m, G(m, z)): logits and features."""
    return _judged(discriminator, segmentation, x_fake)


def real_logits(real_judgement: Judgement) -> list[Tensor]:
    return real_judgement.logits


def fake_logits(fake_judgement: Judgement) -> list[Tensor]:
    return fake_judgement.logits


def real_features(real_judgement: Judgement) -> list[list[Tensor]]:
    return real_judgement.features


def fake_features(fake_judgement: Judgement) -> list[list[Tensor]]:
    return fake_judgement.features


def _judged(discriminator: nn.Module, segmentation: Tensor, x: Tensor) -> Judgement:
    """D of a picture and of the label map at the picture's size (appendix A, discriminator)."""
    if segmentation.shape[2:] != x.shape[2:]:
        segmentation = F.interpolate(segmentation, x.shape[2:], mode="nearest")
    made: Judgement = discriminator(torch.cat([segmentation, x], dim=1))
    return made
