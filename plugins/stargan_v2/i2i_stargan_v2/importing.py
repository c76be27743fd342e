"""The subcommand `i2i import stargan-v2`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from i2i_core.models.folder import Model
    from i2i_core.registry.plugins import Plugins
    from i2i_stargan_v2.original import Original

FAN = "fan.safetensors"
HOW_TO_TRAIN = """\
# StarGAN v2, imported from {file}: {what}.
# To continue training: i2i train --recipe {to}/recipe.yaml --set data.root=FOLDER --set data.validation.root=FOLDER
# Paths are relative to the current folder. The weights are in {to}.
"""


@click.command("stargan-v2")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="Folder for the model.")
@click.option(
    "--domains",
    metavar="A,B,...",
    help="Names of the domains, in the alphabetical order of the training folders. Default: female,male or "
    "cat,dog,wild if the checkpoint matches CelebA-HQ or AFHQ, else domain_0,domain_1,...",
)
@click.option(
    "--fan",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="FAN's weights (wing.ckpt or .safetensors), if the checkpoint does not contain them.",
)
@click.option(
    "--w-hpf",
    type=click.FloatRange(0, min_open=True),
    metavar="W",
    help="Value of w_hpf in training, if the checkpoint does not contain it. Default: 1.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def command(
    checkpoint: Path, to: Path, domains: str | None, fan: Path | None, w_hpf: float | None, overwrite: bool
) -> None:
    """Import a checkpoint of the original StarGAN v2.

    CHECKPOINT is a file NNNNNN_nets_ema.ckpt or NNNNNN_nets.ckpt. Image size, number of domains and w_hpf are read
    from it. The model translates like the original. Its recipe.yaml continues the training.

    \b
    i2i import stargan-v2 100000_nets_ema.ckpt --to models/celeba_hq
    i2i translate models/celeba_hq photo.jpg --domain female
    """
    import torch

    from i2i.card import card
    from i2i.translator import Translator
    from i2i_core.disk.sandbox import read_apart
    from i2i_core.errors import UsageError
    from i2i_core.models.folder import CONFIG, refuse, write
    from i2i_core.registry.plugins import discover
    from i2i_stargan_v2.original import understood

    refuse(to, CONFIG, "model", overwrite)  # `write` refuses too, but only after the checkpoint has been read
    plugins = discover()
    original = understood(read_apart(checkpoint), str(checkpoint), w_hpf)
    names = [name.strip() for name in domains.split(",")] if domains else original.domains
    if len(names) != original.num_domains:
        raise UsageError(
            f"{checkpoint} has {original.num_domains} domains, but --domains names {len(names)}; name each of them once"
        )
    if again := [name for n, name in enumerate(names) if name in names[:n]]:
        raise UsageError(f"--domains names {again[0]} twice; give each domain a name of its own")
    if w_hpf is not None and not original.w_hpf:
        raise UsageError(f"the generator of {checkpoint} uses no masks, so its w_hpf is 0; leave out --w-hpf")
    with tempfile.TemporaryDirectory(prefix="i2i-import-") as folder:
        masks = _masks(original, checkpoint, fan, Path(folder), plugins)
        recipe = _recipe(original, masks)
        model = _model(original, recipe, names, checkpoint, fan or checkpoint, plugins, to.resolve().name)
        height, width = original.image_size
        what = f"{height} x {width} pixels, domains {', '.join(names)}, w_hpf {original.w_hpf:g}"
        text = HOW_TO_TRAIN.format(file=checkpoint.name, what=what, to=to) + _text(recipe, to)
        told = card(Translator(model, plugins, torch.device("cpu")))
        write(model, to, {"README.md": told.encode(), "recipe.yaml": text.encode()}, overwrite)
    click.echo(to)
    click.echo(what, err=True)


def _masks(original: Original, checkpoint: Path, fan: Path | None, folder: Path, plugins: Plugins) -> dict[str, Any]:
    """Return the component that computes masks for the generator's skip, and write FAN's weights to `folder`."""
    from safetensors.torch import save_file

    from i2i_core.disk.foreign import state_dict
    from i2i_core.disk.sandbox import read_apart
    from i2i_core.errors import CheckpointError, PluginError, UsageError

    if not original.w_hpf:
        if fan is not None:
            raise UsageError(f"the generator of {checkpoint} uses no masks; leave out --fan")
        return {}
    if plugins.registry.get("network", "fan_mask/high_pass") is None:
        raise PluginError(
            f"the generator of {checkpoint} uses masks, which need the plugin fan_mask; "
            f"pip install {plugins.index.get('fan_mask', 'i2i-gan-fan-mask')}"
        )
    found = original.fan
    if fan is not None:
        found = state_dict(read_apart(fan))
        if not found:
            raise CheckpointError(f"{fan} contains no weights of FAN; give a wing.ckpt or its .safetensors with --fan")
    if found:
        save_file({name: tensor.contiguous() for name, tensor in found.items()}, folder / FAN)
        return {"use": "fan_mask/heatmaps", "weights": str(folder / FAN)}
    if plugins.registry.get("tensor", "fan_mask/face68") is None:
        raise UsageError(
            f"the generator of {checkpoint} uses masks, but the file contains no FAN; give FAN's weights with "
            f"--fan wing.ckpt"
        )
    click.echo(
        "warning: fan_mask/face68 computes the masks instead of the FAN of the training; give FAN's weights with "
        "--fan wing.ckpt to get the translations of the original",
        err=True,
    )
    return {"use": "fan_mask/face68"}


def _recipe(original: Original, masks: dict[str, Any]) -> dict[str, Any]:
    """Return the paper's recipe for CelebA-HQ (with masks) or AFHQ (without), with the sizes of the checkpoint."""
    from i2i_core.recipe.document import load_text

    path = Path(__file__).parent / "recipes" / f"stargan_v2_{'celeba_hq' if original.w_hpf else 'afhq'}.yaml"
    recipe: dict[str, Any] = load_text(path.read_text(encoding="utf-8"), str(path)).data
    recipe["data"]["image_size"] = list(original.image_size)
    for name, keys in original.keys().items():
        recipe["networks"][name] = {"use": f"stargan_v2/{name}", **keys}
    if original.w_hpf:
        recipe["networks"]["generator"]["skip"] = {"use": "fan_mask/high_pass", "strength": 1 / original.w_hpf}
        recipe["tensors"] = {name: {**masks, "of": of} for name, of in (("masks", "x_real"), ("fake_masks", "x_fake"))}
    return recipe


