"""A run: everything that a recipe's names became, where it is on disk, and how far it is."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from i2i_core.data.batches import Samples, directions, field_names, loader, to_device
from i2i_core.data.cache import cache_of
from i2i_core.data.sets import build_data
from i2i_core.disk import checkpoints
from i2i_core.disk.files import writing
from i2i_core.disk.matching import match
from i2i_core.errors import CheckpointError, PluginError, Problem, RecipeError, did_you_mean
from i2i_core.interfaces import Trainer
from i2i_core.models.folder import start_from
from i2i_core.plan.check import Checked, definitions, plan_phases, requests
from i2i_core.plan.draws import Draws, seed_of
from i2i_core.plan.tensors import Definition, PlannedPhase, Request, Scope, Unresolved, Values, plan
from i2i_core.registry.specs import Spec, build
from i2i_core.training.compute import (
    chosen,
    keep_freed_memory,
    memory_format,
    recompute_blocks,
    require_compiler,
    set_tf32,
)
from i2i_core.training.events import event_bus
from i2i_core.training.finite_check import Answers
from i2i_core.training.lazy_networks import size_lazy_networks

if TYPE_CHECKING:
    from accelerate import Accelerator


class Run:
    """What hooks, metrics and trainers see. `step` counts the iterations that are done."""

    def __init__(self, checked: Checked, accelerator: Accelerator, folder: Path | None) -> None:
        """Build everything that a recipe names; raises RecipeError and DataError for what its values do not allow."""
        recipe, world = checked.recipe, accelerator.num_processes
        if recipe.data.batch_size % world:
            raise RecipeError([Problem(f"data.batch_size {recipe.data.batch_size} is the whole batch and cannot be "
                                       f"shared by {world} processes", recipe.mark("data", "batch_size"))])
        if (share := recipe.data.batch_size // world) % recipe.data.accumulate:
            raise RecipeError([Problem(f"a process's {share} samples of a batch cannot be computed in "
                                       f"{recipe.data.accumulate} equal parts", recipe.mark("data", "accumulate"))])
        self.recipe, self.accelerator = recipe, accelerator
        self.folder = folder
        """Where the run keeps its files; None for a run that leaves nothing behind."""
        self.is_main: bool = accelerator.is_main_process
        """Whether this process writes files and prints."""
        self.device: torch.device = accelerator.device
        self.dtype = torch.float64 if recipe.precision == "fp64" else torch.float32
        self.step = 0
        self.stop_requested = 0
        """The signal that asked this process to stop, or 0."""
        self.answers = Answers(self.device)
        self._saved = -1

        require_compiler(recipe, self.device)
        with accelerator.main_process_first():  # the others find its pictures examined and cached
            self.data, self.validation, facts = build_data(checked)
            self.cache = cache_of(self.data, recipe)
        self.directions = directions(recipe.data.targets, self.data.domains)
        """By the number of each domain that gives sources: those that its pictures are translated into."""

        keep_freed_memory()
        set_tf32(recipe)
        layout = memory_format(recipe, self.device)

        def built(spec: Spec) -> Any:
            """A component, which may be a network (FAN, a perceptual loss)."""
            made = build(spec, facts)
            if isinstance(made, nn.Module):
                made.to(self.device, self.dtype).to(memory_format=layout)
                if recipe.compile is True:
                    made.compile()
            return made

        self.networks: dict[str, nn.Module] = {name: network.to(self.device, self.dtype) for name, network
                                               in build_networks(checked, facts, recipe.seed).items()}
        self.eval_networks = dict(self.networks)
        """What to draw pictures with: the networks, or averages of them where a hook keeps some."""
        tensors = {name: built(spec) for name, spec in checked.tensors.items()}
        losses = {name: built(spec) for name, spec in checked.losses.items()}
        named = {f"tensors/{name}": call for name, call in tensors.items()}
        named |= {f"losses/{group}.{name}": call for (group, name), call in losses.items()}
        self.stateful = {name: call for name, call in named.items()
                         if hasattr(call, "state_dict") and not isinstance(call, nn.Module)}
        """Tensors and losses that remember (a pool of pictures); a module that one holds (FAN) never changes."""
        self.definitions = definitions(checked.method, checked.tensors, tensors)
        self.scope = Scope(self.definitions, self.networks, field_names(self.data))
        self.plan = plan_phases(self.scope, recipe, requests(recipe, checked.losses, losses))
        size_lazy_networks(self)
        for name, network in self.networks.items():
            network.to(memory_format=layout)
            if chosen(recipe.recompute, name):
                recompute_blocks(network)
            if chosen(recipe.compile, name):
                network.compile()
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: spec.target([p for p in self.networks[name].parameters() if p.requires_grad], **spec.params)
            for name, spec in checked.optimizers.items()}
        self.lr_schedules, self.clip_norms = checked.lr, checked.clip_norm
        self.hooks = {name: build(spec, facts) for name, spec in checked.hooks.items()}
        self.events = event_bus(self.hooks)
        assert checked.trainer is not None
        self.trainer: Trainer = build(checked.trainer, facts)

    @property
    def part(self) -> int:
        """How many samples a process computes at a time; to draw or measure with as many takes no more memory."""
        processes: int = self.accelerator.num_processes
        return self.recipe.data.batch_size // processes // self.recipe.data.accumulate

    @property
    def stopping(self) -> bool:
        """Whether all processes agreed to stop after this step."""
        return self.answers.stopping

    def batches(self) -> Generator[dict[str, Tensor]]:
        """This process's share of every batch from `step` on, on the device."""
        data, rank = self.recipe.data, self.accelerator.process_index
        samples = Samples(self.data, _fields(self.plan), data, self.recipe.seed, self.cache)
        for batch in loader(samples, start=self.step, steps=self.recipe.steps, batch_size=data.batch_size, rank=rank,
                            world=self.accelerator.num_processes, workers=data.workers,
                            pin_memory=self.device.type == "cuda"):
            yield to_device(batch, self.device, self.dtype, data.image_size)

    def draws(self, step: int, part: int | None = None) -> Draws:
        """This process's random numbers at a step; part: for one of the parts in which it computes its share."""
        total = self.recipe.data.batch_size
        share = total // self.accelerator.num_processes
        size = share if part is None else share // self.recipe.data.accumulate
        first = self.accelerator.process_index * share + (part or 0) * size
        return Draws(self.recipe.seed, step, first, first + size, total, self.device, self.dtype)

    def needs(self, name: str, phase: str | None = None) -> set[str]:
        """The batch fields that a tensor depends on, under a phase's aliases if one is named."""
        return _fields([self._plan_for([name], phase)])

    def _plan_for(self, names: Sequence[str], phase: str | None) -> PlannedPhase:
        asked = Definition("", lambda: None, {name: name for name in names})
        where = self.recipe.phases[phase].where if phase else {}
        try:
            (planned,) = plan(self.scope, [Request("", (), where, [("", asked, {})])])
        except Unresolved as error:
            name = error.chain[-1]
            how = f"under the aliases of phase {phase}" if phase else "without the aliases of a phase"
            raise RecipeError([Problem(f"nothing makes the tensor {name}, which is asked for {how}",
                                       hint=did_you_mean(name, self.scope.names()))]) from None
        return planned

    @torch.no_grad()
    def tensors(self, names: Sequence[str], batch: Mapping[str, Tensor], *, phase: str | None = None,
                draws: Draws | None = None) -> dict[str, Any]:
        """Named tensors of `batch` (fields on the device) from the `eval_networks`, without gradients.

        phase: whose aliases hold, if any; draws: as many random numbers as the batch has samples, else those of step 0.
        """
        (term,) = self._plan_for(names, phase).terms
        with self.no_trace(), self.accelerator.autocast():
            return Values({**self.eval_networks, **batch}, draws or self.draws(0)).of(term.arguments)

    @contextmanager
    def no_trace(self) -> Iterator[None]:
        """Networks in eval mode, so that they count nothing, and tensors that forget what they see."""
        networks = (*self.networks.values(), *self.eval_networks.values())
        training = [module for network in networks for module in network.modules() if module.training]
        remembered = {name: {key: tensor.detach().clone() for key, tensor in call.state_dict().items()}
                      for name, call in self.stateful.items()}
        for network in networks:
            network.eval()
        yield
        for module in training:
            module.training = True  # train() would wake what a network keeps in eval mode
        for name, call in self.stateful.items():
            call.load_state_dict(remembered[name])

    def log(self, values: Mapping[str, float]) -> None:
        """Append numbers to metrics.jsonl and send them to the trackers; call it in every process."""
        if self.accelerator.trackers:
            self.accelerator.log(dict(values), step=self.step)
        self.append("metrics.jsonl", values)

    def append(self, file: str, values: Mapping[str, float]) -> None:
        """Add a line with this step's numbers to a file of the run's folder, in the main process."""
        if self.is_main and self.folder is not None:
            line = json.dumps({"step": self.step, **values}) + "\n"
            with writing(self.folder), open(self.folder / file, "a", encoding="utf-8") as lines:
                lines.write(line)

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """Everything that a checkpoint holds, by part and name; call it in every process."""
        return self._shared_parts() | {name: self._of_all_processes(state) for name, call in self.stateful.items()
                                       if (state := call.state_dict())}

    def _shared_parts(self) -> dict[str, dict[str, Tensor]]:
        """What is the same in all processes."""
        parts = {f"networks/{name}": dict(network.state_dict()) for name, network in self.networks.items()}
        for name, optimizer in self.optimizers.items():
            parts[f"optimizers/{name}"] = {
                f"{parameter}/{key}": value for parameter, p in self.networks[name].named_parameters()
                for key, value in optimizer.state.get(p, {}).items() if isinstance(value, Tensor)}
        for name, hook in self.hooks.items():
            if hasattr(hook, "state_dict"):
                parts[f"hooks/{name}"] = dict(hook.state_dict())
        return {name: tensors for name, tensors in parts.items() if tensors}

    def _of_all_processes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of every process, (processes, ...), since each has seen its own share of the batches."""
        return {name: self.accelerator.gather(tensor[None].to(self.device)) for name, tensor in tensors.items()}

    def load_parts(self, parts: checkpoints.Parts, where: Path) -> None:
        """Put a checkpoint's tensors in place; raises CheckpointError when it belongs to another recipe."""
        for name, optimizer in self.optimizers.items():  # first, since a new optimizer has no state to be matched
            parameters = dict(self.networks[name].named_parameters())
            for place, value in parts.get(f"optimizers/{name}", {}).items():
                parameter, _, key = place.rpartition("/")
                if parameter in parameters:
                    p = parameters[parameter]
                    like = p if value.shape == p.shape else value  # fused optimizers want moments laid out as weights
                    optimizer.state[p][key] = torch.empty_like(like, device=self.device, dtype=value.dtype).copy_(value)
        # What tensors and losses remember may have any shape.
        match(self._shared_parts(), {n: tensors for n, tensors in parts.items() if n not in self.stateful},
                    f"checkpoint {where} belongs to another recipe", "recipe", "checkpoint")
        for name, call in self.stateful.items():
            call.load_state_dict({key: value[self.accelerator.process_index % len(value)].to(self.device, copy=True)
                                  for key, value in parts.get(name, {}).items()})
        for name, network in self.networks.items():
            network.load_state_dict(parts.get(f"networks/{name}", {}))
        for name, hook in self.hooks.items():
            if f"hooks/{name}" in parts:
                hook.load_state_dict(parts[f"hooks/{name}"])

    def start(self, checkpoint: checkpoints.Checkpoint | None = None) -> None:
        """Let hooks set themselves up, then continue from a checkpoint; call it once, before training.

        Without one, networks start from the weights that the recipe names, if any. Raises CheckpointError for a
        checkpoint of other domains or of another recipe, or weights that do not fit.
        """
        if checkpoint is not None:
            self.step = self._saved = checkpoint.step
            theirs, ours = list(checkpoint.info["domains"]), list(self.data.domains)
            if theirs != ours:
                raise CheckpointError(f"checkpoint {checkpoint.path} was trained on the domains {', '.join(theirs)}, "
                                      f"and the data now has {', '.join(ours)}; start a new run, or undo the change")
        elif self.recipe.weights is not None:
            start_from(self.recipe.weights, self.networks, self.data.domains)
        self.events.run_start(run=self)
        if checkpoint is not None:
            self.load_parts(checkpoint.parts(), checkpoint.path)

    def save(self, keep: int | None = None) -> Path | None:
        """Commit a checkpoint of this step, unless there is one, and prune old ones.

        Call it in every process: the main one writes (and gets the path), all wait.
        """
        path = None
        self.answers.hear()
        if self._saved != self.step:
            parts = self.parts()  # by all, as it gathers
            if self.is_main and self.folder is not None:
                folder = self.folder / "checkpoints"
                path = checkpoints.save(folder, self.step, parts, {"domains": list(self.data.domains)})
                if keep is not None:
                    checkpoints.prune(folder, keep, self.step)
                self.events.checkpoint_saved(run=self, path=path)
        self._saved = self.step
        self.accelerator.wait_for_everyone()
        return path


def _fields(phases: Sequence[PlannedPhase]) -> set[str]:
    """The batch fields that phases compute from."""
    return {node.name for phase in phases for node in phase.compute if node.kind == "field"}


def build_networks(checked: Checked, facts: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Every network, initialised from the seed and its own name; raises RecipeError with all that cannot be built.

    Under `torch.device("meta")` this checks sizes without spending memory.
    """
    networks, problems = {}, list[Problem]()
    for name, spec in checked.networks.items():
        torch.manual_seed(seed_of(seed, "network", name))
        try:
            made = networks[name] = build(spec, facts)
        except RecipeError as error:
            problems += error.problems
            continue
        if not isinstance(made, nn.Module):
            raise PluginError(f"{spec.mark}: network {spec.entry.name} gives something of type "
                              f"{type(made).__name__}, which is no nn.Module; update or repair plugin "
                              f"{spec.entry.plugin}")
    if problems:
        raise RecipeError(problems)
    return networks
