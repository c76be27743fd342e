"""The JSON schema of recipes: the core's keys come from its pydantic models, those of components from signatures.

The schema finds wrong keys, types and names of components. It does not check names that a recipe itself defines.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, Union

from pydantic import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, core_schema, from_json, to_json

from i2i_core import __version__
from i2i_core.errors import PluginError
from i2i_core.recipe.sections import DEFAULT_HOOKS, DEFAULT_OPTIMIZER, OPTIMIZER_KEYS, Recipe, without_nulls
from i2i_core.registry.entries import KINDS, Entry
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.signatures import (
    TENSOR_KINDS,
    alternatives_of,
    facts_for,
    inner_hint,
    is_section,
    key_model,
    nested_kind,
    sections_of,
    signature_of,
    written_keys,
)
from i2i_core.registry.specs import SECTION

from .catalogue import describe

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECTIONS = {"method": "method", "tensors": "tensor", "hooks": "hook", "trainer": "trainer"}
"""The kind of the components in each section to whose components the core adds no keys."""
NULL: Schema = {"type": "null"}
TRANSFORM: Schema = {
    "anyOf": [{"type": "string"}, {"type": "object", "properties": {"use": {"type": "string"}}, "required": ["use"]}],
    "description": "A transform of torchvision.transforms.v2 by its name, or with its arguments as keys.",
}
"""The schema of a transform; torchvision, which takes long to import, is not asked for its keys."""
GROUPED: Schema = {"pattern": "^[-+]?[0-9]+(_[0-9]+)+$", "patternErrorMessage": "This should be a number."}
"""The pattern for a number such as 100_000, which editors read as text; some editors show the message."""


class _Generator(GenerateJsonSchema):
    """Generator of pydantic, adapted to the values that a recipe may contain."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> Schema:
        made = super().function_before_schema(schema)
        if schema["function"]["function"] is without_nulls:
            return _or_null({**made, "additionalProperties": _or_null(made["additionalProperties"])})
        return made

    def int_schema(self, schema: core_schema.IntSchema) -> Schema:
        return {**super().int_schema(schema), "type": ["integer", "string"], **GROUPED}

    def float_schema(self, schema: core_schema.FloatSchema) -> Schema:
        return {**super().float_schema(schema), "type": ["number", "string"], **GROUPED}

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:
        return False


def recipe_schema(plugins: Plugins) -> tuple[Schema, list[str]]:
    """Return the schema, and a message for each plugin or component that it lacks because it does not load."""
    left_out = [
        f"the schema lacks plugin {row.name}, which does not load: {row.error}" for row in plugins.rows if row.error
    ]
    recipe = Recipe.model_json_schema(schema_generator=_Generator)
    definitions, sections = recipe["$defs"], recipe["properties"]
    found: dict[str, dict[str, Schema]] = {kind: {} for kind in KINDS}
    for entry in plugins.registry:
        try:
            found[entry.kind][entry.name] = _component(entry, definitions)
        except PluginError as error:
            left_out.append(str(error))
        except Exception as error:  # a plugin's signature may raise anything
            left_out.append(f"{entry.kind} {entry.name} of plugin {entry.plugin}: {type(error).__name__}: {error}")
    definitions |= {kind: _one_of(components) for kind, components in found.items()}

    definitions["Schedule"] = _schedule(found["schedule"])
    weight = definitions["Term"]["properties"]["weight"]
    definitions["Term"]["properties"]["weight"] = {**weight, "anyOf": [weight["anyOf"][0], _reference("Schedule")]}
    definitions["Term"] = _one_of({name: _joined(own, definitions["Term"]) for name, own in found["loss"].items()})
    datasets = {name: _joined(own, definitions["Data"]) for name, own in found["dataset"].items()}
    for name, dataset in datasets.items():
        held_out = _unnamed(name, {**found["dataset"][name], "required": []}, "dataset") | {"type": "object"}
        dataset["properties"]["validation"] = {**dataset["properties"]["validation"], **_or_null(held_out)}
    definitions["Data"] = _one_of(datasets)
    networks = {name: _joined(own, definitions["Network"]) for name, own in found["network"].items()}
    definitions["Network"] = _one_of(networks)
    for section, kind in SECTIONS.items():
        sections[section] = _replaced(sections[section], _reference("Use"), _reference(kind))
    del definitions["Use"]
    definitions["Transform"] = TRANSFORM
    also = definitions["Augment"]["properties"]["also"]
    definitions["Augment"]["properties"]["also"] = _replaced(also, _reference("Use"), _reference("Transform"))
    hooks, _ = sections["hooks"]["anyOf"]
    hooks["properties"] = {name: _or_null(_unnamed(name, found["hook"][name], "hook")) for name in DEFAULT_HOOKS}
    sections["optimizers"] |= _or_null(_optimizers(found["optimizer"], definitions))
    return {"$schema": DIALECT, **recipe, "title": f"A recipe of i2i {__version__}"}, left_out


