"""What subcommands that use a trained model share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .common import Function, warn, with_plugins

if TYPE_CHECKING:
    from torch import Tensor

    from i2i import Sources, Style, Translator
    from i2i.fitting import Fit
    from i2i_core.registry.plugins import Plugins


def with_model(function: Function) -> Function:
    """Add MODEL and --device, and call the subcommand with `model`, a Translator."""

    @click.argument("model")
    @click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, ...; the default is an accelerator, if any.")
    @with_plugins
    @functools.wraps(function)
    def wrapped(*, model: str, device: str | None, plugins: Plugins, **rest: object) -> object:
        from torch import OutOfMemoryError

        from i2i import load
        from i2i_core.errors import OutOfMemory

        try:
            return function(model=load(model, device=device, plugins=plugins), **rest)
        except (MemoryError, RuntimeError) as error:  # the CPU's is a bare RuntimeError
            if not isinstance(error, MemoryError | OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise OutOfMemory("out of memory; take fewer pictures at a time, or another --device") from error

    return wrapped


def finite(_: click.Context, __: click.Parameter, value: float) -> float:
    """Refuse nan and infinity, which are floats too: a callback of options."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is no finite number.")
    return value


def with_styles(function: Function) -> Function:
    """Add options that choose styles, and call the subcommand with `choose`: from a Translator to a list of Chosen."""

    @click.option(
        "--domain",
        "domains",
        multiple=True,
        metavar="NAME",
        help="Into which domain; the default is all of them. Repeatable.",
    )
    @click.option("--seed", type=int, help="Of the latents that styles are made of; the default is 0.")
    @click.option(
        "--styles",
        "count",
        type=click.IntRange(1),
        metavar="N",
        help="So many styles of each domain, with seeds from --seed on.",
    )
    @click.option(
        "--psi",
        type=float,
        default=1.0,
        show_default=True,
        callback=finite,
        help="How far styles are from the domain's mean style: 0 is the mean, below 1 is tamer.",
    )
    @click.option(
        "--reference",
        "references",
        multiple=True,
        metavar="FILE|FOLDER",
        help="Take styles from pictures of the domain instead. Repeatable.",
    )
    @functools.wraps(function)
    def wrapped(
        *,
        domains: tuple[str, ...],
        seed: int | None,
        count: int | None,
        psi: float,
        references: tuple[str, ...],
        **rest: object,
    ) -> object:
        if references and (seed is not None or count is not None):
            raise click.UsageError("--seed and --styles are for styles from latents; each --reference is one style")
        return function(
            choose=functools.partial(
                choose_styles, domains=domains, seed=seed, count=count, psi=psi, references=references
            ),
            **rest,
        )

    return wrapped


@dataclass(frozen=True)
class Chosen:
    """A style that options choose."""

    name: str
    """What to call it in the name of a file."""
    label: str
    """What it is besides of its domain: a seed, or a reference's name."""
    style: Style
    reference: Path | None = None


def choose_styles(
    model: Translator,
    domains: Sequence[str],
    seed: int | None,
    count: int | None,
    psi: float,
    references: Sequence[str],
) -> list[Chosen]:
    """The styles that options choose, domain by domain."""
    from i2i_core.data.pictures import find_pictures, read_picture
    from i2i_core.errors import UsageError

    if references and not domains and len(model.targets) > 1:
        raise UsageError(f"name the domain of the references with --domain: {', '.join(model.targets)}")
    if "plain" in model.guides and (seed is not None or count is not None):
        raise UsageError("the model has one style of each domain; leave --seed and --styles out")
    seeds = range(seed or 0, (seed or 0) + (count or 1))
    paths = list(find_pictures(references))
    found, first = [], (domains or model.targets)[0]
    for domain in domains or model.targets:
        for number, path in enumerate(paths):  # read one at a time: there may be many
            picture = read_picture(path)
            (style,) = model.styles(domain, references=[picture], psi=psi)
            if domain == first:
                warn_of_faces(model, [path], model.sources([picture], "stretch").x_real)
            again = any(path.stem == other.stem for other in paths[:number])
            found.append(Chosen(f"{domain}-{path.stem}{f'-{number}' * again}", path.stem, style, path))
        if not paths:
            named = [(f"-{seed}", f"seed {seed}") for seed in seeds] if "latent" in model.guides else [("", "")]
            styles = model.styles(domain, seeds=seeds, psi=psi)
            found += [
                Chosen(f"{domain}{name}", label, style) for (name, label), style in zip(named, styles, strict=True)
            ]
    return found


def warn_of_faces(model: Translator, paths: Sequence[Path], x: Tensor) -> None:
    """Say which of the pictures (N, 3, H, W) lack the face that the model's masks are drawn around."""
    for number in model.without_face(x):
        warn(f"no face is found in {paths[number]}, and the model was trained on faces; i2i align crops them")


def read_sources(model: Translator, named: Sequence[str], fit_by: Fit) -> tuple[list[Path], Sources]:
    """The pictures that files, folders and globs name, to be translated all at once."""
    from i2i_core.data.pictures import find_pictures

    paths = list(find_pictures(named))
    sources = model.sources(paths, fit_by)
    warn_of_faces(model, paths, sources.x_real)
    return paths, sources


with_fit = click.option(
    "--fit",
    "fit_by",
    type=click.Choice(["keep", "crop", "stretch"]),
    default="keep",
    show_default=True,
    help="How a picture comes to the model's size: whole and in its aspect, its middle, or stretched.",
)


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[], None]]:
    """A bar on stderr, on a terminal; call what it gives after each of `total` steps."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
