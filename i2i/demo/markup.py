"""HTML of the page. Pictures are embedded, so that no translation is written to a file."""

from __future__ import annotations

import base64
import html
import io
import mimetypes

import numpy as np
from PIL import Image

from i2i_core.data.fitting import extent
from i2i_core.data.formats.labels import IN_A_PALETTE, Labels
from i2i_core.interfaces import Format, Value

FEW = 24
"""Most classes of a legend that is open at first."""


def translated(source: Image.Image, made: Value, form: Format, domain: str, name: str) -> str:
    """Show source and result side by side, with a download link for `name`-`domain` and the suffix of the format."""
    suffix, shown = form.suffixes[0], form.show(made)
    pair = figures(
        [
            (source, "your picture", "Your picture, resized for the model"),
            (shown, domain, f"Your picture translated into {domain}"),
        ]
    )
    file = html.escape(f"{name}-{domain}{suffix}")
    return (
        f'{pair}<p><a class="download" download="{file}" href="{file_uri(form.file(made, suffix), suffix)}">Download'
        f"</a> <span>{_described(made, suffix)}</span></p>{legend(form)}"
    )


def _described(made: Value, suffix: str) -> str:
    """Describe a file: its kind, its width and height, and for an array its channels."""
    about = [suffix[1:].upper()]
    if (size := extent(made)) is not None:
        about.append(f"{size[1]} × {size[0]}")
    if isinstance(made, np.ndarray):
        channels = made.shape[2] if made.ndim > 2 else 1
        about.append(f"{channels} channel{'s' * (channels != 1)} of {made.dtype}")
    return ", ".join(about)


def legend(form: Format) -> str:
    """List the classes of label maps with their colours; "" for other formats, and for ids that are no classes."""
    if not isinstance(form, Labels) or form.classes is None or form.classes > IN_A_PALETTE:
        return ""
    colours = np.asarray(form.show(Image.fromarray(np.arange(form.classes, dtype=np.int32)[None])))[0]
    names = (f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours)
    return (
        f'<details class="legend"{" open" if form.classes <= FEW else ""}><summary>Classes and their colours</summary>'
        "<ul>"
        + "".join(
            f'<li><span style="background: {colour}" aria-hidden="true"></span><b>{n}</b> {colour}</li>'
            for n, colour in enumerate(names)
        )
        + "</ul></details>"
    )


def painter(picture: Image.Image, mask: Image.Image | None, label: str) -> str:
    """Show a picture to paint a mask on with pointer or keys (paint.js); `mask`: what is painted, else transparent."""
    name, (width, height) = html.escape(label), picture.size
    painted = "" if mask is None else f'<img class="painted" src="{data_uri(mask)}" alt="" hidden>'
    return (
        f'<div class="easel">{_image(picture, "")}{painted}'
        f'<canvas width="{width}" height="{height}" tabindex="0" role="application" aria-label="{name}: arrow keys '
        f'move the brush, the space bar paints"></canvas><span class="brush" aria-hidden="true"></span></div>'
        f'<div class="tools"><label>Brush <input type="range" name="size" min="1" max="50" value="12" '
        f'aria-label="Size of the brush in percent of the picture"></label>'
        f'<label><input type="checkbox" name="erase"> Erase</label>'
        f'<button type="button" name="clear">Clear</button></div>'
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
    return file_uri(file.getvalue(), ".png")


def file_uri(contents: bytes, suffix: str) -> str:
    kind = mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"
