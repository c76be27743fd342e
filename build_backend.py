"""The build backend: setuptools, and an editable installation that `import i2i` finds beside a clone called i2i, too.

setuptools' finder of editable packages is asked after sys.path. There a folder i2i, such as a clone in the working
folder, is a namespace package, unless a later entry of sys.path has a package of that name: so the clone is one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
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
