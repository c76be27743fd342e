"""A plugin in one file that makes trouble: it signals its own process in mid-step, or spoils a loss."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import PIL.Image
import torch
from torch import Tensor, nn

from i2i_core import hookimpl


@hookimpl
def i2i_components(registry):
    registry.dataset("blocking", "trouble:Blocking")
    registry.hook("end_of_file", "trouble:EndOfFile")
    registry.hook("signal", "trouble:Signal")
    registry.hook("signal_when_saved", "trouble:SignalWhenSaved")
    registry.hook("signal_when_made", "trouble:SignalWhenMade")
    registry.hook("fill_disk", "trouble:FillDisk")
    registry.hook("own_file", "trouble:OwnFile")
    registry.hook("noise_weights", "trouble:NoiseWeights")
    registry.hook("order", "trouble:Order")
    registry.hook("last", "trouble:Last")
    registry.hook("remember", "trouble:Remember")
    registry.hook("end", "trouble:End")
    registry.hook("say_buffers", "trouble:SayBuffers")
    registry.loss("spoilt", "trouble:Spoilt")
    registry.loss("nothing", "trouble:Nothing")
    registry.loss("types", "trouble:types")
    registry.loss("raises", "trouble:raises")
    registry.loss("factory", "trouble:factory")
    registry.network("no_network", "trouble:no_network")
    registry.loss("map", "trouble:logit_map")
    registry.tensor("raises", "trouble:raises")
    registry.tensor("bright", "trouble:bright")
    registry.tensor("bright_module", "trouble:Bright")
    registry.tensor("late", "trouble:Late")
    registry.tensor("twice", "trouble:twice")
    registry.network("lazy", "trouble:Lazy")
    registry.network("two_lazy", "trouble:TwoLazy")
    registry.loss("choosy", "trouble:Choosy")
    registry.loss("lazy", "trouble:lazy")
    registry.loss("steep", "trouble:steep")


class Blocking:
    """Pictures of one colour, which cannot be read any more once there is a pipe."""

    domains = ("one", "other")
    paired = False

    def __init__(self, *, pipe: Path):
        self.pipe = pipe

    def count(self, domain):
        return 10

    def picture(self, domain, index):
        if self.pipe.exists():
            self.pipe.read_bytes()
        return PIL.Image.new("RGB", (32, 32), (25 * index, 100 * domain, 0))


class EndOfFile:
    """Reads more than there is."""

    def after_step(self, run):
        raise EOFError("the file ends")


class NoiseWeights:
    """Changes weights of a network in the middle of an iteration."""

    def __init__(self, *, network: str, phase: str):
        self.network, self.phase = network, phase

    def after_phase(self, run, phase):
        if phase == self.phase:
            with torch.no_grad():
                for p in run.networks[self.network].parameters():
                    p.add_(0.01)


class Order:
    """Notes whether it hears the end of a step before or after the checkpoint is saved."""

    heard: ClassVar[list[str]] = []

    def __init__(self, *, name: str):
        self.name = name

    def after_step(self, run):
        checkpoints = len(list((run.folder / "checkpoints").glob("step-*")))
        Order.heard.append(f"{self.name} with {checkpoints} checkpoints")


class Last(Order):
    """The same, after the others."""

    order = "last"


class Signal:
    """Sends this process a signal in the middle of the step that follows `step` steps."""

    def __init__(self, *, step: int, number: int = 9, phase: str = "g_latent", rank: int = -1, times: int = 1):
        self.step, self.number, self.phase, self.rank, self.times = step, number, phase, rank, times

    def before_phase(self, run, phase):
        if run.step == self.step and phase == self.phase and _meant(self.rank):
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


class SignalWhenSaved:
    """Sends this process a signal as soon as a checkpoint is there."""

    def __init__(self, *, number: int):
        self.number = number

    def checkpoint_saved(self, run):
        os.kill(os.getpid(), self.number)


class SignalWhenMade:
    """Sends this process a signal while the run is being built."""

    def __init__(self, *, number: int):
        os.kill(os.getpid(), number)


class FillDisk:
    """Leaves nothing of the disk that the run's folder is on, in the step that follows `step` steps."""

    def __init__(self, *, step: int):
        self.step = step

    def before_phase(self, run):
        if run.step == self.step:
            with suppress(OSError), open(run.folder / "ballast", "ab", buffering=0) as file:
                while True:
                    file.write(b"0" * 4096)


class OwnFile:
    """Writes a file of its own after each step, and thinks of nothing that can go wrong."""

    def after_step(self, run):
        (run.folder / "own").write_bytes(b"0" * 10_000 * run.step)


