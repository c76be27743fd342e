"""HTML elements, which escape all text from a run."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TypeAlias
from xml.etree import ElementTree

Element = ElementTree.Element
Child: TypeAlias = "Element | str | None"


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """Make an element. In names of attributes, a trailing _ is removed and _ becomes -; None values are omitted."""
    element = Element(
        name, {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items() if value is not None}
    )
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif child and len(element):
            element[-1].tail = (element[-1].tail or "") + child
        elif child:
            element.text = (element.text or "") + child
    return element


def section(name: str, *children: Child) -> Element:
    """Make a section of the page, to which the table of contents links."""
    return tag("section", tag("h2", name), *children, id=name.lower().replace(" ", "-"))


def data(name: str, value: object) -> Element:
    """Embed JSON for scripts. HTML does not escape the text of a script, so the JSON must not contain <."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return tag("script", text, type="application/json", id=name)


def document(title: str, style: str, script: str, *body: Child) -> str:
    """Make a page whose content security policy allows only this `style` and `script`, and no other resources."""
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        f"base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", style),
    )
    html = tag("html", head, tag("body", *body, tag("script", script)), lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(html, encoding="unicode", method="html") + "\n"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
