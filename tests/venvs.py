"""Wheels, and virtual environments to install them in, as a stranger's machine would: nothing is fetched."""

from __future__ import annotations

import os
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
    present = sysconfig.get_path("purelib")  # by addsitedir, so that editable installations are seen too
    return _create(folder, f"import site; site.addsitedir({present!r})")


def make_venv_without_i2i(folder: Path) -> Path:
    """The same, but that it sees nothing of i2i's own, nor any plugin."""
    third_parties = folder / "present"
    third_parties.mkdir(parents=True)
    for place in (Path(entry) for entry in sys.path if Path(entry).name == "site-packages"):
        for entry in place.iterdir():
            link, ours = third_parties / entry.name, "i2i" in entry.name
            if not (ours or link.exists() or entry.suffix == ".pth"):
                link.symlink_to(entry)
    return _create(folder, str(third_parties))


def _create(folder: Path, present: str) -> Path:
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "present.pth").write_text(f"{present}\n")
    return folder / "bin" / "python"


def build_wheel(project: Path, into: Path) -> Path:
    """The wheel of a project, built from a copy, since setuptools would pack what an earlier build left there."""
    with tempfile.TemporaryDirectory() as temporary:
        copy, built = shutil.copytree(project, Path(temporary) / "copy", ignore=LEFTOVERS), Path(temporary) / "built"
        pip(Path(sys.executable), "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", built, copy)
        (wheel,) = built.iterdir()
        return Path(shutil.copy(wheel, into))


def pip(python: Path, *arguments: object) -> str:
    """pip in the environment of `python`, without an index; what it prints."""
    alone = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | alone)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
