"""What can go wrong, as a user sees it: a sentence, a place, what to do, and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Mark:
    """A place in a recipe; `line` and `column` count from 1, line 0 means the whole `file` (or a --set)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake: what, where, what to do."""

    message: str
    mark: Mark | None = None
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.mark}: " if self.mark else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class I2IError(Exception):
    """An error that has been explained: printed as one sentence, never as a traceback."""

    exit_code: ClassVar[int] = 1


class UsageError(I2IError):
    """A command that cannot be followed: it lacks something, or asks for what is not there or may not be replaced."""

    exit_code = 2


class RecipeError(I2IError):
    """Every problem of a recipe at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, problems)))


class DataError(I2IError):
    """Pictures that are missing, empty or unreadable."""

    exit_code = 3


class CheckpointError(I2IError):
    """A checkpoint that does not verify or belongs to another recipe."""

    exit_code = 4


class PluginError(I2IError):
    """A plugin that is missing or does not load."""

    exit_code = 5


class Diverged(I2IError):
    """A loss or a gradient is no longer a finite number."""

    exit_code = 6


class OutOfMemory(I2IError):
    """The device has no memory left."""

    exit_code = 7


class Locked(I2IError):
    """Another process is using the run folder."""

    exit_code = 73


class DiskError(I2IError):
    """The disk is full or cannot be written."""

    exit_code = 74


class DiskFull(DiskError):
    """The disk has no space left."""


class Preempted(I2IError):
    """Told to stop: the run is saved and can be resumed."""

    exit_code = 75


class Interrupted(I2IError):
    """Ctrl-C."""

    exit_code = 130


@contextmanager
def noted(place: str, mark: Mark | None, given: Mapping[str, object]) -> Iterator[None]:
    """Add to an unexpected error in which component it happened.

    A ValueError of one that the recipe names, at `mark`, is a mistake there: what its keys allow does not fit what it
    reads. So is a network among the `given` that lacks what is asked of it.
    """
    try:
        yield
    except Exception as error:
        misfit = next((name for name, network in given.items() if _lacks(error, network)), "")
        if mark is not None and (misfit or isinstance(error, ValueError)):
            said = f"the network {misfit} does not fit: {error}" if misfit else str(error)
            raise RecipeError([Problem(f"{place}: {said}", mark)]) from error
        error.add_note(place)
        raise


def _lacks(error: Exception, network: object) -> bool:
    """Whether an error says that a network has no such method, or is called otherwise."""
    if isinstance(error, AttributeError):
        return hasattr(network, "forward") and error.obj is network
    return isinstance(error, TypeError) and str(error).startswith(f"{type(network).__name__}.forward() ")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint naming the closest known name, else the known names when they are few, else nothing."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 12 else ""
