"""A JSON schema of recipes with what is installed: the core's keys from its models, a component's from its signature.

It knows a mistake of shape: a key, a type or the name of a component. What a recipe's own names mean it does not know.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, core_schema, from_json, to_json

from i2i_core import __version__
from i2i_core.errors import PluginError
from i2i_core.recipe.sections import (
    DEFAULT_HOOKS,
    DEFAULT_OPTIMIZER,
    OPTIMIZER_KEYS,
    Recipe,
    WrittenSchedule,
    without_nulls,
)
from i2i_core.registry.entries import KINDS, Entry
from i2i_core.registry.plugins import Plugins
from i2i_core.registry.signatures import TENSOR_KINDS, facts_for, key_model, nested_kind, signature_of, written_keys

from .catalogue import describe

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SECTIONS = {"method": "method", "networks": "network", "tensors": "tensor", "hooks": "hook", "trainer": "trainer"}
"""The kind of the components in a section, where the core adds no keys to theirs."""
NULL: Schema = {"type": "null"}
GROUPED: Schema = {"pattern": "^[-+]?[0-9]+(_[0-9]+)+$", "patternErrorMessage": "This should be a number."}
"""A number such as 100_000 is one to us and text to an editor, some of which show that message."""


class _Generator(GenerateJsonSchema):
    """pydantic's, for what may be written in a recipe."""

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
    """The schema, and what is left out of it because it does not load."""
    left_out = [f"plugin {row.name} is not in use: {row.error}" for row in plugins.rows if row.error]
    recipe = Recipe.model_json_schema(schema_generator=_Generator)
    definitions, sections = recipe["$defs"], recipe["properties"]
    found: dict[str, dict[str, Schema]] = {kind: {} for kind in KINDS}
    for entry in plugins.registry:
        try:
            found[entry.kind][entry.name] = _component(entry, definitions)
        except PluginError as error:
            left_out.append(str(error))
        except Exception as error:  # a signature may be anything
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
    for section, kind in SECTIONS.items():
        sections[section] = _replaced(sections[section], _reference("Use"), _reference(kind))
    del definitions["Use"]
    hooks, _ = sections["hooks"]["anyOf"]
    hooks["properties"] = {name: _or_null(_unnamed(name, found["hook"][name], "hook")) for name in DEFAULT_HOOKS}
    sections["optimizers"] |= _or_null(_optimizers(found["optimizer"], definitions))
    return {"$schema": DIALECT, **recipe, "title": f"A recipe of i2i {__version__}"}, left_out


def _component(entry: Entry, definitions: Schema) -> Schema:
    """The mapping that says a component: its keys, and what the tensors that it reads are called."""
    target = entry.load()
    signature = signature_of(target, entry.kind)
    owner = f"{entry.kind} {entry.name} "
    keys = {
        name: {**_typed(owner, signature.hints.get(name, Any), definitions), **_default(parameter)}
        for name, parameter in written_keys(signature, entry.kind).items()
    }
    try:
        reads = describe(entry).get("reads", [])
    except Exception:  # a factory may raise anything for keys that it was not made for
        reads = []
    unknown = entry.kind in TENSOR_KINDS and not inspect.isclass(target) and not reads
    names = {name: {"type": "string", "description": f"The tensor that is its {name}."} for name in reads}
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
    """What a recipe may say where `hint` is asked for: anything, if a schema cannot express it."""
    prefix = re.sub(r"\W+", ".", owner)
    try:
        made = key_model(hint).model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}", schema_generator=_Generator)
    except PydanticUserError:
        return {}
    definitions.update({f"{prefix}{name}": definition for name, definition in made.get("$defs", {}).items()})
    schema: Schema = made["properties"]["value"]
    if kind := nested_kind(hint):  # of which key_model knows nothing
        schema = {"anyOf": [_reference(kind) if branch == {} else branch for branch in schema.get("anyOf", [schema])]}
    return schema


def _default(parameter: inspect.Parameter) -> Schema:
    if parameter.default is parameter.empty:
        return {}
    return {"default": from_json(to_json(parameter.default, fallback=str, inf_nan_mode="strings"))}


def _joined(own: Schema, core: Schema) -> Schema:
    """A component's keys, and those that the core adds."""
    return {
        **own,
        "properties": {**own["properties"], **core["properties"], "use": own["properties"]["use"]},
        "required": [*own["required"], *(name for name in core["required"] if name != "use")],
    }


def _one_of(components: Mapping[str, Schema]) -> Schema:
    """The name of a component that needs no keys, or the mapping that says one."""

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
    """A component that is called `name` where nothing else is said."""
    required = [key for key in own["required"] if key != "use"]
    return {
        "if": {"type": "object", "properties": {"use": {"const": name}}},
        "then": {**own, "required": required},
        "else": _reference(kind),
    }


def _schedule(found: Mapping[str, Schema]) -> Schema:
    """The mapping that says a schedule, or the ramp that is short for one."""
    ramp = {
        **found["linear"],
        "required": ["ramp"],
        "properties": {
            **{key: value for key, value in found["linear"]["properties"].items() if key != "use"},
            "curve": {"enum": list(found), "default": "linear", "description": "The schedule that the ramp is of."},
        },
    }
    return {"type": "object", "if": {"required": ["use"]}, "then": _one_of(found), "else": ramp}


def _optimizers(found: Mapping[str, Schema], definitions: Schema) -> Schema:
    """The default's keys, and each network's: of the same optimizer, unless it names another."""
    core = {
        key: _reference("Schedule") if hint is WrittenSchedule else _typed("", hint, definitions)
        for key, hint in OPTIMIZER_KEYS.items()
    }
    free = {}
    for name, own in found.items():
        keys = own["properties"]
        both = {key: {"anyOf": [keys[key], more]} if key in keys else more for key, more in core.items()}
        free[name] = {**own, "properties": {**keys, **both}, "required": ["use"]}  # else it is the default's
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


def _reference(definition: str) -> Schema:
    return {"$ref": f"#/$defs/{definition}"}


def _replaced(schema: Any, old: Schema, new: Schema) -> Any:
    """`schema` with `new` wherever it has `old`."""
    if isinstance(schema, dict):
        if old.items() <= schema.items():
            schema = {**schema, **new}
        return {key: _replaced(value, old, new) for key, value in schema.items()}
    return [_replaced(item, old, new) for item in schema] if isinstance(schema, list) else schema


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}
