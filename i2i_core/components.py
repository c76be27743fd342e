"""From a name and its keys in a recipe to an object. The signature is the schema.

A class: its constructor's parameters are recipe keys, its call's arguments are the tensors it reads.
A function: keyword-only parameters are recipe keys, the others are the tensors it reads; one that reads none
is a factory, and what it returns is the component.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, create_model

from i2i_core import interfaces
from i2i_core.errors import DataError, Mark, Problem, RecipeError, did_you_mean
from i2i_core.marks import Document
from i2i_core.marks import Path as Place
from i2i_core.recipe import schema_problem
from i2i_core.registry import Entry, Registry

NESTED = {"Network": "network", "Loss": "loss", "Dataset": "dataset", "Trainer": "trainer", "Hook": "hook"}
TENSOR_KINDS = ("loss", "tensor")
FACTS = ("image_size", "num_domains", "domains")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def facts_for(kind: str) -> tuple[str, ...]:
    """Constructor parameters that the data fills in; a data set itself is only told the image size."""
    return FACTS[:1] if kind == "dataset" else FACTS


@dataclass(frozen=True)
class Signature:
    """Recipe keys of a component and the tensors it reads, both by name; `optional` reads have a default."""

    params: Mapping[str, inspect.Parameter]
    hints: Mapping[str, Any]
    wants: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()


def signature_of(target: Any, kind: str) -> Signature:
    """The signature of a component's class or function."""
    made = target.__init__ if inspect.isclass(target) else target
    params = _parameters(target)
    reads = kind in TENSOR_KINDS and not inspect.isclass(target)
    if not inspect.isclass(target):
        split = {n: p for n, p in params.items() if p.kind not in POSITIONAL}
        params = split if reads or kind == "optimizer" else params
    wants, optional = call_arguments(target) if kind in TENSOR_KINDS else ((), frozenset())
    try:
        hints = typing.get_type_hints(made, include_extras=True)
    except NameError:  # names imported under TYPE_CHECKING only: checked as anything
        hints = {}
    return Signature(params, hints, wants, optional)


