"""Files of a hub that may lie: no more bytes than it listed, in time, and never a path that it chose.

The client of huggingface_hub connects, with its proxies and its token; it writes nothing.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, Field, NonNegativeInt, StringConstraints, ValidationError

from i2i_core.disk.files import writing
from i2i_core.errors import CheckpointError
from i2i_core.recipe.names import file_name

LEAST = 4096
"""Bytes. A server that sends fewer than these within the timeout makes no progress."""
TRIES = 3
"""Most connections in a row that may end without progress."""
PAUSE = 1.0
"""Seconds between them."""
REDIRECTS = 5
LISTING = 8 << 20
"""Most bytes of the list of a repository's files."""
SHA = re.compile(r"[0-9a-f]{40}")
Sha1 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[NonNegativeInt, Field(strict=True)]


class Refused(CheckpointError):
    """An answer of a hub that is a lie or an attack, so nothing of it is kept."""


class Unreachable(CheckpointError):
    """A hub that does not answer, or stops in the middle; the same request may succeed later."""


@dataclass(frozen=True)
class Answer:
    """A status other than success."""

    status: int
    code: str
    """The hub's name of the error, such as RepoNotFound."""


class Lfs(BaseModel):
    """A file that the hub stores outside of git."""

    sha256: Sha256
    size: Size


class Listed(BaseModel):
    """A file of a commit as the hub lists it."""

    name: str = Field(alias="rfilename")
    size: Size
    oid: Sha1 | None = Field(None, alias="blobId")
    lfs: Lfs | None = None

    @property
    def certain(self) -> bool:
        """True if the listing tells this file from others of its size."""
        return self.lfs is not None or self.oid is not None

    def is_in(self, path: Path) -> bool:
        """Return True if `path` is this file, as far as the listing tells."""
        return path.is_file() and path.stat().st_size == self.size and self._has(path)

    def _has(self, path: Path) -> bool:
        with open(path, "rb") as file:
            if self.lfs is not None:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.lfs.sha256
            blob = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)  # as git names the contents of a file
            return self.oid is None or hashlib.file_digest(file, lambda: blob).hexdigest() == self.oid


class Commit(BaseModel):
    """A commit, and its files as the hub gave them."""

    sha: Sha1
    siblings: list[dict[str, Any]] = []

    def files(self, wanted: Callable[[str], bool]) -> dict[str, Listed]:
        """Return the files with wanted names, of which each is a file's name and no path. Raises Refused."""
        found: dict[str, Listed] = {}
        for given in self.siblings:
            name = given.get("rfilename")
            if not isinstance(name, str) or not wanted(name) or not harmless(name):
                continue
            if name in found:
                raise Refused(f"the hub lists {name} twice")
            try:
                found[name] = Listed.model_validate(given)
            except ValidationError as error:
                raise Refused(f"the hub lists {name} with {_said(error)}") from None
        return found


def harmless(name: str) -> bool:
    """Return True if a name is that of a file in a folder, on every system."""
    with suppress(ValueError):
        return file_name(name) == name.strip() and not set(name) & set('<>:"|?*') and name not in (".", "..")
    return False


def commit(url: str, headers: Mapping[str, str], timeout: float) -> Commit | Answer:
    """Ask a hub for a commit at the address `url`. Raises Unreachable, and Refused for anything else than a commit."""
    for left in reversed(range(TRIES)):
        try:
            arriving = _arriving(url, headers, timeout)
            status, about = next(arriving)
            if status != 200:
                return Answer(status, about.get("x-error-code", ""))
            content = b""
            for chunk in arriving:
                content += chunk
                if len(content) > LISTING:
                    raise Refused(f"the hub lists more than {LISTING >> 20} MB of files")
            return Commit.model_validate_json(content)
        except ValidationError as error:
            raise Refused(f"the hub gives no commit but {_said(error)}") from None
        except Unreachable:
            if not left:
                raise
            time.sleep(PAUSE)
    raise AssertionError


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where or 'an answer'}: {str(first.get('input'))[:80]!r}"


def fetch(url: str, headers: Mapping[str, str], listed: Listed, path: Path, timeout: float, bar: Any) -> None:
    """Write a listed file to `path`, going on with what is there of it in NAME.part.

    bar: an object with `update`, which is told the bytes that arrived. Raises Unreachable, Refused for bytes that were
    not listed, and DiskError.
    """
    part = path.with_name(f"{path.name}.part")
    part.touch()
    without = 0
    while (had := part.stat().st_size) < listed.size:
        try:
            _append(url, headers, listed, part, timeout, bar)
        except Unreachable:
            without = 0 if part.stat().st_size - had >= LEAST else without + 1
            if without == TRIES:
                raise
            time.sleep(PAUSE)
    if not listed.is_in(part):
        raise Refused(f"{listed.name} does not match its checksum")
    os.replace(part, path)


