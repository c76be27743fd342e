"""Memory advice of `i2i train --dry-run`: the predicted peaks, and the settings with which a recipe fits."""

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
"""The share of the memory that must stay free for workspaces of operators, fragmentation and the GPU driver."""
UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def size(text: str) -> int:
    """Parse a size such as 8GB, in bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MG]i?B)", text)
    if found is None:
        raise click.UsageError(f"--memory {text!r} is not a size; write for example 8GB or 7.5GiB")
    return int(float(found[1]) * UNITS[found[2]])


def leaves_room(taken: float, memory: float) -> bool:
    """Check that the taken bytes leave the required share of the memory free."""
    return taken <= (1 - FREE) * memory


class NotPredicted(Exception):
    """The memory of a recipe cannot be predicted; the message gives the reason."""


class Forecast:
    """Predicted memory peaks of a recipe, with and without settings that save memory; each is computed when needed.

    Raises NotPredicted and RecipeError.
    """

    def __init__(self, recipe: str, plugins: Plugins, sets: Sequence[str]) -> None:
        self.recipe, self.plugins, self.sets = recipe, plugins, sets
        self.families = switches(load(recipe, sets, plugins).recipe)
        self.peaks: dict[Switches, int] = {(): self._predicted(())}
        self.base = 0 if torch.accelerator.is_available() else peak_of_process()
        """Bytes of the process before training, with libraries and data; 0 if tensors are on an accelerator."""

    def peak(self, switches: Switches = ()) -> int:
        """Return the predicted peak in bytes; raises NotPredicted."""
        if switches not in self.peaks:
            self.peaks[switches] = self._predicted(switches)
        return self.base + self.peaks[switches]

    def _predicted(self, switches: Switches) -> int:
        checked = load(self.recipe, [*self.sets, *switches], self.plugins)
        try:
            logging.disable()  # torch logs errors that it also raises
            return predicted_peak(checked)
        except I2IError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            why = f"a component reads the values of tensors, not only their shapes ({reason})"
            if "UninitializedParameter" in reason:
                why = "a network has lazy layers, whose sizes are not known yet"
            raise NotPredicted(f"not predicted, because {why}") from error
        finally:
            logging.disable(logging.NOTSET)

    def table(self) -> Table:
        """Make a table of the peaks: the recipe as it is, with each setting, and with all of them."""
        table = new_table("setting", "predicted peak memory")
        table.add_row("as is", decimal(self.peak()))
        for switch in (switch for family in self.families for switch in family):
            table.add_row(f"--set {switch}", decimal(self.peak((switch,))))
        if len(self.families) > 1:
            table.add_row("all of them", decimal(self.peak(tuple(family[-1] for family in self.families))))
        return table

    def fits(self, memory: float, switches: Switches = ()) -> bool:
        return leaves_room(self.peak(switches), memory)

    def advice(self, memory: float) -> str:
        """Say in one sentence that the recipe fits, or name the fewest settings with which it does."""
        left = f"{decimal(int(memory))}, of which a tenth must stay free: it takes {decimal(self.peak())}"
        if self.fits(memory):
            return f"the recipe fits in {left}"
        if (least := self.least_switches(memory)) is not None:
            return f"the recipe does not fit in {left}; {self._with(least)}"
        best = min((strongest for _, strongest in self._subsets()), key=self.peak)
        at_best = f"; {self._with(best)} at best" if best else ""
        return (
            f"the recipe does not fit in {left}{at_best}; lower data.batch_size, data.image_size or the networks' "
            f"widths"
        )

    def least_switches(self, memory: float) -> Switches | None:
        """Return the fewest settings with which the recipe fits, none if it fits as it is; None if nothing helps."""
        for families, strongest in self._subsets():
            if self.fits(memory, strongest):
                return next(some for some in product(*families) if self.fits(memory, some))
        return None

    def _subsets(self) -> list[tuple[tuple[Switches, ...], Switches]]:
        """List the sets of families, the smallest first, each with the strongest setting of each family."""
        found = [some for count in range(len(self.families) + 1) for some in combinations(self.families, count)]
        return [(some, tuple(family[-1] for family in some)) for some in found]

    def _with(self, switches: Switches) -> str:
        return f"with {' '.join(f'--set {switch}' for switch in switches)} it takes {decimal(self.peak(switches))}"


def switches(recipe: Recipe) -> list[Switches]:
    """List the settings that save memory, in families of alternatives; those that cost least come first."""
    share, now = recipe.data.batch_size, recipe.data.gradient_accumulation
    families = [tuple(f"data.gradient_accumulation={n}" for n in range(now + 1, share + 1) if share % n == 0)]
    if recipe.activation_checkpointing is not True:
        families.append(("activation_checkpointing=true",))
    if recipe.precision != "bf16":
        families.append(("precision=bf16",))
    return [family for family in families if family]


def whose_memory() -> str:
    """Return whose memory `free_memory` is, as a phrase."""
    if torch.cuda.is_available():
        return f"memory of the GPU {torch.cuda.get_device_name()}"
    return "memory of this machine, which has no GPU"


def free_memory() -> int:
    """Return the free bytes of the accelerator, or of the machine."""
    import psutil  # which Accelerate needs

    return device_memory() or int(psutil.virtual_memory().available)


def device_memory() -> int | None:
    """Return the free bytes of the accelerator; None without one."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
