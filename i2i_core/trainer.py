"""The training loop: iterations of phases, each of which computes, differentiates, averages and steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from i2i_core.draws import Draws, seed_generators, seed_of
from i2i_core.errors import Diverged
from i2i_core.schedules import Ramp
from i2i_core.tensors import Node, PlannedPhase, below

if TYPE_CHECKING:
    from i2i_core.run import Run

Values = dict[Node, Any]


def compute(nodes: Iterable[Node], values: Values, networks: Mapping[str, Any], fields: Mapping[str, Tensor],
            draws: Draws) -> None:
    """Fill `values` with each node's value, in order; a node has a graph only where a phase needs one."""
    for node in nodes:
        if node in values:
            continue
        if node.definition is not None:
            with torch.set_grad_enabled(node.graph):
                values[node] = node.definition.call(**arguments(node.arguments, values, networks))
        elif node.kind == "field":
            values[node] = fields[node.name]
        else:
            values[node] = draws.normal(node.name)


def arguments(asked: Iterable[tuple[str, Node]], values: Values, networks: Mapping[str, Any]) -> dict[str, Any]:
    """What a tensor function or a loss is called with."""
    return {name: networks[node.name] if node.kind == "network" else values[node] for name, node in asked}


class PhaseTrainer:
    """Runs every phase of the recipe once per iteration, on one batch."""

    def train(self, run: Run) -> None:
        """From `run.step` to the recipe's steps, or until someone asked the run to stop."""
        phases = [_Phase(run, planned) for planned in run.plan]
        with closing(run.batches()) as batches:  # so that its workers end whatever happens
            for batch in batches:
                self._step(run, phases, batch)
                if run.stopping and run.step < run.recipe.steps:
                    return
        run.events.run_end(run=run)

    def _step(self, run: Run, phases: Sequence[_Phase], batch: Mapping[str, Tensor]) -> None:
        seed_generators(seed_of(run.recipe.seed, "step", run.step, run.accelerator.process_index), run.device)
        values: Values = {}
        losses: dict[str, Tensor] = {}
        draws = run.draws(run.step)
        for phase in phases:
            run.events.before_phase(run=run, phase=phase.name)
            found = phase.step(values, batch, draws)
            run.events.after_phase(run=run, phase=phase.name, losses=found)
            losses |= {f"{phase.name}/{term}": value for term, value in found.items()}
        run.step += 1
        run.events.after_step(run=run, losses=losses)


class _Phase:
    """One phase, with what does not change from step to step looked up once."""

    def __init__(self, run: Run, planned: PlannedPhase) -> None:
        self.run, self.planned, self.name = run, planned, planned.name
        self.parameters = [p for name in planned.trains for p in run.networks[name].parameters() if p.requires_grad]
        self.optimizers = [run.optimizers[name] for name in planned.trains]
        self.schedules = [run.lr_schedules[name] for name in planned.trains]
        self.weights: dict[str, tuple[Ramp, int]] = run.weights[planned.name]
        self.order = (*planned.reuse, *planned.compute)
        self.needs = {term.name: set(below(term.arguments)) for term in planned.terms}

    def step(self, values: Values, batch: Mapping[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Returns the unweighted losses, averaged over processes, by term."""
        run, planned = self.run, self.planned
        due = [term for term in planned.terms if run.step % self.weights[term.name][1] == 0]
        if not due:
            return {}
        needed = self.order
        if len(due) < len(planned.terms):
            wanted = set().union(*(self.needs[term.name] for term in due))
            needed = tuple(node for node in self.order if node in wanted)
        with run.accelerator.autocast():
            compute(needed, values, run.networks, batch, draws)
            losses = {t.name: _scalar(t.call, arguments(t.arguments, values, run.networks)) for t in due}
        total = sum((loss * self._weight(name) for name, loss in losses.items()), torch.zeros(()))
        for p in self.parameters:
            p.grad = None
        torch.autograd.backward(total, inputs=self.parameters)
        found = self._finish({name: loss.detach() for name, loss in losses.items()})
        for node in planned.release:
            values.pop(node, None)
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            if schedule is not None:
                for group in optimizer.param_groups:
                    group["lr"] = schedule(run.step)
            optimizer.step()
        return found

    def _weight(self, name: str) -> float:
        weight, every = self.weights[name]
        return weight(self.run.step) * every

    def _finish(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average gradients and losses over processes in one reduce; raise Diverged before a step would ruin D or G."""
        run = self.run
        for p in self.parameters:
            if p.grad is None:  # a head that the batch did not use: its gradient is zero, and weight decay moves it
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        stop = torch.tensor(float(run.stop_requested != 0), device=run.device)
        tail = torch.stack([*losses.values(), stop]).to(gradients[0].dtype)
        if run.accelerator.num_processes > 1:
            flat = torch.cat([*(g.reshape(-1) for g in gradients), tail])
            flat = run.accelerator.reduce(flat, "mean")
            *parts, tail = flat.split([*(g.numel() for g in gradients), tail.numel()])
            torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
        norms = torch.stack(torch._foreach_norm(gradients))
        *numbers, stop_share, norm = torch.cat([tail, norms.sum().reshape(1)]).tolist()
        if not all(map(math.isfinite, (*numbers, norm))):
            raise self._diverged(dict(zip(losses, numbers, strict=True)))
        run.stopping = run.stopping or stop_share > 0
        return dict(zip(losses, tail[:-1], strict=True))

    def _diverged(self, losses: Mapping[str, float]) -> Diverged:
        bad = [f"loss {name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
        what = " and ".join(bad) or f"the gradient of {' and '.join(self.planned.trains)} is not finite"
        return Diverged(
            f"{what} in phase {self.name} of step {self.run.step + 1}; the networks were not stepped. "
            f"Resume from the last checkpoint with a lower learning rate or another seed")


def _scalar(loss: Callable[..., Any], given: Mapping[str, Any]) -> Tensor:
    value: Tensor = loss(**given)
    return value if value.dtype in (torch.float32, torch.float64) else value.float()
