"""`i2i demo`."""

from __future__ import annotations

import webbrowser
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from .common import Function, subcommand
from .using import with_model

if TYPE_CHECKING:
    from i2i import Translator


def with_gradio(function: Function) -> Function:
    """Tell that gradio is not there before a model is loaded for it."""

    @wraps(function)
    def wrapped(**rest: object) -> object:
        from i2i_core.errors import UsageError

        if find_spec("gradio") is None:
            raise UsageError('the page needs gradio; pip install "i2i-gan[demo]"')
        return function(**rest)

    return wrapped


@subcommand
@with_gradio
@with_model
@click.option("--port", type=click.IntRange(1, 65535), help="Of the page; the default is a free one.")
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the browser.")
def demo(model: Translator, port: int | None, in_browser: bool) -> None:
    """Translate pictures with MODEL on a page in the browser.

    The page is for this machine only, and there until Ctrl-C. Drop a picture, choose a domain and a style, blend two
    styles, download. Nothing leaves the machine, and uploads are deleted once they are read. Needs the extra demo.

    \b
    i2i demo models/emoji --open
    """
    from i2i.demo.server import serve

    def opened(address: str) -> None:
        click.echo(address)
        if in_browser:
            webbrowser.open(address)

    serve(model, port, opened)
