"""A stranger's checkpoint gives its tensors or one sentence: it runs nothing, and takes no more than it is allowed."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from i2i_core.disk import sandbox
from i2i_core.disk.sandbox import read_apart
from i2i_core.errors import CheckpointError, I2IError, UsageError
from tests import runs

resource = pytest.importorskip("resource", reason="this system limits no processes")

MEMORY = 30_000_000
TENSORS = {
    "generator": OrderedDict({"module.to_rgb.2.bias": torch.arange(3.0, dtype=torch.float64)}),
    "steps": {"done": torch.tensor(7), "half": torch.ones(2, 2, dtype=torch.bfloat16).T},
    "epoch": 3,
}


class Payload:
    """Touches a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


class Calls:
    """Whatever `__reduce__` may give."""

    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how


HIDDEN: dict[str, Callable[[Payload], Any]] = {
    "alone": lambda payload: payload,
    "in a dict": lambda payload: {"generator": payload},
    "as a key": lambda payload: {"generator": {Calls(hash, (payload,)): torch.zeros(2)}},
    "in a state dict": lambda payload: {"generator": OrderedDict(weight=torch.zeros(2), bias=payload)},
    "in lists": lambda payload: {"generator": [torch.zeros(2), (1, [payload])]},
    "in a chain": lambda payload: {"generator": Calls(getattr, (Calls(vars, (payload,)), "get"))},
    "in a tensor's hooks": lambda payload: {
        "weight": Calls(
            torch._utils._rebuild_tensor_v2,
            (  # type: ignore[attr-defined]
                torch.zeros(2).untyped_storage(),
                0,
                (2,),
                (1,),
                False,
                OrderedDict(hook=payload),
            ),
        )
    },
    "in an object's state": lambda payload: {"generator": Calls(OrderedDict, (), {"hidden": payload})},
    "in code": lambda payload: {"generator": Calls(eval, (f"__import__('os').open({str(payload.marker)!r}, 64)",))},
}


