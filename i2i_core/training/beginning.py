"""The start of a run from another run or from models, and the report of what it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from i2i_core.errors import CheckpointError, Problem, RecipeError, did_you_mean
from i2i_core.models.heads import Heads, Taken, Tensors, Transfer, take
from i2i_core.models.source import Source, described, read_source
from i2i_core.recipe.sections import Recipe
from i2i_core.training.saved_parts import SavedParts

Layouts = Mapping[str, Any]
"""Format and size of each batch field, as `DataSets.described` says them."""
PLACES = {"names": "numbers", "palette": "colours of classes"}
"""Names, for messages, of the items in the lists of formats that belong to channels, by the key of the list."""


class Beginning:
    """The sources of a new run's state: `recipe.start_from` for all of it, `recipe.weights` for networks.

    Tensors are taken by name and shape, heads by the name of their domain. All others stay as the seed made them.
    """

    def __init__(self, recipe: Recipe, domains: Sequence[str], layouts: Layouts, heads: Callable[[str], Heads]) -> None:
        """Read the sources. Raises CheckpointError and RecipeError.

        layouts: format and size of each batch field of this run.
        heads: finds those of a network.
        """
        self.recipe, self.domains, self.layouts = recipe, list(domains), layouts
        self.heads, read = cache(heads), cache(read_source)
        self.base = self._usable(read(recipe.start_from)) if recipe.start_from is not None else None
        self.chosen = self._chosen(read)
        """Sources of networks that `recipe.weights` names; None: the seed."""
        self.sources = list({id(s): s for s in (self.base, *self.chosen.values()) if s is not None}.values())
        self.taken: dict[str, Taken] = {}
        """The tensors that each network took."""
        self.parts: dict[str, dict[str, Any]] = {}
        """The report: `taken` tensors `of` how many, and `notes`, by name of a network or another part."""
        self._check_heads()
        for source in self.sources:
            refuse_swapped(recipe, layouts, source.layouts or {}, str(source.facts["from"]))

    def _chosen(self, read: Callable[[Path], Source]) -> dict[str, Source | None]:
        weights = self.recipe.weights
        if weights is None:
            return {}
        if isinstance(weights, Path):
            source = self._usable(read(weights))
            return {name: source for name in self.recipe.networks if name in source.weights}
        found = {name: read(place) if place is not None else None for name, place in weights.items()}
        for name, chosen in found.items():
            if chosen is not None and name not in chosen.weights:
                raise CheckpointError(f"{weights[name]} has no network {name}; it has {', '.join(chosen.weights)}")
        return found

    def _usable(self, source: Source) -> Source:
        """Return a source; raise CheckpointError if it has none of the recipe's networks."""
        if not source.networks.keys() & self.recipe.networks.keys():
            ours, theirs = (", ".join(networks) for networks in (self.recipe.networks, source.networks))
            raise CheckpointError(f"{source.facts['from']} has none of the recipe's networks {ours}; it has {theirs}")
        return source

    def _check_heads(self) -> None:
        """Raise RecipeError for domains in `recipe.heads` that do not exist."""
        earlier = list(dict.fromkeys(domain for source in self.sources for domain in source.domains))
        for domain, other in self.recipe.heads.items():
            for name, known, where in ((domain, self.domains, "data"), (other, earlier, "run or model to start from")):
                if name not in known:
                    what = f"heads names the domain {name}, which the {where} does not have"
                    hint = did_you_mean(name, known) or f"it has {', '.join(known) or 'none'}"
                    raise RecipeError([Problem(what, self.recipe.mark("heads", domain), hint)])

    def load_networks(self, networks: Mapping[str, nn.Module]) -> None:
        """Load the networks' tensors. Call it before hooks copy the networks. Raises CheckpointError if none fits."""
        for name, network in networks.items():
            own = {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}
            if not own:
                continue
            source, found = self._of(name)
            transfer = self._transfer(name, source)
            taken = self.taken[name] = take(own, found, transfer)
            network.load_state_dict(taken.tensors, strict=False)
            notes = list(_notes(taken, transfer, self.domains)) if found else ["from the seed"]
            self.parts[name] = {"taken": len(taken.whole), "of": len(own), "notes": notes}
        if self.sources and not any(taken.tensors for taken in self.taken.values()):
            raise CheckpointError(
                f"nothing in {' and '.join(str(source.facts['from']) for source in self.sources)} fits the recipe's "
                f"networks; start from a run or model of the same networks, or from the seed"
            )

    def _of(self, network: str) -> tuple[Source | None, Tensors]:
        """Return the source of a network, and its tensors there; None and {} for one that starts from the seed."""
        if network in self.chosen:
            source = self.chosen[network]
            return source, source.weights[network] if source else {}
        found = self.base.networks.get(network, {}) if self.base else {}
        return (self.base, found) if found else (None, {})

    def _transfer(self, network: str, source: Source | None) -> Transfer:
        """Return the way from a network of the source to this run's."""
        earlier = source.domains if source else self.domains
        names = [self.recipe.heads.get(domain, domain) for domain in self.domains]
        origins = [earlier.index(name) if name in earlier else None for name in names]
        same = origins == [*range(len(earlier))]
        return Transfer(Heads() if same else self.heads(network), origins, earlier)

    def load_state(self, saved: SavedParts) -> None:
        """Load the state of optimizers, hooks, tensors and losses from `start_from`, if it is a run.

        Call it after the hooks' `run_start`.
        """
        base = self.base
        if base is None or base.recipe is None:
            return
        for name, optimizer in saved.optimizers.items():
            found = base.state.get(f"optimizers/{name}", {})
            if self._of(name)[0] is base and found and _optimizer(base.recipe, name) == _optimizer(self.recipe, name):
                state = self._moments(name, found)
                optimizer.load_state_dict(state)
                count = len({place.rpartition("/")[0] for place in state})
                self.parts[name]["notes"].append(f"optimizer of {count} parameter{'s' * (count != 1)}")
        for name, hook in saved.hooks.items():
            if found := base.state.get(f"hooks/{name}", {}):
                own = dict(hook.state_dict())
                taken = {key: value for part in self._of_hook(own, found) for key, value in part.items()}
                if taken:
                    hook.load_state_dict({**own, **taken})
                self.parts[name] = {"taken": len(taken), "of": len(own), "notes": []}
        if base.domains == self.domains and base.layouts == self.layouts:  # pools may hold pictures
            for part in saved.stateful:
                if part in base.state and _component(base.recipe, part) == _component(self.recipe, part):
                    saved.load_stateful(part, base.state[part])
                    self.parts[part] = {"taken": len(base.state[part]), "of": len(base.state[part]), "notes": []}

    def _moments(self, network: str, found: Tensors) -> dict[str, Tensor]:
        """Return the state of an optimizer, of each parameter that was taken in whole."""
        transfer, state = self._transfer(network, self.base), dict[str, Tensor]()
        for parameter in self.taken[network].whole:
            source = transfer.source(parameter)
            state |= {
                f"{parameter}/{place.rpartition('/')[2]}": transfer.arranged(parameter, value)
                for place, value in found.items()
                if place.rpartition("/")[0] == source
            }
        return state

    def _of_hook(self, own: Tensors, found: Tensors) -> Iterator[Mapping[str, Tensor]]:
        """Yield what a hook takes: averages of networks, named network/tensor, as the networks; the rest by name."""
        of_networks = {network for network in self.recipe.networks if any(n.startswith(f"{network}/") for n in own)}
        for network in of_networks:
            if self._of(network)[0] is self.base:
                ours, theirs = (
                    {n.partition("/")[2]: tensor for n, tensor in side.items() if n.startswith(f"{network}/")}
                    for side in (own, found)
                )
                taken = take(ours, theirs, self._transfer(network, self.base))
                yield {f"{network}/{name}": tensor for name, tensor in taken.tensors.items()}
        rest = {name: tensor for name, tensor in own.items() if name.partition("/")[0] not in of_networks}
        yield take(rest, found, Transfer(Heads(), (), ())).tensors

    def lines(self) -> list[str]:
        """Return the report: what each network and each other part took."""
        head = f"starting from {'; '.join(described(source.facts) for source in self.sources) or 'the seed'}"
        width = max(map(len, self.parts), default=0)
        return [head, *(f"  {f'{name}:':{width + 1}} {_text(facts)}" for name, facts in self.parts.items())]

    def facts(self) -> dict[str, Any]:
        """Return the sources and the report as JSON."""
        return {
            "sources": [{**source.facts, "domains": source.domains} for source in self.sources],
            "parts": self.parts,
        }


