"""Processes that start with PyTorch imported, in a fifth of the time of fresh ones: forks of one that imported it."""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

ROOT = Path(__file__).resolve().parents[1]


class Ended(NamedTuple):
    """A process that has ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


class Warm:
    """Runs modules and code, each in a process of its own with the environment that is asked for.

    What reads the environment at import (huggingface_hub) is not imported before.
    """

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX)
        command = [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())]
        self._parent = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
        theirs.close()
        self._answers = self._ours.makefile("r")

    def run(self, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> Ended:
        """Run `-m MODULE ARGUMENTS` or `-c CODE` in a folder."""
        pipes = [os.pipe(), os.pipe()]
        wanted = {"words": [*words], "environment": {**environment}, "folder": str(folder)}
        message = json.dumps(wanted).encode() + b"\n"
        socket.send_fds(self._ours, [message], [write for _, write in pipes])
        for _, write in pipes:
            os.close(write)
        said: list[str] = ["", ""]

        def read(place: int, end: int) -> None:
            with open(end, encoding="utf-8") as stream:
                said[place] = stream.read()

        threads = [threading.Thread(target=read, args=(place, end)) for place, (end, _) in enumerate(pipes)]
        for thread in threads:
            thread.start()
        code = int(self._answers.readline())
        for thread in threads:
            thread.join()
        return Ended(code, *said)

    def close(self) -> None:
        """End the process that forks."""
        self._answers.close()
        self._ours.close()
        self._parent.wait(30)


def _serve(place: int) -> None:
    """Fork a process for each request, and answer its exit code."""
    import click  # noqa: F401

    import i2i_core.models.folder  # noqa: F401

    gc.freeze()  # else each process copies the pages that the collector looks at
    with socket.socket(fileno=place) as theirs:
        while True:
            message, pipes, *_ = socket.recv_fds(theirs, 1 << 20, 2)
            if not message:
                return
            child = os.fork()
            if not child:
                break
            for pipe in pipes:
                os.close(pipe)
            theirs.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    _become(json.loads(message), pipes)


def _become(wanted: Mapping[str, Any], pipes: Sequence[int]) -> None:
    """Do in this process what a fresh one would."""
    for pipe, stream in zip(pipes, (1, 2), strict=True):
        os.dup2(pipe, stream)
        os.close(pipe)
    sys.stdout, sys.stderr = map(_opened, (1, 2))
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    first, what, *arguments = wanted["words"]
    sys.path[0] = os.getcwd()
    sys.argv = [what, *arguments]
    if first == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


def _opened(stream: int) -> TextIO:
    """Return a standard stream anew: what was a file, in which one can seek, is a pipe now."""
    return open(stream, "w", closefd=False)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
