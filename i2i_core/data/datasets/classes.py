"""Domains as classes of a data set that others made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from i2i_core.errors import did_you_mean

Domains = Mapping[str, str | list[str]] | list[str] | None
"""The key `domains`: classes that are domains of the same name, or the class or classes of each domain by its name;
None stands for all classes."""


def classes_of(domains: Domains, classes: Sequence[str], where: str) -> dict[str, list[str]]:
    """Return the classes of each domain, by the domain's name.

    where: what has the classes, for messages. Raises ValueError for a class that is not there, or named twice.
    """
    named = domains if isinstance(domains, Mapping) else {name: name for name in _each_once(domains or classes)}
    if not named:
        raise ValueError(f"{where} has no classes, which would be the domains")
    found = {name: [of] if isinstance(of, str) else of for name, of in named.items()}
    for name, of in found.items():
        for one in _each_once(of):
            if one not in classes:
                hint = did_you_mean(one, classes)
                raise ValueError(f"{where} has no class {one}" + (f"; {hint}" if hint else ""))
        if not of:
            raise ValueError(f"the domain {name} has no classes; name some, or remove it")
    return found


def _each_once(names: Sequence[str]) -> Sequence[str]:
    for n, name in enumerate(names):
        if name in names[:n]:
            raise ValueError(f"domains names {name} twice; name each class once")
    return names
