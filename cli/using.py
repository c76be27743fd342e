"""Options and functions that the subcommands for trained models share."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Function, warn, with_plugins

if TYPE_CHECKING:
    from PIL import Image

    from i2i import Sources, Style, Translator
    from i2i.served_uses import ServedUse
    from i2i_core.interfaces import Format, Value
    from i2i_core.recipe.sections import Fit
    from i2i_core.registry.plugins import Plugins


def with_model(function: Function) -> Function:
    """Add MODEL and --device, and pass the loaded Translator as `model`."""

    @click.argument("model")
    @click.option(
        "--device",
        metavar="DEVICE",
        help="The device, such as cpu, cuda or cuda:1. The default is an accelerator, else the CPU.",
    )
    @with_plugins
    @functools.wraps(function)
    def wrapped(*, model: str, device: str | None, plugins: Plugins, **rest: object) -> object:
        from torch import OutOfMemoryError

        from i2i import load
        from i2i_core.errors import OutOfMemory

        try:
            return function(model=load(model, device=device, plugins=plugins), **rest)
        except (MemoryError, RuntimeError) as error:  # on the CPU, torch raises a plain RuntimeError
            if not isinstance(error, MemoryError | OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise OutOfMemory("out of memory; translate fewer pictures at a time, or use another --device") from error

    return wrapped


def finite(_: click.Context, __: click.Parameter, value: float) -> float:
    """Refuse NaN and infinity; a callback for options of type float."""
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


def with_styles(function: Function) -> Function:
    """Add the options for styles, and pass `choose`, a function from a Translator to a list of Chosen."""

    @click.option("--use", metavar="NAME", help="The use of the model. The default is the first that fits the options.")
    @click.option(
        "--domain",
        "domains",
        multiple=True,
        metavar="NAME",
        help="The target domain. The default is all domains. Repeatable.",
    )
    @click.option("--seed", type=int, help="The seed of the latents. The default is 0.")
    @click.option(
        "--styles",
        "count",
        type=click.IntRange(1),
        metavar="N",
        help="The number of styles for each domain, with consecutive seeds from --seed.",
    )
    @click.option(
        "--psi",
        type=float,
        default=1.0,
        show_default=True,
        callback=finite,
        help="Truncation: 0 gives the mean style of the domain, 1 the style as the model makes it.",
    )
    @click.option(
        "--reference",
        "references",
        multiple=True,
        metavar="FILE|FOLDER",
        help="Take the style from a picture of the target domain instead of a latent. Repeatable.",
    )
    @functools.wraps(function)
    def wrapped(
        *,
        use: str | None,
        domains: tuple[str, ...],
        seed: int | None,
        count: int | None,
        psi: float,
        references: tuple[str, ...],
        **rest: object,
    ) -> object:
        if references and (seed is not None or count is not None):
            raise click.UsageError(
                "--reference cannot be combined with --seed or --styles, which choose styles from latents"
            )
        return function(
            choose=functools.partial(
                choose_styles, use=use, domains=domains, seed=seed, count=count, psi=psi, references=references
            ),
            **rest,
        )

    return wrapped


@dataclass(frozen=True)
class Chosen:
    """A style that the options choose."""

    name: str
    """Its name in file names."""
    label: str
    """Its caption without the domain: a seed, or the name of the reference."""
    style: Style
    reference: Path | None = None


def choose_styles(
    model: Translator,
    use: str | None,
    domains: Sequence[str],
    seed: int | None,
    count: int | None,
    psi: float,
    references: Sequence[str],
) -> list[Chosen]:
    """Return the styles that the options choose, domain by domain."""
    from i2i.opening import opened
    from i2i_core.data.pictures import find_pictures
    from i2i_core.errors import UsageError

    wanted = domains[0] if domains else None
    served = model.use(use) if use is not None else model.use_of("reference", domain=wanted) if references else None
    served = served or model.use_of("latent", "plain", domain=wanted) or model.main_use
    if references and not domains and len(served.targets) > 1:
        raise UsageError(f"name the domain of the references with --domain: {', '.join(served.targets)}")
    if served.style == "plain" and (seed is not None or count is not None):
        raise UsageError("the model has only one style for each domain; leave --seed and --styles out")
    refuse_other_directions(model, served, domains)
    seeds = range(seed or 0, (seed or 0) + (count or 1))
    if references and not served.references:
        raise UsageError("the model cannot take styles from references; leave the reference out")
    paths = list(find_pictures(references, served.reference.format.suffixes)) if references else []
    found, first = [], (domains or served.targets)[0]
    for domain in domains or served.targets:
        for number, path in enumerate(paths):  # keep one reference in memory at a time: there may be many
            picture = opened(path, served.reference.format)
            (style,) = model.styles(domain, references=[picture], psi=psi, use=use)
            if domain == first:
                warn_of_pictures(model, [path], model.reference_sources(picture, style.use))
            again = any(path.stem == other.stem for other in paths[:number])
            found.append(Chosen(f"{domain}-{path.stem}{f'-{number}' * again}", path.stem, style, path))
        if not paths:
            named = [(f"-{seed}", f"seed {seed}") for seed in seeds] if served.style == "latent" else [("", "")]
            styles = model.styles(domain, seeds=seeds, psi=psi, use=use)
            found += [
                Chosen(f"{domain}{name}", label, style) for (name, label), style in zip(named, styles, strict=True)
            ]
    return found


def refuse_other_directions(model: Translator, use: ServedUse, domains: Sequence[str]) -> None:
    """Raise UsageError for a domain into which another use translates, of pictures of another domain."""
    from i2i_core.errors import UsageError

    for domain in domains:
        others = [other for other in model.uses.values() if domain in other.targets]
        if others and domain not in use.targets:
            raise UsageError(
                f"the use {use.name} translates into {' and '.join(use.targets)}, and {others[0].name} into {domain}; "
                f"name domains of one use"
            )


def reference_of(model: Translator, chosen: Chosen) -> Image.Image | None:
    """Return the reference of a style as people see it, at the size of the model."""
    from i2i.opening import opened
    from i2i_core.data.fitting import shrunk

    if chosen.reference is None:
        return None
    form = model.use(chosen.style.use).reference.format
    return shrunk(form.show(opened(chosen.reference, form)), model.image_size)


def warn_of_pictures(model: Translator, paths: Sequence[Path], sources: Sources) -> None:
    """Warn of each picture that is unlike those of training, or without the face that the model needs."""
    for path, why in zip(paths, sources.unlike, strict=False):
        if why:
            warn(f"{path} is unlike the pictures that the model was trained on: {why}; results may be worse")
    for number in model.without_face(sources):
        warn(f"no face was found in {paths[number]}, but the model was trained on faces; crop faces with i2i align")


with_inputs = click.option(
    "--input",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A further input of the use: a file for all pictures, a folder with a file of the same name for each, or "
    "numbers such as Smiling=1,Male=0. Repeatable.",
)


def read_inputs(use: ServedUse, given: Sequence[str], paths: Sequence[Path]) -> dict[str, Any]:
    """Return the inputs that the options name, each for all pictures, or a list of paths, one for each picture."""
    from i2i_core.errors import UsageError

    found: dict[str, Any] = {}
    for option in given:
        name, equals, text = option.partition("=")
        if not equals or name not in use.inputs:
            known = ", ".join(_written(use, known) for known in use.inputs) or "none"
            raise UsageError(f"--input {option} names no input of the use {use.name}; its inputs are {known}")
        if name in found:
            raise UsageError(f"--input {name} is given twice; name each input once")
        if not text:
            raise UsageError(f"--input {name}= has no value; name a file, a folder or numbers")
        form = use.layouts[use.inputs[name]].format
        if os.path.isdir(text):  # unlike those of Path, these functions accept long texts
            found[name] = [_beside(Path(text), path, form.suffixes) for path in paths]
        elif (parse := getattr(form, "parse", None)) and not os.path.isfile(text):
            try:
                found[name] = parse(text)
            except ValueError as error:
                raise UsageError(f"--input {name}: {error}") from None
        else:
            found[name] = Path(text)
    if lacking := [_written(use, name) for name in use.inputs if name not in found]:
        raise UsageError(f"the use {use.name} needs --input {' --input '.join(lacking)}")
    return found


def _written(use: ServedUse, name: str) -> str:
    """Return how an option names an input."""
    names = getattr(use.layouts[use.inputs[name]].format, "names", ())
    return f"{name}={','.join(f'{number}=NUMBER' for number in names) or 'FILE'}"


def write_value(path: Path, value: Value, form: Format) -> None:
    """Write a value atomically; raises DiskError, and UsageError if its format has no such file."""
    from i2i_core.disk.files import write_file
    from i2i_core.errors import UsageError

    try:
        contents = form.file(value, path.suffix.lower())
    except ValueError as error:
        raise UsageError(f"{path} {error}") from None
    write_file(path, contents)


def _beside(folder: Path, picture: Path, suffixes: Sequence[str]) -> Path:
    from i2i_core.errors import DataError

    for suffix in suffixes:
        if (path := folder / f"{picture.stem}{suffix}").is_file():
            return path
    raise DataError(f"{folder} has no file {picture.stem} with one of the suffixes {', '.join(suffixes)}")


def read_sources(
    model: Translator, named: Sequence[str], fit_by: Fit | None, use: str | None = None, given: Sequence[str] = ()
) -> tuple[list[Path], Sources]:
    """Read the pictures that files, folders and globs name, as one batch, with further inputs."""
    from i2i.opening import opened, picture_in
    from i2i_core.data.pictures import find_pictures

    served = model.main_use if use is None else model.use(use)
    paths = list(find_pictures(named, served.source.format.suffixes))
    values = [picture_in(opened(path, served.source.format), served.source, None) for path in paths]
    sources = model.sources(values, fit_by, use=use, inputs=read_inputs(served, given, paths))
    warn_of_pictures(model, paths, sources)
    return paths, sources


with_fit = click.option(
    "--fit",
    "fit_by",
    type=click.Choice(["stretch", "crop", "keep", "patch"]),
    help="How a picture comes to the size of the model: stretch it, crop its centre, keep its aspect ratio and pad it, "
    "or cut a patch of that size. The default is that of training.",
)


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal; yields a function to call after each of `total` steps."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
