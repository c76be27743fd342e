"""Annotations for parameters that name something in the same recipe; a name that is not there is an error."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from i2i_core.errors import did_you_mean


def _named_in(section: str, what: str) -> AfterValidator:
    def known(name: str, info: ValidationInfo) -> str:
        names = list((info.context or {}).get(section) or {})
        if name not in names:
            raise PydanticCustomError("unknown_name", "should name a {what} of the recipe; {hint}",
                                      {"what": what, "hint": did_you_mean(name, names)})
        return name

    return AfterValidator(known)


NetworkName = Annotated[str, _named_in("networks", "network")]
PhaseName = Annotated[str, _named_in("phases", "phase")]
