"""However a run computes, it computes the same: frozen, in another memory format, compiled, in bf16."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from i2i_core.errors import RecipeError
from i2i_core.plan.check import check_recipe, load
from i2i_core.plan.draws import Draws
from i2i_core.plan.tensors import Node, define
from i2i_core.plan.values import Values, freezing
from i2i_core.recipe.reading import parse_recipe
from i2i_core.training import compute
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run

from . import runs
from .runs import NO_GRIDS, SGD, TINY, assert_same_bits, largest_difference, needs_bf16, run_forked, train

TWO = ("steps=2", *NO_GRIDS)
EXACT = ("precision=fp64", "optimizers.default={use: sgd, lr: 0.01}", "optimizers.mapping_network={lr: 0.001}", *TWO)
"""Without Adam, which would make steps of the rounding noise in biases that a norm cancels."""


# Memory.


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told to")
def test_freed_memory_is_kept_for_what_comes_next() -> None:
    """Pages, in a process of its own, that the system clears for thirty large tensors in turn, without and with."""
    faults = """
import resource, torch
from i2i_core.training.compute import keep_freed_memory
def cleared() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(cleared(), (keep_freed_memory(), cleared())[1])
"""
    given_back, kept = map(int, subprocess.check_output([sys.executable, "-c", faults], text=True).split())
    assert given_back >= 30 * 32  # of 2 MB, or 512 times as many of 4 kB
    assert kept < given_back / 3  # now and then something small takes a place, and a large tensor needs a new one


# Frozen networks.


class Watched(nn.Linear):
    """Keeps which of its parameters wanted a gradient when it was called; its bias never does."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.bias.requires_grad_(False)
        self.seen: tuple[bool, ...] = ()

    def wanted(self) -> tuple[bool, ...]:
        return tuple(p.requires_grad for p in self.parameters())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.wanted()
        if x.shape[1] != 2:
            raise ValueError("too wide")
        return super().forward(x)


def asked_for(trains: set[str], x: torch.Tensor) -> tuple[Watched, Callable[[], torch.Tensor]]:
    """A network that a tensor calls, and the tensor, of which a gradient trains `trains`."""
    network = Watched()
    node = Node(
        "made",
        "tensor",
        define("made", lambda net, x: net(x)),
        0,
        (("net", Node("net", "network")), ("x", Node("x", "field"))),
        frozenset(trains | {"net"}),
        trains,
    )
    given, draws = {"net": network, "x": x}, Draws(0, 0, 0, 1, 1, torch.device("cpu"), torch.float32)
    values = Values(given, draws, {"net": [p for p in network.parameters() if p.requires_grad]})
    return network, lambda: values[node]


@pytest.mark.parametrize(
    ("trains", "seen", "graph"),
    [({"net"}, (True, False), True), ({"other"}, (False, False), True), (set(), (True, False), False)],
    ids=str,
)
def test_a_network_is_frozen_while_a_tensor_calls_it_that_does_not_train_it(trains, seen, graph):
    network, made = asked_for(trains, torch.ones(1, 2, requires_grad=True))
    assert made().requires_grad == graph
    assert network.seen == seen
    assert network.wanted() == (True, False)


def test_a_call_that_raises_leaves_no_network_frozen():
    network, made = asked_for({"other"}, torch.ones(1, 3))
    with pytest.raises(ValueError, match="too wide"):
        made()
    assert network.seen == (False, False)
    assert network.wanted() == (True, False)
    assert torch.is_grad_enabled()


def test_freezing_twice_thaws_at_the_end_of_the_outer_block():
    p, never = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    with freezing([p, never]):
        with freezing([p, never]):
            pass
        assert not p.requires_grad
    assert (p.requires_grad, never.requires_grad) == (True, False)


# Channels last.


