"""What stands in the page as HTML. Pictures are part of it, so that no translation is ever a file here."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image


def translated(source: Image.Image, made: Image.Image, domain: str, name: str) -> str:
    """Source and translation beside one another, and the download as `name`-`domain`.png."""
    pair = figures(
        [
            (source, "your picture", "Your picture, as the model sees it"),
            (made, domain, f"Your picture translated into {domain}"),
        ]
    )
    file = html.escape(f"{name}-{domain}.png")
    return (
        f'{pair}<p><a class="download" download="{file}" href="{data_uri(made)}">Download</a> '
        f"<span>PNG, {made.width} × {made.height}</span></p>"
    )


def figures(pictures: list[tuple[Image.Image, str, str]]) -> str:
    """Pictures, each with a caption and a text for those who do not see it."""
    return (
        '<div class="pictures">'
        + "".join(
            f"<figure>{_image(picture, alt)}<figcaption>{html.escape(caption)}</figcaption></figure>"
            for picture, caption, alt in pictures
        )
        + "</div>"
    )


def to_choose(label: str, name: str, pictures: dict[int, Image.Image], chosen: int) -> str:
    """Pictures to choose one from, as radio buttons: one stop for the keyboard, then arrows."""
    return (
        f'<fieldset><legend>{label}</legend><div class="grid">'
        + "".join(
            f'<label><input type="radio" name="{name}" value="{n}"{" checked" if n == chosen else ""}>'
            f'{_image(picture, f"Style {n}")}<span aria-hidden="true">{n}</span></label>'
            for n, picture in pictures.items()
        )
        + "</div></fieldset>"
    )


def nothing(sentence: str) -> str:
    """In the place of what is not there yet."""
    return f'<p class="nothing">{html.escape(sentence)}</p>'


def said(problem: str) -> str:
    """What is wrong with what was brought; read out at once."""
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
