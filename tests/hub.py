"""A stand-in for a model hub: as much of its HTTP API as pushing and pulling a model takes, on 127.0.0.1."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0123456789012345678901234567890123456789"


class Hub:
    """Its repositories: files by name; `asked` holds every request."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.lies: dict[str, Callable[[Handler], None]] = {}
        """What is answered instead to paths that end so."""
        self.address = ""


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if lie := next((lie for ending, lie in self.hub.lies.items() if path.endswith(ending)), None):
            return lie(self)
        if found := re.fullmatch(r"/api/models/(\w+/\w+)(/revision/\w+)?", path):
            if found[1] not in self.hub.models:
                return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            if found[2] not in (None, "/revision/main", f"/revision/{COMMIT}"):
                return self.answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
            siblings = [listed(name, data) for name, data in sorted(self.hub.models[found[1]].items())]
            return self.answer(
                {
                    "id": found[1],
                    "sha": COMMIT,
                    "siblings": siblings,
                    "private": False,
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                    "createdAt": "2026-01-01T00:00:00.000Z",
                }
            )
        if found := re.fullmatch(r"/api/models/(\w+/\w+)/tree/\w+.*", path):
            return self.answer(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in sorted(self.hub.models[found[1]].items())
                ]
            )
        if found := re.fullmatch(r"/(\w+/\w+)/resolve/\w+/(.+)", path):
            data = self.hub.models[found[1]][found[2]]
            if begun := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                start = int(begun[1])
                about = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                return self.answer(data[start:], 206, X_Repo_Commit=COMMIT, **about)
            return self.answer(data, ETag=f'"{hashlib.sha256(data).hexdigest()}"', X_Repo_Commit=COMMIT)
        return self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name'].rpartition('/')[2]}"
            self.hub.models.setdefault(name, {})
            self.hub.private[name] = asked.get("private", asked.get("visibility") == "private")
            return self.answer({"url": f"{self.hub.address}/{name}", "name": name, "id": name})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if found := re.fullmatch(r"/api/models/(\w+/\w+)/preupload/main", self.path):
            return self.answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                            "shouldIgnore": False,
                        }
                        for file in json.loads(body)["files"]
                    ]
                }
            )
        if self.path.endswith("/info/lfs/objects/batch"):
            return self.answer(
                {
                    "transfer": "basic",
                    "objects": [
                        {**wanted, "actions": {"upload": {"href": f"{self.hub.address}/lfs/{wanted['oid']}"}}}
                        for wanted in json.loads(body)["objects"]
                    ],
                }
            )
        if found := re.fullmatch(r"/api/models/(\w+/\w+)/commit/main", self.path):
            files = self.hub.models[found[1]]
            for line in body.splitlines():
                change: dict[str, Any] = json.loads(line)
                if change["key"] == "file":
                    files[change["value"]["path"]] = base64.b64decode(change["value"]["content"])
                if change["key"] == "lfsFile":
                    files[change["value"]["path"]] = self.hub.blobs[change["value"]["oid"]]
            return self.answer(
                {"commitOid": COMMIT, "commitUrl": f"{self.hub.address}/{found[1]}/commit/{COMMIT}", "hookOutput": ""}
            )
        return self.answer({"error": f"nothing at {self.path}"}, 404)

    def do_PUT(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.blobs[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"")

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/octet-stream" if content is data else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def listed(name: str, data: bytes) -> dict[str, Any]:
    """A file as a hub lists it: large ones are stored outside of git."""
    large = {"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}
    return {
        "rfilename": name,
        "size": len(data),
        "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        **(large if name.endswith(".safetensors") else {}),
    }


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers at `address`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
