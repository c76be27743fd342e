"""`i2i translate`, `grid`, `video` and `styles`: what they write, and one sentence for what they cannot use."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

from i2i_cli.using import with_model
from i2i_core.errors import OutOfMemory
from i2i_emoji.drawings import Drawings


@pytest.fixture(scope="module")
def model(tiny_run, tmp_path_factory, call) -> Path:
    folder = tmp_path_factory.mktemp("models") / "emoji"
    assert call("export", tiny_run, "--to", folder).code == 0
    return folder


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    """A working folder with some drawings in pictures/."""
    monkeypatch.chdir(tmp_path)
    drawings = Drawings(split="val")
    Path("pictures/more").mkdir(parents=True)
    for n, name in enumerate(("a.png", "b.webp", "more/c.jpg")):
        drawings.picture(0, n).save(Path("pictures") / name)
    drawings.picture(1, 9).save("reference.png")
    return Path("pictures")


def files(folder: str | Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_a_folder_is_translated_into_every_domain_and_keeps_its_places(i2i, model, pictures):
    answer = i2i("translate", model, pictures)
    assert (answer.code, answer.out, answer.err) == (0, "translated: 6 translations\n", "")
    assert files("translated") == [
        "a-flat-0.png", "a-high_contrast-0.png", "b-flat-0.png", "b-high_contrast-0.png", "more/c-flat-0.png",
        "more/c-high_contrast-0.png"]
    assert {Image.open(p).size for p in Path("translated").rglob("*.png")} == {(32, 32)}


def test_globs_seeds_and_one_domain(i2i, model, pictures):
    answer = i2i("translate", model, "pictures/*.png", "pictures/*.webp", "--domain", "flat", "--seed", 5,
                 "--styles", 2, "--out", "made")
    assert (answer.code, answer.out) == (0, "made: 4 translations\n")
    assert files("made") == ["a-flat-5.png", "a-flat-6.png", "b-flat-5.png", "b-flat-6.png"]


def test_the_command_and_python_make_the_same_picture(i2i, model, pictures):
    from i2i import load

    assert i2i("translate", model, "pictures/a.png", "--domain", "flat", "--seed", 4, "--psi", 0.5,
               "--out", "one.png").code == 0
    made = load(model, device="cpu")("pictures/a.png", domain="flat", seed=4, psi=0.5)
    assert (np.asarray(made) == np.asarray(Image.open("one.png"))).all()


def test_references_give_the_style_and_the_name(i2i, model, pictures):
    answer = i2i("translate", model, "pictures/a.png", "--domain", "high_contrast", "--reference", "reference.png",
                 "--reference", "pictures/more")
    assert answer.code == 0
    assert files("translated") == ["a-high_contrast-c.png", "a-high_contrast-reference.png"]
    Image.open("reference.png").save("pictures/more/reference.png")
    answer = i2i("translate", model, "pictures/a.png", "--domain", "flat", "--reference", "reference.png",
                 "--reference", "pictures/more/reference.png", "--out", "alike")
    assert files("alike") == ["a-flat-reference-1.png", "a-flat-reference.png"]  # not one over the other
    answer = i2i("translate", model, "pictures/a.png", "--reference", "reference.png")
    assert (answer.code, answer.err) == (2, "name the domain of the references with --domain: flat, high_contrast\n")


def test_nothing_is_overwritten_unless_told(i2i, model, pictures):
    Path("translated").mkdir()
    Path("translated/b-flat-0.png").write_text("mine")
    answer = i2i("translate", model, pictures, "--domain", "flat")
    assert (answer.code, answer.err) == (2, "translated/b-flat-0.png would be overwritten; choose another place, or "
                                            "allow it with --overwrite\n")
    assert files("translated") == ["b-flat-0.png"]  # told before anything is computed
    assert i2i("translate", model, pictures, "--domain", "flat", "--overwrite").code == 0
    assert Image.open("translated/b-flat-0.png").size == (32, 32)
    for verb, out in (("grid", "grid.png"), ("video", "video.webp"), ("styles", "styles.png")):
        Path(out).write_text("mine")
        answer = i2i(verb, model, "pictures/a.png")
        assert (answer.code, answer.err) == (2, f"{out} would be overwritten; choose another place, or allow it with "
                                                f"--overwrite\n")


def test_pictures_that_would_share_a_file_are_told(i2i, model, pictures):
    Image.open("pictures/a.png").save("pictures/more/a.png")
    answer = i2i("translate", model, "pictures/a.png", "pictures/more/a.png", "--domain", "flat")
    assert (answer.code, answer.err) == (
        2, "pictures/a.png and pictures/more/a.png would both become translated/a-flat-0.png; translate one after the "
           "other, with another --out\n")


def test_a_file_for_out_takes_one_translation(i2i, model, pictures):
    answer = i2i("translate", model, pictures, "--out", "one.png")
    assert (answer.code, answer.err) == (
        2, "one.png is one file, and there are 3 pictures in 2 styles; name a folder with --out\n")


def test_aspect_and_size_are_kept_on_demand(i2i, model, pictures):
    Image.open("pictures/a.png").resize((90, 45)).save("wide.png")
    assert i2i("translate", model, "wide.png", "--domain", "flat", "--out", "a.png").code == 0
    assert i2i("translate", model, "wide.png", "--domain", "flat", "--fit", "crop", "--out", "b.png").code == 0
    assert i2i("translate", model, "wide.png", "--domain", "flat", "--original-size", "--out", "c.jpg").code == 0
    assert [Image.open(name).size for name in ("a.png", "b.png", "c.jpg")] == [(32, 16), (32, 32), (90, 45)]


def test_a_quoted_glob_of_folders_is_what_the_shell_makes_of_it(i2i, model, pictures):
    Path("pictures/x.png").mkdir()  # a folder may be called anything
    shutil.copy("pictures/a.png", "pictures/x.png")
    answer = i2i("translate", model, "pictur*", "pictures/*", "--domain", "flat", "--out", "made")
    assert (answer.code, answer.out, answer.err) == (0, "made: 4 translations\n", "")
    assert files("made") == ["pictures/a-flat-0.png", "pictures/b-flat-0.png", "pictures/more/c-flat-0.png",
                             "pictures/x.png/a-flat-0.png"]


@pytest.mark.parametrize(("verb", "option"), [("translate", "--psi"), ("styles", "--reach"), ("video", "--seconds")])
def test_what_is_no_finite_number_is_refused(i2i, model, pictures, verb, option):
    for value in ("nan", "inf"):
        answer = i2i(verb, model, "pictures/a.png", option, value)
        assert answer.code == 2
        assert answer.err.endswith(f"Invalid value for '{option}': {value} is no finite number.\n")


def test_options_of_latents_do_not_go_with_references(i2i, model, pictures):
    for option in ("--seed", "--styles"):
        answer = i2i("translate", model, pictures, "--domain", "flat", "--reference", "reference.png", option, 1)
        assert answer.code == 2
        assert answer.err.endswith("--seed and --styles are for styles from latents; each --reference is one style\n")


def test_a_device_that_is_not_there_is_a_sentence(i2i, model, pictures):
    for device in ("abacus", "xpu"):
        answer = i2i("translate", model, pictures, "--device", device)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert answer.err.startswith(f"the device {device} cannot be used here: ")


def test_what_does_not_fit_into_memory_is_a_sentence(model):
    @click.command()
    @with_model
    def greedy(model):
        torch.empty(2**50)

    with pytest.raises(OutOfMemory) as error:
        greedy.main([str(model)], standalone_mode=False)
    assert str(error.value) == "out of memory; take fewer pictures at a time, or another --device"


def test_names_that_are_not_there(i2i, model, pictures):
    for arguments, code, sentence in (
            ((model, "nowhere"), 3, "there is no file or folder nowhere"),
            ((model, "*.gif"), 3, "there is no file or folder *.gif"),
            ((model, "empty"), 3, "there are no pictures in empty; known are .bmp, .jpeg, .jpg, .png, .tif, .tiff, "
                                  ".webp"),
            ((model, "pictures", "--domain", "flta"), 2,
             "the model has no domain flta to translate into (did you mean flat?)"),
            ((model, "pictures", "--domain", "flat", "--reference", "nobody.png"), 3,
             "there is no file or folder nobody.png"),
            (("models/nothing", "pictures"), 2, "there is no model models/nothing: name a folder that i2i export "
                                                "wrote, a run's, or OWNER/MODEL on a hub")):
        Path("empty").mkdir(exist_ok=True)
        Path("models").mkdir(exist_ok=True)
        answer = i2i("translate", *arguments)
        assert (answer.code, answer.err) == (code, f"{sentence}\n")
    assert not Path("translated").exists()


def bomb(path: Path) -> None:
    """A PNG of a few kB whose header announces 12,000 x 10,000 pixels."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12_000, 10_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000)))
                     + chunk(b"IEND", b""))


