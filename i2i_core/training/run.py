"""A run: the objects that were built from a recipe, its folder, and its current step."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from i2i_core.data.batches import Samples, loader, to_device
from i2i_core.data.cache import cache_of
from i2i_core.data.sets import build_data
from i2i_core.data.transforms import transforms_of
from i2i_core.disk import checkpoints
from i2i_core.disk.files import append_line
from i2i_core.errors import CheckpointError
from i2i_core.interfaces import Trainer
from i2i_core.models.batch_norms import uses_batch_statistics
from i2i_core.plan.checked import Checked
from i2i_core.plan.draws import Draws
from i2i_core.plan.fields import DOMAINS
from i2i_core.plan.flow import plan_iteration, planner_of
from i2i_core.plan.planner import PlannedTensors
from i2i_core.plan.values import Values
from i2i_core.registry.specs import build
from i2i_core.training.assembly import build_networks, build_terms, heads_of, place_network, stateful
from i2i_core.training.batch_wait import StoppedWaiting, Wait
from i2i_core.training.beginning import Beginning, refuse_swapped
from i2i_core.training.compute import keep_freed_memory, placement, require_compiler, set_tf32
from i2i_core.training.events import event_bus
from i2i_core.training.finite_check import FiniteCheck
from i2i_core.training.lazy_networks import size_lazy_networks
from i2i_core.training.network_optimizer import NetworkOptimizer
from i2i_core.training.saved_parts import SavedParts
from i2i_core.training.shares import Shares
from i2i_core.training.view import View, without_trace
from i2i_core.training.weights_check import largest_weight

if TYPE_CHECKING:
    from accelerate import Accelerator


class Run:
    """A training in progress: the `RunContext` for hooks, with further members for the training loop."""

    def __init__(self, checked: Checked, accelerator: Accelerator, folder: Path | None) -> None:
        """Build all components of a recipe. Raises RecipeError and DataError for unusable values and pictures.

        folder: the run folder, or None to write no files.
        """
        recipe = self.recipe = checked.recipe
        self.accelerator, self.folder = accelerator, folder
        self.is_main: bool = accelerator.is_main_process
        self.shares = Shares(recipe, accelerator)
        require_compiler(recipe, accelerator.device)
        self.step = 0
        self.stop_requested = 0
        """The signal that asked this process to stop, or 0."""
        self.save_requested = False
        """True if a signal asked this process to save a checkpoint."""
        self.wait = Wait(alone=accelerator.num_processes == 1)
        self.check_folder: Callable[[], None] = lambda: None
        """Raises DiskError if the run's folder is not its own any more; hooks may write after it was called."""
        self.finite_check = FiniteCheck(accelerator.device)
        self._saved, self._keep = -1, 0
        self.logged = 0
        """Lines of metrics.jsonl until now, which a checkpoint remembers."""
        self.beginning: Beginning | None = None
        """From what the run started, unless that is the seed or a checkpoint of its own."""
        with accelerator.main_process_first():  # the others use its caches
            self.data = build_data(checked)
        self.training, self.validation = self.data.train, self.data.validation
        self._build(checked)
        self.wanted = {name for phase in self.plan for name in phase.fields}
        """The batch fields that the phases read."""
        with accelerator.main_process_first():
            self._cache = cache_of(self.data.train, recipe, self.wanted)
        self._transforms = transforms_of(checked, self.data.layouts, self.wanted)

    def _build(self, checked: Checked) -> None:
        recipe, facts = self.recipe, self.data.facts
        keep_freed_memory()
        set_tf32(recipe)
        place = self.placement = placement(recipe, self.accelerator.device)
        self.networks = {
            name: network.to(place.device, place.dtype)
            for name, network in build_networks(checked, facts, recipe.seed).items()
        }
        self.eval_networks: dict[str, nn.Module] = dict(self.networks)
        self._heads_of = lambda name: heads_of(checked.networks[name], self.networks[name], facts)
        built = build_terms(checked, facts, place)
        self.stateful = stateful(built)
        """Tensors and losses with state, by part of a checkpoint."""
        self.planner = planner_of(checked, (*DOMAINS, *self.data.layouts), built)
        self.plan_of = cache(partial(plan_iteration, self.planner, checked, built))
        """`plan_of(names)`: the plan of an iteration in which the phases `names` run."""
        self.plan = self.plan_of(tuple(recipe.phases))
        """The plan of an iteration in which all phases run."""
        with without_trace(self.networks, {}, self.stateful):
            size_lazy_networks(self.networks, self.plan, self.data.layouts, recipe, place)
        for name, network in self.networks.items():
            place_network(name, network, checked, place)
            if recipe.networks[name].frozen:
                network.requires_grad_(False).eval()
        self.optimizers = {
            name: NetworkOptimizer(name, self.networks[name], spec) for name, spec in checked.optimizers.items()
        }
        self.hooks = {name: build(spec, {**facts, "name": name}) for name, spec in checked.hooks.items()}
        self.events = event_bus(self.hooks)
        assert checked.trainer is not None
        self.trainer: Trainer[Run] = build(checked.trainer, facts)
        self.saved_parts = SavedParts(self.networks, self.optimizers, self.hooks, self.stateful, self.accelerator)

    @property
    def stopping(self) -> bool:
        return self.finite_check.stopping

    def take_requests(self) -> tuple[float, float]:
        """Return 1.0 for each of the requests to stop and to save, else 0.0. The one to save is then forgotten."""
        save, self.save_requested = self.save_requested, False
        return float(self.stop_requested != 0), float(save)

    def batches(self) -> Generator[dict[str, Tensor]]:
        """Yield this process's share of each batch from `step` on, on the device."""
        data = self.recipe.data
        samples = Samples(self.data.train, self.wanted, data, self.recipe.seed, self._cache, self._transforms)
        batches = loader(
            samples,
            start=self.step,
            steps=self.recipe.steps,
            batch_size=data.batch_size,
            rank=self.shares.rank,
            world=self.shares.world,
            workers=data.workers,
            timeout=self.recipe.timeout,
            pin_memory=self.placement.device.type == "cuda",
        )
        with closing(batches):
            while (batch := self._next(batches)) is not None:
                yield to_device(batch, self.data.layouts, self.placement.device, self.placement.dtype)

    def _next(self, batches: Iterator[dict[str, Tensor]]) -> dict[str, Tensor] | None:
        """Return the next batch; None at the end, or if a signal to stop ends the wait."""
        try:
            self.wait.begin(self.stop_requested)
            return next(batches, None)
        except StoppedWaiting:
            self.finite_check.stopping = True
            return None
        finally:
            self.wait.end()

    def draws(self, step: int, part: int | None = None) -> Draws:
        """Return this process's random numbers at a step. part: restrict them to that part of its share of a batch."""
        start, stop = self.shares.range(part)
        return Draws(
            self.recipe.seed, step, start, stop, self.shares.total, self.placement.device, self.placement.dtype
        )

    def tensor(self, name: str, phase: str | None = None) -> View:
        planned, part = self._planned([name], phase), self.shares.part
        used = {node.name for node in planned.nodes}
        if any(name in used and uses_batch_statistics(network) for name, network in self.eval_networks.items()):
            part = 1  # in a larger part, pictures would influence each other
        return View(name, planned, self._compute, self.placement, self.recipe.seed, part)

    def tensors(
        self, names: Sequence[str], batch: Mapping[str, Tensor], *, phase: str | None = None, draws: Draws | None = None
    ) -> dict[str, Any]:
        """Compute named tensors of `batch` (fields on the device) from the `eval_networks`, without gradients.

        phase: the phase whose aliases apply, or None. draws: random numbers for the samples of the batch;
        default: those of step 0.
        """
        return self._compute(self._planned(names, phase), batch, draws or self.draws(0))

    def _planned(self, names: Sequence[str], phase: str | None) -> PlannedTensors:
        return self.planner.tensors_for(names, phase, self.recipe.phases[phase].where if phase else {})

    @torch.no_grad()
    def _compute(self, planned: PlannedTensors, batch: Mapping[str, Tensor], draws: Draws) -> dict[str, Any]:
        with without_trace(self.networks, self.eval_networks, self.stateful), self.accelerator.autocast():
            return Values({**self.eval_networks, **batch, "step": self.step}, draws).of(planned.arguments)

    def log(self, values: Mapping[str, float]) -> None:
        if self.accelerator.trackers:
            self.accelerator.log(dict(values), step=self.step)
        if self.is_main and self.folder is not None:
            append_line(self.folder / "metrics.jsonl", json.dumps({"step": self.step, **values}))
            self.logged += 1

    def start(self, checkpoint: checkpoints.Checkpoint | None = None) -> None:
        """Call the hooks' `run_start`, then load the checkpoint. Call this once, before training.

        Without a checkpoint, the run starts from what the recipe's `start_from` and `weights` name. Raises
        CheckpointError for a checkpoint of other domains or of another recipe, and RecipeError for unknown domains.
        """
        described = self.data.described()
        domains, layouts = list(self.data.train.domains), described["layouts"]
        if checkpoint is not None:
            self.step = self._saved = checkpoint.step
            if (earlier := list(checkpoint.info["domains"])) != domains:
                raise CheckpointError(
                    f"checkpoint {checkpoint.path} was trained on the domains {', '.join(earlier)}, "
                    f"and the data now has {', '.join(domains)}; start a new run, or undo the change"
                )
            refuse_swapped(self.recipe, layouts, checkpoint.info.get("layouts", {}), str(checkpoint.path))
        elif self.recipe.starts_elsewhere:
            self.beginning = Beginning(self.recipe, domains, layouts, self._heads_of)
            self.beginning.load_networks(self.networks)
        self.events.run_start(run=self)
        if checkpoint is not None:
            self.saved_parts.load(checkpoint.parts(), checkpoint.path)
        elif self.beginning is not None:
            self.beginning.load_state(self.saved_parts)

    def save(self, keep: int | None = None) -> Path | None:
        """Save a checkpoint of this step unless there is one, and delete all but the newest `keep`.

        Call it in every process: the main process writes and gets the path, the others wait and get None.
        """
        path = None
        self.finite_check.wait()
        if self._saved != self.step:
            largest = largest_weight([*self.networks.items(), *self.eval_networks.items()], self.step)
            parts = self.saved_parts.pack()  # in every process, since it gathers
            if self.is_main and self.folder is not None:
                facts = {**self.data.described(), "largest_weight": largest, "logged": self.logged}
                path = checkpoints.save(self.folder / "checkpoints", self.step, parts, facts)
                if largest >= checkpoints.EXPLODED:
                    _warn(f"weights have grown to {largest:.0e} at step {self.step}: the run diverges")
                self.events.checkpoint_saved(run=self, path=path)
            self._saved, self._keep = self.step, keep or 0
        if self.step >= self.recipe.steps:
            self._prune()
        self.accelerator.wait_for_everyone()
        return path

    def save_if_asked(self) -> None:
        """Save a checkpoint if the processes agreed to. Call it in every process, when all hooks are done."""
        if self.finite_check.saving:
            self.finite_check.saving = False
            if (path := self.save(self._keep or None)) is not None:
                print(f"saved {path}", file=sys.stderr)

    def prune(self) -> None:
        """Delete old checkpoints, once a further step was made from the newest one."""
        if self.finite_check.checked > self._saved:
            self._prune()

    def _prune(self) -> None:
        if self._keep and self.is_main and self.folder is not None:
            checkpoints.prune(self.folder / "checkpoints", self._keep, self._saved, _warn)
        self._keep = 0


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)
