"""Pictures of a cache are those of the data set, decoded once; a file that cannot be trusted is made again."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_core.data import cache as caching
from i2i_core.data.batches import Samples, cut, loader, to_device
from i2i_core.data.cache import Cache
from i2i_core.data.datasets.image_folders import ImageFolders
from i2i_core.data.fitting import Layout
from i2i_core.data.formats.picture import Picture
from i2i_core.data.sets import SampledRecords
from i2i_core.errors import DataError, DiskError, RecipeError
from i2i_core.recipe.sections import Augment, Data

from .runs import NO_GRIDS, SGD, assert_same_bits, largest_difference, run_forked, train

pytestmark = pytest.mark.filterwarnings("ignore:decoding")
FIELDS = ("x_real", "y_org", "y_trg", "x_ref", "x_ref2", "x_pair")
SIZE = (16, 24)


def cached(dataset: Any, size: tuple[int, int]) -> Cache:
    return caching.cached(SampledRecords(dataset, SIZE), size)


def files(cache: Cache) -> list[Path]:
    """The file of each domain."""
    return [cache.files[domain, "x"].path for domain in range(2)]


class Smooth:
    """Pairs of pictures of different sizes and proportions, each with slopes of its own."""

    paired = True
    domains = ("a", "b")

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def count(self, domain: int) -> int:
        return 5

    def picture(self, domain: int, index: int) -> Image.Image:
        self.asked.append((domain, index))
        x, y = np.meshgrid(np.linspace(0, 1, 40 + 10 * index), np.linspace(0, 1, 90 - 10 * index))
        channels = (255 * x, 255 * y, 255 * np.abs(x - y) / (1 + domain))
        return Image.fromarray(np.stack(channels, axis=2).round().astype(np.uint8))

    def fingerprint(self) -> str:
        return ""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where caches are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "i2i" / "pixels"


@pytest.fixture
def photos(tmp_path: Path) -> ImageFolders:
    for domain in range(2):
        for index in range(3):
            (tmp_path / "photos" / str(domain)).mkdir(parents=True, exist_ok=True)
            Smooth().picture(domain, index).save(tmp_path / "photos" / str(domain) / f"{index}.jpg")
    return ImageFolders(root=tmp_path / "photos")


def batches(
    dataset: Any,
    cache: Cache | None = None,
    steps: int = 3,
    batch_size: int = 4,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    **augment: Any,
) -> dict[str, torch.Tensor]:
    data = Data(use="", image_size=SIZE, batch_size=batch_size, augment=Augment(**augment))
    layouts = dict.fromkeys((name for name in FIELDS if name.startswith("x_")), Layout(Picture(), SIZE))
    found = [
        to_device(batch, layouts, torch.device("cpu"), torch.float32)
        for batch in loader(
            Samples(SampledRecords(dataset, SIZE), FIELDS, data, 0, cache),
            start=start,
            steps=steps,
            rank=rank,
            batch_size=batch_size,
            world=world,
            workers=workers,
        )
    ]
    return {name: torch.cat([batch[name] for batch in found]) for name in found[0]}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def levels(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The largest difference of pictures, of 255."""
    return max(float((a[name] - b[name]).abs().max()) * 127.5 for name in a if name.startswith("x_"))


# What a batch holds


def test_whole_pictures_are_bit_for_bit_those_that_are_decoded_each_time() -> None:
    smooth = Smooth()
    assert same(batches(smooth, cached(smooth, SIZE), steps=8, crop=0), batches(smooth, steps=8, crop=0))


@pytest.mark.parametrize("size", [(90, 80), (32, 48), SIZE])
def test_crops_are_those_of_the_decoded_picture_up_to_a_pixel_of_the_cache(size: tuple[int, int]) -> None:
    """Their edges lie on whole pixels of the cache; slopes are of 255 a picture."""
    smooth, augment = Smooth(), Augment(crop=1, scale=(0.3, 0.5), ratio=(0.6, 1.7)).model_dump()
    ours, theirs = batches(smooth, cached(smooth, size), steps=20, **augment), batches(smooth, steps=20, **augment)
    assert ours["x_real"].shape == (80, 3, *SIZE)
    assert levels(ours, theirs) < 255 / min(size) + 3
    assert levels(theirs, batches(smooth, steps=20)) > 100, "a crop changes next to nothing"


def test_a_sample_is_a_function_of_its_number_whoever_loads_it() -> None:
    smooth = Smooth()
    cache = cached(smooth, (32, 32))
    whole = batches(smooth, cache, steps=6)
    assert same(whole, batches(smooth, cache, steps=6, workers=2))
    assert same(whole, batches(smooth, cache, steps=3, batch_size=8))
    assert same(whole, batches(smooth, pickle.loads(pickle.dumps(cache)), steps=6))
    assert same({n: t[8:] for n, t in whole.items()}, batches(smooth, cache, start=2, steps=6, workers=1))
    shares = [batches(smooth, cache, steps=6, rank=rank, world=2) for rank in range(2)]
    assert same(
        whole, {n: torch.stack([s[n].unflatten(0, (6, 2)) for s in shares], dim=1).flatten(0, 2) for n in whole}
    )
    assert whole["x_real"][:, :2].equal(whole["x_pair"][:, :2]), "a pair is cropped and mirrored like its source"


