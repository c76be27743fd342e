"""The client of huggingface_hub: progress bars only in terminals, and no answers of a server that become paths."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 60.0
"""Seconds without a byte, where a library would wait for ever."""
SHA = re.compile(r"[0-9a-f]{40}")
ETAG = re.compile(r"[\w+=-][\w.+=-]{0,199}")


@contextmanager
def no_bars_in_logs(library: Any = None) -> Iterator[None]:
    """Hide the progress bars of huggingface_hub, and of another library of Hugging Face, if stderr is no terminal."""
    import huggingface_hub.utils

    found = [huggingface_hub.utils, *([library] if library is not None else [])]
    shown = [] if sys.stderr.isatty() else [one for one in found if not one.are_progress_bars_disabled()]
    for one in shown:
        one.disable_progress_bars()
    try:
        yield
    finally:
        for one in shown:
            one.enable_progress_bars()


@contextmanager
def answers_checked() -> Iterator[None]:
    """Refuse, in this block, answers of a hub whose commit or ETag is none: huggingface_hub makes paths of them.

    The ValueError comes out of the call that asked. No call waits for ever for an answer.
    """
    import huggingface_hub
    import huggingface_hub.utils._http as http

    usual = http._GLOBAL_CLIENT_FACTORY

    def careful() -> Any:
        client = usual()
        before, after = client.event_hooks["request"], client.event_hooks["response"]
        client.event_hooks = {"request": [*before, _limit], "response": [*after, _check]}
        return client

    huggingface_hub.set_client_factory(careful)
    try:
        yield
    finally:
        huggingface_hub.set_client_factory(usual)


def _limit(request: Any) -> None:
    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        kind: PATIENCE if (given := limits.get(kind)) is None else given for kind in limits
    }


def _check(response: Any) -> None:
    """Raise ValueError for a commit or an ETag that could be a path."""
    commits = [response.headers.get("x-repo-commit")]
    if "/api/" in response.url.path and response.status_code == 200:
        response.read()
        with suppress(ValueError, AttributeError):  # an answer of another form
            commits.append(response.json().get("sha"))
    for sha in commits:
        if sha is not None and not (isinstance(sha, str) and SHA.fullmatch(sha)):
            raise ValueError(f"the hub gives no commit but {str(sha)[:80]!r}")
    for name in ("etag", "x-linked-etag"):
        tag = response.headers.get(name, "x").removeprefix("W/").strip('"')
        if not ETAG.fullmatch(tag):
            raise ValueError(f"the hub gives no ETag but {tag[:80]!r}")
