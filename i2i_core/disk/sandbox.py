"""Reading of untrusted checkpoints in a process of its own, with limits.

`weights_only=True` executes nothing that a pickle asks for. If that ever fails, or a small file asks for much memory,
only this process is affected; its result is safetensors, never a pickle. Its CPU time, memory and files are limited on
Linux, its CPU time and files on macOS, and nothing on Windows.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors.torch import load, save_file
from torch import Tensor

from i2i_core.disk.foreign import is_safetensors, read
from i2i_core.disk.unknown import open_regular
from i2i_core.errors import CheckpointError, UsageError

SECONDS, FILES, MEMORY = 60, 64, 2**30
"""Limits of the process: seconds of CPU time, open files, and bytes beyond those that the checkpoint needs."""


KEPT = "__metadata__"
"""The name that safetensors keep for facts about a file."""


def allowance(size: int) -> int:
    """Return the limit of memory and of a written file, in bytes, for a checkpoint of `size` bytes."""
    return MEMORY + 4 * size


def read_apart(path: Path) -> dict[str, Tensor]:
    """Return the tensors of an untrusted checkpoint by path in it, such as "generator/to_rgb.2.bias".

    Raises UsageError if the file cannot be opened, CheckpointError if it is not a checkpoint, is damaged, holds more
    than tensors or exceeds the limits.
    """
    try:
        with open_regular(path) as file:
            head, size = file.read(9), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if is_safetensors(head):  # which hold nothing but tensors
        try:
            return dict(tensors(read(path)))
        except ValueError as error:
            raise CheckpointError(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="i2i-checkpoint-") as folder:
        target = Path(folder) / "tensors.safetensors"
        command = [sys.executable, "-P", "-m", __name__, str(path), str(target)]  # -P: nothing from the current folder
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", env=env
        )
        if done.returncode:
            raise CheckpointError(done.stdout.strip() or _killed(path, size, -done.returncode))
        return load(target.read_bytes())  # load_file maps the file, which Windows could then not delete


def _killed(path: Path, size: int, by: int) -> str:
    if by > 0 and by == signal.SIGXCPU:
        return (
            f"{path} is refused: reading its {size:,} bytes takes more than {SECONDS} seconds, "
            f"more than any checkpoint needs"
        )
    how = signal.strsignal(by) if by > 0 else f"exit code {-by}"
    return f"{path} is refused: the process that read it has crashed ({how})"


def tensors(content: object, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the path and value of every tensor in nested mappings."""
    if isinstance(content, Tensor):
        yield place, content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from tensors(value, f"{place}/{name}" if place else str(name))


def limit(size: int) -> None:
    """Set the resource limits of this process for reading a checkpoint of `size` bytes, if the system supports them."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    memory = allowance(size)
    limits = {
        resource.RLIMIT_CPU: SECONDS,
        resource.RLIMIT_FSIZE: memory,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    with suppress(OSError):  # only Linux tells the current size, and enforces this limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def main(source: Path, target: Path) -> str:
    """Write the tensors of `source` to `target`. Return the reason if that is refused, else ""."""
    size = source.stat().st_size
    limit(size)
    try:
        found = {name: t.detach().contiguous().clone() for name, t in tensors(read(source))}
        if KEPT in found:
            return f"{source} is refused: it calls a tensor {KEPT}, which safetensors keep for other things; rename it"
        save_file(found, target)
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, MemoryError) or any(text in str(cause) for text in ("can't allocate memory", "bad_alloc")):
            return (
                f"{source} is refused: reading its {size:,} bytes takes more than {allowance(size):,} bytes of "
                f"memory, more than any checkpoint needs"
            )
        if isinstance(error, ValueError):  # explained by `read`
            return str(error)
        return f"{source} cannot be converted to safetensors: {' '.join(str(error).split())}"
    return ""


if __name__ == "__main__":
    refused = main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.buffer.write(refused.encode())
    sys.exit(1 if refused else 0)
