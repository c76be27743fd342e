"""The build backend: setuptools, whose editable installations put this folder on sys.path, too.

Python asks setuptools' finder of editable packages last. Beside a clone called i2i, `import i2i` would find the clone's
folder first, as a namespace package; an entry of sys.path that has the real package wins over it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from zipfile import ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

Settings = dict[str, str | list[str]]


def build_editable(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """Build as setuptools does, then add this folder to the .pth file in the wheel."""
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    wheel = Path(wheel_directory, name)
    with ZipFile(wheel) as built:
        files = {file: built.read(file) for file in built.namelist()}
    (pth,), (record,) = ([file for file in files if file.endswith(end)] for end in (".pth", ".dist-info/RECORD"))
    files[pth] = f"{Path.cwd()}\n".encode() + files[pth]
    digest = base64.urlsafe_b64encode(hashlib.sha256(files[pth]).digest()).rstrip(b"=").decode()
    line = f"{pth},sha256={digest},{len(files[pth])}".encode()
    files[record] = re.sub(rb"^%s,.*?$" % re.escape(pth).encode(), line, files[record], flags=re.MULTILINE)
    with ZipFile(wheel, "w") as changed:
        for file, data in files.items():
            changed.writestr(file, data)
    return name