def test_cutting_is_pillows_up_to_a_level_in_bytes_and_in_floats() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(255, size=(40, 50, 3), dtype=np.uint8))
    pixels = torch.from_numpy(np.array(picture))[None]
    for left, top, right, bottom in ((0, 0, 50, 40), (3, 4, 47, 21), (10, 10, 34, 26), (7, 7, 8, 8), (0, 5, 17, 40)):
        for flip in (False, True):
            expected = Picture().fit(picture.crop((left, top, right, bottom)), SIZE, flip=flip).float()
            crops = torch.tensor([[left, top, right, bottom, flip, *SIZE]])
            for given in (pixels, pixels.float()):
                (found,) = cut(given, crops, Layout(Picture(), SIZE))
                assert (found.shape, found.dtype) == ((1, 3, *SIZE), given.dtype)
                assert float((found[0].float() - expected).abs().max()) <= 1.0


def test_a_training_from_a_cache_resumes_bit_for_bit_and_two_processes_are_one(tmp_path: Path) -> None:
    sets = ("data.cache=48", "data.workers=1", *NO_GRIDS)
    said: list[str] = []
    train(tmp_path / "whole", "steps=4", "hooks.checkpoint.every=2", *sets, warn=said.append)
    for domain, warning in zip(("flat", "high_contrast"), said, strict=True):
        assert warning.startswith(
            f"decoding pictures of 1,343 records of {domain} once, to cache them at 48 x 48 pixels (9 MB) in "
            f"{tmp_path}/cache/i2i/pixels/"
        )
    train(tmp_path / "parts", "steps=2", "hooks.checkpoint.every=2", *sets, warn=said.append)
    train(tmp_path / "parts", "steps=4", resume=True, warn=said.append)
    assert len(said) == 2
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")
    train(tmp_path / "one", "steps=4", *sets, *SGD)
    ended = run_forked(tmp_path / "two", "steps=4", *sets, *SGD, world=2)
    assert ended.codes == [0, 0], ended.printed
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-6


# The file


def test_pictures_are_decoded_once_and_again_when_one_has_changed(photos: ImageFolders, folder: Path) -> None:
    first = batches(photos, cached(photos, SIZE))
    path = photos.files[1][2]
    before = path.stat()
    path.write_bytes(bytes(before.st_size))  # no picture any more, but who would know?
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert same(batches(photos, cached(photos, SIZE)), first)
    Image.new("RGB", (50, 50), "red").save(path)
    path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0"))
    assert path.stat().st_size == before.st_size
    red = cached(photos, SIZE).fitted(1, 2)
    assert (red[0].float().mean((0, 1)).round().tolist(), red[1]) == ([254, 0, 0], 1.0)
    assert len(list(folder.iterdir())) == 4
    cached(photos, (20, 30))
    cached(ImageFolders(root=photos.root, domains=["1", "0"]), SIZE)
    assert len(list(folder.iterdir())) == 8, "another size or order is another cache"


@pytest.mark.parametrize("harm", ["empty", "short", "long", "one bit", "zeros"])
def test_a_damaged_file_is_noticed_and_made_again(folder: Path, harm: str) -> None:
    smooth = Smooth()
    path, other = files(cached(smooth, SIZE))
    assert len(smooth.asked) == 10
    cached(smooth, SIZE)
    assert len(smooth.asked) == 10
    sound = bytearray(path.read_bytes())
    spoilt = {
        "empty": b"",
        "short": sound[:-1],
        "long": sound + b"\0",
        "zeros": bytes(len(sound)),
        "one bit": sound[:5000] + bytes([sound[5000] ^ 4]) + sound[5001:],
    }[harm]
    path.unlink()  # it is still mapped
    path.write_bytes(spoilt)
    again = cached(smooth, SIZE)
    assert len(smooth.asked) == 15, "only the damaged file is made again"
    assert files(again)[0].read_bytes() == sound
    assert {*folder.iterdir()} == {path, other}


