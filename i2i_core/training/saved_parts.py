"""The parts of a checkpoint: networks, optimizers, and the state of hooks, tensors and losses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from i2i_core.disk.checkpoints import Parts
from i2i_core.disk.matching import match
from i2i_core.interfaces import Stateful
from i2i_core.training.network_optimizer import NetworkOptimizer


class SavedParts:
    """The state of a run that a checkpoint holds, by part, such as "networks/generator", and name."""

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, NetworkOptimizer],
        hooks: Mapping[str, Any],
        stateful: Mapping[str, Stateful],
        accelerator: Accelerator,
    ) -> None:
        """stateful: tensors and losses with state, by part."""
        self.networks, self.optimizers, self.stateful = networks, optimizers, stateful
        self.hooks = {name: hook for name, hook in hooks.items() if hasattr(hook, "state_dict")}
        self.accelerator = accelerator

    def pack(self) -> dict[str, dict[str, Tensor]]:
        """Return all parts. Call it in every process."""
        return self._shared() | {
            name: self._of_all_processes(state) for name, call in self.stateful.items() if (state := call.state_dict())
        }

    def _shared(self) -> dict[str, dict[str, Tensor]]:
        """Return the parts that are the same in all processes."""
        parts = {f"networks/{name}": dict(network.state_dict()) for name, network in self.networks.items()}
        parts |= {f"optimizers/{name}": optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        parts |= {f"hooks/{name}": dict(hook.state_dict()) for name, hook in self.hooks.items()}
        return {name: tensors for name, tensors in parts.items() if tensors}

    def _of_all_processes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of all processes, (processes, ...), since each sees its own share of the batches."""
        device = self.accelerator.device
        return {name: self.accelerator.gather(tensor[None].to(device)) for name, tensor in tensors.items()}

    def load(self, parts: Parts, where: Path) -> None:
        """Load the tensors of the checkpoint at `where`. Raises CheckpointError if it belongs to another recipe."""
        for name, optimizer in self.optimizers.items():  # first, since a new optimizer has no state to match
            optimizer.load_state_dict(parts.get(f"optimizers/{name}", {}))
        # The state of tensors and losses may have any shape.
        match(
            self._shared(),
            {name: tensors for name, tensors in parts.items() if name not in self.stateful},
            f"checkpoint {where} belongs to another recipe",
            "recipe",
            "checkpoint",
        )
        for name in self.stateful:
            self.load_stateful(name, parts.get(name, {}))
        for name, network in self.networks.items():
            network.load_state_dict(parts.get(f"networks/{name}", {}))
        for name, hook in self.hooks.items():
            if f"hooks/{name}" in parts:
                hook.load_state_dict(parts[f"hooks/{name}"])

    def load_stateful(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Load this process's state of a tensor or a loss."""
        rank, device = self.accelerator.process_index, self.accelerator.device
        mine = {key: value[rank % len(value)].to(device, copy=True) for key, value in tensors.items()}
        self.stateful[part].load_state_dict(mine)
