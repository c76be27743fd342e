"""LeCam regularisation, which remembers what the discriminator predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, distributed

from i2i_core.training.losses.nested import Nested, mean, paired


class LeCam:
    """LeCam regularisation of D for few pictures: E max(0, D(x) − α_F)² + E max(0, α_R − D(G(x)))² (Tseng et al. 2021).

    Input: `real_logits` and `fake_logits`, tensors (N, ...) or nested lists of them.

    decay: decay γ of the moving averages.

    α_R and α_F are exponential moving averages of D's mean logit of real and of generated pictures. As in the authors'
    code, they include the present batch and are corrected for their start at zero, and the squares are of positive
    parts. Nested logits have a pair of averages for each tensor, and the loss is the mean over tensors.

    The averages are of the whole batch, and the same in all processes. Each call updates them, also those for the parts
    of gradient accumulation and for several phases.
    """

    same_in_all_processes = True

    def __init__(self, *, decay: Annotated[float, Field(ge=0, lt=1)] = 0.99) -> None:
        self.decay = decay
        self.averages: Tensor | None = None
        """Moving averages (tensors, 2) that start at zero, of real and fake logits."""
        self.share: Tensor | None = None
        """The average of ones, (1,): the share of the batches so far in `averages`."""

    def __call__(self, real_logits: Nested, fake_logits: Nested) -> Tensor:
        pairs = paired(real_logits, fake_logits)
        alpha = self._updated(torch.stack([torch.stack([d.detach().mean() for d in pair]) for pair in pairs]))
        return mean(
            F.relu(real - alpha_f).square().mean() + F.relu(alpha_r - fake).square().mean()
            for (real, fake), (alpha_r, alpha_f) in zip(pairs, alpha, strict=True)
        )

    def _updated(self, means: Tensor) -> Tensor:
        """Update the averages with the mean logits of this batch, (tensors, 2), and return them without bias."""
        means = means.to(torch.promote_types(means.dtype, torch.float32))  # bf16 would round small changes away
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(means)
            means /= distributed.get_world_size()
        if self.averages is None or self.share is None:
            self.averages, self.share = torch.zeros_like(means), means.new_zeros(1)
        self.averages = torch.lerp(means, self.averages, self.decay)
        self.share = torch.lerp(torch.ones_like(self.share), self.share, self.decay)
        return self.averages / self.share

    def state_dict(self) -> dict[str, Tensor]:
        if self.averages is None or self.share is None:
            return {}
        return {"averages": self.averages, "share": self.share}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.averages, self.share = state.get("averages"), state.get("share")