class Deadly(Smooth):
    """Smooth, until it kills its process or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error

    def picture(self, domain: int, index: int) -> Image.Image:
        if (domain, index) == (0, 2):
            time.sleep(0.5)  # so that others are written
            if self.error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                raise self.error
        return super().picture(domain, index)


def forks() -> Any:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system forks no processes")
    return multiprocessing.get_context("fork")


def in_processes(*datasets: Any) -> list[int | None]:
    """Cache each in a process of its own, all at the same time; their exit codes."""
    processes = [forks().Process(target=cached, args=(dataset, SIZE)) for dataset in datasets]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_a_killed_process_leaves_no_cache_and_what_it_leaves_is_deleted_in_time(folder: Path) -> None:
    assert in_processes(Deadly()) == [-signal.SIGKILL]
    (left,) = (path for path in folder.iterdir() if path.name.startswith("."))
    kept = files(cached(Smooth(), SIZE))
    assert set(folder.iterdir()) == {left, *kept}, "another process may be writing it"
    month_ago = time.time() - (caching.UNUSED + 1) * 24 * 3600
    for path in (left, *kept):
        os.utime(path, (month_ago, month_ago))
    cached(Smooth(), SIZE)
    made = files(cached(Smooth(), (8, 8)))
    assert set(folder.iterdir()) == {*kept, *made}, "what is used is kept"


def test_processes_that_cache_the_same_do_not_meet(folder: Path) -> None:
    assert in_processes(*(Smooth() for _ in range(4))) == [0, 0, 0, 0]
    both, smooth = {*folder.iterdir()}, Smooth()
    assert {*files(cached(smooth, SIZE))} == both
    assert not smooth.asked


@pytest.mark.parametrize("harm", ["a file above it", "a folder in its place"])
def test_where_nothing_can_be_kept_one_sentence_says_what_to_do(folder: Path, harm: str) -> None:
    path, other = files(cached(Smooth(), SIZE))
    path.unlink()
    other.unlink()
    if harm == "a file above it":
        folder.rmdir()
        folder.touch()
    else:
        (path / "inner").mkdir(parents=True)
    with pytest.raises(DiskError) as failed:
        cached(Smooth(), SIZE)
    why = "File exists" if harm == "a file above it" else "Is a directory"
    assert str(failed.value) == (
        f"pictures cannot be cached in {path}: {why} (free some space, set XDG_CACHE_HOME to "
        f"another folder, or leave data.cache out)"
    )


def cached_without_rights(said: Any) -> None:
    with suppress(PermissionError):  # only root can, and only root has to: it may read whatever the file's mode says
        os.setuid(65534)
    try:
        cached(Smooth(), SIZE)
    except DiskError as error:
        said.put(str(error))


def test_a_file_of_another_user_that_may_not_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # whatever folders above it let others through
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    path, _ = files(cached(Smooth(), SIZE))
    path.chmod(0)
    said = forks().SimpleQueue()
    process = forks().Process(target=cached_without_rights, args=(said,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert said.get() == (
        f"pictures cannot be cached in {path}: Permission denied (free some space, set XDG_CACHE_HOME "
        f"to another folder, or leave data.cache out)"
    )


def test_an_error_while_decoding_is_told_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(DataError, match=r"^lost$"):
        cached(Deadly(DataError("lost")), SIZE)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


# What is refused


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("4", "data.cache: pictures of 4 x 4 pixels would be enlarged to the image_size of 8 x 8; write 8 or more"),
        (
            "[16, 7]",
            "data.cache: pictures of 16 x 7 pixels would be enlarged to the image_size of 8 x 8; write 8 or more",
        ),
        ("big", "data.cache should be a list, not 'big'"),
    ],
)
def test_a_size_that_is_none_is_a_mistake_at_its_place(mistakes: Any, value: str, said: str) -> None:
    assert mistakes(("image_size: 8", f"image_size: 8, cache: {value}")) == [f"tiny.yaml:5:47: {said}"]


def test_a_data_set_that_cannot_tell_when_it_has_changed_is_refused(i2i: Any, toy: tuple[str, str]) -> None:
    answer = i2i("train", "--recipe", "toy.yaml", *toy, "--set", "data.cache=16")
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == (
        "--set data.cache=16: pictures of toy/noise cannot be cached: it has no method fingerprint to detect "
        "changed pictures (write another size, or leave cache out)"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("data.cache=30_000",), "a picture of 30000 x 30000 pixels would take more than 2 GB"),
        (
            ("data.cache=32", "data.fit=patch"),
            "a cache resizes pictures, and fit: patch cuts parts of them without resizing",
        ),
        (
            ("data.cache=32", "data.domains={0: {size: 48}, 1: {size: 48}}"),
            "pictures of 32 x 32 pixels would be enlarged to the 48 x 48 of domain 1",
        ),
    ],
)
def test_a_cache_that_cannot_be_is_refused(photos: ImageFolders, tmp_path: Path, changes: Any, said: str) -> None:
    data = f"data={{use: image_folders, root: {photos.root}, image_size: 32, batch_size: 2}}"
    with pytest.raises(RecipeError) as refused:
        train(tmp_path / "run", data, *changes, *NO_GRIDS)
    assert str(refused.value).endswith(f"{said} (write another size, or leave cache out)")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_cache_that_is_cut_while_it_is_in_use_is_told_and_made_again(workers: int) -> None:
    """Reading what is gone would end the process by SIGBUS, so another one reads."""
    records = SampledRecords(Smooth(), SIZE)
    cache = caching.cached(records, (64, 64))
    samples = Samples(records, {"x_real"}, Data(use="", image_size=SIZE, batch_size=1), seed=0, cache=cache)
    for file in files(cache):
        os.truncate(file, 0)
    if (child := os.fork()) == 0:
        signal.alarm(60)
        with suppress(BaseException):
            with pytest.raises(DataError, match=r"^the cache .* was cut while it was in use; resume the run, which"):
                next(loader(samples, start=0, steps=1, batch_size=1, rank=0, world=1, workers=workers))
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    made = caching.cached(records, (64, 64))
    assert all(made.fitted(y, 4)[0].shape == (64, 64, 3) for y in range(2))
