"""registry.yaml's generated half: what the core and each plugin register, as a reviewer reads it and `i2i ls` shows it.

`python -m i2i_core.catalogue registry.yaml` rewrites the file; with `--check` it only says whether it is stale.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import itertools
import re
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from i2i_core.errors import I2IError, PluginError
from i2i_core.plugins import Plugins, load_registry_file
from i2i_core.registry import KINDS, Entry

HEADER = """\
# The plugins of this tree and what they register.
# Kept by hand: each plugin's package, distribution, version, folder and enabled; and index, which says what to
# install for a name (or a plugin's prefix) that is not there. components and core are generated: make registry
"""
Components = dict[str, dict[str, dict[str, Any]]]
"""Descriptions by kind and name."""


def known_components(data: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Descriptions by (kind, name) from a registry file that has been read; imports nothing."""
    rows = [{"components": data.get("core")}, *data["plugins"].values()]
    return {(kind, name): description for row in rows for kind, named in (row.get("components") or {}).items()
            for name, description in named.items()}


def describe(entry: Entry) -> dict[str, Any]:
    """A component's summary, its keys as "type = default" and the tensors it reads; a method's tensors and theirs."""
    from i2i_core.components import first_line, signature_of
    from i2i_core.tensors import method_tensors

    target = entry.load()
    found: dict[str, Any] = {"summary": first_line(target)}
    if inspect.ismodule(target):
        tensors = method_tensors(target)
        return found | {"tensors": {n: list(tensors[n].reads.values()) for n in vars(target) if n in tensors}}
    signature = signature_of(target, entry.kind)
    found["params"] = {name: _parameter(p, signature.hints.get(name)) for name, p in signature.params.items()}
    found["reads"] = list(signature.wants or _reads_of_product(entry, target, signature.hints))
    return {key: value for key, value in found.items() if value}


def _parameter(parameter: inspect.Parameter, hint: Any) -> str:
    """A recipe key: its type as the signature says it (a Literal by its choices), its default as a recipe would."""
    from i2i_core.components import FACTS

    written = parameter.annotation
    if typing.get_origin(hint) is typing.Literal:
        written = " | ".join(map(str, typing.get_args(hint)))
    elif not isinstance(written, str):
        written = re.sub(r"(\w+\.)+", "", inspect.formatannotation(written))
    if parameter.default is not parameter.empty:
        return f"{written} = {_inline(parameter.default)}"
    return f"{written}, from the data" if parameter.name in FACTS else str(written)


def _inline(value: Any) -> str:
    try:
        return str(yaml.safe_dump(value, default_flow_style=True)).removesuffix("...\n").strip()
    except yaml.YAMLError:
        return str(value)


def _reads_of_product(entry: Entry, target: Any, hints: Mapping[str, Any]) -> list[str]:
    """What a factory's losses read: all that any choice of its required Literal keys reads."""
    from i2i_core.components import TENSOR_KINDS, call_arguments, signature_of

    if entry.kind not in TENSOR_KINDS or inspect.isclass(target):
        return []
    required = {n: typing.get_args(hints.get(n)) for n, p in signature_of(target, entry.kind).params.items()
                if p.default is p.empty}
    reads: dict[str, None] = {}
    for choice in itertools.product(*required.values()):
        made = target(**dict(zip(required, choice, strict=True)))
        reads |= dict.fromkeys(call_arguments(made)[0] if callable(made) else ())
    return list(reads)


def components_of(plugins: Plugins, plugin: str) -> Components:
    """Descriptions of everything a loaded plugin registered, sorted by name within each kind."""
    entries = sorted((e for e in plugins.registry if e.plugin == plugin), key=lambda e: (KINDS.index(e.kind), e.name))
    return {kind: {e.name: describe(e) for e in group}
            for kind, group in itertools.groupby(entries, key=lambda e: e.kind)}


def render(path: Path) -> str:
    """The registry file as it should be; raises PluginError when one of its plugins does not load."""
    data, plugins = load_registry_file(path), Plugins(path.resolve())
    for failed in (row for row in plugins.rows if row.error):
        raise PluginError(f"plugin {failed.name} does not load, so {path} cannot be written: {failed.error}")
    rows = {name: dict(row) for name, row in data["plugins"].items()}
    for name, row in rows.items():
        if row.get("enabled", True):
            row["components"] = components_of(plugins, name)
    found = {"plugins": rows, "index": data.get("index") or {}, "core": components_of(plugins, "core")}
    return HEADER + "".join(f"\n{_dump({key: value})}" for key, value in found.items())


class _Dumper(yaml.SafeDumper):
    """Mappings a key a line, lists inline."""


_Dumper.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True))


def _dump(data: Mapping[str, Any]) -> str:
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000))


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with --check say whether it is what would be written; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m i2i_core.catalogue", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="registry.yaml")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    options = parser.parse_args(arguments)
    try:
        before, after = options.file.read_text(encoding="utf-8") if options.file.is_file() else "", render(options.file)
    except I2IError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if before == after:
        return 0
    if options.check:
        diff = difflib.unified_diff(before.splitlines(), after.splitlines(), "as it is", "as it should be", lineterm="")
        print(*diff, f"{options.file} is stale; run: make registry", sep="\n", file=sys.stderr)
        return 1
    options.file.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
