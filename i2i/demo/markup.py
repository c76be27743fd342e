"""HTML of the page. Pictures are embedded, so that no translation is written to a file."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image


def translated(source: Image.Image, made: Image.Image, domain: str, name: str) -> str:
    """Show source and translation side by side, with a download link for `name`-`domain`.png."""
    pair = figures(
        [
            (source, "your picture", "Your picture, resized for the model"),
            (made, domain, f"Your picture translated into {domain}"),
        ]
    )
    file = html.escape(f"{name}-{domain}.png")
    return (
        f'{pair}<p><a class="download" download="{file}" href="{data_uri(made)}">Download</a> '
        f"<span>PNG, {made.width} × {made.height}</span></p>"
    )


def figures(pictures: list[tuple[Image.Image, str, str]]) -> str:
    """Show pictures, each with a caption and an alternative text."""
    return (
        '<div class="pictures">'
        + "".join(
            f"<figure>{_image(picture, alt)}<figcaption>{html.escape(caption)}</figcaption></figure>"
            for picture, caption, alt in pictures
        )
        + "</div>"
    )


def style_buttons(label: str, name: str, pictures: dict[int, Image.Image], chosen: int) -> str:
    """Show pictures as radio buttons: Tab reaches the group, arrow keys choose one."""
    return (
        f'<fieldset><legend>{label}</legend><div class="grid">'
        + "".join(
            f'<label><input type="radio" name="{name}" value="{n}"{" checked" if n == chosen else ""}>'
            f'{_image(picture, f"Style {n}")}<span aria-hidden="true">{n}</span></label>'
            for n, picture in pictures.items()
        )
        + "</div></fieldset>"
    )


def placeholder(sentence: str) -> str:
    """Show a sentence in place of missing content."""
    return f'<p class="placeholder">{html.escape(sentence)}</p>'


def alert(problem: str) -> str:
    """Show a problem with an upload; screen readers announce it at once."""
    return f'<p role="alert">{html.escape(problem)}</p>'


def _image(picture: Image.Image, alt: str) -> str:
    return (
        f'<img src="{data_uri(picture)}" alt="{html.escape(alt)}" width="{picture.width}" '
        f'height="{picture.height}" decoding="sync">'
    )


def data_uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