def test_both_memory_formats_train_the_same(tmp_path: Path) -> None:
    train(tmp_path / "first", *EXACT, "channels_last=false")
    run = train(tmp_path / "last", *EXACT, "channels_last=true")
    assert largest_difference(tmp_path / "first", tmp_path / "last") < 1e-9
    train(tmp_path / "start", *EXACT, "steps=1", "optimizers.default.lr=0", "optimizers.mapping_network.lr=0")
    assert largest_difference(tmp_path / "first", tmp_path / "start") > 1e-3, "they agree because nothing moved"
    kernels = [
        p
        for network in run.networks.values()
        for name, p in network.named_parameters()
        if p.dim() == 4 and min(p.shape[:2]) > 1 and p.shape[2] == 3
    ]
    last = [p for p in kernels if p.is_contiguous(memory_format=torch.channels_last)]
    assert all(p.is_contiguous() for p in kernels if p not in set(last))
    assert len(last) > 0.8 * len(kernels) > 20  # but those of transposed convolutions


def test_a_killed_run_in_channels_last_resumes_bit_for_bit_and_lays_out_moments_as_weights(tmp_path: Path) -> None:
    last = "channels_last=true"
    train(tmp_path / "whole", last)
    killed = run_forked(tmp_path / "run", last, "hooks.kill={use: trouble/signal, step: 4, phase: g_latent}")
    assert killed.codes == [-9], killed.printed
    run = train(tmp_path / "run", "hooks.kill=null", resume=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "run")
    moments = [
        (p, value)
        for optimizer in run.optimizers.values()
        for p, state in optimizer.optimizer.state.items()
        for value in state.values()
        if value.shape == p.shape
    ]
    assert len(moments) > 100
    assert all(value.stride() == p.stride() for p, value in moments)
    assert any(not value.is_contiguous() for _, value in moments)


def test_two_processes_in_channels_last_train_what_one_trains(tmp_path: Path) -> None:
    train(tmp_path / "one", *SGD, *TWO, "channels_last=true")
    assert run_forked(tmp_path / "two", *SGD, *TWO, "channels_last=true", world=2).codes == [0, 0]
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6


# What is made of weights and kept.


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_counts_as_a_change_of_the_weights(tmp_path: Path, optimizer: str) -> None:
    run = train(tmp_path / "run", *TWO, f"optimizers.default={{use: {optimizer}, lr: 1e-3}}")
    trained = [p for network in run.networks.values() for p in network.parameters() if p.requires_grad]
    assert all(p._version >= 2 for p in trained)


# Compiling.

MASKS = (
    "tensors.masks={use: trouble/bright_module, of: x_real}",
    "tensors.fake_masks={use: trouble/bright_module, of: x_fake}",
)


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two iterations without the compiler."""
    folder = tmp_path_factory.mktemp("eager") / "run"
    train(folder, *EXACT, *MASKS)
    return folder


def compiled(folder: Path, *sets: str) -> Run:
    """The same two, compiled, without a break in any graph."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    run = train(folder, *EXACT, *MASKS, *sets)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] > 0
    return run


@pytest.mark.slow
def test_a_compiled_mapping_network_computes_what_it_did(eager: Path, tmp_path: Path) -> None:
    run = compiled(tmp_path / "run", "compile=mapping_network")
    assert largest_difference(tmp_path / "run", eager) < 1e-9
    assert [name for name, n in run.networks.items() if n._compiled_call_impl is not None] == ["mapping_network"]
    assert run.hooks["ema"].averages["mapping_network"]._compiled_call_impl is None  # it draws pictures, now and then


@pytest.mark.slow
@pytest.mark.parametrize(
    "sets", [["compile=true"], ["compile=discriminator", "activation_checkpointing=true"]], ids=str
)
def test_compiled_networks_compute_what_they_did(eager: Path, tmp_path: Path, sets: list[str]) -> None:
    """The generator is compiled by halves; R1 runs its own way through D, and the adversarial loss through the same."""
    run = compiled(tmp_path / "run", *sets)
    assert largest_difference(tmp_path / "run", eager) < 1e-9
    assert run.networks["discriminator"]._compiled_call_impl is not None
    if sets == ["compile=true"]:
        halves = run.networks["generator"].encode, run.networks["generator"].decode
        assert all(half._compiled_call_impl is not None for half in halves)


