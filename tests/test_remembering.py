"""Tensor components that remember, and networks that are sized by their first use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from i2i_core.disk.checkpoints import committed
from i2i_core.errors import RecipeError
from i2i_core.plan.check import load
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

from .runs import NO_GRIDS, TINY, assert_same_bits, largest_difference, plugins, run_forked, tensors, train

LATE = ("tensors.late={use: trouble/late, of: x_fake}", "losses.discriminator.adversarial.where={x_fake: late}")
LAZY = (
    "networks.lazy=trouble/lazy",
    "losses.generator.lazy=trouble/lazy",
    "phases.g_latent.train=[generator, mapping_network, style_encoder, lazy]",
    "hooks.ema.networks=[generator, lazy]",
)
KILL = "hooks.kill={use: trouble/signal, step: 4}"


def test_what_a_tensor_remembers_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    train(whole, *LATE)
    assert run_forked(folder, *LATE, KILL).codes == [-9]
    resumed = run_forked(folder, "hooks.kill=null", resume=True)
    assert resumed.codes == [0], resumed.printed
    assert_same_bits(whole, folder)
    assert tensors(whole)["tensors/late: pictures"].shape == (1, 1, 3, 32, 32)


def test_a_grid_is_nothing_to_remember(tmp_path: Path) -> None:
    """Else the main process, which draws alone, would remember other pictures than the others."""
    aliased = (LATE[0], "phases.d_latent.where.x_fake=late", "steps=2", NO_GRIDS[1])
    for folder, *grid in (
        (tmp_path / "grid", "hooks.latent={use: sample_grid, phase: d_latent, every: 1}"),
        (tmp_path / "none", NO_GRIDS[0]),
    ):
        train(folder, *aliased, *grid)
    assert (tmp_path / "grid" / "samples").is_dir()
    assert largest_difference(tmp_path / "grid", tmp_path / "none", ("networks", "tensors")) == 0


def test_each_process_goes_on_with_what_it_remembers(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert run_forked(whole, *LATE, world=2).codes == [0, 0]
    assert run_forked(folder, *LATE, KILL, world=2).codes == [-9, -9]
    resumed = run_forked(folder, "hooks.kill=null", resume=True, world=2)
    assert resumed.codes == [0, 0], resumed.printed
    assert_same_bits(whole, folder)
    first, second = tensors(whole)["tensors/late: pictures"]
    assert not first.equal(second)


def test_a_run_of_two_processes_can_go_on_as_one(tmp_path: Path) -> None:
    assert run_forked(tmp_path / "run", *LATE, "steps=3", world=2).codes == [0, 0]
    said: list[str] = []
    assert train(tmp_path / "run", "steps=4", resume=True, warn=said.append).step == 4
    assert said == [
        f"{tmp_path / 'run'} was trained in 2 processes until now; results agree up to "
        "rounding, except for the state of tensors/late, kept per process"
    ]


def test_a_lazy_network_is_there_from_the_start(tmp_path: Path) -> None:
    run = train(tmp_path / "run", *LAZY, "steps=1", *NO_GRIDS)
    assert run.networks["lazy"].linear.weight.shape == (2, 64)
    assert {name.partition(": ")[0] for name in tensors(tmp_path / "run")} >= {"networks/lazy", "optimizers/lazy"}
    assert "hooks/ema: lazy/linear.weight" in tensors(tmp_path / "run")
    assert int(run.networks["lazy"].calls) == 2, "one call in each phase of G; the blank samples are not counted"
    assert all(network.training for network in run.networks.values())


def test_a_lazy_networks_weights_follow_from_the_seed(tmp_path: Path) -> None:
    still = ("steps=1", "optimizers.lazy={lr: 0, weight_decay: 0}", *NO_GRIDS)
    for name, *more in (
        ("a",),
        ("b",),
        ("c", "seed=1"),
        ("d", "data.batch_size=2", "networks.generator.skip=null", "tensors.masks=null", "tensors.fake_masks=null"),
    ):
        train(tmp_path / name, *LAZY, *still, *more)
    a, b, c, d = (
        load_file(committed(tmp_path / name / "checkpoints")[0] / "networks" / "lazy.safetensors")["linear.weight"]
        for name in "abcd"
    )
    assert a.equal(b) and a.equal(d) and not a.equal(c)
    assert a.dtype == torch.float32


def test_a_lazy_network_is_resumed_and_shared_by_processes(tmp_path: Path) -> None:
    train(tmp_path / "whole", *LAZY)
    train(tmp_path / "run", *LAZY, "steps=3")
    train(tmp_path / "run", "steps=6", resume=True)
    a, b = tensors(tmp_path / "whole"), tensors(tmp_path / "run")
    assert all(a[name].equal(b[name]) for name in a)
    train(tmp_path / "one", *LAZY, "precision=fp64", *NO_GRIDS)
    assert run_forked(tmp_path / "two", *LAZY, "precision=fp64", *NO_GRIDS, world=2).codes == [0, 0]
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6


def test_a_tensor_does_not_remember_the_blank_samples() -> None:
    sets = (*TINY, *LATE, *LAZY, "losses.generator.lazy={use: trouble/lazy, x_real: late}")
    run = Run(load("stargan_v2.yaml", sets, plugins()), make_accelerator("fp32"), None)
    assert run.stateful["tensors/late"].state_dict() == {}


def test_what_a_network_keeps_in_eval_mode_stays_so() -> None:
    run = Run(load("stargan_v2.yaml", TINY, plugins()), make_accelerator("fp32"), None)
    modules = list(run.networks["generator"].modules())
    modules[-1].eval()
    run.tensors(["x_fake"], next(run.batches()), phase="g_latent")
    assert [module.training for module in modules] == [*[True] * (len(modules) - 1), False]


def test_a_loss_may_differentiate_a_lazy_network(tmp_path: Path) -> None:
    run = train(tmp_path / "run", *LAZY, "losses.generator.lazy=trouble/steep", "steps=1", *NO_GRIDS)
    assert run.networks["lazy"].linear.weight.shape == (2, 64)


def test_a_part_of_a_lazy_network_that_nothing_uses_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        train(tmp_path / "run", *LAZY, "networks.lazy=trouble/two_lazy", *NO_GRIDS)
    assert str(error.value) == (
        "--set networks.lazy=trouble/two_lazy: no loss uses spare.weight of network lazy, so its size is not known"
    )
