"""The subcommand `i2i demo`."""

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
    """Raise UsageError without gradio, before a model is loaded."""

    @wraps(function)
    def wrapped(**rest: object) -> object:
        from i2i_core.errors import UsageError

        if find_spec("gradio") is None:
            raise UsageError('the demo needs gradio; pip install "i2i-gan[demo]"')
        return function(**rest)

    return wrapped


@subcommand
@with_gradio
@with_model
@click.option("--port", type=click.IntRange(1, 65535), help="The port of the page. The default is a free port.")
@click.option("--no-token", is_flag=True, help="Let all users of this machine open the page, without a token.")
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the default browser.")
def demo(model: Translator, port: int | None, no_token: bool, in_browser: bool) -> None:
    """Serve a web page that translates pictures with MODEL.

    On the page you drop a picture, add the further inputs of the model, choose a domain and a style, blend two styles
    and download the translation. Only this machine can open the page, at the printed address, which has a token.
    No data leaves the machine, and uploads are deleted after they are read. Press Ctrl-C to stop the server. Needs:
    pip install "i2i-gan[demo]".

    \b
    i2i demo models/emoji --open
    """
    import secrets

    from i2i.demo.server import serve

    def opened(address: str) -> None:
        click.echo(address)
        if in_browser:
            webbrowser.open(address)

    serve(model, port, opened, None if no_token else secrets.token_urlsafe(24))
