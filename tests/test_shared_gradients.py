"""The real trainer's iteration against one that computes every loss of every phase from scratch, with a graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor

from i2i_core.plan.check import check_recipe
from i2i_core.recipe.reading import parse_recipe
from i2i_core.training.events import event_bus
from i2i_core.training.run import Run

TINY = (
    *(
        f"networks.{network}.{key}={value}"
        for network in ("generator", "style_encoder", "discriminator")
        for key, value in (("channel_base", 64), ("max_channels", 8))
    ),
    "networks.mapping_network.hidden_dim=16",
    "data.image_size=32",
    "data.batch_size=2",
    "steps=1",
    "precision=fp64",
    "optimizers.default={use: sgd, lr: 0.1}",
    "optimizers.mapping_network={lr: 0.01}",
    *(
        f"hooks.{name}=null"
        for name in ("ema", "latent", "reference", "true_pairs", "progress", "metrics", "checkpoint")
    ),
)
Weights = dict[str, dict[str, Tensor]]


def weights_of(networks: dict[str, Any]) -> Weights:
    return {name: {key: p.detach().clone() for key, p in net.named_parameters()} for name, net in networks.items()}


@dataclass
class Recorder:
    """A hook that keeps what a phase leaves: losses, gradients, and weights before the first and after each."""

    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    gradients: dict[str, Weights] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)

    def before_phase(self, run, phase):
        self.weights.setdefault("before", weights_of(run.networks))

    def after_phase(self, run, phase, losses):
        trained = run.recipe.phases[phase].train
        self.losses[phase] = {name: float(value) for name, value in losses.items()}
        self.gradients[phase] = {
            name: {key: p.grad.clone() for key, p in run.networks[name].named_parameters() if p.requires_grad}
            for name in trained
        }
        self.weights[phase] = weights_of(run.networks)


class FromScratch:
    """Losses that share nothing with one another: each calls all its functions again, and everything has a graph."""

    def __init__(self, run: Run, specs: Any, batch: dict[str, Tensor]) -> None:
        self.run, self.networks, self.batch = run, copy.deepcopy(run.networks), batch
        self.reads = {
            (phase, name): specs[group, name].reads
            for phase, keys in run.recipe.phases.items()
            for group in keys.losses
            for name in run.recipe.losses[group]
        }

    def make(self, name: str, made: dict[str, Any], where: Any, asker: str = "") -> Any:
        name = where.get(name, name)
        if name == "normal":
            return self.run.draws(0).normal(asker)
        if name not in made:
            definition = self.run.planner.definitions[name]
            value = definition.call(**{a: self.make(read, made, where, name) for a, read in definition.reads.items()})
            made[name] = value.detach() if definition.detached else value
        return made[name]

    def losses(self, phase: str) -> Iterator[tuple[str, float, Tensor]]:
        where = self.run.recipe.phases[phase].where
        for term in (term for planned in self.run.plan if planned.name == phase for term in planned.terms):
            made = {**self.batch, **self.networks, "step": 0}  # within one loss, R1 needs the logits' leaf
            reads = self.reads[phase, term.name]
            yield (
                term.name,
                term.weight(0),
                term.call(**{argument: self.make(read, made, where) for argument, read in reads.items()}),
            )


@pytest.fixture(scope="module")
def iteration(plugins) -> Iterator[tuple[Recorder, FromScratch, Run]]:
    """One iteration of the quick start at a tiny size, in float64 and with plain gradient descent."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    checked = check_recipe(parse_recipe(text, "stargan_v2.yaml", TINY), plugins)
    run = Run(checked, Accelerator(cpu=True), None)
    batch = next(run.batches())
    scratch = FromScratch(run, checked.losses, batch)
    recorder = Recorder()
    run.events = event_bus({"recorder": recorder})
    run.start()
    run.trainer.train(run)
    yield recorder, scratch, run
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3))


def test_sharing_gives_the_losses_gradients_and_weights_of_computing_everything_from_scratch(iteration):
    recorder, scratch, run = iteration
    rates = {name: optimizer.optimizer.param_groups[0]["lr"] for name, optimizer in run.optimizers.items()}
    assert list(recorder.losses) == ["d_latent", "d_reference", "g_latent", "g_reference"]
    compared = 0
    for phase, losses in recorder.losses.items():
        made = list(scratch.losses(phase))
        assert {name: float(loss.detach()) for name, _, loss in made} == pytest.approx(losses, rel=1e-12)
        total = sum((weight * loss for _, weight, loss in made), torch.zeros((), dtype=torch.float64))
        trained = {
            (name, key): p
            for name in run.recipe.phases[phase].train
            for key, p in scratch.networks[name].named_parameters()
            if p.requires_grad
        }
        gradients = torch.autograd.grad(total, list(trained.values()), materialize_grads=True)
        for ((name, key), parameter), gradient in zip(trained.items(), gradients, strict=True):
            assert error(recorder.gradients[phase][name][key], gradient) < 1e-12, (phase, name, key)
            parameter.data -= rates[name] * gradient
            compared += bool(gradient.abs().max() > 1e-3)
        for name, weights in recorder.weights[phase].items():
            for key, parameter in scratch.networks[name].named_parameters():
                assert error(weights[key], parameter.detach()) < 1e-12, (phase, name, key)
    assert compared > 100


def moved(iteration, network: str, before: str, after: str) -> bool:
    """Whether any bit of a network's weights changed."""
    recorder = iteration[0]
    pairs = zip(recorder.weights[before][network].values(), recorder.weights[after][network].values(), strict=True)
    return not all(torch.equal(a, b) for a, b in pairs)


def test_style_encoder_is_untouched_in_the_reference_phase(iteration):
    assert moved(iteration, "style_encoder", "d_reference", "g_latent")
    assert not moved(iteration, "style_encoder", "g_latent", "g_reference")
    assert moved(iteration, "generator", "g_latent", "g_reference")


def test_a_phase_moves_the_networks_that_it_trains_and_no_others(iteration):
    _, _, run = iteration
    names = ["before", *run.recipe.phases]
    for before, phase in zip(names, names[1:], strict=False):
        assert [n for n in run.networks if moved(iteration, n, before, phase)] == [
            n for n in run.networks if n in run.recipe.phases[phase].train
        ]


def test_a_phase_leaves_the_gradients_of_other_networks_alone(iteration):
    """The discriminator's are still those of its own last phase, though both of the generator's went through it."""
    recorder, _, run = iteration
    for key, p in run.networks["discriminator"].named_parameters():
        assert p.requires_grad
        assert torch.equal(p.grad, recorder.gradients["d_reference"]["discriminator"][key])
