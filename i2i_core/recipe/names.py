"""Types of names in a recipe: shorthands for a component or a list, and references to other sections."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticUndefined

from i2i_core.errors import did_you_mean

Name = TypeVar("Name", bound=str)


def shorthand(kind: type, full: Callable[[Any], Any], written: Any = PydanticUndefined) -> BeforeValidator:
    """Return a validator that expands a value of type `kind` with `full`. written: the type of both, for schemas."""
    return BeforeValidator(lambda value: full(value) if isinstance(value, kind) else value, written)


def _named_in(section: str, what: str, *others: str) -> AfterValidator:
    """Return a validator for a name in that section of the written recipe (the context), or one of `others`."""

    def known(name: str, info: ValidationInfo) -> str:
        written = info.context and info.context.get(section)
        if isinstance(written, dict) and name not in (names := [*others, *written]):
            raise PydanticCustomError(
                "unknown_name",
                "there is no {what} {name} in the recipe",
                {"what": what, "name": name, "hint": did_you_mean(name, names)},
            )
        return name

    return AfterValidator(known)


def _each_once(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"it names {name} twice")
    return names


def file_name(name: str) -> str:
    """Return `name` if it may be printed and be part of a file's name; raises ValueError otherwise."""
    if not re.fullmatch(r"[^/\\\x00-\x1f\x7f-\x9f]{1,200}", name):
        raise ValueError(
            f"{name[:80]!r} cannot be part of a file's name: it is empty or long, or has a slash or a control character"
        )
    if re.search(r"[\ud800-\udfff]", name):  # Python's stand-ins for what it could not decode
        raise ValueError(f"{name[:80]!r} is no text in UTF-8")
    return name


NetworkName = Annotated[str, _named_in("networks", "network")]
NetworkOrDefault = Annotated[str, _named_in("networks", "network", "default")]
PhaseName = Annotated[str, _named_in("phases", "phase")]
LossGroup = Annotated[str, _named_in("losses", "group of losses")]
FileName = Annotated[str, AfterValidator(file_name)]
_NAMES = shorthand(str, lambda name: [name], str | Annotated[list[str], Field(min_length=1)])
Names = Annotated[list[Name], Field(min_length=1), _NAMES, AfterValidator(_each_once)]
