"""Overhead of i2i: an iteration of the quick start against the same iteration in plain PyTorch.

    python -m benchmarks.overhead [--json]

Both sides train the same modules with the same losses, batches and optimizers, and share the same computations. The
benchmark first checks that they end with the same parameters. Then blocks of iterations alternate in one process with
one thread, and the medians of CPU time per iteration are compared. The difference is the cost of the plan, of named
tensors, of events and of the finite check in each phase.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.losses.gan import bce
from i2i_core.training.losses.penalties import r1
from i2i_core.training.run import Run
from i2i_fan_mask.components import everywhere
from i2i_stargan_v2.losses import cycle, diversity, style
from i2i_stargan_v2.r1 import logits_for_r1

QUIET = ("progress", "checkpoint", "latent", "reference", "true_pairs")
"""Hooks that print, save and draw, which are removed; metrics and EMA stay."""
Batch = Mapping[str, Tensor]


def quick_start(*sets: str) -> Run:
    """Return a run of the quick-start recipe, started but not trained."""
    hooks = [f"hooks.{name}=null" for name in QUIET]
    run = Run(load("stargan_v2.yaml", [*hooks, *sets], discover()), make_accelerator("fp32"), None)
    run.start()
    return run


class PlainPyTorch:
    """Iteration of StarGAN v2 in plain PyTorch, written for this recipe alone."""

    def __init__(self, run: Run) -> None:
        self.networks, self.optimizers = run.networks, run.optimizers
        self.G: Any = run.networks["generator"]
        self.F, self.E, self.D = (run.networks[n] for n in ("mapping_network", "style_encoder", "discriminator"))
        self.averages = {
            name: copy.deepcopy(run.networks[name]).requires_grad_(False)
            for name in ("generator", "mapping_network", "style_encoder")
        }
        self.d_adversarial, self.g_adversarial = bce(player="discriminator"), bce(player="generator")
        (g_latent,) = [phase for phase in run.plan if phase.name == "g_latent"]
        self.weights = {term.name: term.weight for term in g_latent.terms}
        self.gamma = run.recipe.losses["discriminator"]["r1"].params["gamma"]
        self.decay = run.hooks["ema"].decay
        self.step = 0

    def iterate(self, batch: Batch, z: Tensor, z2: Tensor) -> None:
        """Train one iteration: D twice, then G with F and E, then G alone, then EMA."""
        G, F, E, D = self.G, self.F, self.E, self.D
        x, y, y_trg = batch["x_real"], batch["y_org"], batch["y_trg"]
        masks, leaf = everywhere(x), x.detach().requires_grad_()
        w = {name: weight(self.step) for name, weight in self.weights.items()}

        content, s = G.encode(x), F(z, y_trg)
        x_fake = G.decode(content, s, masks)
        real = logits_for_r1(D, leaf, y)
        self._descend(self.d_adversarial(real, D(x_fake, y_trg)) + r1(real, leaf, gamma=self.gamma), "discriminator")

        with torch.no_grad():
            other = G.decode(content, E(batch["x_ref"], y_trg), masks)
        real = logits_for_r1(D, leaf, y)
        self._descend(self.d_adversarial(real, D(other, y_trg)) + r1(real, leaf, gamma=self.gamma), "discriminator")

        with torch.no_grad():
            x_fake2 = G.decode(content, F(z2, y_trg), masks)
        x_rec = G(x_fake, E(x, y), everywhere(x_fake))
        self._descend(
            w["adversarial"] * self.g_adversarial(D(x_fake, y_trg))
            + w["style"] * style(E(x_fake, y_trg), s)
            + w["diversity"] * diversity(x_fake, x_fake2)
            + w["cycle"] * cycle(x_rec, x),
            "generator",
            "mapping_network",
            "style_encoder",
        )

        content = G.encode(x)
        with torch.no_grad():
            s, s2, s_org = E(batch["x_ref"], y_trg), E(batch["x_ref2"], y_trg), E(x, y)
            x_fake2 = G.decode(content, s2, masks)
        x_fake = G.decode(content, s, masks)
        x_rec = G(x_fake, s_org, everywhere(x_fake))
        self._descend(
            w["adversarial"] * self.g_adversarial(D(x_fake, y_trg))
            + w["style"] * style(E(x_fake, y_trg), s)
            + w["diversity"] * diversity(x_fake, x_fake2)
            + w["cycle"] * cycle(x_rec, x),
            "generator",
        )

        self.step += 1
        with torch.no_grad():
            for name, average in self.averages.items():
                torch._foreach_lerp_(
                    list(average.parameters()),
                    list(self.networks[name].parameters()),
                    (1 - self.decay) / (1 - self.decay**self.step),
                )

    def _descend(self, loss: Tensor, *names: str) -> None:
        parameters = [p for name in names for p in self.networks[name].parameters() if p.requires_grad]
        for p in parameters:
            p.grad = None
        torch.autograd.backward(loss, inputs=parameters)
        for p in parameters:
            if p.grad is None:  # the head of a domain that is not in the batch
                p.grad = torch.zeros_like(p)
        for name in names:
            optimizer, schedule = self.optimizers[name].optimizer, self.optimizers[name].schedules.get("lr")
            if schedule is not None:
                for group in optimizer.param_groups:
                    group["lr"] = schedule(self.step)
            optimizer.step()


def train_on(run: Run, batches: Sequence[Batch]) -> None:
    """Train with the trainer of i2i on the given batches."""

    def given() -> Generator[dict[str, Tensor]]:
        yield from map(dict, batches)

    run.batches = given  # type: ignore[method-assign]
    run.trainer.train(run)


def largest_difference(networks: Mapping[str, nn.Module], others: Mapping[str, nn.Module]) -> float:
    return max(
        float((p - q).abs().max().detach())
        for name in networks
        for p, q in zip(networks[name].parameters(), others[name].parameters(), strict=True)
    )


def check(framework: Run, other: Run) -> float:
    """Return the largest difference of a parameter after 2 steps of the same run in float64."""
    plain, batches = PlainPyTorch(other), list(itertools.islice(framework.batches(), 2))
    for step, batch in enumerate(batches):
        draws, dim = framework.draws(step), plain.F.latent_dim
        assert isinstance(dim, int)
        plain.iterate(batch, draws.normal("z_trg")(dim), draws.normal("z_trg2")(dim))
    train_on(framework, batches)
    return max(
        largest_difference(framework.networks, plain.networks),
        largest_difference(framework.hooks["ema"].averages, plain.averages),
    )


def seconds(work: Callable[[], None], iterations: int) -> float:
    """Measure the CPU seconds of this process per iteration."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / iterations