def _component(entry: Entry, definitions: Schema) -> Schema:
    """Make the schema of a component: its keys, and the names of the tensors that it reads."""
    target = entry.load()
    signature = signature_of(target, entry.kind)
    owner = f"{entry.kind} {entry.name} "
    keys = {
        name: {**_typed(owner, signature.hints.get(name, Any), definitions), **_default(parameter)}
        for name, parameter in written_keys(signature, entry.kind).items()
    }
    try:
        reads = describe(entry).get("reads", [])
    except Exception:  # a factory may raise anything for some choices of its keys
        reads = []
    unknown = entry.kind in TENSOR_KINDS and not inspect.isclass(target) and not reads
    names = {name: {"type": "string", "description": f"The tensor to read as {name}."} for name in reads}
    return {
        "type": "object",
        "description": inspect.cleandoc(target.__doc__ or ""),
        "properties": {"use": {"const": entry.name}, **names, **keys},
        "required": [
            "use",
            *(
                name
                for name, parameter in signature.params.items()
                if parameter.default is parameter.empty and name not in facts_for(entry.kind)
            ),
        ],
        "additionalProperties": {"type": "string"} if unknown else False,
    }


def _typed(owner: str, hint: object, definitions: Schema) -> Schema:
    """Make the schema of values for a type hint; it accepts any value if it cannot express the type."""
    branches = [
        {"type": kind, key: _typed(owner, inner, definitions)}
        for container, kind, key in ((dict, "object", "additionalProperties"), (list, "array", "items"))
        if (inner := inner_hint(hint, container)) is not None
    ]
    branches += [_section(owner, section, definitions) for section in sections_of(hint)]
    if not branches:
        return _plain(owner, hint, definitions)
    others = tuple(a for a in alternatives_of(hint) if not is_section(a) and not _holds_components(a))
    if others:
        plain = _plain(owner, Union[others], definitions)  # noqa: UP007
        branches += plain.get("anyOf", [plain])
    return {"anyOf": branches}


def _holds_components(hint: object) -> bool:
    return any(inner_hint(hint, container) is not None for container in (dict, list))


def _section(owner: str, section: type, definitions: Schema) -> Schema:
    """Make the schema of a section of keys, which is declared by a dataclass."""
    signature = signature_of(section, SECTION)
    return {
        "type": "object",
        "properties": {
            name: {**_typed(owner, signature.hints.get(name, Any), definitions), **_default(parameter)}
            for name, parameter in signature.params.items()
        },
        "required": [name for name, p in signature.params.items() if p.default is p.empty],
        "additionalProperties": False,
    }


def _plain(owner: str, hint: object, definitions: Schema) -> Schema:
    """Make the schema of values for a type hint without containers of components and sections."""
    prefix = re.sub(r"\W+", ".", owner)
    try:
        made = key_model(hint).model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}", schema_generator=_Generator)
    except PydanticUserError:
        return {}
    definitions.update({f"{prefix}{name}": definition for name, definition in made.get("$defs", {}).items()})
    schema: Schema = made["properties"]["value"]
    if kind := nested_kind(hint):  # key_model has no types for components
        component = _reference("Schedule" if kind == "schedule" else kind)
        branches = [component if branch == {} else branch for branch in schema.get("anyOf", [schema])]
        if kind == "schedule" and branches == [component]:
            branches = [_typed(owner, float, definitions), component]
        schema = {"anyOf": branches}
    return schema


def _default(parameter: inspect.Parameter) -> Schema:
    if parameter.default is parameter.empty:
        return {}
    return {"default": from_json(to_json(parameter.default, fallback=str, inf_nan_mode="strings"))}


