"""The model card: README.md of a model's folder, in the Markdown that model hubs display."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from i2i.served_uses import ServedUse
from i2i.translator import Translator
from i2i_core import DISTRIBUTION
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.interfaces import Format
from i2i_core.models.folder import Config
from i2i_core.plan.uses import LATENT, PLAIN, REFERENCE
from i2i_core.recipe.document import json_in_yaml


def card(model: Translator, pictures: Iterable[str] = ()) -> str:
    """Write the README.md of a model. pictures: names of its files that show translations."""
    config, uses = model.model.config, model.uses.values()
    targets = list(dict.fromkeys(target for use in uses for target in use.targets))
    translated = "pictures" if {*config.sources} <= {*targets} else _text(_either(config.sources))
    core = "==".join((DISTRIBUTION, *(version for name, version in config.versions.items() if name == DISTRIBUTION)))
    install = shlex.join([core, *(origin for origin in config.plugins.values() if "==" in origin)])
    shown = "".join(f"\n![Translations]({picture})\n" for picture in pictures)
    facts = {
        "domains": ", ".join(config.domains),
        "translates into": ", ".join(targets),
        "pictures": _layout(config, "x_real"),
        "results": _layout(config, "x_ref"),
        "uses": ", ".join(_with_inputs(config, use) for use in uses),
        "method": config.method.use,
        "weights": ", ".join(f"{name} {_size(tensors)}" for name, tensors in model.model.networks.items()),
        **_training(config),
    }
    rows = "".join(f"| {name} | {_text(value)} |\n" for name, value in facts.items())
    return f"""---
library_name: i2i
pipeline_tag: image-to-image
tags: {json_in_yaml(["i2i", "image-to-image", "gan", config.method.use.partition("/")[0]])}
---

# {_text(model.model.name)}

Translates {translated} into {_text(_either(targets))}.
{shown}
## Use

```sh
pip install {install}
{chr(10).join(_command(model, use) for use in uses)}
```

```python
import i2i

model = i2i.load(".")  # this folder
{chr(10).join(_call(model, use) for use in uses)}
```

## Properties

| | |
|---|---|
{rows}{_metrics(config.training.get("metrics", {}))}
recipe.yaml contains the recipe, config.json the components of the model. The folder contains no code.

## Licence

The licence of the weights is not stated. Before you share them, state it here, and name the pictures that they were
trained on.
"""


def _command(model: Translator, use: ServedUse) -> str:
    """Return the command line of a use."""
    options = ["--domain", use.targets[-1]]
    if not _is_default(model, use):
        options += ["--use", use.name]
    if use.style == REFERENCE:
        options += ["--reference", _file("other", use.reference.format)]
    for name, form in _inputs(use).items():
        value = _file(name, form)
        if isinstance(form, Numbers):
            value = ",".join(f"{number}={least:g}" for number, least in _numbers_of(form).items())
        options += ["--input", f"{name}={value}"]
    return shlex.join(["i2i", "translate", ".", _source(use), *options])


def _call(model: Translator, use: ServedUse) -> str:
    """Return a line of Python that runs a use."""
    keys: dict[str, object] = {"domain": use.targets[-1]}
    if not _is_default(model, use):
        keys["use"] = use.name
    if use.style == REFERENCE:
        keys["reference"] = _file("other", use.reference.format)
    elif use.style == LATENT:
        keys["seed"] = 3
    if inputs := _inputs(use):
        keys["inputs"] = {
            name: _numbers_of(form) if isinstance(form, Numbers) else _file(name, form) for name, form in inputs.items()
        }
    given = "".join(f", {key}={json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
    call, kind = f'model("{_source(use)}"{given})', use.result.format.kind
    return f'{call}.save("translated.png")' if issubclass(kind, Image.Image) else f"{call}  # {kind.__name__}"


def _is_default(model: Translator, use: ServedUse) -> bool:
    """Return True if the use need not be named, because it is the one that is found."""
    styles = (REFERENCE,) if use.style == REFERENCE else (LATENT, PLAIN)
    return model.use_of(*styles, domain=use.targets[-1]) is use


def _inputs(use: ServedUse) -> Mapping[str, Format]:
    return {name: use.layouts[field].format for name, field in use.inputs.items()}


def _with_inputs(config: Config, use: ServedUse) -> str:
    inputs = ", ".join(f"{name}: {config.layouts[field].format.use}" for name, field in use.inputs.items())
    return f"{use.name} (with {inputs})" if inputs else use.name


def _numbers_of(form: Numbers) -> dict[str, float]:
    """Return an example: the least of each number."""
    return dict.fromkeys(form.names, form.range[0])


def _source(use: ServedUse) -> str:
    form = use.source.format
    return _file("photo" if isinstance(form, Picture) else "source", form)


def _file(stem: str, form: Format) -> str:
    return f"{stem}{'.jpg' if isinstance(form, Picture) else form.suffixes[0]}"


def _layout(config: Config, field: str) -> str:
    layout = config.layouts[field]
    height, width = layout.size
    return f"{layout.format.use}, {width} x {height} pixels"


def _text(value: object) -> str:
    """Escape a text for Markdown."""
    return re.sub(r"([\\`*<>\[\]|])", r"\\\1", " ".join(str(value).split()))


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _size(tensors: Mapping[str, Tensor]) -> str:
    """Return the number of numbers, in millions if it is large."""
    count = sum(tensor.numel() for tensor in tensors.values())
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def _training(config: Config) -> dict[str, Any]:
    facts = {name: value for name, value in config.training.items() if name != "metrics"}
    return {**facts, **{f"{name} version": version for name, version in config.versions.items() if name == "torch"}}


def _metrics(metrics: Mapping[str, object]) -> str:
    """Make a table of all numbers in eval/*.json, with their keys."""
    rows = "".join(f"| {_text(' / '.join(place))} | {value:.4g} |\n" for place, value in _numbers(metrics))
    return f"\n## Metrics\n\n| | |\n|---|---|\n{rows}" if rows else ""


def _numbers(data: object, place: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], float]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _numbers(value, (*place, str(key)))
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield place, data
