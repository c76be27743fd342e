"""The fields of a batch: the domains of a sample, and fields of records in their roles.

`x_real` is the field `x`, the picture, in the role `real`; `instance_ref` the field `instance` in the role `ref`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from i2i_core.registry.specs import Spec

PICTURE = "x"
"""The field of every record: its picture."""
REAL, PAIR, REFERENCES = "real", "pair", ("ref", "ref2")
"""Roles of records: the source, its true translation into y_trg, and two references of domain y_trg."""
ROLES = (REAL, *REFERENCES, PAIR)
DOMAINS = ("y_org", "y_trg")
"""The domain of the source, and the target domain, as class indices."""


def batch_fields(fields: Collection[str], paired: bool) -> tuple[str, ...]:
    """Return the names of all batch fields. fields: those of records; paired: whether records have true pairs."""
    roles = ROLES if paired else ROLES[:-1]
    return (*DOMAINS, *(in_role(field, role) for field in fields for role in roles))


def in_role(field: str, role: str) -> str:
    """Return the name of a record's field in a batch."""
    return f"{field}_{role}"


def role_of(name: str) -> tuple[str, str]:
    """Return the field and the role of a batch field, such as ("x", "ref2"); the role of a domain is ""."""
    field, _, role = name.rpartition("_")
    return (field, role) if role in ROLES and name not in DOMAINS else (name, "")


def declared_fields(spec: Spec | None) -> tuple[str, ...]:
    """Return the fields of records that a data set declares before it is built, its picture first."""
    return tuple(dict.fromkeys((PICTURE, *_declared(spec))))


def _declared(value: Any) -> list[str]:
    if not isinstance(value, Spec):
        return []
    fields = [*(value.params.get("fields") or {}), *(getattr(value.target, "fields", None) or ())]
    return fields + [name for inner in value.params.values() for name in _declared(inner)]
