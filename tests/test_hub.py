"""`i2i push` and `i2i pull` against a stand-in for a hub; in processes, since its address is read at import."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub import Hub, running
from tests.warm import Warm

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def hub():
    with running() as hub:
        yield hub


@pytest.fixture
def run(hub: Hub, warm: Warm, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """`i2i` with that hub, or Python code: its exit code, stdout and the last line of stderr."""

    def run(*arguments: object, code: str = "", **environment: str) -> tuple[int, str, str]:
        given = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path),
            "HF_TOKEN": "hf_secret",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **environment,
        }
        words = [*(("-c", code) if code else ("-m", "i2i_cli")), *map(str, arguments)]
        ended = warm.run(words, given, ROOT)
        return ended.code, ended.out, ended.err.strip().rpartition("\n")[2]

    return run


def test_a_model_goes_to_a_hub_and_comes_back_the_same(hub, run, tiny_model, tmp_path):
    assert run("push", tiny_model, "me/emoji") == (0, f"{hub.address}/me/emoji\n", "")
    assert hub.private["me/emoji"]
    hub.models["me/emoji"]["evil.pkl"] = hub.models["me/emoji"]["pytorch_model.bin"] = b"\x80code"
    hub.asked.clear()
    code, out, error = run("pull", "me/emoji", "--to", tmp_path / "copy")
    assert (code, out) == (0, f"{tmp_path / 'copy'}\n"), error
    names = {p.name for p in tiny_model.iterdir()}
    assert {p.name for p in (tmp_path / "copy").iterdir() if p.is_file()} == names
    assert all((tmp_path / "copy" / name).read_bytes() == (tiny_model / name).read_bytes() for name in names)
    assert not [asked for asked in hub.asked if "evil" in asked or "pytorch_model" in asked]


def test_a_run_is_sent_as_its_model(hub, run, tiny_run, tiny_model, tmp_path):
    code, out, said = run("push", tiny_run, "me/copied")
    assert (code, out) == (0, f"{hub.address}/me/copied\n"), said
    assert said.startswith("warning: the model card does not state the licence")
    sent = hub.models["me/copied"]
    assert sent["model.safetensors"] == (tiny_model / "model.safetensors").read_bytes()
    assert sent.keys() == {p.name for p in tiny_model.iterdir()}
    assert b"# copied" in sent["README.md"]


def test_only_what_belongs_to_the_model_is_sent(hub, run, tiny_model, tmp_path):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / "below").mkdir()
    for name in (".env", "family.png", "below/samples-g_latent.png", "below/x.safetensors", "x.safetensors"):
        (model / name).write_text("secret")
    assert run("push", model, "me/alone")[0] == 0
    assert hub.models["me/alone"].keys() == {p.name for p in tiny_model.iterdir()}


def test_a_link_is_not_sent(hub, run, tiny_model, tmp_path):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (tmp_path / "key").write_text("secret")
    (model / "README.md").unlink()
    (model / "README.md").symlink_to(tmp_path / "key")
    assert run("push", model, "me/linked") == (
        2,
        "",
        f"{model / 'README.md'} is a symbolic link, which is not uploaded; replace it with the file",
    )
    assert "me/linked" not in hub.models


def test_a_model_is_fetched_over_nothing(hub, run, tiny_model, tmp_path):
    hub.models["me/there"] = {p.name: p.read_bytes() for p in tiny_model.iterdir()}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("dear")
    assert run("pull", "me/there", "--to", mine, "--overwrite") == (
        2,
        "",
        f"{mine} exists and holds no model; choose another folder with --to",
    )
    assert (mine / "README.md").read_text() == "dear"
    (mine / ".cache" / "huggingface" / "hub").mkdir(parents=True)  # a home, where the hub's own cache lies
    (mine / ".cache" / "huggingface" / "download").mkdir()
    assert run("pull", "me/there", "--to", mine)[0] == 2
    assert (mine / "README.md").read_text() == "dear"
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / "README.md").write_text("my licence")
    assert run("pull", "me/there", "--to", model) == (
        2,
        "",
        f"{model} already holds a model; choose another folder with --to, or allow it with --overwrite",
    )
    assert (model / "README.md").read_text() == "my licence"
    assert run("pull", "me/there", "--to", model, "--overwrite")[0] == 0
    (model / "notes.txt").write_text("dear")
    assert run("pull", "me/there", "--to", model, "--overwrite") == (
        2,
        "",
        f"{model} holds notes.txt besides a model; take it out, or choose another folder with --to",
    )


def test_python_loads_a_model_by_its_name_and_again_without_a_network(hub, run, tiny_model, tmp_path):
    hub.models["me/again"] = {p.name: p.read_bytes() for p in tiny_model.iterdir()}
    code = "import i2i; print(*i2i.load('me/again').domains)"
    assert run(code=code)[:2] == (0, "flat high_contrast\n")
    hub.asked.clear()
    assert run(code=code, HF_HUB_OFFLINE="1")[:2] == (0, "flat high_contrast\n")
    assert hub.asked == []


def test_without_a_network_a_folder_is_filled_from_the_cache(hub, run, tiny_model, tmp_path):
    hub.models["me/kept"] = {p.name: p.read_bytes() for p in tiny_model.iterdir()}
    assert run("pull", "me/kept")[0] == 0
    assert run("pull", "me/kept", "--to", tmp_path / "copy", HF_HUB_OFFLINE="1") == (0, f"{tmp_path / 'copy'}\n", "")
    assert {p.name: p.read_bytes() for p in (tmp_path / "copy").iterdir()} == hub.models["me/kept"]
    assert not [p for p in (tmp_path / "copy").iterdir() if p.is_symlink()]


def test_what_a_hub_does_not_give_is_one_sentence(hub, run, tiny_model, tmp_path):
    assert run("pull", "me/nothing") == (
        2,
        "",
        "there is no model me/nothing on the hub, or you have no access to it; for a private model, log in "
        "with hf auth login",
    )
    assert run("pull", "me/nothing", HF_HUB_OFFLINE="1")[2] == (
        "me/nothing cannot be downloaded: the hub cannot be reached, and the model is not in the cache"
    )
    spoilt = {p.name: p.read_bytes() for p in tiny_model.iterdir()}
    hub.models["me/spoilt"] = {**spoilt, "model.safetensors": spoilt["model.safetensors"][:-1] + b"\0"}
    code, _, error = run("pull", "me/spoilt", "--to", tmp_path / "spoilt")
    assert (code, error) == (
        4,
        "the model me/spoilt is damaged: model.safetensors does not match its checksum; fetch it again",
    )
    assert not (tmp_path / "spoilt").exists()
    assert run("pull", "me/spoilt", "--revision", "v9")[:2] == (2, "")


def test_without_a_network_a_model_is_not_sent_and_a_path_may_be_a_slip(hub, run, tiny_model, tmp_path):
    with socket.socket() as closed:  # a port where nobody listens
        closed.bind(("127.0.0.1", 0))
        nowhere = {"HF_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        code, out, error = run("push", tiny_model, "me/emoji", **nowhere)
        assert (code, out) == (4, "")
        assert error.startswith("me/emoji cannot be uploaded: ")
        code, _, error = run("translate", "models/emojii", tmp_path, **nowhere)
    assert (code, error) == (
        2,
        "there is no folder models/emojii, and no model of this name on a hub: models/emojii cannot be "
        "downloaded: the hub cannot be reached, and the model is not in the cache",
    )


def test_a_name_that_is_none_and_a_folder_that_is_no_model(i2i, tmp_path):
    answer = i2i("pull", "emoji")
    assert (answer.code, answer.err) == (2, "emoji is not the name of a model on a hub; write OWNER/MODEL\n")
    answer = i2i("push", tmp_path, "me/emoji")
    assert (answer.code, answer.err) == (2, f"{tmp_path} is not a model: there is no {tmp_path / 'config.json'}\n")
