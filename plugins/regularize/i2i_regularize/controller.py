"""Controller of ADA: measures overfitting of D and adapts the probability p (Karras et al. 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from i2i_core.errors import Problem, RecipeError, did_you_mean
from i2i_core.interfaces import RunContext
from i2i_core.recipe.names import NetworkName, PhaseName

from .ada import ADA


def overfitting(real_logits: Tensor) -> Tensor:
    """Overfitting heuristic r_t = E[sign(D(x))] over real pictures: 0 without overfitting, 1 with full overfitting.

    real_logits: D(x), logits of any shape.

    The value has no gradient. Give the loss `weight: 0`.
    """
    return real_logits.detach().sign().mean()


class Controller:
    """Hook that adapts the p of a network wrapped by regularize/ada, so that r_t stays near `target`.

    Every `every` steps: p ← p + sign(mean r_t − target) · pictures / speed, clamped to [0, 1]. The mean of r_t and the
    number of pictures are taken since the last update.

    network: name of the wrapped network.
    phase, loss: phase and name of the loss regularize/overfitting, which gives r_t. It is averaged over processes, so
        p is the same in all of them.
    target: target of r_t, in [-1, 1].
    speed: number of pictures in which p can rise from 0 to 1.
    every: steps between two updates of p.
    log_every: steps between two lines of metrics that contain p.

    Raises RecipeError if the network is not wrapped by regularize/ada, or the phase does not have the loss.
    """

    def __init__(
        self,
        *,
        name: str,
        network: NetworkName,
        phase: PhaseName,
        loss: str = "overfitting",
        target: Annotated[float, Field(ge=-1, le=1)] = 0.6,
        speed: PositiveInt = 500_000,
        every: PositiveInt = 4,
        log_every: PositiveInt = 100,
    ) -> None:
        self.name, self.network, self.phase, self.loss, self.target = name, network, phase, loss, target
        self.speed, self.every, self.log_every = speed, every, log_every

    def run_start(self, run: RunContext) -> None:
        wrappers = [module for module in run.networks[self.network].modules() if isinstance(module, ADA)]
        if not wrappers:
            inner = run.recipe.networks[self.network].use
            raise self._problem(
                run,
                "network",
                f"network {self.network} is not wrapped by regularize/ada, so it has no p",
                f"write {{use: regularize/ada, network: {{use: {inner}, ...}}}}",
            )
        terms = dict(run.recipe.terms(self.phase))
        if self.loss not in terms:
            raise self._problem(
                run, "loss", f"phase {self.phase} has no loss {self.loss}", did_you_mean(self.loss, terms)
            )
        self.p = wrappers[0].p
        self.excess = torch.zeros_like(self.p)
        """Sum of r_t − target since the last update of p."""
        self.amount = self.every * run.recipe.data.batch_size / self.speed

    def _problem(self, run: RunContext, key: str, message: str, hint: str) -> RecipeError:
        return RecipeError([Problem(message, run.recipe.mark("hooks", self.name, key), hint)])

    @torch.no_grad()
    def after_phase(self, run: RunContext, phase: str, losses: Mapping[str, Tensor]) -> None:
        if phase != self.phase:
            return
        if self.loss in losses:  # absent in steps that the loss skips with its own `every`
            self.excess += losses[self.loss] - self.target
        if (run.step + 1) % self.every == 0:
            self.p.add_(self.excess.sign(), alpha=self.amount).clamp_(0, 1)
            self.excess.zero_()

    def after_step(self, run: RunContext) -> None:
        if run.step % self.log_every == 0:
            run.log({f"{self.network}/p": float(self.p)})

    def state_dict(self) -> dict[str, Tensor]:
        return {"excess": self.excess}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.excess.copy_(state["excess"])
