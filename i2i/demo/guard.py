"""Who may use the page: a browser that was given its token, and no page of another site."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "worker-src 'self' blob:; font-src 'self' data:; frame-ancestors 'none'"
)
"""The content security policy: the browser refuses to load from, or send to, other sites."""
NO_TOKEN = "open the address that i2i demo printed: it has a token, of which the browser keeps a cookie"


class Guard:
    """Middleware that lets in who knows the token, names visitors, and sends the content security policy.

    The address with the token leads to one without it, and to a cookie; with `token` None, everybody gets the cookie.
    Requests get `scope["visitor"]`, a text: "" for one without a cookie.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], port: int, token: str | None) -> None:
        self.app, self.token, self.key = app, token, secrets.token_bytes(32)
        self.origins = {f"http://{host}:{port}".encode() for host in hosts}
        self.cookie = f"i2i-demo-{port}"  # browsers do not tell the ports of cookies apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        if headers.get(b"origin") not in {None, *self.origins}:
            return await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
        visitor = self._visitor(headers.get(b"cookie", b"").decode("latin-1"))
        told = self._is_told(scope["query_string"].decode("latin-1"))
        if self.token is not None and visitor is None and not told:
            return await PlainTextResponse(NO_TOKEN, 403)(scope, receive, send)
        at_door = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
        if at_door and told:
            response = RedirectResponse(
                "/", 303, headers={"set-cookie": self._new(visitor), "cache-control": "no-store"}
            )
            return await response(scope, receive, send)
        given = self._new() if at_door and visitor is None else None

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                if given is not None:
                    more.append((b"set-cookie", given.encode()))
                message["headers"] = [*message["headers"], *more]
            await send(message)

        scope["visitor"] = visitor or ""
        return await self.app(scope, receive, guarded)

    def _is_told(self, query: str) -> bool:
        """Return True if a query has the token."""
        given = parse_qs(query).get("token", [""])[0]
        return self.token is not None and secrets.compare_digest(given.encode(), self.token.encode())

    def _new(self, visitor: str | None = None) -> str:
        """Return the cookie of a visitor, by default of a new one, as a header."""
        visitor = visitor or secrets.token_hex(8)
        return f"{self.cookie}={visitor}.{self._signed(visitor)}; Path=/; HttpOnly; SameSite=Lax"

    def _signed(self, visitor: str) -> str:
        return hmac.digest(self.key, visitor.encode(), "sha256").hex()

    def _visitor(self, cookies: str) -> str | None:
        """Return the visitor that a cookie of ours names, or None."""
        try:
            found = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return None
        visitor, _, signature = found.value.partition(".") if found else ("", "", "")
        known = secrets.compare_digest(signature.encode(), self._signed(visitor).encode())
        return visitor if found and known else None
