"""The uses of a loaded model: what each computes, and what users have to give for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from i2i_core.data.fitting import Layout
from i2i_core.errors import CheckpointError
from i2i_core.models.folder import Config, Model
from i2i_core.plan.fields import DOMAINS
from i2i_core.plan.planner import PlannedTensors, Planner, Unresolved
from i2i_core.plan.tensors import Node
from i2i_core.plan.uses import LATENT, further_inputs, reference_fields, style_source
from i2i_core.recipe.sections import ModelUse


@dataclass(frozen=True)
class ServedUse:
    """A use of a model with its plan."""

    name: str
    use: ModelUse
    planned: PlannedTensors
    """The plan of its result."""
    style: str
    """The source of a style: "latent", "reference" or "plain"."""
    codes: Mapping[str, Node]
    """Style codes by alias: the tensors in its aliases that depend on no picture to translate."""
    inputs: Mapping[str, str]
    """The batch fields of further inputs, by the names of the inputs."""
    references: frozenset[str]
    """The batch fields of the picture of a reference."""
    targets: tuple[str, ...]
    """Names of the target domains."""
    layouts: Mapping[str, Layout]
    """The layouts of batch fields."""

    @property
    def source(self) -> Layout:
        """The layout of pictures to translate."""
        return self.layouts[self.use.source]

    @property
    def result(self) -> Layout:
        """The layout of results."""
        return self.layouts[self.use.result]

    @property
    def reference(self) -> Layout:
        """The layout of references."""
        return self.layouts[min(self.references)]

    @property
    def given(self) -> set[str]:
        """The batch fields that do not depend on the style: the source and the further inputs."""
        return {self.use.source, *self.inputs.values()}

    @property
    def has_mean(self) -> bool:
        """True if styles from latents have codes that can be averaged."""
        return self.style == LATENT and bool(self.codes)

    @property
    def of_style(self) -> list[Node]:
        """The nodes that depend on the style, in the order of their computation."""
        found: dict[Node, None] = {}
        for node in self.planned.nodes:
            own = node.random or (node.kind == "field" and node.name not in self.given)
            if own or any(argument in found for _, argument in node.arguments):
                found[node] = None
        return list(found)


def served_uses(model: Model, planner: Planner, layouts: Mapping[str, Layout]) -> dict[str, ServedUse]:
    """Plan the uses of a model. Raises CheckpointError for one that the model lacks something for."""
    return {name: _served(model, name, use, planner, layouts) for name, use in model.config.uses.items()}


def _served(model: Model, name: str, use: ModelUse, planner: Planner, layouts: Mapping[str, Layout]) -> ServedUse:
    try:
        planned = planner.tensors([use.show], use.where)
    except Unresolved as error:
        raise CheckpointError(
            f"the model {model.name} lacks {error.chain[-1]}, which it needs for {' -> '.join(error.chain)}"
        ) from None
    for field in {*planned.fields, use.source, use.result} - {*DOMAINS}:
        if field not in layouts:
            raise CheckpointError(f"the model {model.name} lacks the format of {field}, which its use {name} needs")
    inputs = further_inputs(planned, use)
    own = {use.source, *inputs.values()}
    named = {node.name: node for node in planned.nodes if node.kind == "tensor"}
    codes = {
        alias: named[tensor]
        for alias, tensor in use.where.items()
        if tensor in named and own.isdisjoint(PlannedTensors((("", named[tensor]),)).fields)
    }
    return ServedUse(
        name,
        use,
        planned,
        style_source(planned, use.source),
        codes,
        inputs,
        reference_fields(planned, use.source),
        tuple(use_targets(model.config, use)),
        layouts,
    )


def use_targets(config: Config, use: ModelUse) -> list[str]:
    """Return the target domains: a use of which the source is a reference translates back."""
    return config.targets if use.source.endswith("_real") else config.sources
