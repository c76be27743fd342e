"""i2i demo: who may see the page, and which files it serves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.testclient import WebSocketDenialResponse

import i2i
from i2i.demo import controls, server
from i2i.demo.bodies import Bodies
from i2i.demo.page import Page
from i2i.demo.visit import Visit
from i2i.translator import Translator

PORT, TOKEN = 7999, "a-secret"


@pytest.fixture(scope="module")
def model(tiny_run) -> Translator:
    return i2i.load(tiny_run, device="cpu")


@pytest.fixture(scope="module")
def client(model, tmp_path_factory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with TestClient(server.application(model, PORT, TOKEN), f"http://127.0.0.1:{PORT}") as client:
            assert client.get(f"/?token={TOKEN}").status_code == 200
            yield client


def test_the_page_loads_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'self' 'unsafe-inline' 'unsafe-eval';")
    assert client.get("/docs").status_code == 404  # fetches its scripts from elsewhere


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("host", f"127.0.0.1:{PORT}", 200),
        ("host", "elsewhere.example", 400),
        ("origin", f"http://localhost:{PORT}", 200),
        ("origin", "http://elsewhere.example", 403),
        ("origin", f"http://127.0.0.1:{PORT + 1}", 403),
        ("origin", "null", 403),
    ],
)
def test_other_sites_are_refused(client, header, value, code):
    assert client.get("/", headers={header: value}).status_code == code


def test_uploads_have_at_most_10_mb(client):
    sizes = {"small": 10 * 2**20 - 1000, "large": 11 * 2**20}
    codes = {
        name: client.post("/gradio_api/upload", files={"files": ("a.png", bytes(size))}).status_code
        for name, size in sizes.items()
    }
    assert codes == {"small": 200, "large": 413}


@pytest.mark.parametrize(
    "ask",
    [
        lambda page: page.get("/"),
        lambda page: page.get("/?token=another"),
        lambda page: page.get("/?token="),
        lambda page: page.get("/", headers={"cookie": f"i2i-demo-{PORT}=a.b"}),
        lambda page: page.get("/", headers={"cookie": f"i2i-demo-{PORT}=."}),
        lambda page: page.get("/", headers={"cookie": "=;=\x00"}),
        lambda page: page.get("/config"),
        lambda page: page.get("/theme.css"),
        lambda page: page.get("/gradio_api/queue/data?session_hash=a"),
        lambda page: page.post("/gradio_api/queue/join", json={}),
        lambda page: page.post("/gradio_api/upload", files={"files": ("a.png", b"a")}),
        lambda page: page.options("/"),
    ],
)
def test_who_does_not_know_the_token_sees_nothing(client, ask):
    answer = ask(TestClient(client.app, f"http://127.0.0.1:{PORT}"))
    assert answer.status_code == 403
    assert answer.text == "open the address that i2i demo printed: it has a token, of which the browser keeps a cookie"
    assert "set-cookie" not in answer.headers


def test_who_does_not_know_the_token_gets_no_websocket(client):
    stranger = TestClient(client.app, f"http://127.0.0.1:{PORT}")
    with pytest.raises(WebSocketDenialResponse) as denied, stranger.websocket_connect(f"ws://127.0.0.1:{PORT}/a"):
        pass
    assert denied.value.status_code == 403


def test_the_token_leads_to_a_cookie_and_leaves_the_address(client):
    visitor = TestClient(client.app, f"http://127.0.0.1:{PORT}")
    answer = visitor.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert TOKEN not in answer.headers["set-cookie"]
    assert visitor.get("/").status_code == 200 and visitor.get("/config").status_code == 200
    assert TestClient(client.app, f"http://127.0.0.1:{PORT}").get(f"/config?token={TOKEN}").status_code == 200


def test_without_a_token_everybody_of_the_machine_sees_the_page(model, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with TestClient(server.application(model, PORT, None), f"http://127.0.0.1:{PORT}") as client:
        assert client.get("/").status_code == 200 and f"i2i-demo-{PORT}" in client.cookies


def uploads() -> list[Path]:
    return [path for path in Path(get_upload_folder()).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "form",
    [
        b'name="files"; filename=""',
        b'name="files"',
        b'name="files"; filename="."',
        b'name="files"; filename="/"',
        b'name="files"; filename=".."',
        b'name="other"; filename="a.png"',
        b'filename="a.png"',
        b"",
    ],
)
@pytest.mark.parametrize("query", ["", "?upload_id=abc"])
def test_an_upload_without_a_name_is_told(client, form, query):
    body = b"--b\r\nContent-Disposition: form-data; " + form + b"\r\n\r\npixels\r\n--b--\r\n"
    before = uploads()
    answer = client.post(
        f"/gradio_api/upload{query}", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert (answer.status_code, answer.text) == (400, "an upload is one file with a name")
    assert uploads() == before


def test_uploads_that_nobody_reads_are_few(model, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    app = server.application(model, PORT, TOKEN)

    def upload(visitor: TestClient, number: int) -> int:
        picture = bytes([number]) * (9 << 20)
        return visitor.post("/gradio_api/upload", files={"files": (f"{number}.png", picture)}).status_code

    with TestClient(app, f"http://127.0.0.1:{PORT}"):
        visitors = [TestClient(app, f"http://127.0.0.1:{PORT}") for _ in range(4)]
        for visitor in visitors:
            visitor.get(f"/?token={TOKEN}")
        assert [upload(visitors[0], n) for n in range(6)] == [200] * 4 + [429] * 2
        assert sum(path.stat().st_size for path in uploads()) == 36 << 20
        uploads()[0].unlink()  # as soon as one is read
        assert upload(visitors[0], 7) == 200
        codes = [upload(visitor, 10 * n + m) for n, visitor in enumerate(visitors[1:], 1) for m in range(4)]
        assert codes == [200] * 9 + [429] * 3
        assert visitors[0].post("/gradio_api/queue/join", json={}).status_code == 422  # what reads them is still heard


def test_four_visitors_are_worked_for_at_once(model, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    inside: list[str] = []
    seen: list[int] = []
    switch = Page._switch

    def slowly(page: Page, use: str) -> list[Any]:
        inside.append(use)
        seen.append(len(inside))
        time.sleep(0.3)
        inside.pop()
        return switch(page, use)

    monkeypatch.setattr(Page, "_switch", slowly)
    with TestClient(server.application(model, PORT, None), f"http://127.0.0.1:{PORT}") as client:
        config = client.get("/config").json()
        (use,) = (one for one in config["components"] if one["props"].get("label") == "Use of the model")
        event = next(one for one in config["dependencies"] if one["inputs"] == [use["id"]])
        for n in range(12):
            asked = {"data": [use["props"]["value"]], "fn_index": event["id"], "session_hash": f"{n}"}
            client.post("/gradio_api/queue/join", json=asked).raise_for_status()
        until = time.monotonic() + 20
        while len(seen) < 12 and time.monotonic() < until:
            time.sleep(0.05)
    assert len(seen) == 12 and max(seen) == 4


def test_no_other_address_writes_files(client):
    before = uploads()
    assert client.post("/gradio_api/process_recording", files={"file": ("a.webm", b"a")}).status_code == 404
    assert client.get("/gradio_api/deep_link", params={"session_hash": "a"}).status_code == 404
    assert uploads() == before


def test_a_request_of_any_kind_has_at_most_10_mb(client):
    answer = client.post("/gradio_api/queue/join", content=b"[" * (11 << 20))
    assert (answer.status_code, answer.text) == (413, "a request has at most 10 MB")
    answer = client.post("/gradio_api/queue/join", content=iter([b"[" * (1 << 20)] * 11))  # of no length
    assert answer.status_code == 413


def test_no_file_of_the_machine_is_served(client, tiny_run):
    for path in (tiny_run / "recipe.yaml", Path("/etc/hostname"), Path(server.__file__)):
        assert client.get(f"/gradio_api/file={path}").status_code == 403


@pytest.mark.parametrize("names", [(), ("photos", "drawings", "all"), ("bands", "labels")])
def test_a_request_cannot_name_a_file_that_is_no_upload(model, made, names, tmp_path, monkeypatch):
    mine = tmp_path / "mine" / "castle.png"
    mine.parent.mkdir()
    Image.new("RGB", (20, 20), "red").save(mine)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    model = made(*names) if names else model
    with TestClient(server.application(model, PORT, None), f"http://127.0.0.1:{PORT}") as client:
        for event in client.get("/config").json()["dependencies"]:
            for named in ({"path": str(mine)}, {"path": str(mine), "meta": {"_type": "gradio.FileData"}}):
                asked = {"data": [named] * len(event["inputs"]), "fn_index": event["id"], "session_hash": "a"}
                client.post("/gradio_api/queue/join", json=asked).raise_for_status()
                client.get("/gradio_api/queue/data", params={"session_hash": "a"})
    assert mine.exists()
    assert not [file for file in Path(get_upload_folder()).rglob("*") if file.name == mine.name]
    with pytest.raises(PermissionError):
        controls.received({"path": str(mine)}, partial(Visit(model).bring, "x_real"))


def test_who_is_told_the_address_can_open_it(model):
    asked = []

    def opened(address: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10):
            asked.append(host)
        raise KeyboardInterrupt  # there is nothing more to see

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(KeyboardInterrupt):
            server.serve(model, None, opened, None)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert asked == ["127.0.0.1"]


def test_a_port_in_use_is_told(i2i, tiny_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = i2i("demo", tiny_run, "--port", port)
    assert (answer.code, answer.err) == (
        2,
        f"port {port} cannot be used (Address already in use); choose another with --port, or leave --port out\n",
    )


def test_without_gradio_the_command_says_what_to_install(i2i, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    answer = i2i("demo", tiny_run)
    assert (answer.code, answer.err) == (2, 'the demo needs gradio; pip install "i2i-gan[demo]"\n')


def shown(address: str, cookie: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    """What the page answers to a visitor."""
    asked = urllib.request.Request(f"{address}{path}", body, {"Cookie": cookie, "Content-Type": kind})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.read()


def load(address: str, cookie: str, picture: bytes) -> None:
    """A visitor who uploads and translates without pause, until the page is gone."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    events = json.loads(shown(address, cookie, "/config"))["dependencies"]
    with suppress(OSError):
        for n in range(10_000):
            answer = shown(
                address,
                cookie,
                "/gradio_api/upload",
                head + picture + b"\r\n--b--\r\n",
                "multipart/form-data; boundary=b",
            )
            for event in events:
                data = [{"path": json.loads(answer)[0], "orig_name": "a.png"}] + [None] * (len(event["inputs"]) - 1)
                asked = {"data": data[: len(event["inputs"])], "fn_index": event["id"], "session_hash": f"{n}"}
                with suppress(urllib.error.HTTPError):
                    shown(address, cookie, "/gradio_api/queue/join", json.dumps(asked).encode())


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_under_load_ends_the_page_and_its_folder(tiny_run, tmp_path, name):
    command = [sys.executable, "-m", "i2i_cli", "demo", str(tiny_run), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    Image.effect_noise((300, 300), 50).convert("RGB").save(picture := tmp_path.parent / f"{name}.png")
    with subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as page:
        try:
            address, _, token = page.stdout.readline().strip().partition("/?token=")
            jar = urllib.request.HTTPCookieProcessor()
            urllib.request.build_opener(jar).open(f"{address}/?token={token}", timeout=30).close()
            cookie = "; ".join(f"{one.name}={one.value}" for one in jar.cookiejar)
            with suppress(urllib.error.HTTPError):
                shown(address, "", "/")
                raise AssertionError("a stranger sees the page")
            visitors = [
                threading.Thread(target=load, args=(address, cookie, picture.read_bytes()), daemon=True)
                for _ in range(4)
            ]
            for visitor in visitors:
                visitor.start()
            port = int(address.rpartition(":")[2])
            half = socket.create_connection(("127.0.0.1", port))  # an upload that breaks off
            half.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\nCookie: "
                + cookie.encode()
                + b"\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
                b'Content-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(5_000_000)
            )
            time.sleep(2)
            assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1_000_000]
            page.send_signal(getattr(signal, name))
            told = time.monotonic()
            assert page.wait(20) == 0
            assert time.monotonic() - told < 10
        finally:
            page.kill()
    assert [*tmp_path.iterdir()] == []


