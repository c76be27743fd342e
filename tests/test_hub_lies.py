"""A hub that lies, stalls or sends without end: `pull` refuses it in a sentence, in time, and nothing of it stays."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from i2i.hub import pull
from i2i_core.errors import CheckpointError, DiskFull, I2IError, Locked, UsageError
from tests.hub import COMMIT, Handler, Hub, listed, running

OTHER = "f" * 40


@pytest.fixture
def hub(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the model me/emoji, for which this process has a token, half a second of patience and a cache."""
    with running() as hub:
        hub.models["me/emoji"] = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
        monkeypatch.setattr("i2i.fetching.PAUSE", 0.01)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "locks"))
        yield hub


def left(folder: Path) -> set[str]:
    """The files below a folder, without the locks."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    return {path for path in found if not path.startswith("locks/")}


def refusal(hub: Hub, tmp_path: Path, error: type[I2IError] = CheckpointError, **given: Any) -> str:
    """Pull the model, and return why it is refused; nothing is left of it, in the cache or in a folder of its own."""
    said = []
    for to in (None, tmp_path / "models" / "emoji"):
        with pytest.raises(error) as raised:
            pull("me/emoji", to, **given)
        assert left(tmp_path) == set()
        said.append(str(raised.value))
    assert said[0] == said[1] and "\n" not in said[0]
    return said[0]


def info(hub: Hub, sha: Any = COMMIT, *others: Any, **changed: Any) -> Callable[[Handler], None]:
    """An answer about me/emoji with another commit, further files, or other facts of a file by its name."""
    models = hub.models["me/emoji"].items()
    files = [{**listed(name, data), **changed.get(name.replace(".", "_"), {})} for name, data in models]
    return lambda asked: asked.answer({"sha": sha, "siblings": [*files, *others]})


def body(chunks: Callable[[], Iterator[bytes]], status: int = 200, **headers: str) -> Callable[[Handler], None]:
    """An answer in chunks, as long as the client listens; without a length, unless one is given."""

    def answer(asked: Handler) -> None:
        asked.send_response(status)
        for name, value in headers.items():
            asked.send_header(name.replace("_", "-"), value)
        asked.end_headers()
        try:
            for chunk in chunks():
                asked.wfile.write(chunk)
                asked.wfile.flush()
        except OSError:  # the client is gone
            pass
        asked.close_connection = True

    return answer


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 65536


def dripping() -> Iterator[bytes]:
    while True:
        yield b"x"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "sha", ["/tmp/evil", "../../evil", "..", COMMIT.upper()[:-1] + "A", COMMIT + "\n", COMMIT[:39], "", None, 7, ["a"]]
)
def test_a_commit_is_forty_hexadecimal_digits(hub, tmp_path, sha):
    hub.lies["/revision/main"] = info(hub, sha)
    assert refusal(hub, tmp_path).startswith("me/emoji is refused: the hub gives no commit but sha: ")


def test_a_commit_that_is_asked_for_is_that_commit(hub, tmp_path):
    hub.lies[f"/revision/{OTHER}"] = info(hub)
    said = refusal(hub, tmp_path, revision=OTHER)
    assert said == f"me/emoji is refused: the hub gives the commit {COMMIT} for {OTHER}"


@pytest.mark.parametrize("evil", ["{}/evil", "../../../evil", "a/b", "..", "\\evil", "x" * 300])
def test_headers_are_no_paths(hub, tmp_path, evil):
    evil = evil.format(tmp_path)
    for name, data in hub.models["me/emoji"].items():
        about = {"ETag": f'"{evil}"', "X_Linked_Etag": f'"{evil}"', "X_Repo_Commit": evil, "X_Linked_Size": "1"}
        hub.lies[f"/resolve/{COMMIT}/{name}"] = lambda asked, data=data, about=about: asked.answer(data, **about)
    folder = pull("me/emoji")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == hub.models["me/emoji"]
    below = f"cache/models--me--emoji/snapshots/{COMMIT}"
    assert left(tmp_path) == {
        *(f"{below}/{name}" for name in hub.models["me/emoji"]),
        "cache/models--me--emoji/refs/main",
    }


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_body_without_end_stops_at_the_listed_size(hub, tmp_path, name):
    hub.lies[f"/{name}"] = body(endless)
    size = len(hub.models["me/emoji"][name])
    assert refusal(hub, tmp_path) == f"me/emoji is refused: the hub sends more than the listed {size} bytes for {name}"


def test_a_body_of_another_length_is_refused_before_it_is_read(hub, tmp_path):
    size = len(hub.models["me/emoji"]["model.safetensors"])
    hub.lies["/model.safetensors"] = body(endless, Content_Length=str(10**12))
    said = refusal(hub, tmp_path)
    assert said == (
        f"me/emoji is refused: the hub sends {10**12} bytes for model.safetensors instead of the listed {size}"
    )


def test_a_compressed_body_is_not_unpacked(hub, tmp_path):
    bomb = gzip.compress(b"\0" * 10_000_000)
    hub.lies["/model.safetensors"] = lambda asked: asked.answer(bomb, Content_Encoding="gzip")
    assert refusal(hub, tmp_path).endswith("the hub sends model.safetensors in another encoding than asked for")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "recipe.yaml"])
def test_other_bytes_are_refused(hub, tmp_path, name):
    data = hub.models["me/emoji"][name]
    hub.lies[f"/{name}"] = lambda asked: asked.answer(data[:-1] + b"\0")
    assert refusal(hub, tmp_path) == f"me/emoji is refused: {name} does not match its checksum"


@pytest.mark.parametrize(
    "name",
    ["../evil.png", "{}/evil.png", "below/evil.png", "a\\evil.png", "C:evil.png", "evil\0.png", "\x1b[2Jevil.png"]
    + ["evil.png ", "e" * 300 + ".png", "evil.pkl", "evil.safetensors", "Model.safetensors", "CONFIG.JSON"],
)
def test_files_with_the_names_of_paths_or_of_no_model_are_not_asked_for(hub, tmp_path, name):
    name = name.format(tmp_path)
    hub.lies["/revision/main"] = info(hub, COMMIT, {"rfilename": name, "size": 4})
    folder = pull("me/emoji", tmp_path / "emoji")
    assert {path.name for path in folder.iterdir()} == hub.models["me/emoji"].keys()
    assert len(hub.asked) == 1 + len(hub.models["me/emoji"])


@pytest.mark.parametrize("name", ["../evil.safetensors", "/tmp/evil.safetensors", "evil.safetensors", "evil.pkl"])
def test_config_json_names_files_of_the_listing_only(hub, tmp_path, name):
    config = json.loads(hub.models["me/emoji"]["config.json"])
    config["files"][name] = {"size": 1, "sha256": "0" * 64}
    hub.models["me/emoji"]["config.json"] = json.dumps(config).encode()
    said = refusal(hub, tmp_path)
    assert said == f"me/emoji is refused: its config.json names {name!r}, which the hub does not list"


def test_a_name_is_listed_once(hub, tmp_path):
    hub.lies["/revision/main"] = info(hub, COMMIT, listed("config.json", b"{}"))
    assert refusal(hub, tmp_path) == "me/emoji is refused: the hub lists config.json twice"


@pytest.mark.parametrize("size", [-1, "1", 1.5, None, True, [1]])
def test_a_size_is_a_number(hub, tmp_path, size):
    hub.lies["/revision/main"] = info(hub, config_json={"size": size})
    assert refusal(hub, tmp_path).startswith("me/emoji is refused: the hub lists config.json with size: ")


@pytest.mark.parametrize("key", ["blobId", "lfs"])
def test_a_checksum_is_one(hub, tmp_path, key):
    hub.lies["/revision/main"] = info(hub, config_json={key: "/tmp/evil"})
    assert refusal(hub, tmp_path).startswith(f"me/emoji is refused: the hub lists config.json with {key}: ")


def test_a_size_agrees_with_config_json_and_fits_on_the_disk(hub, tmp_path):
    hub.lies["/revision/main"] = info(hub, model_safetensors={"size": 1})
    assert "model.safetensors is listed with 1 bytes, and in its config.json with" in refusal(hub, tmp_path)
    hub.lies["/revision/main"] = info(hub, README_md={"size": 10**18})
    for to in (None, tmp_path / "emoji"):
        with pytest.raises(DiskFull, match="no space left for .*: it needs 1,000,000,000,0"):
            pull("me/emoji", to)
    assert left(tmp_path) == set()


def test_a_long_list_is_refused(hub, tmp_path):
    hub.lies["/revision/main"] = info(hub, COMMIT, *(listed(f"{n}.png", b"") for n in range(1001)))
    assert "files, and a model has at most 1,000" in refusal(hub, tmp_path)
    hub.lies["/revision/main"] = body(endless)
    assert refusal(hub, tmp_path) == "me/emoji is refused: the hub lists more than 8 MB of files"


@pytest.mark.parametrize(
    "answer", [b"[" * 100_000, b"", b"null", b"[]", b'{"sha": 1e999}', b"\xff", b"{}", b'{"sha": "\\ud800"}']
)
def test_an_answer_that_is_no_listing_is_refused(hub, tmp_path, answer):
    hub.lies["/revision/main"] = lambda asked: asked.answer(answer)
    assert refusal(hub, tmp_path).startswith("me/emoji is refused: the hub gives no commit but ")


@pytest.mark.parametrize("ending", ["/revision/main", "/config.json", "/model.safetensors"])
@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:1", "file:/etc/passwd"])
def test_a_redirect_leads_to_the_web(hub, tmp_path, ending, to):
    hub.lies[ending] = lambda asked: asked.answer(b"", 302, Location=to)
    assert refusal(hub, tmp_path) == f"me/emoji is refused: the hub sends on to {to}, which is not http"


def test_a_redirect_in_a_circle_ends(hub, tmp_path):
    hub.lies["/model.safetensors"] = lambda asked: asked.answer(b"", 307, Location=asked.path)
    assert refusal(hub, tmp_path) == "me/emoji is refused: the hub sends on more than 5 times"


def test_another_server_gets_no_token(hub, tmp_path):
    with running() as other:
        heard = []

        def hear(asked: Handler) -> None:
            heard.append(asked.headers.get("Authorization"))
            asked.answer(hub.models["me/emoji"]["model.safetensors"])

        def send_on(asked: Handler) -> None:
            heard.append(asked.headers.get("Authorization"))
            asked.answer(b"", 302, Location=f"{other.address}/there")

        other.lies["/there"] = hear
        hub.lies["/model.safetensors"] = send_on
        pull("me/emoji")
    assert heard == ["Bearer hf_secret", None]


@pytest.mark.parametrize("ending", ["/revision/main", "/config.json", "/model.safetensors"])
def test_a_server_that_stalls_or_drips_is_left_in_time(hub, tmp_path, ending, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    over = threading.Event()

    def in_the_head(asked: Handler) -> None:
        asked.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for chunk in dripping():
            try:
                asked.wfile.write(chunk)
            except OSError:
                return

    ways = [lambda asked: over.wait(20), in_the_head, body(dripping), body(lambda: iter([b"x"]))]
    for way in ways:
        hub.lies[ending] = way
        began = time.monotonic()
        with pytest.raises(CheckpointError, match="cannot be downloaded|is refused"):
            pull("me/emoji", tmp_path / "emoji")
        assert time.monotonic() - began < 8
    over.set()
    assert not (tmp_path / "emoji").exists()


def test_an_interrupted_download_goes_on(hub, tmp_path):
    data, ranges = hub.models["me/emoji"]["model.safetensors"], []

    def cut(asked: Handler) -> None:
        ranges.append(asked.headers.get("Range"))
        start = int((ranges[-1] or "bytes=0-")[6:-1])
        body(
            lambda: iter([data[start : start + 20_000]]), 206 if start else 200, Content_Length=str(len(data) - start)
        )(asked)

    def gone(asked: Handler) -> None:
        asked.answer(b"", 503)

    hub.lies["/model.safetensors"] = lambda asked: gone(asked) if ranges else cut(asked)
    with pytest.raises(CheckpointError, match="the hub answers 503 .*; run it again to go on where it ended"):
        pull("me/emoji", tmp_path / "emoji")
    assert left(tmp_path) >= {f".fetch-emoji/{COMMIT}/model.safetensors.part"}
    assert (tmp_path / ".fetch-emoji").stat().st_mode & 0o077 == 0
    hub.lies["/model.safetensors"] = cut
    hub.asked.clear()
    folder = pull("me/emoji", tmp_path / "emoji")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == hub.models["me/emoji"]
    assert ranges[1] == "bytes=20000-" and len([asked for asked in hub.asked if "config.json" in asked]) == 0
    assert left(tmp_path) == {f"emoji/{name}" for name in hub.models["me/emoji"]}


def test_what_is_there_is_not_fetched_again(hub, tmp_path):
    pull("me/emoji")
    hub.asked.clear()
    pull("me/emoji", tmp_path / "emoji")
    (tmp_path / "emoji" / "README.md").write_text("changed")
    pull("me/emoji", tmp_path / "emoji", overwrite=True)
    assert len([asked for asked in hub.asked if "/resolve/" in asked]) == 0
    assert (tmp_path / "emoji" / "README.md").read_bytes() == hub.models["me/emoji"]["README.md"]


def test_what_is_damaged_in_the_cache_is_fetched_again(hub):
    folder = pull("me/emoji")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert (pull("me/emoji") / weights.name).read_bytes() == hub.models["me/emoji"][weights.name]


def test_without_an_answer_the_cache_is_used_and_a_path_in_it_is_not(hub, tmp_path):
    folder = pull("me/emoji")
    hub.lies["/revision/main"] = lambda asked: asked.answer(b"", 503)
    assert pull("me/emoji") == folder
    (tmp_path / "cache" / "models--me--emoji" / "refs" / "main").write_text(str(folder))
    with pytest.raises(CheckpointError, match="the model is not in the cache"):
        pull("me/emoji")


@pytest.mark.parametrize("revision", ["../../../evil", "/tmp/evil", "a/../b", "a\\b", "a\0", ".."])
def test_a_revision_is_no_path(hub, tmp_path, revision):
    assert "is not the name of a branch, tag or commit" in refusal(hub, tmp_path, UsageError, revision=revision)


def test_a_folder_of_somebody_else_is_not_written(hub, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / ".fetch-emoji").symlink_to(tmp_path / "outside")
    with pytest.raises(I2IError, match="no.* a private folder of this user; remove it"):
        pull("me/emoji", tmp_path / "emoji")
    assert left(tmp_path) == {".fetch-emoji"} and not [*(tmp_path / "outside").iterdir()]


def test_a_repository_of_another_kind_is_refused_before_its_weights_are_fetched(hub, tmp_path):
    hub.models["me/emoji"]["config.json"] = b'{"architectures": ["Llama"]}'
    assert "me/emoji is refused: the model cannot be used. me/emoji/config.json" in refusal(hub, tmp_path)
    assert not [asked for asked in hub.asked if "model.safetensors" in asked]
    del hub.models["me/emoji"]["config.json"]
    said = refusal(hub, tmp_path, UsageError)
    assert said == "me/emoji is refused: it is no model of i2i, since it has no config.json"


def test_two_at_once_fetch_it_once(hub, tmp_path):
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(pull("me/emoji"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*folders}) == 1 and len(folders) == 3
    assert {path.name: path.read_bytes() for path in folders[0].iterdir()} == hub.models["me/emoji"]
    assert len([asked for asked in hub.asked if "model.safetensors" in asked]) == 1


def test_one_that_waits_for_a_process_without_progress_says_so(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("i2i.fetching_folder.WAIT", 0.1)
    over = threading.Event()
    hub.lies["/model.safetensors"] = lambda asked: over.wait(5)
    first = threading.Thread(target=lambda: pytest.raises(CheckpointError, pull, "me/emoji"))
    first.start()
    while not [asked for asked in hub.asked if "model.safetensors" in asked]:
        time.sleep(0.01)
    with pytest.raises(Locked, match="another process writes .* without progress; end it, and run this again"):
        pull("me/emoji")
    over.set()
    first.join()
    shutil.rmtree(tmp_path / "cache")
