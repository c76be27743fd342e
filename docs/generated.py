"""Generated parts of the pages. mkdocs calls `on_page_markdown`, which replaces <!-- generated: NAME -->.

Nothing heavy is imported: the text comes from pydantic models, registry.yaml and the source of modules.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import i2i
import i2i_core
from i2i_core import DISTRIBUTION
from i2i_core.interfaces import EVENTS, Hook
from i2i_core.recipe.sections import Recipe
from i2i_core.registry import entries, hookspecs
from i2i_core.registry.plugins import BUNDLED, load_registry_file

CORE = Path(i2i_core.__file__).parent
USING = Path(i2i.__file__).parent
Schema = Mapping[str, Any]


def on_page_markdown(markdown: str, **_: object) -> str:
    return re.sub(r"<!-- generated: (\w+) -->", lambda found: "\n".join(PARTS[found[1]]()), markdown)


# A recipe's keys, from the pydantic models.


def recipe_keys() -> Iterator[str]:
    """Yield a section for each model, in the order of a recipe, with a table of its keys."""
    whole = Recipe.model_json_schema()
    models = {"Recipe": whole, **whole["$defs"]}
    for name, places in _places(whole, whole["$defs"]).items():
        model = models[name]
        where = ", ".join(f"`{place}`" for place in places if place)
        yield f"### {name.lstrip('_')}\n\n{model['description']}" + (f" Used at {where}." if where else "") + "\n"
        yield "| key | type | default | description |\n|---|---|---|---|"
        for key, schema in model["properties"].items():
            default = "" if key in model.get("required", ()) else _code(_short(schema, whole["$defs"]))
            yield f"| `{key}` | {_type(schema)} | {default or 'required'} | {_described(schema, models)} |"
        yield ""


def _places(schema: Schema, models: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Find the places of each model in a recipe, losses.*.* for example."""
    found: dict[str, list[str]] = {"Recipe": [""]}

    def walk(part: Schema, place: str) -> None:
        for key, value in part.get("properties", {}).items():
            walk(value, f"{place}.{key}".lstrip("."))
        if isinstance(part.get("additionalProperties"), Mapping):
            walk(part["additionalProperties"], f"{place}.*")
        for choice in part.get("anyOf", ()):
            walk(choice, place)
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            found.setdefault(name, []).append(place)
            walk(models[name], place)

    walk(schema, "")
    return found


def _described(schema: Schema, models: Mapping[str, Schema]) -> str:
    """Return the docstring below a key, or that of the model that it holds."""
    doc: str = schema.get("description") or models[schema["$ref"].rpartition("/")[2]]["description"]
    return doc.replace("\n", " ")


