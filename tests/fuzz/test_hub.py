"""A hub may answer whatever it likes: a model is there whole, or nothing is, and nothing is written elsewhere."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")

from huggingface_hub import constants

from i2i.hub import pull
from i2i_core.errors import I2IError
from i2i_core.models.folder import read
from tests.hub import COMMIT, Handler, Hub, running

from .conftest import Tally
from .fence import fenced
from .scale import times

NAME = "me/model"
ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 1e308, "", ".", "..", "/", "/etc/passwd", "../../escaped", "a/../../escaped",
    "C:\\escaped", "\\\\host\\share", "config.json", "CONFIG.JSON", "config.json/x", "model.safetensors.lock", ".cache",
    "\u0000", "\ud800", "a" * 300, "f" * 40, "F" * 40, "0" * 64, "file:///etc/passwd", "http://127.0.0.1:9/x",
    [], {}, [[]],
]  # fmt: skip
HEADERS = ("ETag", "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size", "Location", "Content-Range", "Content-Encoding",
           "Content-Type", "Link", "Set-Cookie", "Content-Length", "Transfer-Encoding")  # fmt: skip


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "own" / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "own" / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own" / "user"))
        hub.models[NAME] = {path.name: path.read_bytes() for path in tiny_model.iterdir() if path.is_file()}
        yield hub


def lie(chance: random.Random, hub: Hub) -> None:
    """Let the hub answer something else: to the question for the list of files, or for a file."""
    if chance.randrange(2):
        about: dict[str, Any] = {
            "id": NAME,
            "sha": COMMIT,
            "siblings": [{"rfilename": name, "size": len(data)} for name, data in hub.models[NAME].items()],
        }
        for _ in range(chance.choice((1, 1, 2))):
            kind, value = chance.randrange(5), chance.choice(ODD)
            sibling = (
                chance.choice(about["siblings"]) if isinstance(about["siblings"], list) and about["siblings"] else {}
            )
            if kind == 0:
                about[chance.choice(("sha", "id", "siblings"))] = value
            elif kind == 1 and isinstance(sibling, dict):
                sibling[chance.choice(("rfilename", "size", "blobId", "lfs"))] = value
            elif kind == 2 and isinstance(about["siblings"], list):
                about["siblings"].append(chance.choice([value, {"rfilename": value, "size": 3}, sibling]))
            elif kind == 3 and isinstance(sibling, dict):
                sibling.pop("size", None)
            elif kind == 4:
                about.pop("siblings" if chance.randrange(2) else "sha", None)
                break
        text = json.dumps(about)
        body = text[: chance.randrange(len(text))] if not chance.randrange(6) else text
        hub.lies["/revision/main"] = lambda handler: handler.answer(
            body.encode(), chance.choice((200, 200, 200, 404, 500))
        )
        return
    name = chance.choice(sorted(hub.models[NAME]))
    data, headers = hub.models[NAME][name], {"ETag": '"abc"', "X_Repo_Commit": COMMIT}
    for _ in range(chance.choice((0, 1, 2))):
        value = str(chance.choice(ODD)).encode("ascii", "replace").decode().replace("\u0000", "0")
        headers[chance.choice(HEADERS[:-2]).replace("-", "_")] = value
    change = chance.randrange(5)
    if change == 0:
        data = data[: chance.randrange(len(data))]
    elif change == 1:
        data += chance.randbytes(chance.choice((1, 100_000)))
    elif change == 2:
        data = chance.randbytes(len(data))
    status = chance.choice((200, 200, 200, 206, 302, 307, 404, 416, 500))

    def answer(handler: Handler) -> None:
        handler.answer(data, status, **headers)

    hub.lies[f"/{name}"] = answer


def test_hubs_that_lie(hub: Hub, tmp_path: Path, tally: Tally) -> None:
    chance, own, outside = random.Random(1), tmp_path / "own", set(tmp_path.iterdir())
    (own / "cache").mkdir(parents=True)
    tally.what = "answers of hubs"
    pull(NAME, own / "first")  # imports what it needs
    for number in range(times(1_000)):
        hub.lies.clear()
        lie(chance, hub)
        to = own / "model" if chance.randrange(2) else None
        error, folder = "", None
        with tally.one():
            with fenced(own, fetches=True):
                try:
                    folder = pull(NAME, to)
                except I2IError as refused:
                    error = str(refused)
                    tally.refuse()
            if folder is not None:
                read(folder)
            else:
                assert error, number
                assert len(error) < 20_000
                assert to is None or not to.exists()
            assert {*tmp_path.iterdir()} == {*outside, own}
        for left in (own / "model", own / "cache"):
            shutil.rmtree(left, ignore_errors=True)
    assert tally.read
