"""Specifications of components: checking the keys in a recipe, and building the object."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from pydantic import ValidationError

from i2i_core.errors import DataError, I2IError, Mark, Problem, Problems, RecipeError, did_you_mean
from i2i_core.interfaces import Schedule
from i2i_core.recipe.document import Document
from i2i_core.recipe.document import Path as Place
from i2i_core.recipe.problems import shape_problems
from i2i_core.recipe.sections import RESERVED, is_schedule, keys_at, schedule
from i2i_core.registry.entries import Entry
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.signatures import (
    TENSOR_KINDS,
    Signature,
    alternatives_of,
    call_arguments,
    facts_for,
    inner_hint,
    key_model,
    nested_kind,
    sections_of,
    signature_of,
)
from i2i_core.registry.transforms import transforms

SECTION = "section"
"""The kind of a Spec that is no component, but a section of a component's keys: its target is a dataclass."""


@dataclass
class Spec:
    """A checked component: the target, its keys (nested components are Specs), and the tensors that it reads."""

    entry: Entry
    target: Any
    mark: Mark
    signature: Signature
    params: dict[str, Any] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    """Names of the tensors by argument of the call."""
    optional: frozenset[str] = frozenset()
    objective: str = ""
    """Name of the GAN objective, if the component is a GAN loss: both players have to use the same one."""

    def resolved(self) -> dict[str, Any]:
        """Return the component's keys with all defaults, except those that the core fills in from the data."""
        defaults = {
            n: p.default
            for n, p in self.signature.params.items()
            if p.default is not p.empty and n not in facts_for(self.entry.kind) and not is_dataclass(p.default)
        }
        written = {n: replace_specs(value, Spec.resolved) for n, value in self.params.items()}
        renamed = {argument: name for argument, name in self.reads.items() if argument != name}
        return {**self.named(), **defaults, **written, **renamed}

    def named(self) -> dict[str, Any]:
        """Return the key `use` of a component; a section of keys has none."""
        return {} if self.entry.kind == SECTION else {"use": self.entry.name}