def _type(schema: Schema) -> str:
    """Describe a type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2].lstrip("_")
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        pair = ", ".join(map(_type, schema.get("prefixItems", ())))
        return f"[{pair}]" if pair else f"list of {_held(schema['items'])}"
    if schema.get("type") == "object":
        inside = schema.get("additionalProperties")
        return f"mapping of names to {_held(inside)}" if isinstance(inside, Mapping) else "mapping"
    bounds = [
        f"{sign} {schema[key]}"
        for key, sign in (("exclusiveMinimum", ">"), ("minimum", "≥"), ("maximum", "≤"))
        if key in schema
    ]
    words = {"boolean": "true or false"}
    kind: str = schema.get("type", "any value")
    return " ".join([words.get(kind, kind), *bounds])


def _held(schema: Schema) -> str:
    return f"({_type(schema)})" if "anyOf" in schema else _type(schema)


def _short(schema: Schema, models: Mapping[str, Schema]) -> Any:
    """Return the default of a key, without the defaults of its own model."""
    default, models_of = schema["default"], [choice["$ref"] for choice in _choices(schema) if "$ref" in choice]
    if isinstance(default, dict) and models_of:
        inner = models[models_of[0].rpartition("/")[2]]["properties"]
        return {key: value for key, value in default.items() if value != inner[key].get("default")}
    return default


def _choices(schema: Schema) -> list[Schema]:
    choices: list[Schema] = schema.get("anyOf", [schema])
    return choices


def _code(value: object) -> str:
    written = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
    return f"`{written}`"


# Components, from registry.yaml.


def components() -> Iterator[str]:
    """Yield a section for each plugin, with the keys and tensors of its components."""
    listed = load_registry_file(BUNDLED)
    plugins = {"core": {"components": listed["core"], "distribution": DISTRIBUTION}, **listed["plugins"]}
    for plugin, row in plugins.items():
        yield f"### {plugin}\n\nDistribution `{row['distribution']}`.\n"
        for kind, named in row.get("components", {}).items():
            for name, facts in named.items():
                yield f"#### `{name}`\n\n*{kind}.* {facts['summary']}\n"
                yield from (f"- `{key}: {value}`" for key, value in facts.get("params", {}).items())
                if reads := facts.get("reads"):
                    yield f"- reads the tensors {', '.join(f'`{tensor}`' for tensor in reads)}"
                for tensor, made_of in facts.get("tensors", {}).items():
                    yield f"- `{tensor}`" + (
                        f", computed from {', '.join(f'`{part}`' for part in made_of)}" if made_of else ""
                    )
                yield ""


# Hookspecs, events and their arguments.


def hookspec_list() -> Iterator[str]:
    for name, function in vars(hookspecs).items():
        if name.startswith("i2i_"):
            yield _function(name, inspect.signature(function), function.__doc__)


def event_list() -> Iterator[str]:
    for name in EVENTS:
        yield _function(name, inspect.signature(getattr(Hook, name)), getattr(Hook, name).__doc__)


def kind_list() -> Iterator[str]:
    for kind, doc in _attribute_docs(_class(inspect.getsource(entries.Registrar))):
        yield f"- `registry.{kind}(name, target)`: {doc}"


def members(protocol: str, prefix: str = "") -> Iterator[str]:
    """Yield the members of a protocol of `i2i_core.interfaces`: attributes by their names, methods as calls."""
    node = _class((CORE / "interfaces.py").read_text(encoding="utf-8"), protocol)
    for name, doc in _attribute_docs(node):
        yield f"- `{prefix}{name}`: {' '.join(doc.split())}"
    for method in (method for method in node.body if isinstance(method, ast.FunctionDef)):
        is_property = any(ast.unparse(decorator) == "property" for decorator in method.decorator_list)
        call = "" if is_property else f"({ast.unparse(method.args).removeprefix('self').lstrip(', ')})"
        if (said := ast.get_docstring(method)) is not None:
            yield f"- `{prefix}{method.name}{call}`: {' '.join(said.split())}"


# Python, from the source of `i2i`, since importing it would import torch.


def python_api() -> Iterator[str]:
    """Yield the functions of `i2i` and the classes that they return."""
    sources = {
        name: (USING / f"{name}.py").read_text(encoding="utf-8") for name in ("loading", "runs", "style", "translator")
    }
    for module, name in (("runs", "train"), ("runs", "load_run"), ("loading", "load")):
        body = ast.parse(sources[module]).body
        yield _member(
            f"i2i.{name}", next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == name), "###"
        )
    for module, name in (
        ("runs", "TrainedRun"),
        ("translator", "Translator"),
        ("translator", "Sources"),
        ("style", "Style"),
    ):
        node = _class(sources[module], name)
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        yield f"### {name}\n\n{ast.get_docstring(node)}\n"
        parts: list[ast.ClassDef | ast.FunctionDef] = [node, *(m for m in methods if m.name == "__init__")]
        for part in parts:
            shown = ((name, doc) for name, doc in _attribute_docs(part) if not name.startswith("_"))
            yield from (f"- `{attribute}`: {doc}" for attribute, doc in shown)
        yield ""
        for method in methods:
            if method.name == "__call__" or not method.name.startswith("_"):
                yield _member(f"{name}.{method.name}".removesuffix(".__call__"), method, "####")


def _member(name: str, node: ast.FunctionDef, heading: str) -> str:
    arguments = ast.unparse(node.args).removeprefix("self").lstrip(", ")
    given = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{heading} `{name}`\n\n```python\n{name}({arguments}){given}\n```\n\n{ast.get_docstring(node) or ''}\n"


def _function(name: str, signature: inspect.Signature, doc: str | None) -> str:
    written = re.sub(r"'([^']*)'", r"\1", str(signature))  # annotations are text
    return f"### `{name}`\n\n```python\ndef {name}{written}\n```\n\n{inspect.cleandoc(doc or '')}\n"


def _class(source: str, name: str = "") -> ast.ClassDef:
    return next(
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef) and name in ("", node.name)
    )


def _attribute_docs(node: ast.ClassDef | ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Yield names assigned in a class or to self, with the docstring below each."""
    for assigned, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(assigned, ast.Assign | ast.AnnAssign)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            target = assigned.targets[0] if isinstance(assigned, ast.Assign) else assigned.target
            yield ast.unparse(target).removeprefix("self."), inspect.cleandoc(str(below.value.value))


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "recipe": recipe_keys,
    "components": components,
    "hookspecs": hookspec_list,
    "events": event_list,
    "kinds": kind_list,
    "run": lambda: members("RunContext", "run."),
    "dataset": lambda: members("Dataset"),
    "records": lambda: members("RecordDataset"),
    "format": lambda: members("Format"),
    "python": python_api,
}
