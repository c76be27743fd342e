"""Errors for users: one sentence that says what happened, where, and what to do; and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

MOST_PROBLEMS = 100
"""Number of problems after which no more are looked for."""
LONGEST = 1000
"""Most characters of a problem's text, and most names among which one is looked for that is alike."""


@dataclass(frozen=True)
class Mark:
    """A position in a recipe. `line` and `column` count from 1; line 0 stands for the whole `file`, or for a --set."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake: what it is, where it is, and a hint what to do."""

    message: str
    mark: Mark | None = None
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.mark}: " if self.mark else ""
        text = f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


class I2IError(Exception):
    """Base class of expected errors. The command prints one as a sentence, never as a traceback."""

    exit_code: ClassVar[int] = 1


class UsageError(I2IError):
    """A wrong command line: an argument is missing, names a missing file, or would overwrite an existing one."""

    exit_code = 2


class RecipeError(I2IError):
    """All problems of a recipe, one per line."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, problems)))


class Problems(list[Problem]):
    """Problems as they are found. Raises RecipeError with the first ones as soon as they are more than 100."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        super().__init__()
        self.extend(problems)

    def append(self, problem: Problem) -> None:
        if len(self) >= MOST_PROBLEMS:
            raise RecipeError([*dict.fromkeys(self), Problem("and more problems; correct these first")])
        super().append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[Problem]) -> Self:  # type: ignore[misc, override]  # only problems
        self.extend(problems)
        return self


class DataError(I2IError):
    """Missing, unreadable or unusable pictures."""

    exit_code = 3


class CheckpointError(I2IError):
    """A checkpoint or model that is damaged, or does not fit the recipe."""

    exit_code = 4


class PluginError(I2IError):
    """A plugin that is missing or does not load."""

    exit_code = 5


class Diverged(I2IError):
    """A loss, gradient or weight that is not finite (NaN or infinite)."""

    exit_code = 6


class OutOfMemory(I2IError):
    """Exhausted memory of the device or the host."""

    exit_code = 7


class Locked(I2IError):
    """A run folder that another process is using."""

    exit_code = 73


class DiskError(I2IError):
    """A failed write to the disk."""

    exit_code = 74


class DiskFull(DiskError):
    """A failed write to a full disk."""


class LostProcess(I2IError):
    """Another process of the run that has ended or does not go on."""


class Preempted(I2IError):
    """A stop by SIGTERM or SIGHUP. The run was saved and can be resumed."""

    exit_code = 75


class Interrupted(I2IError):
    """A stop by Ctrl-C."""

    exit_code = 130


class Unsaved(I2IError):
    """A stop by a signal without time to save. The run can be resumed from its last checkpoint."""

    exit_code = 143


@contextmanager
def noted(place: str, mark: Mark | None, given: Mapping[str, object]) -> Iterator[None]:
    """Add `place`, the component that is called, as a note to an unexpected error in this block.

    With a `mark`, the position of the component in the recipe, two errors become a RecipeError there: a ValueError,
    since the component's keys do not fit its inputs; and a missing method or argument of a network in `given`.
    """
    try:
        yield
    except Exception as error:
        misfit = next((name for name, network in given.items() if _lacks(error, network)), "")
        if mark is not None and (misfit or isinstance(error, ValueError)):
            message = f"the network {misfit} does not fit: {error}" if misfit else str(error)
            raise RecipeError([Problem(f"{place}: {message}", mark)]) from error
        error.add_note(place)
        raise


def _lacks(error: Exception, network: object) -> bool:
    """Return True if `error` says that a network lacks a method, or does not accept its arguments."""
    if isinstance(error, AttributeError):
        return hasattr(network, "forward") and error.obj is network
    return isinstance(error, TypeError) and str(error).startswith(f"{type(network).__name__}.forward() ")


def counted(count: int, thing: str) -> str:
    """Return a number of things as a phrase: 1 picture, 1,200 pictures."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint: the closest known name, or all known names if they are at most 12, or ""."""
    names = sorted(set(known))
    if len(names) > LONGEST or len(name) > LONGEST:  # which would take long
        return ""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 12 else ""
