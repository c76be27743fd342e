"""The probability p of ADA: adapted to the overfitting of D (Karras et al. 2020, section 3.1), or given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from i2i_core.errors import Problem, RecipeError, did_you_mean
from i2i_core.interfaces import RunContext, Schedule, number_at
from i2i_core.recipe.names import NetworkName, PhaseName

from .ada import ADA

InUnit = Annotated[float, Field(ge=0, le=1)]


def overfitting(real_logits: Tensor) -> Tensor:
    """Overfitting heuristic r_t = E[sign(D(x))] over real pictures: 0 without overfitting, 1 with full overfitting.

    real_logits: D(x), logits of any shape.

    The value has no gradient. Give the loss `weight: 0`.
    """
    return real_logits.detach().sign().mean()


def p_of(run: RunContext, network: str, hook: str) -> Tensor:
    """Return the p of a network wrapped by regularize/ada, 0-d; `hook` changes it. Raises RecipeError without one."""
    for module in run.networks[network].modules():
        if isinstance(module, ADA):
            return module.p
    what = f"network {network} is not wrapped by regularize/ada, so it has no p"
    hint = f"write {{use: regularize/ada, network: {{use: {run.recipe.networks[network].use}, ...}}}}"
    raise RecipeError([Problem(what, run.recipe.mark("hooks", hook, "network"), hint)])


class Probability:
    """Hook that sets the p of a network wrapped by regularize/ada, which may change with the step alone.

    network: name of the wrapped network.
    p: the probability of each augmentation, in [0, 1], a number or a schedule.

    Raises RecipeError if the network is not wrapped by regularize/ada.
    """

    def __init__(self, *, name: str, network: NetworkName, p: InUnit | Schedule) -> None:
        self.name, self.network, self.p = name, network, p

    def run_start(self, run: RunContext) -> None:
        self.buffer = p_of(run, self.network, self.name)
        self.after_step(run)

    def after_step(self, run: RunContext) -> None:
        self.buffer.fill_(number_at(self.p, run.step))


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
        self.p = p_of(run, self.network, self.name)
        terms = dict(run.recipe.terms(self.phase))
        if self.loss not in terms:
            what, hint = f"phase {self.phase} has no loss {self.loss}", did_you_mean(self.loss, terms)
            raise RecipeError([Problem(what, run.recipe.mark("hooks", self.name, "loss"), hint)])
        self.excess = torch.zeros_like(self.p)
        """Sum of r_t − target since the last update of p."""
        self.amount = self.every * run.recipe.data.batch_size / self.speed

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
