"""A case to measure, and the product and the baseline that are built for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.baseline.fan import FAN
from benchmarks.baseline.iteration import Training
from benchmarks.baseline.networks import build
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run
from i2i_stargan_v2.golden_fill import fill_array, inputs

QUIET = ("progress", "metrics", "checkpoint", "latent", "reference")
"""Hooks that print, save and draw, which are removed; EMA stays."""


@dataclass(frozen=True)
class Case:
    """Case to measure; both sides use the device that a run would choose.

    size: side of the pictures in pixels.
    batch: batch size.
    masks: if true, CelebA-HQ's recipe with masks from FAN and two domains; else AFHQ's recipe with three domains.
    sets: further changes of the product's recipe, as for `--set`.
    """

    size: int
    batch: int
    masks: bool
    sets: Sequence[str] = ()
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")

    @property
    def domains(self) -> int:
        return 2 if self.masks else 3

    def batches(self, count: int = 1) -> list[dict[str, Tensor]]:
        """Return batches of smooth noise, with the fields of a data loader."""
        made = [inputs(f"benchmark{n}", self.batch, self.size, self.domains, self.dtype) for n in range(count)]
        return [
            {name: value.to(self.device) for name, value in fields.items() if name not in ("z_trg", "z_trg2")}
            for fields in made
        ]

    def product(self) -> Run:
        """Return a run of the bundled recipe at this size, started but not trained."""
        recipe = "stargan_v2_celeba_hq.yaml" if self.masks else "stargan_v2_afhq.yaml"
        with TemporaryDirectory() as name:
            folder = Path(name)
            for domain in range(self.domains):  # the data set needs pictures, which are never loaded
                (folder / f"domain{domain}").mkdir()
                Image.new("RGB", (8, 8)).save(folder / f"domain{domain}" / "blank.png")
            given = [
                f"data.root={folder}",
                "data.validation=null",
                f"data.image_size={self.size}",
                f"data.batch_size={self.batch}",
                *(f"hooks.{name}=null" for name in QUIET),
            ]
            if self.dtype == torch.float64:
                given += ["precision=fp64"]
            if self.masks:
                save_file(fan_state(), folder / "fan.safetensors")
                given += [f"tensors.{name}.weights={folder / 'fan.safetensors'}" for name in ("masks", "fake_masks")]
            checked = load(recipe, [*given, *self.sets], discover())
            run = Run(checked, make_accelerator(checked.recipe.precision), None)
        run.start()
        return run

    def baseline(self, **widths: int) -> Training:
        """Return the training of the baseline, with newly initialised networks."""
        networks = {
            name: network.to(self.device, self.dtype)
            for name, network in build(self.size, self.domains, masked=self.masks, **widths).items()
        }
        if not self.masks:
            return Training(networks, diversity=2.0)
        fan = FAN().eval()
        fan.load_state_dict(fan_state())
        return Training(networks, fan.to(self.device, self.dtype), diversity=1.0)


def fan_state() -> dict[str, Tensor]:
    """Return random weights of FAN that give sparse heatmaps, so that masks are neither empty nor full."""
    return {
        name: torch.from_numpy(fill_array(f"fan/{name}", tuple(tensor.shape))).float()
        if tensor.is_floating_point()
        else tensor
        for name, tensor in FAN().state_dict().items()
    }
