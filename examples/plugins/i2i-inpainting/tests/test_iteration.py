"""The method against an iteration written out by hand, in float64: networks and batches are a run's, no more."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

SMALL = (
    "precision=fp64",
    "steps=4",
    "data.image_size=32",
    "data.batch_size=2",
    "networks.generator={use: inpainting/completion, width: 4, dilations: [2]}",
    "networks.discriminator={use: inpainting/discriminator, width: 4, features: 8}",
    "losses.adversarial.adversarial.weight=0.1",
    "optimizers.default.lr=1e-3",
    "phases.completion.until=2",
    "phases.discriminator.after=1",
    "phases.joint.after=2",
    *(f"hooks.{name}=null" for name in ("samples", "holes", "hole_error", "progress")),
)


def run_of(*sets: str) -> Run:
    return Run(load("inpainting.yaml", [*SMALL, *sets], discover()), make_accelerator("fp64"), None)


def mse(made: Tensor, x: Tensor, hole: Tensor) -> Tensor:
    """The loss, a picture and a pixel of its hole at a time."""
    errors = []
    for n in range(len(x)):
        squares = [(made[n, :, i, j] - x[n, :, i, j]).square().mean() for i, j in hole[n, 0].nonzero().tolist()]
        errors.append(torch.stack(squares).mean())
    return torch.stack(errors).mean()


def judged(D: nn.Module, x: Tensor, hole: Tensor) -> Tensor:
    patches = []
    for n in range(len(x)):
        rows, columns = hole[n, 0].nonzero().T
        top, left = ((int(p.min() + p.max()) + 1 - 16) // 2 for p in (rows, columns))
        top, left = min(max(top, 0), 16), min(max(left, 0), 16)
        patches.append(x[n, :, top : top + 16, left : left + 16])
    vectors = [D.get_submodule("whole")(x), D.get_submodule("local")(torch.stack(patches))]
    logits: Tensor = D.get_submodule("logit")(torch.cat(vectors, 1))
    return logits


def test_the_three_phases_are_iterations_by_hand() -> None:
    start = run_of()
    networks = copy.deepcopy(start.networks)
    C, D = networks["generator"], networks["discriminator"]
    step_c = torch.optim.Adam(C.parameters(), lr=start.recipe.optimizer("generator")["lr"])
    step_d = torch.optim.Adam(D.parameters(), lr=start.recipe.optimizer("discriminator")["lr"])
    bce = F.binary_cross_entropy_with_logits
    for step, batch in enumerate(start.batches()):
        x, hole = batch["x_real"], batch["hole_real"]
        made = C(x * (1 - hole), hole)
        if step < 2:
            minimise(mse(made, x, hole), step_c)
            made = C(x * (1 - hole), hole) if step else made  # of the network as it is now
        fake = torch.where(hole > 0, made, x)
        if step >= 1:
            real_logits, fake_logits = judged(D, x, batch["hole_ref"]), judged(D, fake.detach(), hole)
            loss = bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))
            minimise(loss, step_d)
        if step >= 2:
            D.requires_grad_(False)
            fake_logits = judged(D, fake, hole)
            minimise(mse(made, x, hole) + 0.1 * bce(fake_logits, torch.ones_like(fake_logits)), step_c)
            D.requires_grad_(True)
    run = run_of()
    run.start()
    run.trainer.train(run)
    for name, network in networks.items():
        first, found = (dict(of.networks[name].state_dict()) for of in (start, run))
        moved = 0.0
        for key, value in network.state_dict().items():
            if cancelled(network, key):
                continue
            torch.testing.assert_close(found[key], value, rtol=0, atol=1e-9, msg=lambda said, at=key: f"{at}: {said}")
            moved = max(moved, float((value.double() - first[key].double()).abs().max()))
        assert moved > 1e-4


def cancelled(network: nn.Module, key: str) -> bool:
    """Return True if a batch norm cancels a bias: its gradient is rounding noise, of which Adam makes steps."""
    module, _, parameter = key.rpartition(".")
    following = f"{module.rpartition('.')[0]}.{int(module.rpartition('.')[2]) + 1}" if module[-1:].isdigit() else ""
    modules = dict(network.named_modules())
    if parameter == "running_mean":  # of such a bias
        return True
    return (
        parameter == "bias"
        and not isinstance(modules[module], nn.BatchNorm2d)
        and isinstance(modules.get(following), nn.BatchNorm2d)
    )


def minimise(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
