"""The `i2i` command. A subcommand imports its libraries when it runs, so that `i2i --help` stays fast.

Results go to stdout, all other messages to stderr. The exit codes are those of i2i_core.errors.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
import unicodedata
import warnings
from keyword import iskeyword
from types import SimpleNamespace

import click

from i2i_core import __version__
from i2i_core.errors import I2IError, did_you_mean

from .common import added_by_plugins, install_hint

GROUPS = {
    "Train a model": {
        "train": "train",
        "sweep": "sweep",
        "validate": "validate",
        "explain": "explain",
        "data": "data",
        "report": "report",
        "compare": "compare",
        "export": "export",
    },
    "Use a model": {
        "translate": "translate",
        "grid": "grid",
        "video": "video",
        "styles": "styles",
        "demo": "demo",
        "import": "importing",
        "pull": "hub",
        "push": "hub",
    },
    "Find and write recipes and plugins": {
        "ls": "listing",
        "show": "listing",
        "init": "recipes",
        "schema": "schema",
        "plugins": "listing",
        "new": "new",
    },
}
"""The subcommands by the heading of their group in the help, each with its module; modules import only click at the
top."""
SUBCOMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}


class Subcommands(click.Group):
    """The subcommands of i2i, and those that plugins add in the hook `i2i_commands(group)`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*SUBCOMMANDS, *sorted(_plugin_subcommands(ctx).keys() - SUBCOMMANDS)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return _plugin_subcommands(ctx).get(name)
        module = importlib.import_module(f".{SUBCOMMANDS[name]}", __package__)
        command: click.Command = getattr(module, f"{name}_" if iskeyword(name) else name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, all with the same width of the first column."""
        names = self.list_commands(ctx)
        width = max(map(len, names))
        groups = {heading: [*group] for heading, group in GROUPS.items()}
        groups["Subcommands of plugins"] = [name for name in names if name not in SUBCOMMANDS]
        for heading, group in groups.items():
            found = {name: command for name in group if (command := self.get_command(ctx, name)) and not command.hidden}
            if found:
                with formatter.section(heading):
                    limit = formatter.width - width - 6
                    formatter.write_dl([(f"{n:{width}}", c.get_short_help_str(limit)) for n, c in found.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            hint = install_hint("subcommands", args[0]) or did_you_mean(args[0], self.list_commands(ctx))
            ctx.fail(f"there is no subcommand {args[0]}" + (f" ({hint})" if hint else ""))
        return super().resolve_command(ctx, args)


def _plugin_subcommands(ctx: click.Context) -> dict[str, click.Command]:
    return added_by_plugins(ctx, "i2i_commands", "subcommands")


@click.group(
    cls=Subcommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
\b
Start here:
  i2i train --recipe stargan_v2.yaml            train a small model in minutes
  i2i translate runs/stargan_v2-001 photo.png   translate a picture with it
  i2i init stargan_v2.yaml                      copy the recipe to edit it
  i2i validate stargan_v2.yaml                  check the edited recipe
Read the help of a subcommand: i2i train --help""",
)
@click.version_option(__version__, message="i2i %(version)s")
def cli() -> None:
    """Train image-to-image GANs from recipes, and translate pictures with them."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit; print an I2IError as its message, and any other error as one line."""
    options = SimpleNamespace(verbose=False)
    warnings.showwarning = _show_warning
    _print_any_name()
    try:
        if "" in (sys.argv[1:] if arguments is None else arguments):
            raise click.UsageError("an argument is empty; check that every shell variable in the command is set")
        code = cli.main(arguments, prog_name="i2i", standalone_mode=False, obj=options)
    except (click.Abort, KeyboardInterrupt) as error:
        hidden = error.__cause__  # click takes the end of a file that some code read for Ctrl-C
        code = _unexpected(hidden) if isinstance(hidden, EOFError) else _say("interrupted", 130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Exception as error:
        if options.verbose:
            traceback.print_exc()
        code = _say(str(error), error.exit_code) if isinstance(error, I2IError) else _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _print_any_name() -> None:
    """Let file names that are no text be printed with escapes, everywhere alike, instead of raising an error.

    In JSON, such an escape stands for the same name.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _unexpected(error: BaseException) -> int:
    where = "; ".join(getattr(error, "__notes__", ["rerun with -v for the traceback"]))
    return _say(f"unexpected: {' '.join(f'{type(error).__name__}: {error}'.split())} ({where})", 1)


def _say(message: str, code: int) -> int:
    """Print a message to stderr, with the rank of the process unless it is 0; return `code`."""
    rank = os.environ.get("RANK", "0")
    lines = _printable(message).splitlines()
    click.echo("\n".join(f"rank {rank}: {line}" if rank != "0" else line for line in lines), err=True)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"warning: {_printable(str(message))}", err=True)


def _printable(message: str) -> str:
    """Return a message with its control characters escaped: it may contain names from an untrusted file."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else repr(c)[1:-1] for c in message)