def call_arguments(component: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names of the tensors that calling `component` (a class, an object or a function) reads."""
    if inspect.isclass(component):
        call = getattr(component, "forward", None) or component.__call__
        named = list(_parameters(call).values())[1:]  # without self
    elif inspect.isroutine(component) or isinstance(component, functools.partial):
        named = [p for p in _parameters(component).values() if p.kind in POSITIONAL]
    else:
        named = list(_parameters(getattr(component, "forward", None) or component.__call__).values())
    return tuple(p.name for p in named), frozenset(p.name for p in named if p.default is not p.empty)


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(target).parameters
    return {name: p for name, p in found.items() if p.kind not in variadic}


@dataclass
class Spec:
    """A checked component: what to call with which keys, and how its reads are renamed."""

    entry: Entry
    target: Any
    place: Place
    mark: Mark
    params: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, Spec] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    wants: tuple[str, ...] = ()
    signature: Signature = field(default_factory=lambda: Signature({}, {}))

    def resolved(self) -> dict[str, Any]:
        """The component's keys with every default filled in, except facts of the data."""
        defaults = {n: p.default for n, p in self.signature.params.items()
                    if p.default is not p.empty and n not in facts_for(self.entry.kind)}
        inner = {name: spec.resolved() for name, spec in self.nested.items()}
        return {"use": self.entry.name, **defaults, **self.params, **inner, **self.reads}


class Checker:
    """Looks names up, checks keys against signatures and collects problems; then builds."""

    def __init__(self, registry: Registry, document: Document, index: Mapping[str, str] | None = None) -> None:
        """index: names of components (or plugin prefixes) that a known plugin would provide -> what to install."""
        self.registry, self.document, self.index = registry, document, index or {}
        self.problems: list[Problem] = []

    def report(self, message: str, place: Place, hint: str = "", key: bool = False) -> None:
        self.problems.append(Problem(message, self.document.mark(place, key), hint))

    def check(self, kind: str, use: str, params: Mapping[str, Any], place: Place,
              reserved: tuple[str, ...] = ()) -> Spec | None:
        """A Spec, or None after reporting why there is none; `reserved` are the core's own keys at this place."""
        entry = self.registry.get(kind, use)
        if entry is None:
            self._unknown(kind, use, place)
            return None
        target = entry.load()
        spec = Spec(entry, target, place, self.document.mark(place))
        if inspect.ismodule(target):
            for name in params:
                self.report(f"{kind} {use} takes no keys", (*place, name), key=True)
            return spec
        spec.signature = signature_of(target, kind)
        plain = dict(params)
        spec.wants = self._wants(spec, kind, plain)
        for name in [n for n in plain if n in spec.wants and n not in spec.signature.params]:
            read = plain.pop(name)
            if isinstance(read, str):
                spec.reads[name] = read
            else:
                self.report(f"{'.'.join(map(str, (*place, name)))} is the name of a tensor, not {read!r}",
                            (*place, name))
        for name in [n for n, value in plain.items() if isinstance(value, dict) and "use" in value]:
            if name in spec.signature.params:
                self._nested(spec, name, plain.pop(name))
        self._check_values(spec, kind, plain, reserved)
        return spec

    def _wants(self, spec: Spec, kind: str, params: dict[str, Any]) -> tuple[str, ...]:
        """What a component reads; a factory's product is asked, since the answer may depend on the keys."""
        if kind not in TENSOR_KINDS or spec.signature.wants or inspect.isclass(spec.target):
            return spec.signature.wants
        try:
            made = spec.target(**{n: v for n, v in params.items() if n in spec.signature.params})
        except (TypeError, ValueError, KeyError):  # reported by the check of values
            return ()
        return call_arguments(made)[0]

    def _nested(self, spec: Spec, name: str, value: dict[str, Any]) -> None:
        hint = spec.signature.hints.get(name, Any)
        kinds = [NESTED[a.__name__] for a in (hint, *typing.get_args(hint))
                 if getattr(a, "__module__", "") == interfaces.__name__ and a.__name__ in NESTED]
        use, place = value["use"], (*spec.place, name)
        inner = self.check((kinds or ["network"])[0], str(use), {k: v for k, v in value.items() if k != "use"}, place)
        if inner is not None:
            spec.nested[name] = inner

    def _check_values(self, spec: Spec, kind: str, plain: dict[str, Any], reserved: tuple[str, ...]) -> None:
        fields: dict[str, Any] = {}
        for name, parameter in spec.signature.params.items():
            if name in spec.nested:
                continue
            hint = spec.signature.hints.get(name, Any)
            required = parameter.default is parameter.empty and name not in facts_for(kind)
            fields[f"{name}_"] = (hint, Field(... if required else None, alias=name))
        schema = create_model("Keys", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
        try:
            model = schema.model_validate(plain, context=self.document.data)
        except ValidationError as error:
            known = [*spec.signature.params, *spec.wants, *reserved]
            for e in error.errors():
                if e["type"] == "missing":
                    self.report(f"{kind} {spec.entry.name} needs the key {e['loc'][0]}", spec.place, key=True)
                elif e["type"] == "extra_forbidden" and len(e["loc"]) == 1:
                    self.report(f"{kind} {spec.entry.name} has no key {e['loc'][0]}", (*spec.place, e["loc"][0]),
                                did_you_mean(str(e["loc"][0]), known) or "it takes no keys", key=True)
                else:
                    self.problems.append(schema_problem(e, self.document, spec.place))
            return
        spec.params = {name: getattr(model, f"{name}_") for name in plain if f"{name}_" in fields}

    def _unknown(self, kind: str, use: str, place: Place) -> None:
        elsewhere = [e.kind for e in self.registry if e.name == use]
        install = self.index.get(use) or self.index.get(use.partition("/")[0])
        if elsewhere:
            hint = f"{use} is a {elsewhere[0]}"
        elif install and "/" in use and not any(e.name.startswith(use.partition("/")[0] + "/") for e in self.registry):
            hint = f"pip install {install}"
        else:
            hint = did_you_mean(use, self.registry.names(kind))
        self.report(f"there is no {kind} called {use}", (*place, "use"), hint)


def build(spec: Spec, facts: Mapping[str, Any]) -> Any:
    """Make the object; a ValueError of the component becomes a RecipeError (for data, a DataError) at its mark."""
    if spec.entry.kind in TENSOR_KINDS and spec.signature.wants and not inspect.isclass(spec.target):
        return functools.partial(spec.target, **spec.params) if spec.params else spec.target
    inner = {name: build(nested, facts) for name, nested in spec.nested.items()}
    known = {n: facts[n] for n in facts_for(spec.entry.kind) if n in spec.signature.params and n in facts}
    try:
        return spec.target(**{**known, **spec.params, **inner})
    except ValueError as error:
        if spec.entry.kind == "dataset":
            raise DataError(f"{spec.mark}: {error}") from error
        raise RecipeError([Problem(f"{spec.entry.kind} {spec.entry.name}: {error}", spec.mark)]) from error


def first_line(target: Any) -> str:
    """A component's summary: the first line of its docstring."""
    return (inspect.getdoc(target) or "").partition("\n")[0]


def where_defined(target: Callable[..., Any]) -> Mark:
    """File and line of a component's code."""
    line = inspect.getsourcelines(target)[1] if not inspect.ismodule(target) else 1
    return Mark(inspect.getsourcefile(target) or "?", line, 1)