def test_compile_true_compiles_modules_among_tensors_too() -> None:
    """Nothing is called, so that nothing is compiled in fact."""
    for value, all_of_them in (("true", True), ("[generator, discriminator]", False)):
        checked = load("stargan_v2.yaml", [*TINY, MASKS[0], f"compile={value}"], runs.plugins())
        run = Run(checked, make_accelerator("fp32"), None)
        assert (run.planner.definitions["masks"].call._compiled_call_impl is not None) == all_of_them
        assert (run.networks["style_encoder"]._compiled_call_impl is not None) == all_of_them


def test_without_a_compiler_one_sentence_says_so_before_anything_is_trained(tmp_path: Path) -> None:
    ended = run_forked(tmp_path / "run", "compile=mapping_network", CXX="nonexistent")
    assert ended.codes == [2]
    assert ended.printed[0].splitlines()[-1] == (
        "--set compile=mapping_network: torch.compile needs a C++ compiler on a CPU, and finds none (install g++, name "
        "one in the environment variable CXX, or leave compile out)"
    )


@pytest.mark.parametrize("key", ["activation_checkpointing", "compile"])
def test_a_network_that_is_not_there_is_told_at_its_place(plugins, key: str) -> None:
    text = plugins.recipes()["stargan_v2.yaml"].read_text()
    lines = len(text.splitlines())
    with pytest.raises(RecipeError) as error:
        check_recipe(parse_recipe(f"{text}\n{key}: [generator, discriminater]\n", "r.yaml"), plugins)
    assert str(error.value) == (
        f"r.yaml:{lines + 2}:{len(key) + 15}: {key}.1: there is no network discriminater in "
        f"the recipe (did you mean discriminator?)"
    )


# Precisions.


@pytest.fixture
def precisions() -> Iterator[None]:
    """What a run sets for the whole process."""
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    yield
    torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before


def test_bf16_is_refused_where_convolutions_in_it_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "has_bf16", lambda: False)
    with pytest.raises(RecipeError) as refused:
        train(tmp_path / "run", *TWO, "precision=bf16")
    assert str(refused.value) == (
        "--set precision=bf16: this CPU cannot train in bf16: PyTorch has no bf16 convolutions for it, which need "
        "AVX-512 (use fp32)"
    )


@pytest.mark.parametrize(("tf32", "precision"), [("false", "ieee"), ("true", "tf32")])
def test_tf32_is_what_the_recipe_says_for_products_and_convolutions(precisions, plugins, tf32, precision) -> None:
    Run(load("stargan_v2.yaml", [*TINY, f"tf32={tf32}"], plugins), make_accelerator("fp32"), None)
    assert torch.backends.cuda.matmul.fp32_precision == precision
    assert torch.backends.cudnn.conv.fp32_precision == precision


@needs_bf16
@pytest.mark.parametrize("last", ["true", "false"])
def test_bf16_trains_in_both_memory_formats_and_keeps_r1_in_full_precision(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], last: str
) -> None:
    run = train(
        tmp_path / "run", *TWO, "precision=bf16", f"channels_last={last}", "losses.discriminator.types=trouble/types"
    )
    assert capfd.readouterr().out.splitlines()[0] == "x_fake torch.bfloat16, real_logits torch.float32"
    gradients = [p.grad for network in run.networks.values() for p in network.parameters() if p.requires_grad]
    assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() for g in gradients)
    merging = [m for m in run.networks["generator"].modules() if hasattr(m, "merges")]
    assert any(m.merges(torch.empty(4, m.in_channels, 16, 16)) for m in merging)
