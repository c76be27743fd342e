"""`i2i translate`: what it writes, and one sentence for what it cannot use, as `grid`, `video` and `styles` say it."""

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

from i2i import load
from i2i_cli.using import with_model
from i2i_core.errors import OutOfMemory
from i2i_core.models.folder import write

from .models import untrained


def files(folder: str | Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_a_folder_is_translated_into_every_domain_and_keeps_its_places(i2i, tiny_model, pictures):
    answer = i2i("translate", tiny_model, pictures)
    assert (answer.code, answer.out, answer.err) == (0, "translated: 6 translations\n", "")
    assert files("translated") == [
        "a-flat-0.png",
        "a-high_contrast-0.png",
        "b-flat-0.png",
        "b-high_contrast-0.png",
        "more/c-flat-0.png",
        "more/c-high_contrast-0.png",
    ]
    assert {Image.open(p).size for p in Path("translated").rglob("*.png")} == {(32, 32)}


def test_a_half_of_pictures_side_by_side_is_translated_as_that_picture_alone(i2i, tiny_model, pictures):
    for side, number in (("left", 0), ("right", 32)):
        both = Image.new("RGB", (64, 32), "white")
        both.paste(Image.open("pictures/a.png").resize((32, 32)), (number, 0))
        both.save("both.png")
        both.crop((number, 0, number + 32, 32)).save("alone.png")
        for name, options in (("both.png", ("--half", side)), ("alone.png", ())):
            answer = i2i("translate", tiny_model, name, "--domain", "flat", "--out", f"{side}-{name}", *options)
            assert (answer.code, answer.err) == (0, "")
        assert Image.open(f"{side}-both.png").tobytes() == Image.open(f"{side}-alone.png").tobytes()
    answer = i2i("translate", tiny_model, "both.png", "alone.png", "both.png", "--domain", "flat", "--batch", 1)
    assert answer.err == (
        "warning: both.png is twice as wide as what the model was trained on; if it holds two pictures side by side, "
        "translate one of them with --half left or --half right\n"
    )


def test_globs_seeds_and_one_domain(i2i, tiny_model, pictures):
    answer = i2i(
        "translate",
        tiny_model,
        "pictures/*.png",
        "pictures/*.webp",
        "--domain",
        "flat",
        "--seed",
        5,
        "--styles",
        2,
        "--out",
        "made",
    )
    assert (answer.code, answer.out) == (0, "made: 4 translations\n")
    assert files("made") == ["a-flat-5.png", "a-flat-6.png", "b-flat-5.png", "b-flat-6.png"]


def test_the_command_and_python_make_the_same_picture(i2i, tiny_model, pictures):
    assert (
        i2i(
            "translate", tiny_model, "pictures/a.png", "--domain", "flat", "--seed", 4, "--psi", 0.5, "--out", "one.png"
        ).code
        == 0
    )
    made = load(tiny_model, device="cpu")("pictures/a.png", domain="flat", seed=4, psi=0.5)
    assert (np.asarray(made) == np.asarray(Image.open("one.png"))).all()


def test_references_give_the_style_and_the_name(i2i, tiny_model, pictures):
    answer = i2i(
        "translate",
        tiny_model,
        "pictures/a.png",
        "--domain",
        "high_contrast",
        "--reference",
        "reference.png",
        "--reference",
        "pictures/more",
    )
    assert answer.code == 0
    assert files("translated") == ["a-high_contrast-c.png", "a-high_contrast-reference.png"]
    made = load(tiny_model, device="cpu")("pictures/a.png", domain="high_contrast", reference="reference.png")
    assert (np.asarray(made) == np.asarray(Image.open("translated/a-high_contrast-reference.png"))).all()
    Image.open("reference.png").save("pictures/more/reference.png")
    answer = i2i(
        "translate",
        tiny_model,
        "pictures/a.png",
        "--domain",
        "flat",
        "--reference",
        "reference.png",
        "--reference",
        "pictures/more/reference.png",
        "--out",
        "alike",
    )
    assert files("alike") == ["a-flat-reference-1.png", "a-flat-reference.png"]  # not one over the other
    answer = i2i("translate", tiny_model, "pictures/a.png", "--reference", "reference.png")
    assert (answer.code, answer.err) == (2, "name the domain of the references with --domain: flat, high_contrast\n")


def test_nothing_is_overwritten_unless_told(i2i, tiny_model, pictures):
    Path("translated").mkdir()
    Path("translated/b-flat-0.png").write_text("mine")
    answer = i2i("translate", tiny_model, pictures, "--domain", "flat")
    assert (answer.code, answer.err) == (
        2,
        "translated/b-flat-0.png would be overwritten; choose another place, or allow it with --overwrite\n",
    )
    assert files("translated") == ["b-flat-0.png"]  # told before anything is computed
    assert i2i("translate", tiny_model, pictures, "--domain", "flat", "--overwrite").code == 0
    assert Image.open("translated/b-flat-0.png").size == (32, 32)
    for subcommand, out in (("grid", "grid.png"), ("video", "video.webp"), ("styles", "styles.png")):
        Path(out).write_text("mine")
        answer = i2i(subcommand, tiny_model, "pictures/a.png")
        assert (answer.code, answer.err) == (
            2,
            f"{out} would be overwritten; choose another place, or allow it with --overwrite\n",
        )


def test_pictures_that_differ_by_their_suffix_alone_keep_it(i2i, tiny_model, pictures):
    Image.open("pictures/a.png").save("pictures/a.jpg")
    assert i2i("translate", tiny_model, pictures, "--domain", "flat").code == 0
    assert files("translated") == ["a.jpg-flat-0.png", "a.png-flat-0.png", "b.webp-flat-0.png", "more/c.jpg-flat-0.png"]


def test_pictures_of_one_name_are_saved_in_the_folders_in_which_they_differ(i2i, tiny_model, pictures):
    for folder in ("cat", "dog"):
        Path("val", folder).mkdir(parents=True)
        Image.open("pictures/a.png").save(Path("val", folder, "0.png"))
    Image.open("pictures/a.png").save("val/dog/1.png")
    options = ("--domain", "flat", "--out")
    assert i2i("translate", tiny_model, "val/cat/0.png", "val/dog/0.png", "val/dog/1.png", *options, "files").code == 0
    assert files("files") == ["1-flat-0.png", "cat/0-flat-0.png", "dog/0-flat-0.png"]
    assert i2i("translate", tiny_model, "val/cat", "val/dog", *options, "folders").code == 0
    assert files("folders") == files("files")
    Path("x/val/cat").mkdir(parents=True)
    Image.open("pictures/a.png").save("x/val/cat/0.png")
    answer = i2i("translate", tiny_model, "val/cat/0.png", "val/dog/0.png", "x/val", *options, "more")
    assert (answer.code, answer.err) == (
        2,
        "val/cat/0.png and x/val/cat/0.png would both be saved as more/cat/0-flat-0.png; translate them separately, "
        "each with its own --out\n",
    )


def test_a_rerun_makes_what_is_missing_and_leaves_the_rest(i2i, tiny_model, pictures):
    options = ("translate", tiny_model, pictures, "--domain", "flat")
    assert i2i(*options).code == 0
    made = {name: Path("translated", name).read_bytes() for name in files("translated")}
    Path("translated/b-flat-0.png").unlink()
    Path("translated/a-flat-0.png").write_text("mine")
    Path("pictures/d.png").write_text("no picture")
    answer = i2i(*options, "--resume")
    assert (answer.code, answer.out) == (3, "translated: 1 translation, 2 already there\n")
    assert Path("translated/b-flat-0.png").read_bytes() == made["b-flat-0.png"]
    assert Path("translated/a-flat-0.png").read_text() == "mine"
    Path("pictures/d.png").unlink()
    assert i2i(*options, "--styles", 2, "--resume").out == "translated: 3 translations, 3 already there\n"
    assert Path("translated/a-flat-0.png").read_text() == "mine"
    assert i2i(*options, "--styles", 2, "--resume").out == "translated: 0 translations, 6 already there\n"
    answer = i2i(*options, "--resume", "--overwrite")
    assert answer.code == 2
    assert answer.err.endswith("Error: --resume keeps translations that exist, and --overwrite replaces them\n")


def test_a_file_for_out_takes_one_translation(i2i, tiny_model, pictures):
    answer = i2i("translate", tiny_model, pictures, "--out", "one.png")
    assert (answer.code, answer.err) == (
        2,
        "one.png is one file, but there would be 6 translations; name a folder with --out, or one picture "
        "and one style, such as with --domain\n",
    )


def test_aspect_and_size_are_kept_on_demand(i2i, tiny_model, pictures):
    Image.open("pictures/a.png").resize((90, 45)).save("wide.png")
    for how, out in (("keep", "a.png"), ("crop", "b.png")):
        assert i2i("translate", tiny_model, "wide.png", "--domain", "flat", "--fit", how, "--out", out).code == 0
    assert i2i("translate", tiny_model, "wide.png", "--domain", "flat", "--original-size", "--out", "c.jpg").code == 0
    assert [Image.open(name).size for name in ("a.png", "b.png", "c.jpg")] == [(32, 16), (32, 32), (90, 45)]


def test_a_quoted_glob_of_folders_is_what_the_shell_makes_of_it(i2i, tiny_model, pictures):
    Path("pictures/x.png").mkdir()  # a folder may be called anything
    shutil.copy("pictures/a.png", "pictures/x.png")
    answer = i2i("translate", tiny_model, "pictur*", "pictures/*", "--domain", "flat", "--out", "made")
    assert (answer.code, answer.out, answer.err) == (0, "made: 4 translations\n", "")
    assert files("made") == [
        "pictures/a-flat-0.png",
        "pictures/b-flat-0.png",
        "pictures/more/c-flat-0.png",
        "pictures/x.png/a-flat-0.png",
    ]


@pytest.mark.parametrize(
    ("subcommand", "option"), [("translate", "--psi"), ("styles", "--reach"), ("video", "--seconds")]
)
def test_what_is_no_finite_number_is_refused(i2i, tiny_model, pictures, subcommand, option):
    for value in ("nan", "inf"):
        answer = i2i(subcommand, tiny_model, "pictures/a.png", option, value)
        assert answer.code == 2
        assert answer.err.endswith(f"Invalid value for '{option}': {value} is not a finite number.\n")


def test_options_of_latents_do_not_go_with_references(i2i, tiny_model, pictures):
    for option in ("--seed", "--styles"):
        answer = i2i("translate", tiny_model, pictures, "--domain", "flat", "--reference", "reference.png", option, 1)
        assert answer.code == 2
        assert answer.err.endswith(
            "--reference cannot be combined with --seed or --styles, which choose styles from latents\n"
        )


def test_a_device_that_is_not_there_is_a_sentence(i2i, tiny_model, pictures):
    for device in ("abacus", "xpu"):
        answer = i2i("translate", tiny_model, pictures, "--device", device)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert answer.err.startswith(f"the device {device} cannot be used here: ")


def test_what_does_not_fit_into_memory_is_a_sentence(tiny_model):
    @click.command()
    @with_model
    def greedy(model):
        torch.empty(2**50)

    with pytest.raises(OutOfMemory) as error:
        greedy.main([str(tiny_model)], standalone_mode=False)
    assert str(error.value) == "out of memory; translate fewer pictures at a time, or use another --device"


def test_names_that_are_not_there(i2i, tiny_model, pictures):
    for arguments, code, sentence in (
        ((tiny_model, "nowhere"), 3, "there is no file or folder nowhere"),
        ((tiny_model, "*.gif"), 3, "there is no file or folder *.gif"),
        (
            (tiny_model, "empty"),
            3,
            "there are no pictures in empty; known are .avif, .bmp, .gif, .heic, .heif, .jfif, .jpe, .jpeg, .jpg, "
            ".png, .tif, .tiff, .webp",
        ),
        (
            (tiny_model, "pictures", "--domain", "flta"),
            2,
            "the model cannot translate into a domain flta (did you mean flat?)",
        ),
        (
            (tiny_model, "pictures", "--domain", "flat", "--reference", "nobody.png"),
            3,
            "there is no file or folder nobody.png",
        ),
        (
            ("models/nothing", "pictures"),
            2,
            "there is no model models/nothing; name a folder that i2i export wrote, the folder of a run, or "
            "OWNER/MODEL on a hub",
        ),
    ):
        Path("empty").mkdir(exist_ok=True)
        Path("models").mkdir(exist_ok=True)
        answer = i2i("translate", *arguments)
        assert (answer.code, answer.err) == (code, f"{sentence}\n")
    assert not Path("translated").exists()


def bomb(path: Path) -> None:
    """A PNG of a few kB whose header announces 12,000 x 10,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 15_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


def test_what_is_no_picture_is_named_and_the_others_are_translated(i2i, tiny_model, pictures):
    Path("pictures/letter.png").write_text("dear")
    Path("pictures/cut.png").write_bytes(Path("pictures/a.png").read_bytes()[:200])
    bomb(Path("pictures/bomb.png"))
    answer = i2i("translate", tiny_model, pictures, "--domain", "flat", "--batch", 2)
    assert (answer.code, answer.out) == (3, "translated: 3 translations\n")
    assert answer.err.splitlines() == [
        "pictures/bomb.png cannot be used as a picture: 20000 x 15000 pixels are more than 250,000,000",
        "pictures/cut.png cannot be used as a picture: cut short",
        "pictures/letter.png cannot be used as a picture: it is text, not a picture",
        "3 of 6 pictures could not be read and were skipped",
    ]
    assert files("translated") == ["a-flat-0.png", "b-flat-0.png", "more/c-flat-0.png"]
    answer = i2i("translate", tiny_model, "pictures/a.png", "--domain", "flat", "--reference", "pictures/letter.png")
    assert (answer.code, answer.err) == (
        3,
        "pictures/letter.png cannot be used as a picture: it is text, not a picture\n",
    )


def test_pictures_of_every_mode_become_what_they_show(i2i, tiny_model, pictures):
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
    assert i2i("translate", tiny_model, *names, "--domain", "flat").code == 0
    made = {name: np.asarray(Image.open(f"translated/{Path(name).stem}-flat-0.png")).astype(int) for name in names}
    for name, like, tolerance in (
        ("deep.png", "grey.png", 1),
        ("cmyk.tif", "rgb.png", 3),
        ("turned.png", "rgb.png", 1),
        ("animated.webp", "rgb.png", 1),
        ("palette.png", "rgb.png", 40),
    ):
        assert abs(made[name] - made[like]).mean() < tolerance, name
    assert abs(made["grey.png"] - made["rgb.png"]).mean() > 1  # so that the comparison says something


def test_an_out_folder_that_cannot_be_written(i2i, tiny_model, pictures):
    Path("file").write_text("")
    for out in ("file", "made.gif"):
        answer = i2i("translate", tiny_model, "pictures/a.png", "--domain", "flat", "--out", out, "--overwrite")
        assert (answer.code, answer.err) == (
            2,
            f"{out} should be a folder, or a file that ends in one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp\n",
        )
    answer = i2i("translate", tiny_model, "pictures/a.png", "--domain", "flat", "--out", "file/made")
    assert (answer.code, answer.err) == (74, "file/made/a-flat-0.png cannot be written: Not a directory\n")
    if os.geteuid():  # root writes everywhere
        Path("locked").mkdir(mode=0o500)
        answer = i2i("translate", tiny_model, "pictures/a.png", "--domain", "flat", "--out", "locked/made")
        assert answer.code == 74


def test_a_picture_without_a_face_is_told_where_masks_need_one(i2i, tiny_model, pictures, monkeypatch):
    """Source or reference; what shows a face is not."""
    monkeypatch.setattr("i2i_fan_mask.face68.SPREAD", 0.2)  # at 32 pixels, landmarks differ more than at 48
    config = json.loads((tiny_model / "config.json").read_text())
    masked = Path("masked")
    shutil.copytree(tiny_model, masked)
    del config["sha256"]
    config["tensors"]["masks"] = {"use": "fan_mask/face68", "of": "x_real"}
    (masked / "config.json").write_text(json.dumps(config))
    face = Path(__file__).resolve().parents[1] / "plugins/fan_mask/tests/astronaut.png"
    answer = i2i(
        "translate",
        masked,
        face,
        "pictures/a.png",
        "--domain",
        "flat",
        "--reference",
        "reference.png",
        "--reference",
        face,
        "--original-size",
    )
    todo = "but the model was trained on faces; crop faces with i2i align"
    assert (answer.code, answer.err.splitlines()) == (
        0,
        [
            f"warning: no face was found in reference.png, {todo}",
            f"warning: no face was found in pictures/a.png, {todo}",
        ],
    )


def test_a_crop_keeps_its_aspect_at_the_original_size(i2i, tiny_model, pictures):
    Image.new("RGB", (300, 170), "red").save("wide.png")
    for fit, size in (("crop", (170, 170)), ("keep", (300, 170)), ("stretch", (300, 170))):
        assert (
            i2i(
                "translate",
                tiny_model,
                "wide.png",
                "--domain",
                "flat",
                "--fit",
                fit,
                "--original-size",
                "--out",
                f"{fit}.png",
            ).code
            == 0
        )
        assert Image.open(f"{fit}.png").size == size


def test_an_argument_that_is_empty_is_told(i2i, tiny_model, pictures):
    for arguments in (("", pictures), (tiny_model, ""), (tiny_model, pictures, "--out", "")):
        answer = i2i("translate", *arguments)
        assert answer.code == 2
        assert answer.err.endswith("an argument is empty; check that every shell variable in the command is set\n")
    assert sorted(path.name for path in Path().iterdir()) == ["pictures", "reference.png"]


def test_what_is_too_large_for_a_format_is_told(i2i, tiny_model, pictures):
    Image.new("RGB", (16400, 8), "red").save("wide.png")
    answer = i2i("translate", tiny_model, "wide.png", "--domain", "flat", "--original-size", "--out", "wide.webp")
    assert (answer.code, answer.err) == (
        2,
        "wide.webp would be 16400 x 8 pixels, and .webp allows 16383 on a side; name a .png\n",
    )
    assert not Path("wide.webp").exists()


def test_a_model_without_styles_has_none_to_choose(i2i, pictures):
    write(untrained("cut.yaml", "data.image_size=32", "networks.generator.width=4").model, Path("cut"), {})
    assert i2i("translate", "cut", "pictures/a.png").out == "translated: 1 translation\n"
    assert files("translated") == ["a-high_contrast.png"]
    for option in ("--seed", "--styles"):
        answer = i2i("translate", "cut", "pictures/a.png", option, 2, "--out", "more")
        assert (answer.code, answer.err) == (
            2,
            "the model has only one style for each domain; leave --seed and --styles out\n",
        )
    answer = i2i("translate", "cut", "pictures/a.png", "--psi", 0.5, "--out", "more")
    assert (answer.code, answer.err) == (
        2,
        "psi needs the mean of styles from latents, and the model has none; leave psi out\n",
    )
    answer = i2i("video", "cut", "pictures/a.png")
    assert (answer.code, answer.err) == (
        2,
        "the model has no style codes, so a video cannot blend its styles; draw a grid with i2i grid\n",
    )
