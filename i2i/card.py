"""The model card: README.md of a model's folder, in the Markdown that model hubs display."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from i2i.served_uses import use_targets
from i2i_core import DISTRIBUTION
from i2i_core.models.folder import Config, Model
from i2i_core.recipe.document import json_in_yaml


def card(model: Model, pictures: Iterable[str] = ()) -> str:
    """Write the README.md of a model. pictures: names of its files that show translations."""
    config = model.config
    targets = list(dict.fromkeys(target for use in config.uses.values() for target in use_targets(config, use)))
    core = "==".join((DISTRIBUTION, *(version for name, version in config.versions.items() if name == DISTRIBUTION)))
    install = shlex.join([core, *(origin for origin in config.plugins.values() if "==" in origin)])
    shown = "".join(f"\n![Translations]({picture})\n" for picture in pictures)
    facts = {
        "domains": ", ".join(config.domains),
        "translates into": ", ".join(targets),
        "pictures": _layout(config, "x_real"),
        "results": _layout(config, "x_ref"),
        "uses": ", ".join(config.uses),
        "method": config.method.use,
        "weights": _millions(model),
        **_training(config),
    }
    rows = "".join(f"| {name} | {_text(value)} |\n" for name, value in facts.items())
    return f"""---
library_name: i2i
pipeline_tag: image-to-image
tags: {json_in_yaml(["i2i", "image-to-image", "gan", config.method.use.partition("/")[0]])}
---

# {_text(model.name)}

Translates pictures into {_text(_either(targets))}.
{shown}
## Use

```sh
pip install {install}
i2i translate . photo.jpg --domain {shlex.quote(config.targets[-1])}
```

```python
import i2i

model = i2i.load(".")  # this folder
model("photo.jpg", {_call(config)}).save("translated.png")
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


def _call(config: Config) -> str:
    domain = f"domain={json.dumps(config.targets[-1], ensure_ascii=False)}"
    guided = {"latent": ", seed=3", "reference": ', reference="other.jpg"'}
    return domain + guided.get(next(iter(config.uses)), "")


def _layout(config: Config, field: str) -> str:
    layout = config.layouts[field]
    height, width = layout.size
    return f"{layout.format.use}, {width} x {height} pixels"


def _text(value: object) -> str:
    """Escape a text for Markdown."""
    return re.sub(r"([\\`*<>\[\]|])", r"\\\1", " ".join(str(value).split()))


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _millions(model: Model) -> str:
    return ", ".join(
        f"{name} {sum(t.numel() for t in tensors.values()) / 1e6:.1f} M" for name, tensors in model.networks.items()
    )


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
