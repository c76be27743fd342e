"""Wheels, and virtual environments to install them in, as a stranger's machine would: nothing is fetched."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

LEFTOVERS = shutil.ignore_patterns(".venv", ".git", ".*_cache", "build", "*.egg-info", "__pycache__", "runs")


def make_venv(folder: Path) -> Path:
    """A fresh environment; gives its python. It sees what is installed in this one (torch is 5 GB), its own first."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    present = sysconfig.get_path("purelib")  # by addsitedir, so that editable installations are seen too
    (packages / "present.pth").write_text(f"import site; site.addsitedir({present!r})\n")
    return folder / "bin" / "python"


def build_wheel(project: Path, into: Path) -> Path:
    """The wheel of a project, built from a copy, since setuptools would pack what an earlier build left there."""
    with tempfile.TemporaryDirectory() as temporary:
        copy, built = shutil.copytree(project, Path(temporary) / "copy", ignore=LEFTOVERS), Path(temporary) / "built"
        pip(Path(sys.executable), "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", built, copy)
        (wheel,) = built.iterdir()
        return Path(shutil.copy(wheel, into))


def pip(python: Path, *arguments: object) -> None:
    """pip in the environment of `python`, without an index."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments), "--no-index", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
