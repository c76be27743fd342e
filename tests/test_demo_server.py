"""i2i demo: who may see the page, and which files it serves."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gradio.utils import get_upload_folder
from PIL import Image

import i2i
from i2i.demo import controls, server
from i2i.demo.visit import Visit
from i2i.translator import Translator

PORT = 7999


@pytest.fixture(scope="module")
def model(tiny_run) -> Translator:
    return i2i.load(tiny_run, device="cpu")


@pytest.fixture(scope="module")
def client(model, tmp_path_factory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with TestClient(server.application(model, PORT), f"http://127.0.0.1:{PORT}") as client:
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
    with TestClient(server.application(model, PORT), f"http://127.0.0.1:{PORT}") as client:
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
            server.serve(model, None, opened)
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
