"""Optimizers: keys that change during a run, parts of a network with a rate of their own, and networks without one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from i2i_core.disk.checkpoints import newest
from i2i_core.errors import RecipeError
from i2i_core.plan.resolved import changes, dump, resolve
from i2i_core.recipe.document import load_text

from .runs import NO_GRIDS, train
from .steps import critic

D_ALONE = ("steps=10", "phases.g.after=9")
"""Ten steps, in which G moves last."""
PARTS = 'optimizers.discriminator={parts: {"first.*": {lr_scale: 0.1}, "*.bias": {lr_scale: 0}}}'


def trained_by_hand(
    run: Any, optimizer: torch.optim.Optimizer, network: nn.Module, each: Callable[[int], None]
) -> None:
    """Ten steps of D alone; each(step): called before each step of the optimizer."""
    G, batches = run.networks["generator"], run.batches()
    for step in range(10):
        x, z = next(batches)["x_real"][:, 0, 0, :4], run.draws(step).normal("z")(4)
        optimizer.zero_grad()
        critic(network(x), network(G(z).detach())).backward()
        each(step)
        optimizer.step()
    batches.close()


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    for name, p in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), p, rtol=1e-10, atol=1e-12)


def test_the_second_beta_of_adam_may_change(run_of) -> None:
    run = run_of("optimizers.default={use: adam, lr: 1e-2, betas: [0.5, {ramp: [0.9, 0.99], over: 8}]}", *D_ALONE)
    D = copy.deepcopy(run.networks["discriminator"])
    adam = torch.optim.Adam(D.parameters(), lr=1e-2)

    def each(step: int) -> None:
        adam.param_groups[0]["betas"] = (0.5, 0.9 + 0.09 * min(step / 8, 1))

    trained_by_hand(run, adam, D, each)
    run.trainer.train(run)
    assert_equal(run.networks["discriminator"], D)
    assert run.optimizers["discriminator"].optimizer.param_groups[0]["betas"] == [0.5, 0.99]


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_part_has_its_share_of_the_rate_also_of_one_that_changes(run_of, scheduled: bool) -> None:
    lr = "{ramp: [1e-2, 2e-2], over: 5}" if scheduled else "1e-2"
    run = run_of(*D_ALONE, f"optimizers.default.lr={lr}", PARTS)
    D = copy.deepcopy(run.networks["discriminator"])
    scales = {"first.weight": 0.1, "first.bias": 0.1, "last.weight": 1.0, "last.bias": 0.0}
    adam = torch.optim.Adam([{"params": [p], "name": n} for n, p in D.named_parameters()], lr=1e-2, betas=(0.5, 0.9))

    def each(step: int) -> None:
        for group in adam.param_groups:
            group["lr"] = (1e-2 + (1e-2 * min(step / 5, 1) if scheduled else 0)) * scales[group["name"]]

    before = D.last.bias.detach().clone()
    trained_by_hand(run, adam, D, each)
    run.trainer.train(run)
    assert_equal(run.networks["discriminator"], D)
    assert torch.equal(run.networks["discriminator"].last.bias, before)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            '{"frst.weight": {lr_scale: 0.1}}',
            "no parameter of network discriminator matches frst.weight (did you mean first.weight?)",
        ),
        (
            '{"x*": {lr_scale: 0.1}}',
            "no parameter of network discriminator matches x* (known: first.bias, first.weight, last.bias, "
            "last.weight)",
        ),
        (
            '{"*": {lr_scale: 0.1}, "first.*": {lr_scale: 1}}',
            "every parameter of network discriminator that matches first.* matches an earlier pattern, too",
        ),
    ],
)
def test_a_part_without_parameters_is_refused(run_of, i2i, parts: str, said: str) -> None:
    change = f"optimizers.discriminator={{parts: {parts}}}"
    with pytest.raises(RecipeError) as error:
        run_of(change)
    assert str(error.value) == f"--set {change}: {said}"
    steps = Path(__file__).with_name("steps.yaml")
    answer = i2i("validate", steps, "--plugin", steps.with_suffix(".py"), "--set", change)
    assert (answer.code, answer.err) == (2, f"--set {change}: {said}\n")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("betas=[0.5, {ramp: [0.9, 1.5], over: 5}]", "betas.1 should be less than 1, not 1.5"),
        ("betas=[0.5, {ramp: 0.9}]", "betas.1.ramp should be a list, not 0.9"),
        ("lr={ramp: [-1, 1]}", "lr should be greater than or equal to 0, not -1.0"),
        ("lr=my/steps", "there is no schedule called my/steps"),
        ("parts={a: {lr_scal: 1}}", "unknown key lr_scal in optimizers.default.parts.a"),
        ("parts={a: {lr_scale: -1}}", "lr_scale should be greater than or equal to 0, not -1"),
    ],
)
def test_keys_of_optimizers_are_checked_at_both_ends_of_a_schedule(step_mistakes, key: str, said: str) -> None:
    found = step_mistakes(f"optimizers.default.{key}")
    assert found
    assert all(problem.startswith(f"--set optimizers.default.{key}: ") for problem in found)
    assert said in "\n".join(found)


def test_patterns_survive_in_the_resolved_recipe_of_a_run(check_steps) -> None:
    checked = check_steps(PARTS)
    text = dump(checked)
    assert load_text(text, "").data == resolve(checked)
    assert changes(text, checked) == []
    (change,) = changes(text, check_steps(PARTS.replace("0.1", "0.2")))
    assert change.allowed


# Frozen networks.

FROZEN = ("networks.encoder={use: steps/normed, frozen: true}", "losses.g.features={use: steps/pull, of: features}")


def test_a_frozen_network_passes_gradients_and_stays_as_it_is(run_of) -> None:
    run = run_of(*FROZEN, "losses.g.wish=null", "losses.d.gap.weight=1")
    encoder, G = (copy.deepcopy(run.networks[name]) for name in ("encoder", "generator"))
    assert not run.networks["encoder"].norm.training
    assert not any(p.requires_grad for p in run.networks["encoder"].parameters())
    assert "encoder" not in run.optimizers
    run.trainer.train(run)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(run.networks["encoder"].state_dict()[name], tensor)
    assert (run.networks["generator"].last.weight - G.last.weight).abs().max() > 1e-3
    assert run.networks["encoder"](torch.zeros(2, 4, dtype=torch.float64)).shape == (2, 4)
    assert run.saved_parts.pack()["networks/encoder"].keys() == encoder.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "phases.g={train: [generator, encoder], losses: g}",
            "phase g trains encoder, which is frozen (remove one of the two)",
        ),
        ("optimizers.encoder={lr: 1}", "network encoder is frozen, so it has no optimizer"),
        ("networks.encoder={use: steps/normed, frozen: often}", "networks.encoder.frozen should be true or false"),
    ],
)
def test_a_frozen_network_is_not_trained(step_mistakes, change: str, said: str) -> None:
    found = step_mistakes(*FROZEN, change)
    assert said in found[0]
    assert f"--set {change}" in found[0]


def test_a_resolved_recipe_says_what_is_frozen(check_steps) -> None:
    networks = resolve(check_steps(*FROZEN))["networks"]
    assert {name: keys["frozen"] for name, keys in networks.items()} == {
        "generator": False,
        "discriminator": False,
        "encoder": True,
    }


def test_a_frozen_network_is_in_checkpoints(tmp_path: Path) -> None:
    phases = (
        "phases={d: {train: discriminator, losses: discriminator, where: {s_trg: s_latent}}, "
        "g_latent: {train: [generator, mapping_network], losses: generator, where: {s_trg: s_latent, "
        "s_trg2: s_latent2}}}"
    )
    hooks = ("hooks.true_pairs=null", "hooks.ema.networks=[generator]")
    run = train(tmp_path / "run", "networks.style_encoder.frozen=true", phases, *hooks, "steps=2", *NO_GRIDS)
    saved = newest(tmp_path / "run" / "checkpoints", print)
    assert saved is not None
    parts = saved.parts()
    weights = run.networks["style_encoder"].state_dict()
    assert parts["networks/style_encoder"].keys() == weights.keys()
    assert "optimizers/style_encoder" not in parts