def _joined(own: Schema, core: Schema) -> Schema:
    """Add the core's keys to the schema of a component."""
    return {
        **own,
        "properties": {**own["properties"], **core["properties"], "use": own["properties"]["use"]},
        "required": [*own["required"], *(name for name in core["required"] if name != "use")],
    }


def _one_of(components: Mapping[str, Schema]) -> Schema:
    """Make a schema that accepts the name of a component without required keys, or a mapping with its keys."""

    def named(names: Iterable[str]) -> Schema:
        found = [{"const": name, "description": components[name]["description"].partition("\n")[0]} for name in names]
        return {"anyOf": found} if found else {"enum": []}

    if not components:
        return {"not": {}}
    return {
        "if": {"type": "string"},
        "then": named(name for name, own in components.items() if own["required"] == ["use"]),
        "else": {
            "type": "object",
            "required": ["use"],
            "properties": {"use": named(components)},
            "allOf": [{"if": _uses(name), "then": own} for name, own in components.items()],
        },
    }


def _uses(name: str) -> Schema:
    return {"type": "object", "properties": {"use": {"const": name}}, "required": ["use"]}


def _unnamed(name: str, own: Schema, kind: str) -> Schema:
    """Make a schema in which the component is `name` unless `use` names another."""
    required = [key for key in own["required"] if key != "use"]
    return {
        "if": {"type": "object", "properties": {"use": {"const": name}}},
        "then": {**own, "required": required},
        "else": _reference(kind),
    }


def _schedule(found: Mapping[str, Schema]) -> Schema:
    """Make the schema of a schedule: a mapping, or its short form, a ramp."""
    ramp = {
        **found["linear"],
        "required": ["ramp"],
        "properties": {
            **{key: value for key, value in found["linear"]["properties"].items() if key != "use"},
            "curve": {
                "enum": [name for name, own in found.items() if "ramp" in own["properties"]],
                "default": "linear",
                "description": "The schedule of the ramp.",
            },
        },
    }
    return {"type": "object", "if": {"required": ["use"]}, "then": _one_of(found), "else": ramp}


def _optimizers(found: Mapping[str, Schema], definitions: Schema) -> Schema:
    """Make the schema of `optimizers`: networks use the default optimizer unless they name another."""
    core = {key: _typed("", hint, definitions) for key, hint in OPTIMIZER_KEYS.items()}
    free = {}
    for name, own in found.items():
        keys = {key: _or_schedule(schema) for key, schema in own["properties"].items()}
        # Without `use`, the default optimizer applies.
        free[name] = {**own, "properties": {**keys, **core}, "required": ["use"]}
    definitions["optimizer"] = _one_of(free)

    def default(schema: Schema) -> Schema:
        return {"required": ["default"], "properties": {"default": schema}}

    def one(name: str) -> Schema:
        return _or_null(_unnamed(name, free[name], "optimizer") | {"type": "object"})

    def others(name: str) -> Schema:
        return {"properties": {"default": {}}, "additionalProperties": one(name)}

    return {
        "type": "object",
        "properties": {"default": one(DEFAULT_OPTIMIZER)},
        "allOf": [
            *({"if": default(_uses(name)), "then": others(name)} for name in free),
            {"if": {"not": default({"type": "object", "required": ["use"]})}, "then": others(DEFAULT_OPTIMIZER)},
        ],
    }


def _or_schedule(schema: Schema) -> Schema:
    """Let a number be a schedule, also in a list."""
    if "prefixItems" in schema:
        return {**schema, "prefixItems": [_or_schedule(item) for item in schema["prefixItems"]]}
    if "number" not in schema.get("type", ()):
        return schema
    outer = {key: value for key, value in schema.items() if key in ("default", "description")}
    return {
        "anyOf": [{key: value for key, value in schema.items() if key not in outer}, _reference("Schedule")],
        **outer,
    }


def _reference(definition: str) -> Schema:
    return {"$ref": f"#/$defs/{definition}"}


def _replaced(schema: Any, old: Schema, new: Schema) -> Any:
    """Replace `old` with `new` everywhere in a schema."""
    if isinstance(schema, dict):
        if old.items() <= schema.items():
            schema = {**schema, **new}
        return {key: _replaced(value, old, new) for key, value in schema.items()}
    return [_replaced(item, old, new) for item in schema] if isinstance(schema, list) else schema


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}