def asked(bodies: Bodies, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What is answered to a POST of these messages, after which the client says nothing."""
    sent: list[dict[str, Any]] = []
    left = [*messages]

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(30)
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/a", "headers": [], "visitor": "", "query_string": b""}
    asyncio.run(bodies(scope, receive, send))
    return sent


def test_a_body_arrives_in_time_and_whole_or_is_seen_by_nobody(monkeypatch):
    seen = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"])

    part = {"type": "http.request", "body": b"ab", "more_body": True}
    monkeypatch.setattr("i2i.demo.bodies.ARRIVAL", 0.1)
    bodies = Bodies(page)
    assert asked(bodies, part)[0]["status"] == 408
    assert asked(bodies, part, {"type": "http.disconnect"}) == []
    assert seen == [] and bodies.arriving.total() == 0
    asked(bodies, part, {**part, "more_body": False})
    assert seen == [b"abab"] and bodies.arriving.total() == 0


def test_an_upload_that_nobody_reads_is_deleted(model, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("i2i.demo.page.LOOK", 0.2)
    monkeypatch.setattr("i2i.demo.page.FORGET", 0.2)
    with TestClient(server.application(model, PORT, None), f"http://127.0.0.1:{PORT}") as client:
        assert client.post("/gradio_api/upload", files={"files": ("a.png", b"a")}).status_code == 200
        assert uploads()
        until = time.monotonic() + 10
        while uploads() and time.monotonic() < until:
            time.sleep(0.05)
        assert not uploads()