def _model(
    original: Original,
    recipe: Mapping[str, Any],
    domains: list[str],
    checkpoint: Path,
    fan: Path,
    plugins: Plugins,
    name: str,
) -> Model:
    """Return the model of a recipe with the checkpoint's weights; raises CheckpointError if they do not fit."""
    import torch

    from i2i_core.disk.matching import match
    from i2i_core.errors import CheckpointError, RecipeError
    from i2i_core.models.from_run import of_recipe
    from i2i_core.plan.check import check_recipe
    from i2i_core.recipe.document import json_in_yaml
    from i2i_core.recipe.reading import parse_recipe
    from i2i_core.registry.specs import build
    from i2i_core.training.assembly import build_networks

    weights = recipe.get("tensors", {}).get("masks", {}).get("weights", FAN)
    checked = check_recipe(parse_recipe(json_in_yaml(recipe), str(checkpoint)), plugins)
    facts = {"image_size": original.image_size, "num_domains": len(domains), "domains": tuple(domains)}
    try:
        with torch.device("meta"):
            networks = build_networks(checked, facts, 0)
        for spec in checked.tensors.values():
            build(spec, facts)
    except RecipeError as error:
        reason = error.problems[0].message.replace(weights, str(fan))
        raise CheckpointError(f"{checkpoint} cannot be used: {reason}") from None
    match(
        {name: networks[name].state_dict() for name in original.networks},
        original.networks,
        f"the weights of {checkpoint} do not fit a StarGAN v2 of its size",
        "network",
        "checkpoint",
    )
    model = of_recipe(checked, domains, original.networks, plugins, name, training={"imported from": checkpoint.name})
    return replace(model, networks=original.networks)


def _text(recipe: Mapping[str, Any], to: Path) -> str:
    """Return the text of the recipe that continues the training from the model in `to`."""
    import yaml

    for masks in recipe.get("tensors", {}).values():
        if "weights" in masks:
            masks["weights"] = str(to / FAN)
    text: str = yaml.safe_dump(
        {"i2i": 1, "weights": str(to), **recipe},
        sort_keys=False,
        default_flow_style=None,
        width=120,
        allow_unicode=True,
    )
    return text