def refuse_swapped(recipe: Recipe, ours: Layouts, theirs: Layouts, source: str) -> None:
    """Raise RecipeError for numbers or classes that the source has in other places: networks know them by place."""
    for field in sorted(ours.keys() & theirs.keys()):
        forms = [side[field]["format"] for side in (ours, theirs)]
        for key, what in PLACES.items():
            now, before = (list(form.get(key) or ()) if isinstance(form, Mapping) else [] for form in forms)
            moved = [name for name in before if name in now and now.index(name) != before.index(name)]
            if moved and len(now) == len(before):
                said, was = (", ".join(map(str, names)) for names in (now, before))
                message = f"{field} has the {what} {said}, and in {source} they were {was}"
                hint = f"networks know {what} by their place; write them in that order"
                raise RecipeError([Problem(message, recipe.mark("data"), hint)])


def _notes(taken: Taken, transfer: Transfer, domains: Sequence[str]) -> Iterator[str]:
    """Yield what a network did not take from its source, and which heads it moved."""
    if transfer.heads.axes or transfer.heads.items:
        origins = dict(zip(domains, transfer.origins, strict=True))
        if new := [domain for domain, origin in origins.items() if origin is None]:
            yield f"new: domain {', '.join(new)} (from the seed)"
        for domain, origin in origins.items():
            if origin is not None and transfer.sources[origin] != domain:
                yield f"domain {domain} from {transfer.sources[origin]}"
        if left := [name for n, name in enumerate(transfer.sources) if n not in transfer.origins]:
            yield f"left out: domain {', '.join(left)}"
    if taken.others:
        yield f"{len(taken.others)} of another shape (from the seed), first {taken.others[0]}"
    if taken.lacking:
        yield f"{len(taken.lacking)} not in it (from the seed), first {taken.lacking[0]}"


def _text(facts: Mapping[str, Any]) -> str:
    return "; ".join([f"{facts['taken']} of {facts['of']} tensors", *facts["notes"]])


def _optimizer(recipe: Recipe, network: str) -> dict[str, Any]:
    """Return what of an optimizer determines the form of its state: its component and the switches that are on."""
    return {key: value for key, value in recipe.optimizer(network).items() if key == "use" or value is True}


def _component(recipe: Recipe, part: str) -> str:
    """Return the component of a tensor or a loss by its part of a checkpoint."""
    kind, _, name = part.partition("/")
    if kind == "tensors":
        return recipe.tensors[name].use if name in recipe.tensors else ""
    group, _, term = name.partition(".")
    return recipe.losses[group][term].use if term in recipe.losses.get(group, {}) else ""
