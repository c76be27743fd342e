"""The subcommand `i2i import fan`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE.safetensors", required=True, help="File for the weights."
)
@click.option(
    "--stacks", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Number of hourglasses to keep."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def fan(checkpoint: Path, to: Path, stacks: int, overwrite: bool) -> None:
    """Import weights of FAN.

    CHECKPOINT is StarGAN v2's wing.ckpt, or the weights published for WFLW with four hourglasses. StarGAN v2 computes
    its masks with the first hourglass only.

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
        raise UsageError(f"{to} will be a safetensors file; give --to a name that ends in .safetensors")
    if not overwrite:
        refuse_existing([to])
    found = state_dict(read_apart(checkpoint))
    there = sum(f"m{n}.coordconv.conv.weight" in found for n in range(len(found)))
    if 0 < there < stacks:
        raise CheckpointError(f"{checkpoint} contains {there} of FAN's hourglasses; --stacks can be {there} at most")
    try:
        network = fill(FAN(stacks=stacks), found, checkpoint)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    write_file(to, save(network.state_dict()))
    click.echo(to)
    if there > stacks:
        click.echo(f"kept {stacks} of {there} hourglasses; --stacks {there} keeps all", err=True)
