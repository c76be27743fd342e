"""`i2i import fan`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE.safetensors", required=True, help="The weights to write."
)
@click.option(
    "--stacks",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many of the file's hourglasses to keep.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
def fan(checkpoint: Path, to: Path, stacks: int, overwrite: bool) -> None:
    """FAN's weights: StarGAN v2's wing.ckpt, or WFLW's with four hourglasses.

    StarGAN v2 makes its masks with the first hourglass, whatever the file holds besides.

    \b
    i2i import fan wing.ckpt --to wing.safetensors
    """
    from safetensors.torch import save

    from i2i_core.data.pictures import refuse_existing
    from i2i_core.disk.files import write_file
    from i2i_core.disk.foreign import state_dict
    from i2i_core.disk.sandbox import read_apart
    from i2i_core.errors import CheckpointError, UsageError

    from .fan import FAN
    from .weights import fill

    if to.suffix != ".safetensors":
        raise UsageError(f"{to} should end in .safetensors, which it will be")
    if not overwrite:
        refuse_existing([to])
    found = state_dict(read_apart(checkpoint))
    there = sum(f"m{n}.coordconv.conv.weight" in found for n in range(len(found)))
    if 0 < there < stacks:
        raise CheckpointError(f"{checkpoint} holds {there} of FAN's hourglasses, not {stacks}")
    try:
        network = fill(FAN(stacks=stacks), found, checkpoint)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    write_file(to, save(network.state_dict()))
    click.echo(to)
    if there > stacks:
        click.echo(f"kept {stacks} of {there} hourglasses, as StarGAN v2 does; --stacks {there} keeps all", err=True)
