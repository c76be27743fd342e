"""The subcommand `i2i init`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i_core.errors import I2IError, UsageError

from .common import subcommand, with_plugins

if TYPE_CHECKING:
    from i2i.first_recipe import Wish
    from i2i_core.registry.plugins import Plugins


@subcommand
@click.argument("name", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="ROOT",
    help="Write a recipe for your pictures: a folder with a folder for each domain, or a list.",
)
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="The file to write. The default is NAME.")
@click.option(
    "--size",
    type=click.IntRange(16, 1024),
    metavar="PIXELS",
    help="With --data: the height and width of the networks. The default fits the pictures: at most 64 on a CPU.",
)
@click.option("--steps", type=click.IntRange(1), metavar="N", help="With --data: the number of iterations.")
@click.option("--paired/--unpaired", default=None, help="With --data: whether files of one name are pairs.")
@with_plugins
def init(
    plugins: Plugins,
    name: str | None,
    data: Path | None,
    to: Path | None,
    size: int | None,
    steps: int | None,
    paired: bool | None,
) -> None:
    """Copy a bundled recipe, or write one for your pictures.

    With --data, the folders decide: domains, held-out pictures, pairs, masks for faces, how pictures come to size, and
    settings that fit in the memory. NAME is the bundled recipe to start from. The subcommand never overwrites a file.

    \b
    i2i init --data photos
    i2i init stargan_v2.yaml --to mine.yaml
    i2i init cyclegan.yaml --data photos --size 128
    """
    if data is None:
        if name is None:
            raise click.UsageError("name a bundled recipe, or your pictures with --data ROOT")
        if (size, steps, paired) != (None, None, None):
            raise click.UsageError("--size, --steps and --paired need --data; edit the copy instead")
        _copy(name, to, plugins)
    else:
        from i2i.first_recipe import Wish

        _write_for(data, to, plugins, Wish(name, size, steps, paired))


def _copy(name: str, to: Path | None, plugins: Plugins) -> None:
    from i2i_core.errors import DiskError, did_you_mean

    bundled, file = plugins.recipes(), name if name.endswith(".yaml") else f"{name}.yaml"
    source = bundled.get(file)
    if source is None:
        hint = plugins.hint_for_recipe(file) or did_you_mean(name, bundled)
        raise UsageError(f"no installed plugin provides a recipe {name}" + (f" ({hint})" if hint else ""))
    copy = to or Path(source.name)
    try:
        with open(copy, "xb") as target, open(source, "rb") as original:
            shutil.copyfileobj(original, target)
    except FileExistsError:
        raise UsageError(f"{copy} exists; choose another name with --to") from None
    except OSError as error:
        raise DiskError(f"{copy} cannot be written: {error.strerror}") from None
    click.echo(copy)
    click.echo(f"edit it, then: i2i validate {copy} && i2i train --recipe {copy}", err=True)


def _write_for(data: Path, to: Path | None, plugins: Plugins, wish: Wish) -> None:
    """Write a recipe for the pictures of a folder or a list."""
    import torch

    from i2i.first_recipe import first_recipe
    from i2i_core.disk.files import write_file

    file = to or Path(f"{data.resolve().stem}.yaml")
    if file.exists():
        raise UsageError(f"{file} exists; choose another name with --to")
    found = first_recipe(data, plugins, wish, torch.accelerator.is_available())
    write_file(file, found.text)
    try:
        said = [*found.said, *_fitted(file, plugins)]
    except I2IError:
        file.unlink()  # so that a second try is not told that it exists
        if wish.name is not None:
            todo = f"copy it with i2i init {wish.name}, and describe your data in the copy"
            click.echo(f"{wish.name} cannot be made to fit {data}, as below; {todo}", err=True)
        raise
    for sentence in said:
        click.echo(sentence, err=True)
    click.echo(file)
    click.echo(f"next: i2i train --recipe {file}", err=True)


def _fitted(file: Path, plugins: Plugins) -> list[str]:
    """Add the settings to a recipe with which it fits in the memory, and say what it takes."""
    from rich.filesize import decimal

    from i2i.yaml_edits import RecipeText
    from i2i_core.disk.files import write_file

    from .memory_advice import Forecast, NotPredicted, free_memory, whose_memory

    memory, where = free_memory(), whose_memory()
    try:
        forecast = Forecast(str(file), plugins, ())
    except NotPredicted as error:
        return [f"memory: {error}"]
    chosen = forecast.least_switches(memory)
    if chosen is None:
        return [f"{where}: {forecast.advice(memory)}"]
    text = RecipeText(file.read_text(encoding="utf-8"))
    for switch in chosen:
        key, _, value = switch.partition("=")
        section, _, inner = key.rpartition(".")
        text.insert_after(("data", "batch_size") if section else ("steps",), f"{'  ' * bool(section)}{inner}: {value}")
    write_file(file, text.text)
    return [f"{where}: takes {decimal(forecast.peak(chosen))} of {decimal(memory)} that are free"]