def write(path: Path, content: Any, form: str) -> Path:
    if form.startswith("bare"):
        path.write_bytes(pickle.dumps(content, protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


def _main(source: Path, target: Path, answer: Path) -> None:
    sandbox.MEMORY, sandbox.SECONDS = MEMORY, 2
    answer.write_text(sandbox.main(source, target))


def in_a_fork(path: Path) -> tuple[str | None, dict[str, Tensor]]:
    """What the process that reads `path` answers, which is here a fork of one that knows torch, and has less memory.

    None: it was killed.
    """
    target, answer = path.with_suffix(".safetensors"), path.with_suffix(".answer")
    process = runs._forks().Process(target=_main, args=(path, target, answer))
    process.start()
    process.join(60)
    if process.exitcode:
        return None, {}
    return answer.read_text(), load_file(target) if target.exists() else {}


@pytest.mark.parametrize(
    ("where", "form"),
    [
        (where, form)
        for where in HIDDEN
        for form in ("zip", "pickles", "bare 2", "bare 4")
        if form == "zip" or where != "in a tensor's hooks"
    ],
)  # a storage is no plain pickle
def test_a_pickle_that_runs_code_runs_nothing_and_is_refused(where: str, form: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = write(tmp_path / "nets.ckpt", HIDDEN[where](Payload(marker)), form)
    answer, tensors = in_a_fork(path)
    assert answer is not None
    assert answer.startswith(f"{path} is refused: its pickle asks for ")
    assert answer.endswith(", which could run code; only tensors are loaded")
    assert tensors == {}
    assert not marker.exists()
    with suppress(Exception):  # what is left of the payload may be of no use to what it is in
        pickle.loads(path.read_bytes()) if form.startswith("bare") else torch.load(path, weights_only=False)
    assert marker.exists(), "the payload is no real one"


def test_the_process_gives_its_sentence_back(tmp_path: Path) -> None:
    path = write(tmp_path / "nets.ckpt", {"generator": Payload(tmp_path / "ran")}, "zip")
    with pytest.raises(CheckpointError) as error:
        read_apart(path)
    assert str(error.value) == (
        f"{path} is refused: its pickle asks for posix.system, which could run code; only tensors are loaded"
    )
    assert error.value.exit_code == 4
    assert not (tmp_path / "ran").exists()


def test_tensors_come_by_their_places_in_their_types_and_nothing_of_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    found = read_apart(write(Path("nets.ckpt"), TENSORS, "zip"))
    assert {name: (t.dtype, t.tolist()) for name, t in found.items()} == {
        "generator/module.to_rgb.2.bias": (torch.float64, [0, 1, 2]),
        "steps/done": (torch.int64, 7),
        "steps/half": (torch.bfloat16, [[1, 1], [1, 1]]),
    }


def test_safetensors_need_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"to_rgb.2.bias": torch.ones(3)}, tmp_path / "nets.ckpt")
    monkeypatch.setattr(sandbox.subprocess, "run", None)
    assert {name: t.tolist() for name, t in read_apart(tmp_path / "nets.ckpt").items()} == {"to_rgb.2.bias": [1, 1, 1]}


def _zip_bomb(path: Path) -> None:
    """A hundred million zeros, packed."""
    torch.save({"weight": torch.zeros(25_000_000)}, path)
    with zipfile.ZipFile(path) as plain:
        records = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, record in records.items():
            packed.writestr(name, record)


def _huge_storage(path: Path) -> None:
    """One whose size is only claimed: 10 becomes 10 ** 11."""
    torch.save({"weight": torch.zeros(10)}, path, _use_new_zipfile_serialization=False)
    data, cpu = path.read_bytes(), b"X\x03\x00\x00\x00cpu"
    at = data.index(b"K\n", data.index(cpu))
    path.write_bytes(data[:at] + b"\x8a\x05" + (10**11).to_bytes(5, "little") + data[at + 2 :])


def _laughs(path: Path) -> None:
    """Every dict twice in the next."""
    content: dict[str, Any] = {}
    for _ in range(60):
        content = {"a": content, "b": content}
    torch.save(content, path)


def _cycle(path: Path) -> None:
    content: dict[str, Any] = {}
    content["again"] = content
    torch.save(content, path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
@pytest.mark.parametrize(
    "bomb",
    [_zip_bomb, _huge_storage, lambda path: torch.save({"weight": torch.zeros(1).expand(10**11)}, path)],
    ids=["a zip bomb", "a huge storage", "a tensor of few numbers"],
)
def test_a_small_file_that_wants_a_huge_memory_does_not_get_it(bomb: Callable[[Path], None], tmp_path: Path) -> None:
    bomb(tmp_path / "nets.ckpt")
    size = (tmp_path / "nets.ckpt").stat().st_size
    assert in_a_fork(tmp_path / "nets.ckpt") == (
        f"{tmp_path / 'nets.ckpt'} is refused: reading its {size:,} bytes takes more than {MEMORY + 4 * size:,} bytes "
        f"of memory, more than any checkpoint needs",
        {},
    )


def test_a_file_that_wants_years_is_stopped(tmp_path: Path) -> None:
    _laughs(tmp_path / "nets.ckpt")
    assert in_a_fork(tmp_path / "nets.ckpt") == (None, {})


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-24, "reading its 4 bytes takes more than 60 seconds, more than any checkpoint needs"),
        (-11, "the process that read it has crashed (Segmentation fault)"),
        (3, "the process that read it has crashed (exit code 3)"),
    ],
)
def test_how_the_process_ended_is_said(code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.ckpt").write_bytes(b"PK\x03\x04")
    ended = sandbox.subprocess.CompletedProcess([], code, stdout="")
    monkeypatch.setattr(sandbox.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(CheckpointError) as error:
        read_apart(tmp_path / "nets.ckpt")
    assert str(error.value) == f"{tmp_path / 'nets.ckpt'} is refused: {said}"


def test_a_mapping_in_itself_is_refused(tmp_path: Path) -> None:
    _cycle(tmp_path / "nets.ckpt")
    answer, _ = in_a_fork(tmp_path / "nets.ckpt")
    assert answer is not None
    assert answer.startswith(f"{tmp_path / 'nets.ckpt'} cannot be converted to safetensors: maximum recursion depth")


def _limits(size: int, answer: Path) -> None:
    sandbox.limit(size)
    kinds = (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)
    answer.write_text(repr([resource.getrlimit(kind) for kind in kinds]))


def test_seconds_files_and_their_sizes_are_limited_for_good(tmp_path: Path) -> None:
    process = runs._forks().Process(target=_limits, args=(100, tmp_path / "answer"))
    process.start()
    process.join(60)
    most = 2**30 + 400
    assert (tmp_path / "answer").read_text() == repr([(60, 60), (most, most), (64, 64), (0, 0)])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Not found</html>", "is not a checkpoint: neither .safetensors nor written by torch.save"),
        (b"PK\x03\x04" + bytes(99), "is cut short or damaged; fetch it again"),
    ],
)
def test_what_is_no_checkpoint_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "nets.ckpt").write_bytes(content)
    assert in_a_fork(tmp_path / "nets.ckpt") == (f"{tmp_path / 'nets.ckpt'} {said}", {})


def test_safetensors_that_are_damaged_are_said_too(tmp_path: Path) -> None:
    (tmp_path / "nets.ckpt").write_bytes(b"\x20" + bytes(7) + b"{}")
    with pytest.raises(CheckpointError) as error:
        read_apart(tmp_path / "nets.ckpt")
    assert str(error.value) == f"{tmp_path / 'nets.ckpt'} is cut short or damaged; fetch it again"


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "gone.ckpt", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError) as error:
            read_apart(path)
        assert str(error.value) == f"{path} cannot be read: {why}"
        assert isinstance(error.value, I2IError)
