"""A run: everything that a recipe's names became, where it is on disk, and how far it is."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from i2i_core import state
from i2i_core.data.batches import Samples, field_names, loader, to_device
from i2i_core.draws import Draws
from i2i_core.errors import CheckpointError
from i2i_core.interfaces import Dataset, Trainer
from i2i_core.recipe import Recipe
from i2i_core.schedules import Ramp
from i2i_core.tensors import Definition, PlannedPhase, Request, Scope, plan
from i2i_core.trainer import Values, arguments, compute

if TYPE_CHECKING:
    from accelerate import Accelerator

DTYPES = {"fp32": torch.float32, "bf16": torch.float32, "fp64": torch.float64}
Where = Mapping[str, str]


class Run:
    """What hooks, metrics and trainers see. `step` counts the iterations that are done."""

    recipe: Recipe
    accelerator: Accelerator
    data: Dataset
    validation: Dataset
    """Held-out pictures; the training pictures where the recipe names none."""
    networks: dict[str, nn.Module]
    eval_networks: dict[str, nn.Module]
    """What to draw pictures with: the networks, or averages of them where a hook keeps some."""
    optimizers: dict[str, torch.optim.Optimizer]
    lr_schedules: dict[str, Ramp | None]
    weights: dict[str, dict[str, tuple[Ramp, int]]]
    """Per phase and term: its weight's schedule and `every`."""
    definitions: dict[str, Definition]
    plan: list[PlannedPhase]
    hooks: dict[str, Any]
    events: Any
    trainer: Trainer
    folder: Path | None
    """Where the run keeps its files; None for a run that leaves nothing behind."""

    def __init__(self) -> None:
        self.step = 0
        self.stop_requested: int = 0
        """The signal that asked this process to stop, or 0."""
        self.stopping = False
        """Whether all processes agreed to stop after this step."""
        self._saved = -1

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.recipe.precision]

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return bool(self.accelerator.is_main_process)

    def scope(self) -> Scope:
        """What the recipe's names mean."""
        return Scope(self.definitions, self.networks, field_names(self.data))

    def batches(self) -> Generator[dict[str, Tensor]]:
        """This process's share of every batch from `step` on, on the device."""
        data, rank = self.recipe.data, self.accelerator.process_index
        wanted = {n.name for phase in self.plan for n in phase.compute if n.kind == "field"}
        samples = Samples(self.data, wanted, data.image_size, data.augment, self.recipe.seed)
        for batch in loader(samples, start=self.step, steps=self.recipe.steps, batch_size=data.batch_size, rank=rank,
                            world=self.accelerator.num_processes, workers=data.workers,
                            pin_memory=self.device.type == "cuda"):
            yield to_device(batch, self.device, self.dtype)

    def draws(self, step: int) -> Draws:
        """This process's random numbers at a step."""
        total, world = self.recipe.data.batch_size, self.accelerator.num_processes
        share = total // world
        first = self.accelerator.process_index * share
        return Draws(self.recipe.seed, step, first, first + share, total, self.device, self.dtype)

    def needs(self, name: str, phase: str) -> set[str]:
        """The batch fields that a tensor depends on under a phase's aliases."""
        return {n.name for n in self._plan_for([name], self.recipe.phases[phase].where).compute if n.kind == "field"}

    def _plan_for(self, names: Sequence[str], where: Where) -> PlannedPhase:
        asked = Definition("", lambda: None, {name: name for name in names})
        (planned,) = plan(self.scope(), [Request("tensors", (), where, [("asked", asked, {})])])
        return planned

    @torch.no_grad()
    def tensors(self, names: Sequence[str], batch: Mapping[str, Tensor], *, phase: str | None = None,
                where: Where | None = None, draws: Draws | None = None) -> dict[str, Any]:
        """Named tensors of `batch` (fields on the device) from the `eval_networks`, without gradients.

        phase: whose aliases hold; where: further aliases; draws: random numbers, else those of step 0 for this batch.
        """
        aliases = {**(self.recipe.phases[phase].where if phase else {}), **(where or {})}
        planned = self._plan_for(names, aliases)
        size = next((len(v) for v in batch.values()), self.recipe.data.batch_size)
        draws = draws or Draws(self.recipe.seed, 0, 0, size, size, self.device, self.dtype)
        training = {name: network.training for name, network in self.eval_networks.items()}
        for network in self.eval_networks.values():
            network.eval()
        values: Values = {}
        with self.accelerator.autocast():
            compute(planned.compute, values, self.eval_networks, batch, draws)
        for name, network in self.eval_networks.items():
            network.train(training[name])
        return arguments(planned.terms[0].arguments, values, self.eval_networks)

    def log(self, values: Mapping[str, float]) -> None:
        """Append numbers to metrics.jsonl and send them to the trackers; call it in every process."""
        if self.accelerator.trackers:
            self.accelerator.log(dict(values), step=self.step)
        if self.is_main and self.folder is not None:
            try:
                with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": self.step, **values}) + "\n")
            except OSError as error:
                raise state.disk_error(error, self.folder) from error

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Everything that a checkpoint holds, by part and name."""
        parts = {f"networks/{name}": dict(network.state_dict()) for name, network in self.networks.items()}
        for name, optimizer in self.optimizers.items():
            parts[f"optimizers/{name}"] = _optimizer_tensors(self.networks[name], optimizer)
        for name, hook in self.hooks.items():
            if hasattr(hook, "state_dict"):
                parts[f"hooks/{name}"] = dict(hook.state_dict())
        return {name: tensors for name, tensors in parts.items() if tensors}

    def load_parts(self, parts: state.Parts, where: Path) -> None:
        """Put a checkpoint's tensors in place; raises CheckpointError when it belongs to another recipe."""
        for name, optimizer in self.optimizers.items():
            _load_optimizer(self.networks[name], optimizer, parts.get(f"optimizers/{name}", {}))
        state.match(self.parts(), parts, where)
        for name, network in self.networks.items():
            network.load_state_dict(parts.get(f"networks/{name}", {}))
        for name, hook in self.hooks.items():
            if f"hooks/{name}" in parts:
                hook.load_state_dict(parts[f"hooks/{name}"])

    def start(self, checkpoint: state.Checkpoint | None = None) -> None:
        """Let hooks set themselves up, then continue from a checkpoint; call it once, before training.

        Raises CheckpointError for a checkpoint of other domains or of another recipe.
        """
        if checkpoint is not None:
            self.step = self._saved = checkpoint.step
            theirs, ours = list(checkpoint.info["domains"]), list(self.data.domains)
            if theirs != ours:
                raise CheckpointError(f"checkpoint {checkpoint.path} was trained on the domains {', '.join(theirs)}, "
                                      f"and the data now has {', '.join(ours)}; start a new run, or undo the change")
        self.events.run_start(run=self)
        if checkpoint is not None:
            self.load_parts(checkpoint.parts(), checkpoint.path)

    def save(self, keep: int | None = None) -> Path | None:
        """Commit a checkpoint of this step, unless there is one, and prune old ones.

        Call it in every process: the main one writes (and gets the path), all wait.
        """
        path = None
        if self.is_main and self.folder is not None and self._saved != self.step:
            folder = self.folder / "checkpoints"
            info = {"world_size": self.accelerator.num_processes, "threads": torch.get_num_threads(),
                    "torch": torch.__version__, "domains": list(self.data.domains)}
            path = state.save(folder, self.step, self.parts(), info)
            if keep is not None:
                state.prune(folder, keep, self.step)
            self.events.checkpoint_saved(run=self, path=path)
        self._saved = self.step
        self.accelerator.wait_for_everyone()
        return path


def _optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    found = {}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{name}/{key}"] = value
    return found


def _load_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        owner, _, key = name.rpartition("/")
        by_parameter.setdefault(owner, {})[key] = value
    for name, parameter in network.named_parameters():
        if name in by_parameter:
            optimizer.state[parameter] = {
                key: value.to(parameter.device, copy=True) for key, value in by_parameter[name].items()}
