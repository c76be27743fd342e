"""`i2i grid`, `video` and `styles`: what they draw."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from i2i import Translator, load
from i2i import video as film
from i2i.style_map import style_map
from i2i_core.data.decoding.files import open_picture
from i2i_core.data.fitting import shrunk
from i2i_core.data.sheet import in_lines, sheet, shortened
from i2i_core.errors import UsageError


@pytest.fixture(scope="module")
def model(tiny_model) -> Translator:
    return load(tiny_model, device="cpu")


def ends_with(grid: Image.Image, picture: Image.Image) -> bool:
    """Whether it is the cell at the bottom right, which is as high as its label wants."""
    right, bottoms = grid.width - 4, range(grid.height - 14, grid.height - 3)
    return any(same(grid.crop((right - 32, bottom - 32, right, bottom)), picture) for bottom in bottoms)


def same(one: Image.Image, other: Image.Image) -> bool:
    """Up to what a batch of another size rounds."""
    return one.size == other.size and abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1


def test_a_grid_has_sources_on_top_and_a_row_per_style(i2i, tiny_model, model, pictures):
    answer = i2i("grid", tiny_model, pictures, "--styles", 2)
    assert (answer.code, answer.out) == (0, "grid.png\n")
    grid = Image.open("grid.png")
    answer = i2i(
        "grid",
        tiny_model,
        "pictures/a.png",
        "--domain",
        "high_contrast",
        "--reference",
        "reference.png",
        "--out",
        "references.webp",
    )
    assert answer.code == 0
    other = Image.open("references.webp")
    assert ends_with(grid, model("pictures/more/c.jpg", domain="high_contrast", seed=1))
    assert ends_with(other, model("pictures/a.png", domain="high_contrast", reference="reference.png"))
    assert grid.size[0] > 3 * 32 and grid.size[1] > 5 * 32  # labels, 3 sources; 4 styles below them
    assert other.size[0] > 2 * 32 and 2 * 32 < other.size[1] < 4 * 32
    assert i2i("grid", tiny_model, pictures, "--out", "grid.txt").err == (
        "grid.txt should end in one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp\n"
    )


@pytest.mark.parametrize("out", ["video.webp", "video.mp4"])
def test_a_video_goes_from_style_to_style_and_back(i2i, tiny_model, pictures, out):
    answer = i2i(
        "video", tiny_model, pictures, "--domain", "flat", "--styles", 2, "--seconds", 0.5, "--fps", 8, "--out", out
    )
    assert (answer.code, answer.out) == (0, f"{out}\n")
    if out.endswith("mp4"):
        import av

        with av.open(out) as file:
            frames = [frame.to_image() for frame in file.decode(video=0)]
            assert file.streams.video[0].average_rate == 8
    else:
        with Image.open(out) as file:
            frames = []
            for n in range(file.n_frames):
                file.seek(n)
                frames.append(file.convert("RGB"))
                assert file.info["duration"] == 125
    assert len(frames) == 8  # two transitions of half a second
    pixels = [np.asarray(frame).astype(int)[36:] for frame in frames]  # below the sources
    still = [np.asarray(frame).astype(int)[:32] for frame in frames]
    assert abs(pixels[0] - pixels[4]).mean() > 2 * abs(still[0] - still[4]).mean()
    assert abs(pixels[0] - pixels[7]).mean() < abs(pixels[0] - pixels[4]).mean()  # nearly back


def test_long_names_keep_their_ends():
    assert (shortened("kitten", 64), shortened("a_very_long_name_17", 64)) == ("kitten", "a_ve…e_17")


def test_names_are_broken_where_their_parts_end():
    assert in_lines("flat", 64) == "flat"
    assert in_lines("high_contrast", 64) == "high_\ncontrast"
    assert in_lines("a photo of-cats", 64) == "a photo\nof-cats"
    assert in_lines("_x_", 64) == "_x_"
    assert in_lines("a_photographically", 64) == "a_\nphot…ally"


def test_a_sheet_places_pictures_on_white():
    cell = Image.new("RGB", (6, 4), (0, 128, 255))
    made = np.asarray(sheet([[None, cell], [cell, cell]], (6, 4), gap=2))
    assert made.shape == (2 * 6 + 2, 2 * 8 + 2, 3)
    assert (made[:8, :10] == 255).all()
    assert (made[2:6, 10:16] == (0, 128, 255)).all()
    assert (made[8:12, 2:8] == (0, 128, 255)).all()


def test_a_letter_that_no_font_has_spoils_no_other_name():
    if not system_font():
        pytest.skip("there is no font for other letters here")
    alone = sheet([["été"]], (64, 64))
    beside = sheet([["\U0010fffe"], ["été"]], (64, 64))
    drawn = np.asarray(beside)[-alone.height :]
    middle = (drawn.shape[1] - alone.width) // 2
    assert (drawn[:, middle : middle + alone.width] == np.asarray(alone)).all()
    boxes = sheet([["\U0010fffet\U0010fffe"]], (64, 64))
    assert sheet([["été\U0010fffe"]], (64, 64)).size != boxes.size, "the font that has most of the letters"


def system_font() -> bool:
    with suppress(OSError):
        return bool(ImageFont.truetype("DejaVuSans.ttf"))
    return False


def test_labels_are_drawn_in_letters_that_the_system_has():
    boxes, umlauts = (sheet([[text]], (64, 64)) for text in ("\U0010fffe" * 3, "üöä"))
    if not system_font():
        pytest.skip("there is no font for other letters here")
    assert boxes.tobytes() != umlauts.tobytes()


def test_frames_that_a_video_cannot_hold_are_told(tmp_path):
    wide = Image.new("RGB", (16384, 8))
    for path in (tmp_path / "v.webp", tmp_path / "v.mp4"):
        with pytest.raises(UsageError) as error:
            film.write(path, iter([wide, wide]), 2, 8)
        assert str(error.value) == (
            f"{path} would be 16384 x 8 pixels, but a side of a video can have at most 16383; use fewer pictures"
        )


def test_references_slide_by_in_a_video(i2i, tiny_model, pictures):
    assert (
        i2i(
            "video",
            tiny_model,
            "pictures/a.png",
            "--domain",
            "flat",
            "--reference",
            "pictures",
            "--seconds",
            0.2,
            "--fps",
            10,
        ).code
        == 0
    )
    with Image.open("video.webp") as file:
        assert file.n_frames == 6
        assert file.size[0] == 2 * 32 + 3 * 4
        references = [
            np.asarray(shrunk(open_picture(pictures / name), (32, 32))) for name in ("a.png", "b.webp", "more/c.jpg")
        ]
        for number in range(3):
            file.seek(2 * number)
            window = np.asarray(file.convert("RGB").crop((4, 40, 36, 72))).astype(int)
            differences = [np.abs(window - reference).mean() for reference in references]
            assert differences[number] == min(differences) < 10


def test_a_video_keeps_no_frames(tiny_model, pictures):
    """Each frame is encoded before the next one is made."""
    from i2i import video

    for out in (Path("v.webp"), Path("v.mp4")):
        alive, most = [0], [0]

        class Counted(Image.Image):
            def __init__(self, shade: int, alive: list[int] = alive, most: list[int] = most) -> None:
                super().__init__()
                source = Image.effect_noise((64, 64), shade + 1).convert("RGB")
                self.im, self._mode, self._size, self.alive = source.im, "RGB", source.size, alive
                alive[0] += 1
                most[0] = max(most[0], alive[0])

            def __del__(self) -> None:
                self.alive[0] -= 1

        video.write(out, map(Counted, range(30)), 30, 10)
        assert most[0] <= 3


def test_what_a_video_needs(i2i, tiny_model, pictures, monkeypatch):
    answer = i2i("video", tiny_model, pictures, "--domain", "flat")
    assert (answer.code, answer.err) == (
        2,
        "a video needs two or more styles; choose them with --styles, --domain or --reference\n",
    )
    assert i2i("video", tiny_model, pictures, "--out", "video.avi").err == "video.avi must end in .mp4 or .webp\n"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert i2i("video", tiny_model, pictures, "--out", "video.mp4").err == (
        'mp4 needs PyAV; pip install "i2i-gan[video]", or write a .webp file\n'
    )


def test_a_map_of_styles_has_a_square_of_pictures_for_each_domain(i2i, tiny_model, model, pictures):
    answer = i2i("styles", tiny_model, "pictures/a.png", "--cells", 3)
    assert (answer.code, answer.out) == (0, "styles.png\n")
    assert i2i("styles", tiny_model, "pictures/a.png", "--cells", 3, "--domain", "flat", "--out", "one.png").code == 0
    both, one = Image.open("styles.png"), Image.open("one.png")
    assert both.height - 2 <= one.height > 3 * 32
    left, top = (one.width - 96) // 2, 16 + (200 - 96) // 2
    drawn = style_map(model, "flat", 3, 2.0).styles
    for n in range(9):
        row, column = divmod(n, 3)
        cell = one.crop((left + 32 * column, top + 32 * row, left + 32 * (column + 1), top + 32 * (row + 1)))
        assert same(cell, model.sources(["pictures/a.png"]).translated(drawn[row][column])[0])
    assert both.width > 1.5 * one.width
    answer = i2i("styles", tiny_model, pictures, "--out", "all.png")
    assert (answer.code, answer.err) == (2, "pictures contains 3 pictures, but a map shows one; name a file\n")