def test_what_is_no_picture_is_named_and_the_others_are_translated(i2i, model, pictures):
    Path("pictures/letter.png").write_text("dear")
    Path("pictures/cut.png").write_bytes(Path("pictures/a.png").read_bytes()[:200])
    bomb(Path("pictures/bomb.png"))
    answer = i2i("translate", model, pictures, "--domain", "flat", "--batch", 2)
    assert (answer.code, answer.out) == (3, "translated: 3 translations\n")
    assert answer.err.splitlines() == [
        "pictures/bomb.png cannot be used as a picture: 12000 x 10000 pixels",
        "pictures/cut.png cannot be used as a picture: cut short",
        "pictures/letter.png cannot be used as a picture: no PNG, JPEG, WEBP, BMP or TIFF",
        "3 of 6 pictures could not be read"]
    assert files("translated") == ["a-flat-0.png", "b-flat-0.png", "more/c-flat-0.png"]
    answer = i2i("translate", model, "pictures/a.png", "--domain", "flat", "--reference", "pictures/letter.png")
    assert (answer.code, answer.err) == (
        3, "pictures/letter.png cannot be used as a picture: no PNG, JPEG, WEBP, BMP or TIFF\n")


def test_pictures_of_every_mode_become_what_they_show(i2i, model, pictures):
    drawing = Image.open("pictures/a.png").convert("RGB")
    grey = drawing.convert("L")
    grey.save("grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save("deep.png")  # 16 bits
    drawing.convert("CMYK").save("cmyk.tif")
    drawing.save("rgb.png")
    drawing.quantize(200).save("palette.png")
    drawing.save("animated.webp", save_all=True, append_images=[Image.new("RGB", drawing.size)], lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: to be turned by 90 degrees clockwise
    drawing.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    names = ["grey.png", "deep.png", "cmyk.tif", "rgb.png", "palette.png", "animated.webp", "turned.png"]
    assert i2i("translate", model, *names, "--domain", "flat").code == 0
    made = {name: np.asarray(Image.open(f"translated/{Path(name).stem}-flat-0.png")).astype(int) for name in names}
    for name, like, tolerance in (("deep.png", "grey.png", 1), ("cmyk.tif", "rgb.png", 3), ("turned.png", "rgb.png", 1),
                                  ("animated.webp", "rgb.png", 1), ("palette.png", "rgb.png", 40)):
        assert abs(made[name] - made[like]).mean() < tolerance, name
    assert abs(made["grey.png"] - made["rgb.png"]).mean() > 1  # so that the comparison says something


def test_an_out_folder_that_cannot_be_written(i2i, model, pictures):
    Path("file").write_text("")
    for out in ("file", "made.gif"):
        answer = i2i("translate", model, "pictures/a.png", "--domain", "flat", "--out", out, "--overwrite")
        assert (answer.code, answer.err) == (2, f"{out} should be a folder, or a file that ends in one of .bmp, .jpeg, "
                                                ".jpg, .png, .tif, .tiff, .webp\n")
    answer = i2i("translate", model, "pictures/a.png", "--domain", "flat", "--out", "file/made")
    assert (answer.code, answer.err) == (74, "file/made/a-flat-0.png cannot be written: Not a directory\n")
    if os.geteuid():  # root writes everywhere
        Path("locked").mkdir(mode=0o500)
        answer = i2i("translate", model, "pictures/a.png", "--domain", "flat", "--out", "locked/made")
        assert answer.code == 74


def test_a_grid_has_sources_on_top_and_a_row_per_style(i2i, model, pictures):
    answer = i2i("grid", model, pictures, "--styles", 2)
    assert (answer.code, answer.out) == (0, "grid.png\n")
    grid = Image.open("grid.png")
    answer = i2i("grid", model, "pictures/a.png", "--domain", "high_contrast", "--reference", "reference.png",
                 "--out", "references.webp")
    assert answer.code == 0
    other = Image.open("references.webp")
    assert grid.size[0] > 3 * 32 and grid.size[1] > 5 * 32  # labels, 3 sources; 4 styles below them
    assert other.size[0] > 2 * 32 and 2 * 32 < other.size[1] < 4 * 32
    assert i2i("grid", model, pictures, "--out", "grid.txt").err == (
        "grid.txt should end in one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp\n")


@pytest.mark.parametrize("out", ["video.webp", "video.mp4"])
def test_a_video_goes_from_style_to_style_and_back(i2i, model, pictures, out):
    answer = i2i("video", model, pictures, "--domain", "flat", "--styles", 2, "--seconds", 0.5, "--fps", 8,
                 "--out", out)
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


def test_references_slide_by_in_a_video(i2i, model, pictures):
    assert i2i("video", model, "pictures/a.png", "--domain", "flat", "--reference", "pictures", "--seconds", 0.2,
               "--fps", 10).code == 0
    with Image.open("video.webp") as file:
        assert file.n_frames == 6
        assert file.size[0] == 2 * 32 + 3 * 4


def test_a_video_keeps_no_frames(model, pictures):
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


def test_what_a_video_needs(i2i, model, pictures, monkeypatch):
    answer = i2i("video", model, pictures, "--domain", "flat")
    assert (answer.code, answer.err) == (2, "a video goes from style to style; name two or more with --styles, "
                                            "--domain or --reference\n")
    assert i2i("video", model, pictures, "--out", "video.avi").err == "video.avi should end in .mp4 or .webp\n"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert i2i("video", model, pictures, "--out", "video.mp4").err == (
        'mp4 needs PyAV: pip install "i2i[video]", or name a .webp\n')


def test_a_map_of_styles_has_a_square_of_pictures_for_each_domain(i2i, model, pictures):
    answer = i2i("styles", model, "pictures/a.png", "--cells", 3)
    assert (answer.code, answer.out) == (0, "styles.png\n")
    assert i2i("styles", model, "pictures/a.png", "--cells", 3, "--domain", "flat", "--out", "one.png").code == 0
    both, one = Image.open("styles.png"), Image.open("one.png")
    assert both.height - 2 <= one.height > 3 * 32
    assert both.width > 1.5 * one.width
    answer = i2i("styles", model, pictures, "--out", "all.png")
    assert (answer.code, answer.err) == (2, "pictures names 3 pictures, and a map shows one; name a file\n")


def test_a_picture_without_a_face_is_told_where_masks_need_one(i2i, model, pictures):
    """Source or reference; what shows a face is not."""
    config = json.loads((model / "config.json").read_text())
    masked = Path("masked")
    shutil.copytree(model, masked)
    config["tensors"]["masks"] = {"use": "fan_mask/face68", "of": "x_real"}
    (masked / "config.json").write_text(json.dumps(config))
    face = Path(__file__).resolve().parents[1] / "plugins/fan_mask/tests/astronaut.png"
    answer = i2i("translate", masked, face, "pictures/a.png", "--domain", "flat", "--reference", "reference.png",
                 "--reference", face, "--original-size")
    todo = "so the model's masks are empty there; i2i align crops faces"
    assert (answer.code, answer.err.splitlines()) == (0, [
        f"warning: no face is found in reference.png, {todo}", f"warning: no face is found in pictures/a.png, {todo}"])
