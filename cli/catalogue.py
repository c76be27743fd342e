"""Descriptions of components for `i2i show` and for registry.yaml, which `i2i ls` reads instead of importing code.

`python -m i2i_cli.catalogue registry.yaml COPY` regenerates the descriptions in the file, in which reviewers see each
change of the API, and the copy that the core ships.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from i2i_core.errors import PluginError
from i2i_core.recipe.document import load_text
from i2i_core.registry.entries import KINDS, Entry
from i2i_core.registry.plugins import Plugins

HEADER = """\
# The plugins of this repository, with their components and recipes.
# Edit only the keys package, distribution, version, folder and enabled of a plugin, and the index. The index names the
# distribution to install for a plugin, component or recipe that is missing. `make registry` generates the rest.
"""


def known_components(listed: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the descriptions in a loaded registry file by (kind, name), without importing components."""
    found = [listed.get("core"), *(row.get("components") for row in listed["plugins"].values())]
    return {
        (kind, name): description
        for components in found
        for kind, named in (components or {}).items()
        for name, description in named.items()
    }


def read_summary(entry: Entry) -> str:
    """Read the first line of a component's docstring from its source, which is faster than importing it."""
    module, _, name = entry.target.partition(":")
    if module.partition(".")[0] not in sys.modules:  # of a plugin, the package is imported, but not its libraries
        return ""
    try:
        spec = importlib.util.find_spec(module)
        tree = ast.parse(Path((spec and spec.origin) or "").read_text(encoding="utf-8"))
    except Exception:  # i2i show reports the error
        return ""
    found: list[ast.Module | ast.ClassDef | ast.FunctionDef] = (
        [tree]
        if not name
        else [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name]
    )
    return (ast.get_docstring(found[0]) or "").partition("\n")[0] if found else ""


def describe(entry: Entry) -> dict[str, Any]:
    """Describe a component: its summary, keys as "type = default", and tensors that it reads or defines."""
    from i2i_core.plan.tensors import method_tensors
    from i2i_core.registry.signatures import signature_of, written_keys

    target = entry.load()
    found: dict[str, Any] = {"summary": inspect.cleandoc(target.__doc__ or "").partition("\n")[0]}
    if inspect.ismodule(target):
        tensors = method_tensors(target)
        return found | {"tensors": {n: list(tensors[n].reads.values()) for n in vars(target) if n in tensors}}
    signature = signature_of(target, entry.kind)
    found["params"] = {
        name: _parameter(p, signature.hints.get(name), entry.kind)
        for name, p in written_keys(signature, entry.kind).items()
    }
    found["reads"] = list(signature.wants) or _reads_of_products(entry, target)
    return {key: value for key, value in found.items() if value}


def _parameter(parameter: inspect.Parameter, hint: object, kind: str) -> str:
    """Describe a key: its type as in the signature (the choices of a Literal), its default as in a recipe."""
    from i2i_core.registry.signatures import facts_for

    written = parameter.annotation
    if typing.get_origin(hint) is typing.Literal:
        written = " | ".join(map(str, typing.get_args(hint)))
    elif not isinstance(written, str):
        written = re.sub(r"(\w+\.)+", "", inspect.formatannotation(written))
    if parameter.name in facts_for(kind):
        return f"{written}, from the data"
    return str(written) if parameter.default is parameter.empty else f"{written} = {_inline(parameter.default)}"


def _inline(value: object) -> str:
    try:
        return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
    except yaml.YAMLError:
        return str(value)


def _reads_of_products(entry: Entry, target: Callable[..., object]) -> list[str]:
    """List the tensors that the losses of a factory read, over all choices of its required Literal keys."""
    from i2i_core.registry.signatures import TENSOR_KINDS, call_arguments, signature_of

    if entry.kind not in TENSOR_KINDS or inspect.isclass(target):
        return []
    signature = signature_of(target, entry.kind)
    required = [n for n, p in signature.params.items() if p.default is p.empty]
    choices = itertools.product(*(typing.get_args(signature.hints.get(n)) for n in required))
    made = [target(**dict(zip(required, choice, strict=True))) for choice in choices]
    return list(dict.fromkeys(read for product in made if callable(product) for read in call_arguments(product)[0]))


def render(path: Path) -> str:
    """Return the up-to-date text of a registry file; raises PluginError if one of its plugins does not load."""
    plugins = Plugins(path.resolve())
    for failed in (row for row in plugins.rows if row.error):
        raise PluginError(f"plugin {failed.name} does not load, so {path} cannot be written: {failed.error}")
    rows = {
        name: row | _generated(plugins, name) if row.get("enabled", True) else row
        for name, row in plugins.listed["plugins"].items()
    }
    found = {"plugins": rows, "index": plugins.index, "core": _components(plugins, "core")}
    return HEADER + "".join(f"\n{_dump({key: value})}" for key, value in found.items())


def _generated(plugins: Plugins, plugin: str) -> dict[str, Any]:
    """Return the components of a plugin, its recipes, each with the plugins that it needs, subcommands and formats."""
    (row,) = (row for row in plugins.rows if row.name == plugin)
    owners = {entry.name: entry.plugin for entry in plugins.registry if entry.plugin != "core"}
    needed = {}
    for file in row.recipes:
        data = load_text(plugins.recipes()[file].read_text(encoding="utf-8"), file).data
        words = re.findall(r'"([\w/]+)"', json.dumps(data))
        needed[file] = sorted({plugin, *(owners[word] for word in words if word in owners)})
    added = {
        "subcommands": _added(plugins, plugin, "i2i_commands"),
        "formats": _added(plugins, plugin, "i2i_importers"),
    }
    return {
        "components": _components(plugins, plugin),
        "recipes": needed,
        **{kind: names for kind, names in added.items() if names},
    }


def _added(plugins: Plugins, plugin: str, hook: str) -> list[str]:
    """Return the names of the commands that a plugin adds to a click group in a hook."""
    group = click.Group()
    if add := getattr(plugins.manager.get_plugin(plugin), hook, None):
        add(group)
    return sorted(group.commands)


def _components(plugins: Plugins, plugin: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Describe all components of a plugin, by kind and sorted name."""
    entries = sorted((e for e in plugins.registry if e.plugin == plugin), key=lambda e: (KINDS.index(e.kind), e.name))
    return {
        kind: {e.name: describe(e) for e in group} for kind, group in itertools.groupby(entries, key=lambda e: e.kind)
    }


class _Dumper(yaml.SafeDumper):
    """YAML with a line for each key of a mapping, and lists inline."""


_Dumper.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True))


def _dump(data: Mapping[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


if __name__ == "__main__":
    try:
        written = render(Path(sys.argv[1]))
        for file in sys.argv[1:]:
            Path(file).write_text(written, encoding="utf-8")
    except PluginError as error:
        sys.exit(str(error))
