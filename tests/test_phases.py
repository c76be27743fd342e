"""Phases that run in some steps only: the arithmetic of a loop written by hand, one plan for each set of phases."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from i2i_core.plan.flow import plan_iteration, planner_of
from i2i_core.training.peak_memory import predicted_peak

from .runs import NO_GRIDS, SGD, assert_same_bits, largest_difference, logged, run_forked, train
from .steps import critic, wish

Due = Callable[[int], bool]
PHASES = ("phases.d_reference.every=2", "phases.g_reference.after=1", "phases.g_latent.until=5")


def by_hand(run: Any, steps: int, due: dict[str, Due]) -> dict[str, nn.Module]:
    """Train the networks of a fresh run as its recipe says, each phase in the steps in which it is due."""
    networks = {name: copy.deepcopy(run.networks[name]) for name in ("discriminator", "generator")}
    D, G = networks.values()
    adam = {name: torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.9)) for name, net in networks.items()}

    def descend(loss: Tensor, name: str) -> None:
        parameters = list(networks[name].parameters())
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = gradient
        adam[name].step()

    batches = run.batches()
    for step in range(steps):
        x, z = next(batches)["x_real"][:, 0, 0, :4], run.draws(step).normal("z")(4)
        if due["d"](step):
            descend(critic(D(x), D(G(z).detach())), "discriminator")
        if due["g"](step):
            descend(wish(D(G(z))), "generator")
    batches.close()
    return networks


@pytest.mark.parametrize(
    ("sets", "due"),
    [
        (["phases.g.every=5"], {"g": lambda k: k in (0, 5, 10)}),
        (["phases.d.every=3"], {"d": lambda k: k % 3 == 0}),
        (["phases.d={train: discriminator, losses: d, every: 2, after: 3, until: 8}"], {"d": lambda k: k in (4, 6)}),
        (["phases.d.until=4", "phases.g.after=4"], {"d": lambda k: k < 4, "g": lambda k: k >= 4}),
    ],
)
def test_phases_with_periods_are_a_loop_written_by_hand(run_of, sets: list[str], due: dict[str, Due]) -> None:
    both: dict[str, Due] = {"d": lambda _: True, "g": lambda _: True, **due}
    run = run_of(*sets)
    expected, start = by_hand(run, 12, both), copy.deepcopy(run.networks)
    run.trainer.train(run)
    for name, network in expected.items():
        for key, p in network.named_parameters():
            torch.testing.assert_close(run.networks[name].get_parameter(key), p, rtol=1e-10, atol=1e-12)
            assert (p - start[name].get_parameter(key)).abs().max() > 1e-3
    heard = [(step, name) for step in range(12) for name in ("d", "g") if both[name](step)]
    assert run.hooks["diary"].before == run.hooks["diary"].after == heard


def test_each_set_of_phases_is_planned_once(run_of, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("phases.g.every=5")
    run.trainer.train(run)
    assert run.plan_of.cache_info().misses == 2
    both, alone = run.plan_of(("d", "g")), run.plan_of(("d",))
    assert [phase.name for phase in both] == ["d", "g"]
    assert [phase.name for phase in alone] == ["d"]
    fakes = [next(n for n in plan[0].compute if n.name == "fake") for plan in (both, alone)]
    assert [fake.graph for fake in fakes] == [True, False], "no later phase trains the generator through it"


def test_a_phase_computes_what_a_skipped_one_would_have_and_sees_networks_that_were_not_stepped(check_steps) -> None:
    checked = check_steps()
    (phase,) = plan_iteration(planner_of(checked, checked.fields), checked, due=("g",))
    assert phase.reuse == ()
    assert "fake" in {node.name for node in phase.compute}
    (logits,) = (argument for _, argument in phase.terms[0].arguments)
    assert dict(logits.arguments)["discriminator"].version == 0


def test_a_run_with_periods_resumes_bit_for_bit(tmp_path: Path) -> None:
    sets = (
        *PHASES,
        "losses.discriminator.r1.gamma={ramp: [1, 2], over: 6}",
        "hooks.ema.decay={ramp: [0.5, 0.9], over: 5}",
        "hooks.ema.unbiased=true",
        "optimizers.default={use: adam, lr: {ramp: [1e-4, 2e-4], over: 6}, betas: [0, {ramp: [0.9, 0.99], over: 6}]}",
        'optimizers.generator={parts: {"from_rgb.*": {lr_scale: 0.1}}}',
    )
    train(tmp_path / "whole", *sets)
    killed = run_forked(tmp_path / "run", *sets, "hooks.kill={use: trouble/signal, step: 4, phase: g_latent}")
    assert killed.codes == [-9], killed.printed
    resumed = run_forked(tmp_path / "run", "hooks.kill=null", resume=True)
    assert resumed.codes == [0], resumed.printed
    assert_same_bits(tmp_path / "whole", tmp_path / "run")
    lines = logged(tmp_path / "run")
    assert [line["step"] for line in lines if "d_reference/adversarial" in line] == [1, 3, 5]
    assert [line["step"] for line in lines if "g_reference/adversarial" in line] == [2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "g_latent/adversarial" in line] == [1, 2, 3, 4, 5]


def test_two_processes_run_the_same_phases_as_one(tmp_path: Path) -> None:
    train(tmp_path / "one", *SGD, *NO_GRIDS, *PHASES)
    assert run_forked(tmp_path / "two", *SGD, *NO_GRIDS, *PHASES, world=2).codes == [0, 0]
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6


def test_the_predicted_memory_is_that_of_all_phases(check_steps) -> None:
    always, late = check_steps(), check_steps("phases.g.after=5", "phases.d.until=3")
    assert predicted_peak(late) == predicted_peak(always)


def test_a_trial_run_runs_all_phases(check_steps) -> None:
    recipe = check_steps("phases.g.after=5", "phases.d={train: discriminator, losses: d, every: 2, until: 9}").recipe
    changed = check_steps(*recipe.with_all_phases(), "steps=1").recipe
    assert changed.phases == check_steps().recipe.phases


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["phases.d.every=0"], "phases.d.every should be greater than 0, not 0"),
        (["phases.d.after=-1"], "phases.d.after should be greater than or equal to 0, not -1"),
        (["phases.d.evry=2"], "unknown key evry in phases.d (did you mean every?)"),
        (
            ["phases.d={train: discriminator, losses: d, after: 5, until: 5}"],
            "phases.d.until: the phase begins at step 5, so it cannot end at step 5; write a later one",
        ),
    ],
)
def test_keys_that_no_phase_can_have_are_refused(step_mistakes, sets: list[str], said: str) -> None:
    (found,) = step_mistakes(*sets)
    assert found == f"--set {sets[0]}: {said}"


@pytest.mark.parametrize(
    ("keys", "first", "end", "hint"),
    [
        ("after: 12", 12, 12, "raise steps, or lower after"),
        ("every: 5, after: 6, until: 9", 10, 9, "raise until, or lower after"),
    ],
)
def test_a_phase_that_never_runs_is_reported_at_its_line(
    step_mistakes, keys: str, first: int, end: int, hint: str
) -> None:
    (found,) = step_mistakes(edits=[("losses: g}", f"losses: g, {keys}}}")])
    what = f"phase g never runs: its first step would be {first}, and it ends at step {end} ({hint})"
    assert found == f"steps.yaml:15:3: {what}"


def test_explain_says_when_a_phase_runs(i2i) -> None:
    sets = ("phases.g_latent.every=5", "phases.d_reference.after=1000", "phases.d_reference.until=2000")
    answer = i2i("explain", "stargan_v2.yaml", *(word for change in sets for word in ("--set", change)))
    heads = [line for line in answer.out.splitlines() if "  trains " in line]
    assert "  trains discriminator;" in heads[0]
    assert "trains discriminator from step 1,000 until step 2,000;" in heads[1]
    assert "trains generator, mapping_network, style_encoder every 5 steps;" in heads[2]
