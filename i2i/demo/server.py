"""The server of the page: it serves only this machine, loads nothing from other sites and keeps no data."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from i2i import Translator
from i2i.demo.bodies import MAX_UPLOAD, Bodies
from i2i.demo.guard import Guard
from i2i_core.errors import UsageError

HOST = "127.0.0.1"
NO_DOCS: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
GRACE = 5.0
"""Seconds after a signal in which requests may end; then the process ends without them."""


def serve(model: Translator, port: int | None, opened: Callable[[str], None], token: str | None) -> None:
    """Serve the page for a model until Ctrl-C, SIGTERM or SIGHUP; calls `opened` with its address.

    port: by default a free port. token: only who knows it may use the page; with None, all users of this machine may.
    Raises UsageError for a port that cannot be used.
    """
    with socket.socket() as listening, _told_to_stop() as told, _folder(told) as uploads:
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
        port = listening.getsockname()[1]
        told.server = server = _Server(
            uvicorn.Config(application(model, port, token), log_level="warning", timeout_graceful_shutdown=1)
        )
        opened(f"http://{HOST}:{port}" + (f"/?token={token}" if token else ""))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


class _Told:
    """A handler of signals: it ends the server, and after GRACE seconds the process, whatever its threads still do."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self.folder = ""
        self.last: threading.Timer | None = None

    def __call__(self, number: int, frame: Any) -> None:
        if self.last is None:
            self.last = threading.Timer(GRACE, self._end)
            self.last.daemon = True
            self.last.start()
        if self.server is None:
            raise KeyboardInterrupt
        self.server.should_exit = True

    def _end(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(0)


class _Server(uvicorn.Server):
    """A server that leaves the signals to `_Told`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _told_to_stop() -> Iterator[_Told]:
    """Handle the signals that end the page, until the end of the block."""
    told = _Told()
    numbers = [
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
    ]  # not Windows
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number in numbers if before[number] is not signal.SIG_IGN]  # nohup
    for number in heard:
        signal.signal(number, told)
    try:
        yield told
    finally:
        if told.last is None:
            for number in heard:
                signal.signal(number, before[number])


@contextmanager
def _folder(told: _Told) -> Iterator[str]:
    """Provide a private folder for uploads, which is deleted even if a thread still writes to it."""
    told.folder = tempfile.mkdtemp(prefix="i2i-demo-")
    try:
        yield told.folder
    finally:
        for _ in range(100):
            shutil.rmtree(told.folder, ignore_errors=True)
            if not os.path.exists(told.folder):
                break
            time.sleep(0.05)


def application(model: Translator, port: int, token: str | None) -> FastAPI:
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
            Middleware(Guard, hosts=(HOST, "localhost"), port=port, token=token),
            Middleware(Bodies),
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
