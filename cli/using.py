"""What verbs that use a trained model share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .common import with_plugins

if TYPE_CHECKING:
    from i2i import Style, Translator

Function = Callable[..., Any]


def with_model(function: Function) -> Function:
    """Add MODEL and --device, and call the verb with `model`, a Translator."""

    @click.argument("model")
    @click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, ...; the default is an accelerator, if any.")
    @with_plugins
    @functools.wraps(function)
    def wrapped(*, model: str, device: str | None, plugins: Any, **rest: Any) -> Any:
        from i2i import load

        return function(model=load(model, device=device, plugins=plugins), **rest)

    return wrapped


def with_styles(function: Function) -> Function:
    """Add options that choose styles, and call the verb with `choose`: from a Translator to {name: Style}."""

    @click.option("--domain", "domains", multiple=True, metavar="NAME",
                  help="Into which domain; the default is all of them. Repeatable.")
    @click.option("--seed", type=int, default=0, show_default=True, help="Of the latents that styles are made of.")
    @click.option("--styles", "count", type=click.IntRange(1), metavar="N",
                  help="So many styles of each domain, with seeds from --seed on.")
    @click.option("--psi", type=float, default=1.0, show_default=True,
                  help="How far styles are from the domain's mean style: 0 is the mean, below 1 is tamer.")
    @click.option("--reference", "references", multiple=True, metavar="FILE|FOLDER",
                  help="Take styles from pictures of the domain instead. Repeatable.")
    @functools.wraps(function)
    def wrapped(*, domains: tuple[str, ...], seed: int, count: int | None, psi: float, references: tuple[str, ...],
                **rest: Any) -> Any:
        if references and count is not None:
            raise click.UsageError("--styles is for styles from latents; each --reference is one style")
        return function(choose=functools.partial(choose_styles, domains=domains, seeds=range(seed, seed + (count or 1)),
                                                 psi=psi, references=references), **rest)

    return wrapped


def choose_styles(model: Translator, domains: Sequence[str], seeds: Sequence[int], psi: float,
                  references: Sequence[str]) -> dict[str, Style]:
    """The styles that options choose, each with what to call it in the name of a file."""
    from i2i_core.errors import UsageError
    from i2i_core.pictures import find_pictures, read_picture

    if references and not domains and len(model.targets) > 1:
        raise UsageError(f"name the domain of the references with --domain: {', '.join(model.targets)}")
    found: dict[str, Style] = {}
    paths = list(find_pictures(references))
    pictures = [read_picture(path) for path in paths]
    only_one = not references and len(seeds) == 1 and seeds[0] == 0
    for domain in domains or model.targets:
        if references:
            styles = model.styles(domain, references=pictures, psi=psi)
            names = [f"{domain}-{path.stem}" for path in paths]
        else:
            styles = model.styles(domain, seeds=seeds, psi=psi)
            names = [domain if only_one else f"{domain}-{seed}" for seed in seeds]
        found |= dict(zip(names, styles, strict=True))
    return found


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[], None]]:
    """A bar on stderr, on a terminal; call what it gives after each of `total` steps."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