def _append(url: str, headers: Mapping[str, str], listed: Listed, part: Path, timeout: float, bar: Any) -> None:
    """Append what a server sends of a file to what is there of it."""
    had = part.stat().st_size
    asked = {**headers, "Range": f"bytes={had}-"} if had else headers
    arriving = _arriving(url, asked, timeout)
    status, about = next(arriving)
    if status not in (200, 206):
        raise Unreachable(f"the hub answers {status} for {listed.name}")
    if about.get("content-encoding", "identity") != "identity":
        raise Refused(f"the hub sends {listed.name} in another encoding than asked for")
    if had and status == 200:  # the server sends it from the start
        os.truncate(part, 0)
        had = 0
    length = about.get("content-length")
    if length is not None and length != str(listed.size - had):
        raise Refused(f"the hub sends {length[:20]} bytes for {listed.name} instead of the listed {listed.size - had}")
    with writing(part), open(part, "ab", buffering=0) as file:
        for chunk in arriving:
            left = listed.size - had
            file.write(chunk[:left])
            had += len(chunk)
            bar.update(min(left, len(chunk)))
            if len(chunk) > left:
                raise Refused(f"the hub sends more than the listed {listed.size} bytes for {listed.name}")
    if had < listed.size:
        raise Unreachable(f"the hub ended in the middle of {listed.name}")


def _arriving(url: str, headers: Mapping[str, str], timeout: float) -> Iterator[Any]:
    """Yield the status and the headers of an answer, then the bytes of its body as they arrive.

    A thread reads them, since a server that sends a byte now and then holds up any read. Raises Unreachable if fewer
    than LEAST bytes arrive within `timeout` seconds, and for errors of the connection.
    """
    arrived: queue.Queue[Any] = queue.Queue(16)
    left = threading.Event()
    threading.Thread(target=_read, args=(url, headers, timeout, arrived, left), daemon=True).start()
    try:
        until, since = time.monotonic() + timeout, 0
        while True:
            try:
                what = arrived.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                raise Unreachable(f"the hub sent nearly nothing for {timeout:g} seconds") from None
            if what is None:
                return
            if isinstance(what, Exception):
                raise what
            since += len(what) if isinstance(what, bytes) else LEAST
            if since >= LEAST:
                until, since = time.monotonic() + timeout, 0
            yield what
    finally:
        left.set()


def _read(
    url: str, headers: Mapping[str, str], timeout: float, arrived: queue.Queue[Any], left: threading.Event
) -> None:
    """Put the status and headers of an answer, its bytes, and None or an error into a queue."""

    def put(what: Any) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                return arrived.put(what, timeout=0.5)

    try:
        with _answer(url, headers, timeout) as response:
            put((response.status_code, response.headers))
            for chunk in response.iter_raw():  # not decoded: a few bytes can be decoded to gigabytes
                put(chunk)
                if left.is_set():
                    return
        put(None)
    except Refused as error:
        put(error)
    except Exception as error:  # of the libraries below, which raise many types
        put(Unreachable(" ".join(f"{error or type(error).__name__}".split())[:200]))


@contextmanager
def _answer(url: str, headers: Mapping[str, str], timeout: float) -> Iterator[Any]:
    """Ask for `url` and follow redirects, with the token only on its own server, and on from https only to https."""
    from huggingface_hub import get_session

    first = urlsplit(url)
    for _ in range(REDIRECTS + 1):
        server = urlsplit(url)
        at_home = (server.scheme, server.netloc) == (first.scheme, first.netloc)
        given = {name: value for name, value in headers.items() if at_home or name.lower() != "authorization"}
        given["Accept-Encoding"] = "identity"
        with get_session().stream("GET", url, headers=given, timeout=timeout, follow_redirects=False) as response:
            if not (300 <= response.status_code < 400 and "location" in response.headers):
                yield response
                return
            url = urljoin(url, response.headers["location"])
        if urlsplit(url).scheme not in {"https", first.scheme}:
            raise Refused(f"the hub sends on to {url[:100]}, which is not {first.scheme}")
    raise Refused(f"the hub sends on more than {REDIRECTS} times")
