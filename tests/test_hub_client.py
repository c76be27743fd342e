"""What Hugging Face's libraries fetch for `hf/dataset`: an answer that would become a path is refused."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from i2i_core.data.datasets.hub_client import answers_checked
from tests.hub import COMMIT, Hub, running


@pytest.fixture
def hub():
    with running() as hub:
        hub.models["me/pictures"] = {"a.csv": b"a\n1\n"}
        yield hub


def fetch(hub: Hub, folder: Path) -> Path:
    return Path(
        huggingface_hub.hf_hub_download("me/pictures", "a.csv", endpoint=hub.address, cache_dir=folder / "cache")
    )


def outside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"cache"}


def test_an_honest_hub_is_heard(hub, tmp_path):
    with answers_checked():
        assert fetch(hub, tmp_path).read_bytes() == b"a\n1\n"
    assert not outside(tmp_path)


@pytest.mark.parametrize("header", ["ETag", "X_Linked_Etag", "X_Repo_Commit"])
@pytest.mark.parametrize("evil", ["{}/evil", "../../../evil", "..", "C:evil", "a\\b"])
def test_a_header_that_would_be_a_path_is_refused(hub, tmp_path, header, evil):
    about = {"ETag": '"a"', "X_Repo_Commit": COMMIT, header: evil.format(tmp_path)}
    hub.lies["/a.csv"] = lambda asked: asked.answer(b"stranger", **about)
    with answers_checked(), pytest.raises(ValueError, match="the hub gives no (ETag|commit) but"):
        fetch(hub, tmp_path)
    assert not outside(tmp_path)


def test_a_data_set_of_a_hub_that_lies_about_its_commit_is_not_loaded(hub, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from i2i_core.data.datasets.huggingface import HuggingFace

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.address)
    hub.lies["/api/datasets/me/pictures"] = lambda asked: asked.answer(
        {
            "id": "me/pictures",
            "sha": f"{tmp_path}/evil",
            "siblings": [],
            "private": False,
            "tags": [],
            "disabled": False,
        }
    )
    with pytest.raises(ValueError, match="the data set me/pictures cannot be loaded: the hub gives no commit but"):
        HuggingFace(path="me/pictures")
    assert not outside(tmp_path)


def test_a_server_that_says_nothing_is_left(hub, tmp_path, monkeypatch):
    import threading

    over = threading.Event()
    monkeypatch.setattr("i2i_core.data.datasets.hub_client.PATIENCE", 0.2)
    hub.lies["/api/datasets/me/pictures"] = lambda asked: over.wait(20)
    with answers_checked(), pytest.raises(Exception, match="timed out"):
        huggingface_hub.HfApi(endpoint=hub.address).dataset_info("me/pictures")
    over.set()
