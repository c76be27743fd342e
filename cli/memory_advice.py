"""What `i2i train --dry-run` says about memory: whether a recipe fits, and which switch would make it fit."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING

import click
import torch
from rich.filesize import decimal

from i2i_core.errors import I2IError
from i2i_core.plan.check import load
from i2i_core.recipe.sections import Recipe
from i2i_core.training.compute import peak_of_process
from i2i_core.training.peak_memory import predicted_peak

from .common import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from i2i_core.registry.plugins import Plugins

Switches = tuple[str, ...]
FREE = 0.1
"""The share of a memory that tensors should leave: for operators' workspaces, gaps between tensors, a GPU's driver."""
UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def size(text: str) -> int:
    """8GB as bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MG]i?B)", text)
    if found is None:
        raise click.UsageError(f"--memory {text!r} is no size; write for example 8GB or 7.5GiB")
    return int(float(found[1]) * UNITS[found[2]])


def leaves_room(taken: float, memory: float) -> bool:
    """Whether what is taken leaves the share of a memory free that should be."""
    return taken <= (1 - FREE) * memory


class NotPredicted(Exception):
    """Why the memory of a recipe cannot be told beforehand."""


class Forecast:
    """Peaks of a recipe with and without switches, each predicted when it is asked for. NotPredicted, RecipeError."""

    def __init__(self, recipe: str, plugins: Plugins, sets: Sequence[str]) -> None:
        self.recipe, self.plugins, self.sets = recipe, plugins, sets
        self.families = switches(load(recipe, sets, plugins).recipe)
        self.peaks: dict[Switches, int] = {(): self._predicted(())}
        self.base = 0 if torch.accelerator.is_available() else peak_of_process()
        """What the process takes by now, with libraries and data, where that is the same memory."""

    def peak(self, switches: Switches = ()) -> int:
        """Bytes; raises NotPredicted."""
        if switches not in self.peaks:
            self.peaks[switches] = self._predicted(switches)
        return self.base + self.peaks[switches]

    def _predicted(self, switches: Switches) -> int:
        checked = load(self.recipe, [*self.sets, *switches], self.plugins)
        try:
            logging.disable()  # torch logs what it then raises
            return predicted_peak(checked)
        except I2IError:
            raise
        except Exception as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise NotPredicted(
                f"not predicted: a component needs more of its tensors than their shapes ({said})"
            ) from error
        finally:
            logging.disable(logging.NOTSET)

    def table(self) -> Table:
        """The peak as the recipe is, with each switch and with all of them."""
        table = new_table("switch", "predicted peak memory")
        table.add_row("as is", decimal(self.peak()))
        for switch in (switch for family in self.families for switch in family):
            table.add_row(f"--set {switch}", decimal(self.peak((switch,))))
        if len(self.families) > 1:
            table.add_row("all of them", decimal(self.peak(tuple(family[-1] for family in self.families))))
        return table

    def fits(self, memory: float, switches: Switches = ()) -> bool:
        return leaves_room(self.peak(switches), memory)

    def advice(self, memory: float) -> str:
        """One sentence: whether the recipe fits, and if not with which switches, as few as will do."""
        left = f"{decimal(int(memory))}, of which a tenth should stay free: it takes {decimal(self.peak())}"
        if self.fits(memory):
            return f"the recipe fits in {left}"
        subsets = [some for count in range(len(self.families) + 1) for some in combinations(self.families, count)]
        strongest = [tuple(family[-1] for family in families) for families in subsets]
        for families, most in zip(subsets, strongest, strict=True):
            if self.fits(memory, most):
                least = next(some for some in product(*families) if self.fits(memory, some))
                return f"the recipe does not fit in {left}; {self._with(least)}"
        best = min(strongest, key=self.peak)
        at_best = f"; {self._with(best)} at best" if best else ""
        return (
            f"the recipe does not fit in {left}{at_best}; lower data.batch_size, data.image_size or the networks' "
            f"widths"
        )

    def _with(self, switches: Switches) -> str:
        return f"with {' '.join(f'--set {switch}' for switch in switches)} it takes {decimal(self.peak(switches))}"


def switches(recipe: Recipe) -> list[Switches]:
    """What saves memory, gentlest first; of a family one at a time."""
    share, now = recipe.data.batch_size, recipe.data.gradient_accumulation
    families = [tuple(f"data.gradient_accumulation={n}" for n in range(now + 1, share + 1) if share % n == 0)]
    if recipe.activation_checkpointing is not True:
        families.append(("activation_checkpointing=true",))
    if recipe.precision != "bf16":
        families.append(("precision=bf16",))
    return [family for family in families if family]


def device_memory() -> int | None:
    """Bytes that the accelerator has free, if there is one."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
