"""What is computed again in the backward pass, to be kept no longer than needed, is what it was the first time."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from i2i_core.plan.check import load
from i2i_core.plan.values import freezing
from i2i_core.training.compute import checkpoint_blocks
from i2i_core.training.peak_memory import predicted_peak

from .runs import NO_GRIDS, TINY, tensors, train

TWO = ("steps=2", *NO_GRIDS)


def assert_same_tensors(ours: Path, theirs: Path) -> None:
    """Networks, averages and optimizers, bit for bit."""
    a, b = tensors(ours), tensors(theirs)
    assert len(a) > 100
    assert a.keys() == b.keys()
    assert [name for name in a if not a[name].equal(b[name])] == []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps what the backward pass needs."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    train(folder, *TWO)
    return folder


@pytest.mark.parametrize("networks", ["true", "[generator]", "discriminator"])
def test_recomputed_blocks_give_the_same_bits(kept: Path, tmp_path: Path, networks: str) -> None:
    train(tmp_path / "run", *TWO, f"activation_checkpointing={networks}")
    assert_same_tensors(tmp_path / "run", kept)


def test_recomputed_blocks_give_the_same_bits_in_parts_of_a_batch(tmp_path: Path) -> None:
    for name, recompute in (("kept", "false"), ("recomputed", "true")):
        train(tmp_path / name, *TWO, "data.gradient_accumulation=2", f"activation_checkpointing={recompute}")
    assert_same_tensors(tmp_path / "recomputed", tmp_path / "kept")


class Block(nn.Module):
    """With everything that changes from call to call: dropout, running statistics, a power iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(spectral_norm(nn.Conv2d(3, 3, 3, padding=1)), nn.BatchNorm2d(3), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = x + self.parts(x)
        return made


@pytest.fixture
def twins() -> tuple[nn.Module, nn.Module]:
    """A network and its twin that recomputes."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), *(Block() for _ in range(3)))
    twin = copy.deepcopy(network)
    checkpoint_blocks(twin)
    return network, twin


def calls_of(network: nn.Module) -> list[int]:
    """Of each block, how often its convolution is called from now on."""
    counts = [0, 0, 0]
    for number, block in enumerate(network[1:]):
        block.parts[0].register_forward_pre_hook(lambda *_, n=number: counts.__setitem__(n, counts[n] + 1))
    return counts


@pytest.mark.parametrize("frozen", [False, True])
def test_what_changes_from_call_to_call_changes_once(twins: tuple[nn.Module, nn.Module], frozen: bool) -> None:
    found = []
    for network in twins:
        torch.manual_seed(1)
        counts, x = calls_of(network), torch.ones(2, 3, 8, 8).normal_().requires_grad_()
        for _ in range(2):
            with freezing(list(network.parameters()) if frozen else []):
                made = network(x)
            for again in (True, False):
                made.square().sum().backward(retain_graph=again)
        found.append([x.grad, torch.rand(1), *network.state_dict().values(), *(p.grad for p in network.parameters())])
        assert counts == ([2] * 3 if network is twins[0] else [6] * 3)
    for ours, theirs in zip(*found, strict=True):
        assert ours.equal(theirs) if ours is not None else frozen and theirs is None


def test_a_copy_of_a_recomputed_network_computes_with_its_own_weights(twins: tuple[nn.Module, nn.Module]) -> None:
    network, twin = (n.eval() for n in twins)
    average, x = copy.deepcopy(twin), torch.randn(2, 3, 8, 8)
    before = network(x)
    for name, p in average.named_parameters():
        if "original" not in name:  # there is no norm of zero
            p.data.zero_()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert average(x).equal(torch.zeros_like(x))
            torch.testing.assert_close(twin(x), before)
    average(x.requires_grad_()).sum().backward()
    assert all(p.grad is None for p in twin.parameters())
    assert all(p.grad is not None for p in average.parameters())


def test_the_average_of_a_recomputed_network_draws_what_that_of_a_kept_one_does(tmp_path: Path) -> None:
    x, s, drawn = torch.randn(2, 3, 32, 32), torch.randn(2, 64), []
    for recompute in ("true", "false"):
        run = train(tmp_path / recompute, *TWO, f"activation_checkpointing={recompute}")
        average, network = run.eval_networks["generator"], run.networks["generator"].eval()
        with torch.no_grad():
            drawn.append(average(x, s))
            assert not network(x, s).equal(drawn[-1])
    assert drawn[0].equal(drawn[1])


def test_to_recompute_takes_less_memory(plugins) -> None:
    def peak(*sets: str) -> int:
        small = [change for change in TINY if not change.startswith("hooks.")]
        return predicted_peak(load("stargan_v2.yaml", [*small, "hooks=null", "data.batch_size=16", *sets], plugins))

    assert peak("activation_checkpointing=true") < 0.8 * peak()