class Remember:
    """Keeps the parameters that a run starts with."""

    def run_start(self, run):
        self.parameters = {
            f"{network}/{name}": p.detach().clone()
            for network, module in run.networks.items()
            for name, p in module.named_parameters()
        }


class End:
    """Leaves the file `end` in the run's folder when a run ends."""

    def run_end(self, run):
        (run.folder / "end").touch()


class SayBuffers:
    """Says on stdout after each step what a network keeps besides its parameters, in every process."""

    def __init__(self, *, network: str):
        self.network = network

    def after_step(self, run):
        for name, buffer in run.networks[self.network].named_buffers():
            print(f"buffer {name} {buffer.double().flatten().tolist()}", flush=True)


class Spoilt:
    """Zero until its call number `at`, which is NaN, or finite with a gradient that is NaN."""

    def __init__(self, *, at: int, gradient: bool = False, rank: int = -1):
        self.at, self.gradient, self.rank, self.calls = at, gradient, rank, 0

    def __call__(self, x_fake: Tensor) -> Tensor:
        self.calls += 1
        nothing = 0 * x_fake.sum()
        if self.calls != self.at or not _meant(self.rank):
            return nothing
        return torch.sqrt(nothing) if self.gradient else nothing * torch.nan


class Nothing:
    """Zero, whatever the value."""

    def __init__(self, *, value: float):
        self.value = value

    def __call__(self, x_fake: Tensor) -> Tensor:
        return 0 * x_fake.sum()


def raises(x_real: Tensor) -> Tensor:
    """Not even a tensor."""
    raise KeyError("inside")


def factory(*, name: str = "inside"):
    """Makes no loss."""
    raise KeyError(name)


def no_network(*, width: int = 3):
    """Makes no network."""
    return width


def logit_map(real_logits: Tensor) -> Tensor:
    """As many numbers as pictures."""
    return real_logits


def types(x_fake: Tensor, real_logits: Tensor) -> Tensor:
    """Zero; says on stdout in which types pictures and logits come."""
    print(f"x_fake {x_fake.dtype}, real_logits {real_logits.dtype}", flush=True)
    return 0 * real_logits.sum()


def bright(of: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of what is bright, and of what is not: they differ from picture to picture."""
    light = of.detach().mean(dim=1, keepdim=True).add(1).div(2).clamp(0, 1)
    return light, 1 - light


def twice(of: Tensor) -> list[Tensor]:
    """As if two discriminators had judged."""
    return [of, of]


class Bright(nn.Module):
    """The same masks, made by a module with weights, as FAN is one."""

    def __init__(self):
        super().__init__()
        self.grey = nn.Conv2d(3, 1, 1).requires_grad_(False)
        nn.init.constant_(self.grey.weight, 1 / 6)
        nn.init.constant_(self.grey.bias, 1 / 2)

    @torch.no_grad()
    def forward(self, of):
        light = self.grey(of).clamp(0, 1)
        return light, 1 - light


class Late:
    """The mean picture of the call before (at first, of this one)."""

    def __init__(self):
        self.pictures = None

    def __call__(self, of: Tensor) -> Tensor:
        before, self.pictures = self.pictures, of.detach().mean(0, keepdim=True)
        return (self.pictures if before is None else before).expand_as(of)

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.pictures is None else {"pictures": self.pictures}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.pictures = state.get("pictures")


class Lazy(nn.Module):
    """A layer that learns its width from what it is first given; it counts its calls."""

    def __init__(self):
        super().__init__()
        self.linear = nn.LazyLinear(2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return self.linear(x)


def lazy(lazy: nn.Module, s_trg: Tensor, x_real: Tensor) -> Tensor:
    """How far two numbers about a style are from the mean brightness of a picture."""
    return (lazy(s_trg) - x_real.mean((1, 2, 3)).unsqueeze(1)).square().mean()


def steep(lazy: nn.Module, s_trg: Tensor) -> Tensor:
    """How far the slope of a network's sum is from 1, as in WGAN-GP: the loss itself differentiates the network."""
    style = s_trg.detach().requires_grad_()
    (slope,) = torch.autograd.grad(lazy(style).sum(), style, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


class TwoLazy(nn.Module):
    """Two layers that learn their widths, of which only the first is used."""

    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.LazyLinear(2), nn.LazyLinear(2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class Choosy:
    """A loss whose key does not fit what it reads."""

    def __init__(self, *, channel: int = 0):
        self.channel = channel

    def __call__(self, x_fake: Tensor) -> Tensor:
        if self.channel >= x_fake.shape[1]:
            raise ValueError(f"channel {self.channel} of {x_fake.shape[1]}")
        return x_fake[:, self.channel].mean()


def _meant(rank: int) -> bool:
    return rank in (-1, int(os.environ.get("RANK", "0")))
