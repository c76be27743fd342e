"""Comparison of the results of baseline and product, which precedes any comparison of their speed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.case import Case
from benchmarks.overhead import train_on
from i2i_core.training.events import event_bus

NOISE = 1e-10
"""Share of the largest gradient below which a gradient is rounding noise."""


class Losses:
    """Hook that records the losses of every iteration."""

    def __init__(self) -> None:
        self.found: list[dict[str, Tensor]] = []

    def after_step(self, losses: dict[str, Tensor]) -> None:
        self.found.append(dict(losses))


def largest_differences(case: Case, *, steps: int = 2, channel_base: int, max_channels: int) -> dict[str, float]:
    """Return the largest differences of losses, parameters and averages after some steps of both sides.

    Both sides start from the same weights and train on the same batches. The case must be in float64. Differences of
    losses are relative to 1 + the loss.
    """
    narrow = [
        f"networks.{name}.{key}={value}"
        for name in ("generator", "style_encoder", "discriminator")
        for key, value in (("channel_base", channel_base), ("max_channels", max_channels))
    ]
    run = replace(case, sets=(*case.sets, *narrow)).product()
    training = case.baseline(channel_base=channel_base, max_channels=max_channels)
    averages = run.hooks["ema"].averages
    for name, network in training.networks.items():
        network.load_state_dict(run.networks[name].state_dict())
    for name, average in training.averages.items():
        average.load_state_dict(averages[name].state_dict())
    batches, losses = case.batches(steps), Losses()
    run.events = event_bus({**run.hooks, "losses": losses})

    draws = [run.draws(step) for step in range(steps)]
    theirs = [
        training.iterate(batch, draw.normal("z_trg")(16), draw.normal("z_trg2")(16))
        for batch, draw in zip(batches, draws, strict=True)
    ]
    train_on(run, batches)
    moved_by_rounding = cancelled(training.G)
    return {
        "losses": max(
            abs(float(ours[name]) - float(loss)) / (1 + abs(float(loss)))
            for ours, found in zip(losses.found, theirs, strict=True)
            for name, loss in found.items()
        ),
        "parameters": max(
            _difference(run.networks[name], network, moved_by_rounding if name == "generator" else ())
            for name, network in training.networks.items()
        ),
        "averages": max(
            _difference(averages[name], average, moved_by_rounding if name == "generator" else ())
            for name, average in training.averages.items()
        ),
    }


def cancelled(generator: nn.Module) -> set[str]:
    """Return the biases that an instance norm cancels; their gradient is rounding noise, which Adam scales up."""
    gradients = {name: float(p.grad.norm()) for name, p in generator.named_parameters() if p.grad is not None}
    return {name for name, norm in gradients.items() if norm < NOISE * max(gradients.values())}


@torch.no_grad()
def _difference(ours: nn.Module, theirs: nn.Module, but: Collection[str]) -> float:
    mine = dict(ours.named_parameters())
    return max(float((p - mine[name]).abs().max()) for name, p in theirs.named_parameters() if name not in but)
