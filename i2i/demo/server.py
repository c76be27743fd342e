"""The server of the page: it serves only this machine, loads nothing from other sites and keeps no data."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from i2i import Translator
from i2i_core.errors import UsageError

HOST = "127.0.0.1"
MAX_UPLOAD = "10mb"
NO_DOCS: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "worker-src 'self' blob:; font-src 'self' data:; frame-ancestors 'none'"
)
"""The content security policy: the browser refuses to load from, or send to, other sites."""


def serve(model: Translator, port: int | None, opened: Callable[[str], None]) -> None:
    """Serve the page for a model until Ctrl-C or SIGTERM; calls `opened` with its address.

    port: by default a free port. Raises UsageError for a port that cannot be used.
    """
    with socket.socket() as listening, tempfile.TemporaryDirectory(prefix="i2i-demo-") as uploads:
        if os.name == "posix":  # on Windows this option would share the port with another program
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port or 0))
            listening.listen()  # before the address is announced
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror}); choose another with --port, or leave --port out"
            ) from None
        for name in [name for name in os.environ if name.startswith("GRADIO_")]:
            del os.environ[name]  # they could open folders, or enable features that are disabled here
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False"}
        for name in ("SIGTERM", "SIGHUP"):  # uploads are deleted then, too; Windows has no SIGHUP
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
        server = uvicorn.Server(
            uvicorn.Config(
                application(model, listening.getsockname()[1]), log_level="warning", timeout_graceful_shutdown=1
            )
        )
        opened(f"http://{HOST}:{listening.getsockname()[1]}")
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def application(model: Translator, port: int) -> FastAPI:
    """Build the page as an ASGI application."""
    import gradio as gr  # creates its folder when imported

    from i2i.demo.page import build

    theme = gr.themes.Default(
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        text_size="lg",
        spacing_size="lg",
        primary_hue="indigo",
        neutral_hue="slate",
    )
    theme.set(
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        block_title_text_color="*neutral_700",
    )  # the contrast of the default colours is below 4.5
    page = build(model)
    page.has_launched = page.is_running = True  # otherwise a request could make gradio copy and serve any file
    app = FastAPI(
        **NO_DOCS,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(SameOriginOnly, port=port),
        ],
    )
    gr.mount_gradio_app(
        app,
        page,
        "/",
        server_name=HOST,
        server_port=port,
        app_kwargs={**NO_DOCS},
        footer_links=[],
        allowed_paths=[],
        max_file_size=MAX_UPLOAD,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme,
        css_paths=[Path(__file__).with_name("page.css")],
    )
    return app


class SameOriginOnly:
    """Middleware that refuses requests from pages of other sites, and sends the content security policy."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app, self.origins = app, {f"http://{host}:{port}".encode() for host in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        origin = dict(scope.get("headers", ())).get(b"origin")
        if origin is not None and origin not in self.origins:
            await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, guarded)
