"""The subcommand `i2i import`."""

from __future__ import annotations

from typing import Any

import click

from i2i_core.errors import did_you_mean

from .common import added_by_plugins, install_hint


class Formats(click.Group):
    """The formats that plugins add in the hook `i2i_importers(group)`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_formats(ctx))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _formats(ctx).get(name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None:
            hint = install_hint("formats", args[0]) or did_you_mean(args[0], self.list_commands(ctx))
            ctx.fail(f"there is no format {args[0]}" + (f" ({hint})" if hint else ""))
        return super().resolve_command(ctx, args)


def _formats(ctx: click.Context) -> dict[str, click.Command]:
    return added_by_plugins(ctx, "i2i_importers", "formats")


@click.group("import", cls=Formats, subcommand_metavar="FORMAT FILE --to FOLDER")
def import_() -> None:
    """Convert a checkpoint of another program to a model.

    No code in the checkpoint is executed, and the model contains no pickles. Installed plugins provide the formats.

    \b
    i2i import stargan-v2 100000_nets_ema.ckpt --to models/celeba_hq
    """
