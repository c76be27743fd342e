"""Bodies of requests: they arrive whole and in time, and are no larger than the page can use."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path, PurePosixPath

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UPLOAD = 10 << 20
MAX_BODY = MAX_UPLOAD + (64 << 10)
"""Bytes of a request: an upload and its form."""
OF_A_VISITOR, IN_ALL = 40 << 20, 120 << 20
"""Most bytes that are sent and not yet read, by a visitor and in all."""
ARRIVAL = 60.0
"""Seconds in which a body has to arrive."""
UPLOAD = "/gradio_api/upload"
UNUSED = ("/gradio_api/process_recording", "/gradio_api/deep_link")
"""Other addresses at which gradio writes files. The page does not use them."""


class Bodies:
    """Middleware that collects the body of a request before the page sees it, so what breaks off leaves nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.arriving: Counter[str] = Counter()
        """Bytes in memory by visitor."""
        self.unread: dict[Path, tuple[str, int]] = {}
        """Uploads on the disk that nobody has read, with their visitor and size."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(UNUSED):
            return await PlainTextResponse("the page does not use this", 404)(scope, receive, send)
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self.app(scope, receive, send)
        visitor, body = scope["visitor"], bytearray()
        try:
            refused = await self._collect(scope, receive, visitor, body)
            if refused is not None:
                return await refused(scope, receive, send)
            if len(body) == 0 or await self._is_usable(scope, bytes(body)):
                return await self.app(scope, _replayed(bytes(body), receive), self._noting(scope, send))
            return await PlainTextResponse("an upload is one file with a name", 400)(scope, receive, send)
        except _Left:
            return None
        finally:
            self.arriving[visitor] -= len(body)

    async def _collect(self, scope: Scope, receive: Receive, visitor: str, body: bytearray) -> PlainTextResponse | None:
        """Add to `body` what arrives; return an answer if it is too much, too slow or too often."""
        too_large = PlainTextResponse(f"a request has at most {MAX_UPLOAD >> 20} MB", 413)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > MAX_BODY:
            return too_large
        try:
            async with asyncio.timeout(ARRIVAL):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Left
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    if len(body) + len(chunk) > MAX_BODY:
                        return too_large
                    if self._is_full(visitor, len(chunk), scope["path"] == UPLOAD):
                        return PlainTextResponse("too many uploads wait to be read; try again in a minute", 429)
                    body += chunk
                    self.arriving[visitor] += len(chunk)
        except TimeoutError:
            return PlainTextResponse(f"a request arrives within {ARRIVAL:g} seconds", 408)
        return None

    def _is_full(self, visitor: str, more: int, upload: bool) -> bool:
        """Return True if no more bytes are taken. Unread uploads count for uploads, not for what reads them."""
        self.unread = {path: of for path, of in self.unread.items() if path.exists()}
        unread = self.unread.values() if upload else ()
        own = sum(size for name, size in unread if name == visitor) + self.arriving[visitor]
        total = sum(size for _, size in unread) + self.arriving.total()
        return own + more > OF_A_VISITOR or total + more > IN_ALL

    async def _is_usable(self, scope: Scope, body: bytes) -> bool:
        """Return True for a form with one file that has a name, and for anything that is no upload."""
        if scope["path"] != UPLOAD:
            return True
        try:
            async with Request(scope, _replayed(body, None)).form(max_files=1, max_fields=4) as form:
                names = [getattr(file, "filename", None) or "" for file in form.getlist("files")]
                return len(names) == 1 and re.search(r"\w", PurePosixPath(names[0]).name) is not None
        except (HTTPException, MultiPartException, ValueError, KeyError):
            return False

    def _noting(self, scope: Scope, send: Send) -> Send:
        """Return `send`, which notes the paths that the page answers to an upload."""
        answered = bytearray()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.body" and scope["path"] == UPLOAD:
                answered.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    with suppress(ValueError, TypeError, OSError):
                        for path in map(Path, json.loads(answered)):
                            self.unread[path] = scope["visitor"], path.stat().st_size
            await send(message)

        return noting


class _Left(Exception):
    """A client that is gone before its request was whole."""


def _replayed(body: bytes, receive: Receive | None) -> Receive:
    """Return a `receive` that has the whole body, and then whatever else is received."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        if messages or receive is None:
            return messages.pop() if messages else {"type": "http.disconnect"}
        return await receive()

    return replay