class Checker:
    """A checker of components: it looks up names, checks keys against signatures and collects problems."""

    def __init__(self, plugins: Plugins, document: Document) -> None:
        self.plugins, self.registry, self.document = plugins, plugins.registry, document
        self.problems = Problems(document.problems)
        steps = document.data.get("steps") if isinstance(document.data, dict) else None
        self.steps = steps if isinstance(steps, int) else 0
        """The recipe's number of steps; 0 if it has none that is valid."""

    def report(self, message: str, place: Place, hint: str = "", key: bool = False) -> None:
        self.problems.append(Problem(message, self.document.mark(place, key), hint))

    def check(self, kind: str, keys: Mapping[str, Any], *places: Place) -> Spec | None:
        """Check the component keys["use"] and return its Spec; report a problem and return None if it is unknown.

        places: paths of the section that holds the keys, then of sections from which it inherits keys.
        """
        use = str(keys["use"])
        entry = transforms().get(use) if kind == "transform" else self.registry.get(kind, use)
        if entry is None:
            named = self.place_of("use", places)
            self.report(
                f"there is no {kind} called {use}",
                named if named in self.document.values else named[:-1],
                self._why_unknown(kind, use),
            )
            return None
        return self._keys(entry, entry.load(), {name: value for name, value in keys.items() if name != "use"}, places)

    def _keys(self, entry: Entry, target: Any, keys: Mapping[str, Any], places: Sequence[Place]) -> Spec:
        """Check the keys of a component or section against its signature."""
        kind, what = entry.kind, described(entry)
        signature = signature_of(target, kind)
        spec = Spec(entry, target, self.document.mark(places[0]), signature)
        for name, parameter in signature.params.items():
            if name in keys:
                hint = signature.hints.get(name, Any)
                spec.params[name] = self._value(hint, keys[name], self.place_of(name, places))
            elif parameter.default is parameter.empty and name not in facts_for(kind):
                self.report(f"{what} needs the key {name}", self.place_of("use", places)[:-1], key=True)
        if not self._find_reads(spec):
            return spec
        known = {*signature.params, *spec.reads, *RESERVED.get(kind, ())}
        for name in keys.keys() - signature.params.keys():
            if name in spec.reads:
                spec.reads[name] = self.read(str, keys[name], self.place_of(name, places))
            else:
                self.report(
                    f"{what} has no key {name}",
                    self.place_of(name, places),
                    did_you_mean(name, known - {name}),
                    key=True,
                )
        spec.reads = {argument: name for argument, name in spec.reads.items() if name is not None}
        return spec

    def place_of(self, key: str, places: Sequence[Place]) -> Place:
        """Return the path of `key` in the first of `places` that has it."""
        return next(((*place, key) for place in places if (*place, key) in self.document.keys), (*places[0], key))

    def _find_reads(self, spec: Spec) -> bool:
        """Set the tensors that a component reads in its Spec; return False if they cannot be determined.

        A factory is called for this, since its keys may determine what the component reads.
        """
        wants, spec.optional = spec.signature.wants, spec.signature.optional
        if spec.entry.kind in TENSOR_KINDS and not wants and not inspect.isclass(spec.target):
            try:
                made = spec.target(**spec.params)
                wants, spec.optional = call_arguments(made)
            except Exception:  # invalid keys, which are already reported, may make it raise anything
                return False
            spec.objective = getattr(made, "objective", "")
        spec.reads = {name: name for name in wants}
        return True

    def _value(self, hint: Any, value: Any, place: Place) -> Any:
        """Return the value of a key: the Specs of nested components and sections, or the result of `read`."""
        kind, alternatives = nested_kind(hint), alternatives_of(hint)
        if kind == "schedule":
            return self._schedule_or_number([a for a in alternatives if a is not Schedule], value, place)
        if isinstance(value, str) and kind and str not in alternatives:
            value = {"use": value}
        if isinstance(value, dict) and "use" in value and (kind or hint is Any):
            return self.check(kind or "network", value, place)
        if isinstance(value, dict) and (inner := inner_hint(hint, dict)) is not None:
            return {key: self._value(inner, one, (*place, key)) for key, one in value.items()}
        if isinstance(value, list) and (inner := inner_hint(hint, list)) is not None:
            return [self._value(inner, one, (*place, n)) for n, one in enumerate(value)]
        if isinstance(value, dict) and (sections := sections_of(hint)):
            # Of several sections, the one with most of the keys is meant.
            target = max(sections, key=lambda s: len(value.keys() & signature_of(s, SECTION).params.keys()))
            return self._keys(Entry(SECTION, ".".join(map(str, place)), "", ""), target, value, (place,))
        return self.read(hint, value, place)

    def schedule(self, written: Any, place: Place) -> Spec | None:
        """Check a schedule, which may be a shorthand. Return its Spec, or None after reporting its problems."""
        found = len(self.problems)
        spec = self.check("schedule", schedule(written), place)
        return spec if len(self.problems) == found else None

    def _schedule_or_number(self, others: list[Any], value: Any, place: Place) -> Any:
        """Return the Spec of a schedule or, for a parameter that accepts numbers as well, a number.

        others: the types that the parameter accepts besides schedules. A schedule's first and last value have to fit.
        """
        numbers = [a for a in others if a is not types.NoneType]
        hint: Any = typing.Union[(*others, *([] if numbers else [float]))]
        if not is_schedule(value):
            number = self.read(hint, value, place)
            constant = isinstance(number, int | float) and not numbers
            return self.check("schedule", {"use": "constant", "value": number}, place) if constant else number
        spec = self.schedule(value, place)
        if spec is not None:
            made, found = build(spec, {}), len(self.problems)
            for step in (0, self.steps):
                if len(self.problems) == found:
                    self.read(hint, made(step), place)
        return spec

    def read(self, hint: Any, value: Any, place: Place) -> Any:
        """Validate `value` against the type `hint`; report the problems and return None if it does not fit."""
        schema = key_model(hint, alias=str(place[-1]))
        try:
            return schema.model_validate({place[-1]: value}, context=self.document.data).value
        except ValidationError as error:
            self.problems += shape_problems(error.errors(), self.document, place[:-1], keys_at)
            return None

    def _why_unknown(self, kind: str, use: str) -> str:
        """Return a hint what to do about an unknown component."""
        if kind == "transform":
            return did_you_mean(use, transforms())
        close = did_you_mean(use, self.registry.names(kind))
        prefix, slash, _ = use.partition("/")
        for entry in self.registry:
            if entry.name == use:
                return f"{use} is a {entry.kind}"
        failed = next((row for row in self.plugins.rows if row.name == prefix and row.error), None)
        in_use = not slash or any(entry.name.startswith(f"{prefix}/") for entry in self.registry)
        if failed is not None:  # or a file with the name of a plugin that is in use
            return f"{failed.distribution if in_use else f'plugin {prefix}'} is not in use: {failed.error}"
        if in_use:
            return close
        install = self.plugins.index.get(use) or self.plugins.index.get(prefix)
        if install:
            return f"pip install {install}"
        return close if close.startswith("did") else f"no plugin called {prefix} is installed"


def described(entry: Entry) -> str:
    """Return the kind and name of a component, or the path of a section."""
    return entry.name if entry.kind == SECTION else f"{entry.kind} {entry.name}"


def replace_specs(value: Any, replace: Callable[[Spec], Any]) -> Any:
    """Replace each Spec in the value of a key, those in mappings and lists included."""
    if isinstance(value, Spec):
        return replace(value)
    if isinstance(value, dict):
        return {key: replace_specs(inner, replace) for key, inner in value.items()}
    return [replace_specs(inner, replace) for inner in value] if isinstance(value, list) else value


def build(spec: Spec, facts: Mapping[str, object]) -> Any:
    """Build the object of a Spec.

    facts: values for the parameters that the core fills in. A ValueError of the component becomes a RecipeError with
    its mark, that of a data set a DataError.
    """
    given = {name: replace_specs(value, lambda inner: build(inner, facts)) for name, value in spec.params.items()}
    if spec.entry.kind in TENSOR_KINDS and spec.signature.wants and not inspect.isclass(spec.target):
        return functools.partial(spec.target, **given) if given else spec.target
    known = {n: facts[n] for n in facts_for(spec.entry.kind) if n in spec.signature.params and n in facts}
    try:
        return spec.target(**{**known, **given})
    except ValueError as error:
        if spec.entry.kind == "dataset":
            raise DataError(f"{spec.mark}: {error}") from error
        raise RecipeError([Problem(f"{described(spec.entry)}: {error}", spec.mark)]) from error
    except (I2IError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OverflowError) or (isinstance(error, RuntimeError) and "overflow" in str(error).lower()):
            why = f"{described(spec.entry)}: a number is too large ({str(error).partition(chr(10))[0]})"
            raise RecipeError([Problem(why, spec.mark)]) from error
        error.add_note(f"in {spec.entry.kind} {spec.entry.name}")
        raise
