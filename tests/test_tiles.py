"""Pictures of any size are translated in windows that leave no seams, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

from i2i import Translator, load
from i2i.large_tiff import STRIP, TiffRows, write_rows
from i2i.shared_norms import SharedNorms
from i2i.tiles import InMemory, Tiled, joined, opened_rows, starts
from i2i_core.data.formats.labels import Mask
from i2i_core.data.formats.picture import Grey, Picture
from i2i_core.data.formats.raster import Raster
from i2i_core.errors import UsageError

from .tiff_kinds import levels, tiff

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Translator:
    return load(tiny_run, device="cpu")


def picture(height: int, width: int) -> Image.Image:
    """A smooth picture: its left is dark and its right is light, as a seam would show."""
    y, x = np.mgrid[:height, :width]
    waves = 30 * np.sin(x / 9) * np.cos(y / 7)
    return Image.fromarray(
        np.stack([x * 200 / width + 30, y * 200 / height + 30, 128 + waves], 2).clip(0, 255).astype(np.uint8)
    )


# Windows


@pytest.mark.parametrize("side", [1, 31, 32, 33, 56, 57, 200, 1001])
def test_windows_cover_a_side_and_overlap_by_a_quarter(side: int) -> None:
    found = starts(side, 32)
    assert found[0] == 0 and (side <= 32) == (len(found) == 1)
    if side > 32:
        assert found[-1] == side - 32
        assert all(8 <= one + 32 - other <= 32 for one, other in zip(found, found[1:], strict=False))


class Same(nn.Module):
    """A network that returns its input."""

    def forward(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x


def translated(model: Translator, given: Image.Image, **keys: Any) -> Array:
    use = model.main_use
    (made,) = Tiled(model, use, InMemory(given), model.styles("flat", seeds=[1], use=use.name), **keys).whole()
    return np.asarray(made).astype(float)


@pytest.mark.parametrize("size", [(100, 75), (32, 32), (20, 90), (7, 9), (129, 32)])
def test_blended_windows_of_an_unchanged_picture_are_the_picture(
    model: Translator, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    from i2i.translator import Sources

    monkeypatch.setattr(Sources, "into", lambda self, style: self.x)
    given = picture(*size)
    assert np.abs(translated(model, given, batch=3) - np.asarray(given)).max() <= 1


def test_neighbours_share_the_statistics_of_norms(model: Translator) -> None:
    """The steps between pixels at the borders of windows are no greater than elsewhere; without sharing they are."""
    given = picture(128, 128)
    alike, own = translated(model, given), _without_sharing(model, given)
    assert _seams(alike) < 1.3
    assert _seams(own) > 1.2 * _seams(alike)


def _without_sharing(model: Translator, given: Image.Image) -> Array:
    """Return the translation in windows that do not overlap, each with its own statistics."""
    (style,) = model.styles("flat", seeds=[1])
    whole = np.zeros((given.height, given.width, 3))
    for top in range(0, given.height, 32):
        for left in range(0, given.width, 32):
            (made,) = model.sources([given.crop((left, top, left + 32, top + 32))]).translated(style)
            whole[top : top + 32, left : left + 32] = np.asarray(made)
    return whole


def _seams(made: Array) -> float:
    """Return the mean step between columns at multiples of 32, divided by that elsewhere."""
    steps = np.abs(np.diff(made, axis=1)).mean((0, 2))
    border = np.arange(31, len(steps), 32)
    return float(steps[border].mean() / np.delete(steps, border).mean())


def test_norms_of_windows_together_are_those_of_the_picture() -> None:
    torch.manual_seed(0)
    norms = nn.Sequential(nn.InstanceNorm2d(3, affine=True), nn.Sigmoid(), nn.InstanceNorm2d(3)).double()
    whole = torch.randn(1, 3, 8, 16, dtype=torch.float64)
    windows, shared = torch.cat(whole.split(8, 3)), SharedNorms()
    with torch.no_grad():
        expected = torch.cat(norms(whole).split(8, 3))
        with shared.gathering(2):
            gathered = norms(windows)
        with shared.using(1):
            second = norms(windows[1:])
    assert torch.allclose(gathered, expected, atol=1e-12)
    assert torch.allclose(second, expected[1:], atol=1e-12)


def test_batch_norms_with_running_statistics_are_left_alone() -> None:
    norm, x, shared = nn.BatchNorm2d(3).eval(), torch.randn(2, 3, 4, 4), SharedNorms()
    with shared.gathering(2):
        assert norm(x).equal(norm(x))
    assert shared.remembered == []


def test_models_that_look_for_faces_cannot_work_in_tiles(model: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "face_finders", [lambda x: x])
    with pytest.raises(UsageError, match="looks for faces, which windows would cut"):
        Tiled(model, model.main_use, InMemory(picture(40, 40)), [])


# Large files


@pytest.mark.parametrize(
    "options",
    [{}, {"rowsperstrip": 7}, {"compression": "zlib", "rowsperstrip": 16}, {"tile": (16, 32)},
     {"tile": (16, 16), "compression": "zlib", "predictor": True}, {"bigtiff": True, "byteorder": ">"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("form", [Picture(), Grey(), Raster(channels=3, range=(0, 65535))], ids=lambda f: str(f)[:6])
def test_rows_of_a_tiff_are_those_of_the_whole_file(tmp_path: Path, options: dict[str, Any], form: Any) -> None:
    rng = np.random.default_rng(0)
    depth = np.uint16 if isinstance(form, Raster) else np.uint8
    array = rng.integers(np.iinfo(depth).max, size=(75, 50, 3), dtype=depth)
    array = array[..., 0] if isinstance(form, Grey) else array
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "x.tif", array, photometric=photometric, **options)
    rows = TiffRows(tmp_path / "x.tif", form)
    assert rows.size == (75, 50)
    for top, bottom in ((0, 75), (0, 1), (20, 40), (74, 75)):
        assert np.array_equal(np.asarray(rows.rows(top, bottom)), array[top:bottom])


def test_kinds_that_need_the_whole_file_are_read_whole(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(255, size=(3, 40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", planarconfig="separate")
    assert isinstance(opened_rows(tmp_path / "x.tif", Picture()), InMemory)
    picture(40, 50).save(tmp_path / "x.png")
    assert isinstance(opened_rows(tmp_path / "x.png", Picture()), InMemory)


@pytest.mark.parametrize("compression", ["jpeg", "raw"])
def test_rows_of_jpegs_in_a_tiff_that_share_their_tables(tmp_path: Path, compression: str) -> None:
    picture(75, 50).save(tmp_path / "x.tif", compression=compression, tiffinfo={278: 16})
    rows = TiffRows(tmp_path / "x.tif", Picture())
    expected = np.asarray(Picture().read(tmp_path / "x.tif"))
    assert np.array_equal(np.asarray(rows.rows(10, 60)), expected[10:60])


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_as_light_by_rows(tmp_path: Path, bits: int) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(levels(bits, 1), bits, 1))
    rows, whole = opened_rows(tmp_path / "x.tif", Picture()), Picture().read(tmp_path / "x.tif")
    assert np.array_equal(np.asarray(rows.rows(2, 5)), np.asarray(whole)[2:5])


@pytest.mark.parametrize("low", [1, 100])
def test_a_mask_in_tiles_depends_on_all_of_its_levels(tmp_path: Path, low: int) -> None:
    levels = np.full((40, 50), 255, np.uint8)
    levels[:20] = low
    tifffile.imwrite(tmp_path / "x.tif", levels, rowsperstrip=5)
    rows = opened_rows(tmp_path / "x.tif", Mask())
    assert not np.asarray(rows.rows(0, 20)).any() and np.asarray(rows.rows(20, 40)).all()


def test_rows_of_rasters_whose_channels_are_pages(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(255, size=(3, 40, 50)).astype(np.float32)
    tifffile.imwrite(tmp_path / "x.tif", bands, photometric="minisblack")
    rows = opened_rows(tmp_path / "x.tif", Raster(channels=3, range=(0, 255)))
    assert np.array_equal(rows.rows(5, 9), bands.transpose(1, 2, 0)[5:9])


def parts_of(array: Array, *heights: int) -> Sequence[Array]:
    return np.split(array, np.cumsum(heights)[:-1])


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,), (5,)])
def test_written_rows_are_a_tiff(tmp_path: Path, depth: type, channels: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(250, size=(150, 40, *channels)).astype(depth)
    write_rows(tmp_path / "new" / "x.tif", (150, 40), parts_of(array, 10, STRIP, 76))
    assert np.array_equal(tifffile.imread(tmp_path / "new" / "x.tif"), array)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.tif"]


def test_joined_rows_keep_their_palette() -> None:
    whole = picture(40, 30).quantize(8)
    parts = [whole.crop((0, 0, 30, 13)), whole.crop((0, 13, 30, 40))]
    assert (np.asarray(joined(parts).convert("RGB")) == np.asarray(whole.convert("RGB"))).all()


# The command


def test_the_command_translates_in_tiles_from_and_to_tiff(
    tiny_model: Path, i2i: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(70, 90).save("a.png")
    picture(70, 90).save("b.tif")
    answer = i2i("translate", tiny_model, "a.png", "b.tif", "--domain", "flat", "--tiles", "--out", "made")
    assert (answer.code, answer.out) == (0, "made: 2 translations\n")
    png, tif = (np.asarray(Image.open(f"made/{name}")).astype(int) for name in ("a-flat-0.png", "b-flat-0.tif"))
    assert png.shape == tif.shape == (70, 90, 3) and np.abs(png - tif).max() <= 1
    answer = i2i("translate", tiny_model, "a.png", "--tiles", "--fit", "crop")
    assert answer.code == 2 and "--tiles translates pictures at their own size; leave --fit out" in answer.err
    Path("bad.tif").write_bytes(b"II*\0")
    assert i2i("translate", tiny_model, "bad.tif", "--domain", "flat", "--tiles", "--out", "other").code == 3


def test_the_command_names_a_tiff_with_damaged_rows_and_goes_on(
    tiny_model: Path, i2i: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(name, np.asarray(picture(70, 90)), photometric="rgb", compression="zlib", rowsperstrip=16)
    damaged = bytearray(Path("a.tif").read_bytes())
    damaged[-500:-100] = bytes(400)
    Path("a.tif").write_bytes(damaged)
    answer = i2i("translate", tiny_model, "a.tif", "b.tif", "--domain", "flat", "--tiles", "--out", "made")
    assert answer.code == 3 and "a.tif cannot be used" in answer.err
    assert [path.name for path in Path("made").iterdir()] == ["b-flat-0.tif"]


@pytest.mark.slow
def test_a_picture_of_20_000_pixels_takes_less_than_2_gb(tiny_model: Path, tmp_path: Path) -> None:
    """In a process of its own, from a compressed TIFF and to one."""
    import subprocess
    import sys

    band = np.asarray(picture(64, 20_000))
    bands = (band[: min(64, 20_000 - top)] for top in range(0, 20_000, 64))
    write_rows(tmp_path / "large.tif", (20_000, 20_000), bands)
    words = ["translate", str(tiny_model), str(tmp_path / "large.tif"), "--domain", "flat", "--tiles"]
    words += ["--batch", "64", "--out", str(tmp_path / "made.tif")]
    code = [
        "import resource",
        "from i2i_cli.main import main",
        f"try: main({words!r})",
        "except SystemExit as end: print(end.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True)
    ended, peak = done.stdout.split()[-2:]
    print(f"peak: {peak} MB")
    assert ended == "0" and int(peak) < 2000, done.stderr
    with tifffile.TiffFile(tmp_path / "made.tif") as file:
        assert file.pages[0].shape == (20_000, 20_000, 3)
