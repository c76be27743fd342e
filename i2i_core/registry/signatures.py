"""Signatures of components, which serve as their schemas: recipe keys, and the tensors that they read.

Of a class, the parameters of the constructor are recipe keys and the arguments of the call are tensors.
Of a function, keyword-only parameters are recipe keys and the others are tensors. A function without tensors is a
factory: it returns the component.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from i2i_core import interfaces

NESTED = {
    interfaces.Loss: "loss",
    interfaces.Dataset: "dataset",
    interfaces.Trainer: "trainer",
    interfaces.Hook: "hook",
    interfaces.Schedule: "schedule",
    interfaces.Format: "format",
    interfaces.Transform: "transform",
}
"""Kinds of nested components by the interface that a parameter is annotated with; others are networks."""
TENSOR_KINDS = ("loss", "tensor")
FACTS = ("image_size", "num_domains", "domains", "source_size", "target_size", "source_channels", "target_channels")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def facts_for(kind: str) -> tuple[str, ...]:
    """Return the constructor parameters that the core fills in for a kind of component.

    These are the facts about the data, FACTS; for a hook also `name`; for a data set only `image_size`; for a format,
    a transform or a section of keys none.
    """
    none = dict.fromkeys(("format", "transform", "section"), ())
    return {**none, "dataset": FACTS[:1], "hook": (*FACTS, "name")}.get(kind, FACTS)


@dataclass(frozen=True)
class Signature:
    """Recipe keys of a component with type hints, and the tensors that it reads; `optional` ones have a default."""

    params: Mapping[str, inspect.Parameter]
    hints: Mapping[str, Any]
    wants: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()


@functools.lru_cache(maxsize=1024)  # a recipe may name one component thousands of times
def signature_of(target: Any, kind: str) -> Signature:
    """Return the signature of a component's class or function; that of a method's module is empty."""
    if inspect.ismodule(target):
        return Signature({}, {})
    positional_are_keys = inspect.isclass(target) or kind not in (*TENSOR_KINDS, "optimizer")
    params = {
        name: p
        for name, p in inspect.signature(target).parameters.items()
        if p.kind is p.KEYWORD_ONLY or (positional_are_keys and p.kind in POSITIONAL)
    }
    wants, optional = call_arguments(target) if kind in TENSOR_KINDS else ((), frozenset())
    try:
        plain_class = inspect.isclass(target) and not dataclasses.is_dataclass(target)
        hints = typing.get_type_hints(target.__init__ if plain_class else target, include_extras=True)
    except NameError:  # names imported under TYPE_CHECKING only; keys are then not checked
        hints = {}
    if kind == "transform" and "transforms" in hints:  # which torchvision says to be any callables
        hints["transforms"] = list[interfaces.Transform]
    return Signature(params, hints, wants, optional)


def written_keys(signature: Signature, kind: str) -> dict[str, inspect.Parameter]:
    """Return the keys that a recipe may set: all but a hook's `name`, which is its key in the section `hooks`."""
    return {name: p for name, p in signature.params.items() if name in FACTS or name not in facts_for(kind)}


def call_arguments(component: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the argument names of a call of `component` (a class, object or function), and the optional ones."""
    is_function = inspect.isroutine(component) or isinstance(component, functools.partial)
    call = component if is_function else getattr(component, "forward", None) or component.__call__
    named = [p for p in inspect.signature(call).parameters.values() if p.kind in POSITIONAL]
    if inspect.isclass(component):
        named = named[1:]  # without self
    return tuple(p.name for p in named), frozenset(p.name for p in named if p.default is not p.empty)


def key_model(hint: Any, alias: str | None = None) -> Any:
    """Return a pydantic model with the field `value` of type `hint`; types of components in it accept nothing."""
    try:
        return _key_model(hint, alias, repr(hint))
    except TypeError:  # a type with annotations that have no hash
        return _key_model.__wrapped__(hint, alias, "")


@functools.lru_cache(maxsize=1024)  # making one takes a millisecond, and a recipe may have thousands of keys
def _key_model(hint: Any, alias: str | None, written: str) -> Any:
    """written: the type as text; unions of other orders are equal, and say in another order what they accept."""
    return create_model(
        "Key", __config__=ConfigDict(arbitrary_types_allowed=True), value=(_checkable(hint), Field(alias=alias))
    )


def _checkable(hint: Any) -> Any:
    alternatives = tuple(
        _NO_COMPONENT if _takes_component(a) else _NO_SECTION if is_section(a) else a for a in alternatives_of(hint)
    )
    return typing.Union[alternatives]  # noqa: UP007


def is_section(hint: object) -> bool:
    """Return True for a dataclass, whose fields are keys in a recipe, as the parameters of a component are."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def sections_of(hint: object) -> tuple[type, ...]:
    """Return the dataclasses among the alternatives of a parameter's type."""
    return tuple(a for a in alternatives_of(hint) if is_section(a) and isinstance(a, type))


def inner_hint(hint: object, container: type) -> Any:
    """Return the type of the values in a `dict` or of the items in a `list` if they are components or sections."""
    for alternative in alternatives_of(hint):
        inner = typing.get_args(alternative)[-1:]
        if typing.get_origin(alternative) is container and inner and (nested_kind(inner[0]) or sections_of(inner[0])):
            return inner[0]
    return None


def nested_kind(hint: object) -> str:
    """Return the kind of component that a parameter accepts, or ""."""
    alternatives = alternatives_of(hint)
    if not any(map(_takes_component, alternatives)):
        return ""
    return next((kind for interface, kind in NESTED.items() if interface in alternatives), "network")


def alternatives_of(hint: object) -> tuple[Any, ...]:
    """Return the members of a union, or the one type."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _takes_component(hint: object) -> bool:
    return isinstance(hint, type) and any(base.__name__ in ("Protocol", "Module") for base in hint.__mro__)


def _refuse(value: object) -> NoReturn:
    raise PydanticCustomError("is_instance_of", "Input should be a component")


def _refuse_section(value: object) -> NoReturn:
    raise PydanticCustomError("dict_type", "Input should be a mapping")


_NO_COMPONENT, _NO_SECTION = Annotated[Any, AfterValidator(_refuse)], Annotated[Any, AfterValidator(_refuse_section)]
"""Replacements for the types of components and sections, which pydantic cannot check. They are checked before."""
