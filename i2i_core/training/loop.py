"""The training loop: in each phase of an iteration, compute losses, differentiate, average and step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from i2i_core.errors import PluginError
from i2i_core.plan.draws import seed_generators, seed_of
from i2i_core.plan.planner import PlannedPhase, PlannedTerm
from i2i_core.plan.values import Parameters, Values
from i2i_core.training.finite_check import PhaseReport

if TYPE_CHECKING:
    from i2i_core.training.run import Run


class PhaseTrainer:
    """The training loop that runs the phases of an iteration in order, on one batch."""

    def train(self, run: Run) -> None:
        """Train from iteration `run.step` to the recipe's `steps`, or until the processes agree to stop."""
        # Looked up once, since walking through the modules in every step takes time.
        parameters = {
            name: [p for p in network.parameters() if p.requires_grad] for name, network in run.networks.items()
        }

        @cache
        def phases(names: tuple[str, ...]) -> list[_Phase]:
            return [_Phase(run, planned, parameters) for planned in run.plan_of(names)]

        with closing(run.batches()) as batches:  # so that data workers end in any case
            for batch in batches:
                self._step(run, phases(run.recipe.due(run.step)), parameters, batch)
                if run.stopping:
                    break
        if run.step < run.recipe.steps:
            return
        run.finite_check.wait()
        run.events.run_end(run=run)

    def _step(self, run: Run, phases: Sequence[_Phase], parameters: Parameters, batch: Mapping[str, Tensor]) -> None:
        seed_generators(seed_of(run.recipe.seed, "step", run.step, run.shares.rank), run.placement.device)
        parts = range(run.shares.parts)
        shares = {name: field.chunk(len(parts)) for name, field in batch.items()}
        values = [
            Values(
                {**run.networks, **{name: share[part] for name, share in shares.items()}, "step": run.step},
                run.draws(run.step, part),
                parameters,
            )
            for part in parts
        ]
        losses: dict[str, Tensor] = {}
        for phase in phases:
            run.events.before_phase(run=run, phase=phase.name)
            found = phase.step(values)
            run.events.after_phase(run=run, phase=phase.name, losses=found)
            losses |= {f"{phase.name}/{term}": value for term, value in found.items()}
        run.step += 1
        run.finite_check.wait(before=run.step)
        run.check_folder()
        run.prune()
        run.events.after_step(run=run, losses=losses)
        run.save_if_asked()


class _Phase:
    """One phase, with everything that is the same in all steps looked up once."""

    def __init__(self, run: Run, planned: PlannedPhase, parameters: Parameters) -> None:
        self.run, self.planned, self.name = run, planned, planned.name
        self.parameters = [p for name in planned.trains for p in parameters[name]]

    def step(self, parts: Sequence[Values]) -> dict[str, Tensor]:
        """Compute the losses of all parts of the batch, then step the networks.

        Returns the unweighted losses by name, averaged over parts and processes.
        """
        run = self.run
        due = [term for term in self.planned.terms if term.due(run.step)]
        if not due:
            return {}
        weights = {term.name: term.weight(run.step) * term.every / len(parts) for term in due}
        for p in self.parameters:
            p.grad = None
        losses = [self._differentiate(values, due, weights) for values in parts]
        found = self._average({name: torch.stack([part[name] for part in losses]).mean() for name in losses[0]})
        if not any(weights.values()):
            return found  # all weights are 0, and momentum would move the parameters
        for network in self.planned.trains:
            run.optimizers[network].step(run.step)
        increment_version(self.parameters)  # fused optimizers do not, and autograd needs it
        return found

    def _differentiate(
        self, values: Values, due: Sequence[PlannedTerm], weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Accumulate the gradients of one part of the batch and return its losses."""
        with self.run.accelerator.autocast():
            losses = {term.name: self._loss(term, values) for term in due}
        total = sum((loss * weights[name] for name, loss in losses.items()), torch.zeros(()))
        if total.requires_grad:  # else all losses that are due are constant
            self._backward(total)
        for node in self.planned.release:
            values.pop(node, None)
        return {name: loss.detach() for name, loss in losses.items()}

    def _backward(self, total: Tensor) -> None:
        try:
            torch.autograd.backward(total, inputs=self.parameters)
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
            raise PluginError(
                f"phase {self.name} cannot be differentiated: a hook or a component has changed weights "
                f"in place since they were used, in a network that no phase had stepped; change weights "
                f"in after_step, when an iteration is done"
            ) from error

    def _loss(self, term: PlannedTerm, values: Values) -> Tensor:
        loss = term.loss(values)
        if not isinstance(loss, Tensor) or loss.dim():
            what = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
            raise PluginError(
                f"the loss {term.name} of phase {self.name} should return a scalar tensor; it returned "
                f"a value of {what}"
            )
        return loss.to(self.run.placement.dtype)

    def _average(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Average gradients and losses over processes in one reduce, and send them to the finite check."""
        run, place = self.run, self.run.placement
        for p in self.parameters:
            if p.grad is None:  # unused in this batch: the gradient is zero, and weight decay applies
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        requests = torch.tensor(run.take_requests(), device=place.device, dtype=place.dtype)
        tail = torch.cat([torch.stack([*losses.values()]), requests])
        if run.shares.world > 1:
            flat = torch.cat([*(g.reshape(-1) for g in gradients), tail])
            flat = run.accelerator.reduce(flat, "mean")
            *parts, tail = flat.split([*(g.numel() for g in gradients), tail.numel()])
            torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
        norms = torch.stack(torch._foreach_norm(gradients))
        run.finite_check.send(
            PhaseReport(self.name, run.step + 1, self.planned.trains, list(losses)),
            torch.cat([tail, norms.sum().reshape(1)]),
        )
        return dict(zip(losses, tail[:-2], strict=True))
