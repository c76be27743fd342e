"""The loss of the image encoder."""

from __future__ import annotations

from torch import Tensor


def kld(posterior: Tensor) -> Tensor:
    """KL divergence of q(z | x) = N(μ, σ²) from the prior N(0, I) (Park et al. 2019, section 3).

    posterior: μ and log σ², (N, 2, D). The result is a sum over the D elements, and a mean over the batch.
    """
    mean, log_variance = posterior.unbind(1)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