def measure(blocks: int = 20, iterations: int = 4, sets: Sequence[str] = ()) -> dict[str, float]:
    """Measure the milliseconds of an iteration of i2i and of plain PyTorch, and the overhead in per cent."""
    torch.set_num_threads(1)
    difference = check(*(quick_start("precision=fp64", *sets) for _ in range(2)))
    framework, plain = quick_start(*sets), PlainPyTorch(quick_start(*sets))
    made = list(itertools.islice(framework.batches(), 8))
    endless: Iterator[Batch] = itertools.cycle(made)

    def a() -> None:
        train_on(framework, list(itertools.islice(endless, iterations)))

    def b() -> None:
        for batch in itertools.islice(endless, iterations):
            size = len(batch["x_real"])
            plain.iterate(batch, torch.randn(size, 16), torch.randn(size, 16))

    times: dict[Callable[[], None], list[float]] = {a: [], b: []}
    for block in range(blocks):
        for work in (a, b) if block % 2 else (b, a):
            times[work].append(seconds(work, iterations))
    ours, theirs = statistics.median(times[a]), statistics.median(times[b])
    return {
        "framework_ms": 1000 * ours,
        "pytorch_ms": 1000 * theirs,
        "overhead_percent": 100 * (ours / theirs - 1),
        "largest_difference": difference,
        "iterations": blocks * iterations,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=20, help="number of alternating pairs of blocks")
    parser.add_argument("--iterations", type=int, default=4, help="iterations in a block")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="change the recipe")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found = measure(options.blocks, options.iterations, options.set)
    if options.json:
        print(json.dumps(found))
    else:
        print(
            "i2i {framework_ms:.1f} ms per iteration, plain PyTorch {pytorch_ms:.1f} ms: {overhead_percent:+.2f} % "
            "(medians of CPU time, {iterations} iterations each; parameters agree to {largest_difference:.1g})".format(
                **found
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
