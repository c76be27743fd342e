"""From a name and its keys in a recipe to an object. The signature is the schema.

A class: its constructor's parameters are recipe keys, its call's arguments are the tensors it reads.
A function: keyword-only parameters are recipe keys, the others are the tensors it reads; one that reads none
is a factory, and what it returns is the component.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails, PydanticCustomError

from i2i_core import interfaces
from i2i_core.errors import DataError, Mark, Problem, RecipeError, did_you_mean
from i2i_core.marks import Document, shown
from i2i_core.marks import Path as Place
from i2i_core.plugins import Plugins
from i2i_core.registry import Entry
from i2i_core.shape import shape_problems

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
    optional: frozenset[str] = frozenset()
    signature: Signature = field(default_factory=lambda: Signature({}, {}))

    def resolved(self) -> dict[str, Any]:
        """The component's keys with every default filled in, except facts of the data."""
        defaults = {n: p.default for n, p in self.signature.params.items()
                    if p.default is not p.empty and n not in facts_for(self.entry.kind)}
        inner = {name: spec.resolved() for name, spec in self.nested.items()}
        return {"use": self.entry.name, **defaults, **self.params, **inner, **self.reads}


class Checker:
    """Looks names up, checks keys against signatures and collects problems; then builds."""

    def __init__(self, plugins: Plugins, document: Document) -> None:
        self.plugins, self.registry, self.document = plugins, plugins.registry, document
        self.problems: list[Problem] = []

    def report(self, message: str, place: Place, hint: str = "", key: bool = False) -> None:
        self.problems.append(Problem(message, self.document.mark(place, key), hint))

    def check(self, kind: str, use: str, params: Mapping[str, Any], place: Place, *,
              reserved: Iterable[str] = (), inherits: Place = ()) -> Spec | None:
        """A Spec, or None after reporting why there is none.

        reserved: the core's own keys at this place; inherits: where keys are from that were not written at `place`.
        """
        entry = self.registry.get(kind, use)
        if entry is None:
            self._unknown(kind, use, self._place_of("use", place, inherits))
            return None
        target = entry.load()
        spec = Spec(entry, target, place, self.document.mark(place))
        if inspect.ismodule(target):
            for name in params:
                self.report(f"{kind} {use} takes no keys", (*place, name), key=True)
            return spec
        spec.signature = signature_of(target, kind)
        plain = dict(params)
        spec.wants, spec.optional = self._wants(spec, kind, plain)
        for name in [n for n in plain if n in spec.wants and n not in spec.signature.params]:
            read = plain.pop(name)
            if isinstance(read, str):
                spec.reads[name] = read
                spec.optional -= {name}  # what was written must be there
            else:
                self.report(f"{'.'.join(map(str, (*place, name)))} is the name of a tensor, not {shown(read)}",
                            (*place, name))
                spec.wants = tuple(w for w in spec.wants if w != name)
        inner = {name: _as_use(value) for name, value in plain.items()
                 if name in spec.signature.params and _is_component(value, spec.signature.hints.get(name, Any))}
        for name, value in inner.items():
            del plain[name]
            self._nested(spec, name, value)
        self._check_values(spec, plain, inner, reserved, inherits)
        return spec

    def _wants(self, spec: Spec, kind: str, params: dict[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
        """What a component reads; a factory's product is asked, since the answer may depend on the keys."""
        if kind not in TENSOR_KINDS or spec.signature.wants or inspect.isclass(spec.target):
            return spec.signature.wants, spec.signature.optional
        try:
            return call_arguments(spec.target(**{n: v for n, v in params.items() if n in spec.signature.params}))
        except Exception:  # keys that are not checked yet may make it raise anything; their check says what is wrong
            return (), frozenset()

    def _nested(self, spec: Spec, name: str, value: dict[str, Any]) -> None:
        kinds = [NESTED[a.__name__] for a in _alternatives(spec.signature.hints.get(name, Any))
                 if getattr(a, "__module__", "") == interfaces.__name__ and a.__name__ in NESTED]
        place = (*spec.place, name)
        made = self.check((kinds or ["network"])[0], str(value["use"]), {k: v for k, v in value.items() if k != "use"},
                          place)
        if made is not None:
            spec.nested[name] = made

    def _check_values(self, spec: Spec, plain: dict[str, Any], nested: Collection[str], reserved: Iterable[str],
                      inherits: Place) -> None:
        kind, use = spec.entry.kind, spec.entry.name
        fields: dict[str, Any] = {}
        for name, parameter in spec.signature.params.items():
            if name in nested:
                continue
            hint = _checkable(spec.signature.hints.get(name, Any))
            required = parameter.default is parameter.empty and name not in facts_for(kind)
            fields[f"{name}_"] = (hint, Field(... if required else None, alias=name))
        schema = create_model("Keys", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
        try:
            model = schema.model_validate(plain, context=self.document.data)
        except ValidationError as error:
            known = [*spec.signature.params, *spec.wants, *reserved]
            values: dict[Place, list[ErrorDetails]] = {}
            for e in error.errors():
                name, last = str(e["loc"][0]), len(e["loc"]) == 1
                key_place = self._place_of(name, spec.place, inherits)
                if e["type"] == "missing" and last:
                    self.report(f"{kind} {use} needs the key {name}", inherits or spec.place, key=True)
                elif e["type"] == "extra_forbidden" and last:
                    self.report(f"{kind} {use} has no key {name}", key_place,
                                did_you_mean(name, known) or ("" if known else "it takes no keys"), key=True)
                else:
                    values.setdefault(key_place[:-1], []).append(e)
            for place, errors in values.items():
                self.problems += shape_problems(errors, self.document, place, lambda _: known)
            return
        spec.params = {name: getattr(model, f"{name}_") for name in plain if f"{name}_" in fields}

    def _place_of(self, key: str, place: Place, inherits: Place) -> Place:
        written = (*place, key) in self.document.keys or not inherits
        return (*(place if written else inherits), key)

    def _unknown(self, kind: str, use: str, place: Place) -> None:
        prefix, slash, _ = use.partition("/")
        elsewhere = [e.kind for e in self.registry if e.name == use]
        broken = next((row.error for row in self.plugins.rows if row.name == prefix and row.error), "")
        install = self.plugins.index.get(use) or self.plugins.index.get(prefix)
        if elsewhere:
            hint = f"{use} is a {elsewhere[0]}"
        elif slash and broken:
            hint = f"plugin {prefix} does not load: {broken}"
        elif slash and install and not any(e.name.startswith(f"{prefix}/") for e in self.registry):
            hint = f"pip install {install}"
        else:
            hint = did_you_mean(use, self.registry.names(kind))
            if slash and not hint.startswith("did") and not any(e.name.startswith(f"{prefix}/") for e in self.registry):
                hint = f"no plugin called {prefix} is installed"
        self.report(f"there is no {kind} called {use}", place if place in self.document.values else place[:-1], hint)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _takes_component(hint: Any) -> bool:
    return isinstance(hint, type) and any(base.__name__ in ("Protocol", "Module") for base in hint.__mro__)


def _is_component(value: Any, hint: Any) -> bool:
    """Whether `value` names a nested component: a mapping with `use`, or a name where only a component can be."""
    alternatives = _alternatives(hint)
    if isinstance(value, str):
        return any(map(_takes_component, alternatives)) and str not in alternatives
    return isinstance(value, dict) and "use" in value and (hint is Any or any(map(_takes_component, alternatives)))


def _no_component(value: Any) -> Any:
    raise PydanticCustomError("is_instance_of", "Input should be a component")


def _checkable(hint: Any) -> Any:
    """`hint` for pydantic, which cannot tell a component by a Protocol; those in a recipe were taken out before."""
    refuse = Annotated[Any, AfterValidator(_no_component)]
    if not any(map(_takes_component, _alternatives(hint))):
        return hint
    return typing.Union[tuple(refuse if _takes_component(a) else a for a in _alternatives(hint))]  # noqa: UP007


def _as_use(value: Any) -> dict[str, Any]:
    return {"use": value} if isinstance(value, str) else value


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
