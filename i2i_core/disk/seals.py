"""Checksums of texts and of plain data that a run or a model needs: recipe.yaml, config.json, manifests.

A recipe has its checksum in its last line, as a comment. So the file stays one file, and cannot lose its checksum.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from i2i_core.errors import CheckpointError

MARK = "# SHA-256 of the lines above: "


def sealed(text: str) -> str:
    """Return a text with its checksum in a last line."""
    return f"{text}{MARK}{_digest(text)}\n"


def unsealed(path: Path, advice: str) -> str:
    """Return the text of a sealed file without its checksum.

    Raises CheckpointError with this advice if the file cannot be read, has no checksum, or another one.
    """
    try:
        whole = path.read_bytes().decode()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}; {advice}") from None
    except UnicodeDecodeError:
        whole = ""
    text, mark, digest = whole.rpartition(MARK)
    if not mark or digest != f"{_digest(text)}\n":
        raise CheckpointError(
            f"{path} is damaged or was edited, since it does not match the checksum in its last line; {advice}"
        )
    return text


def digest_of(data: Any) -> str:
    """Return the checksum of plain data, whatever the order of its keys."""
    return _digest(json.dumps(data, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
