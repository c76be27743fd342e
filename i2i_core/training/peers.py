"""The other processes of a run and its launcher, which may end or be stopped without a word."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

import psutil
from accelerate import Accelerator
from accelerate.utils import gather_object

PAUSE = 1.0
"""Seconds between two looks at the other processes."""


@dataclass(frozen=True)
class Peer:
    """A process of the run: its rank, and what identifies it among all processes."""

    rank: int
    host: str
    pid: int
    started: float

    @classmethod
    def own(cls, rank: int) -> Peer:
        return cls(rank, socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def trouble(self) -> str:
        """Return "has ended" or "is stopped"; "" if it runs, or on another machine."""
        if self.host != socket.gethostname():
            return ""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() != self.started or process.status() == psutil.STATUS_ZOMBIE:
                return "has ended"
            return "is stopped" if process.status() == psutil.STATUS_STOPPED else ""
        except psutil.NoSuchProcess:
            return "has ended"
        except psutil.Error:
            return ""

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.pid})"


def peers_of(accelerator: Accelerator) -> list[Peer]:
    """Return the other processes of a run that can be seen from this one. Call it in every process."""
    if accelerator.num_processes == 1:
        return []
    own = Peer.own(accelerator.process_index)
    return [peer for peer in gather_object([own]) if peer != own and not peer.trouble()]


def troubles(peers: Sequence[Peer]) -> list[str]:
    """Return a phrase for each process that has ended or is stopped, such as "rank 1 (process 4242) is stopped"."""
    return [f"{peer} {trouble}" for peer in peers if (trouble := peer.trouble())]


@cache  # a launcher may end before its words are needed
def launcher_words() -> list[str]:
    """Return the start of the command by which a launcher started this process, or [] if none did.

    It ends before the arguments of `i2i`, as in ["torchrun", "--nproc-per-node", "2", "-m", "i2i_cli"].
    """
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return []
    named = next((n for n, word in enumerate(words[:4]) if _is_launcher(word)), None)
    if named is None or "train" not in words:
        return []
    program = [PurePath(words[named]).name] if words[named - 1 : named] != ["-m"] else ["python", "-m", words[named]]
    return [*program, *words[named + 1 : words.index("train")]]


def _is_launcher(word: str) -> bool:
    return PurePath(word).name in ("accelerate", "torchrun", "torch.distributed.run", "accelerate.commands.launch")


class Watch:
    """A thread that ends a run whose launcher has ended, or whose other processes do not go on.

    A process that waits for another one does not see that it is stopped, or that its launcher has ended. The thread
    stops the run if the launcher has ended. If that takes too long, or if another process does not go on for as long,
    it ends this process.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        launched: bool,
        timeout: float,
        trains: Callable[[], bool],
        end: Callable[[str], None],
    ) -> None:
        """launched: whether the parent of this process is a launcher. timeout: seconds to wait for what is wrong.

        trains: returns whether the run still needs the other processes. end: called with the reason; it does not
        return.
        """
        self.peers, self.timeout, self.trains, self.end = peers, timeout, trains, end
        self.launcher = os.getppid() if launched and hasattr(signal, "pthread_kill") else None
        self._lost = False
        self._done = threading.Event()
        if self.peers or self.launcher is not None:
            threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        self._done.set()

    def _watch(self) -> None:
        seen: Counter[str] = Counter()
        while not self._done.wait(PAUSE):
            now = [*self._wrong()]
            # Looks are counted, not seconds: if the whole run is stopped for a while, that is no fault of a process.
            seen = Counter({what: seen[what] + 1 for what in now})
            for what, looks in seen.items():
                if looks * PAUSE >= self.timeout:
                    self.end(f"{what} for {self.timeout:g} seconds")

    def _wrong(self) -> Iterator[str]:
        if self.launcher is not None and os.getppid() != self.launcher:
            self.launcher, self._lost = None, True
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGTERM)
        if self._lost:
            yield "the launcher has ended"
        if self.trains():
            yield from troubles(self.peers)
