"""Rebuild the archive of pictures from the artists' npm packages; with --check only compare them.

The script needs npm and `pip install "i2i-gan-emoji[rebuild]"`. Runs with the same version of Pillow write the same
bytes. Other versions may compress the same pixels differently, so --check compares pixels. README.md describes each
step.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageChops
import resvg_py

from i2i_emoji.drawings import ARCHIVE, COLUMNS, DOMAINS, PIXELS, cell_box, open_sheet

PACKAGES = {  # domain: npm package, SHA-256 of its tarball
    "flat": (
        "@iconify-json/fluent-emoji-flat@1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "high_contrast": (
        "@iconify-json/fluent-emoji-high-contrast@1.2.6",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
    ),
    "noto": ("@iconify-json/noto@1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
}
THINGS, VALIDATION = 1562, 219
FAMILY = 6  # motifs; larger stems (hearts, clocks, faces...) stay in train, since they would dominate val

# Words of a name that distinguish variants of a motif. The other words are its stem.
VARIANT_WORDS = """
    man mans men mens woman womans women womens person people boy girl child old older santa mrs mx
    hair bald beard curly black white grey red orange yellow green blue purple brown pink light
    small medium large
    left right up down leftwards rightwards upwards downwards facing first last 1st 2nd 3rd
    one two three four five six seven eight nine ten eleven twelve 0 1 2 3 4 5 6 7 8 9 10
"""
VARIANTS = frozenset(VARIANT_WORDS.split())
SYNONYMS = {"thirty": "oclock", "princess": "prince"}

Pictures = dict[str, dict[str, PIL.Image.Image]]  # by domain and motif


@dataclass(frozen=True)
class Drawing:
    """Drawing of one name by one artist: an SVG body for a box of width x height."""

    body: str
    width: int
    height: int
    mirrored: bool
    hidden: bool  # withdrawn by the artist
    alias: bool

    def svg(self) -> str:
        side = max(self.width, self.height)
        corner = f"{(self.width - side) / 2} {(self.height - side) / 2}"
        mirror = f' transform="translate({self.width} 0) scale(-1 1)"' if self.mirrored else ""
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{side}" height="{side}" viewBox="{corner} {side} {side}">'
            f"<g{mirror}>{self.body}</g></svg>"
        )


def fetch(package: str, sha256: str, folder: Path) -> dict[str, Any]:
    """Download a package, check its SHA-256 and return its icons.json."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    tarball = (folder / name).read_bytes()
    if hashlib.sha256(tarball).hexdigest() != sha256:
        raise ValueError(f"the SHA-256 of {package} is not the one in this script")
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        member = archive.extractfile("package/icons.json")
        assert member is not None
        icons: dict[str, Any] = json.load(member)
    return icons


def drawings_of(icons: dict[str, Any]) -> dict[str, Drawing]:
    """Return the drawing of each name of a package, with aliases resolved."""
    aliases = icons.get("aliases", {})

    def resolve(name: str) -> Drawing:
        target, mirrored = name, False
        while target in aliases:
            alias = aliases[target]
            mirrored ^= alias.get("hFlip", False)
            target = alias["parent"]
        icon = icons["icons"][target]
        width, height = icon.get("width", icons["width"]), icon.get("height", icons["height"])
        return Drawing(icon["body"], width, height, mirrored, icon.get("hidden", False), name in aliases)

    return {name: resolve(name) for name in (*icons["icons"], *aliases)}


def common_names(drawings: dict[str, dict[str, Drawing]]) -> list[str]:
    """Return the names that all artists drew; of several names of one Noto drawing, the first that is not an alias."""
    shared = set.intersection(*({n for n, d in drawn.items() if not d.hidden} for drawn in drawings.values()))
    noto, seen, names = drawings["noto"], set(), []
    for name in sorted(shared, key=lambda name: (noto[name].alias, name)):
        drawing = noto[name].body, noto[name].mirrored
        if drawing not in seen:
            seen.add(drawing)
            names.append(name)
    assert len(names) == THINGS, f"{len(names)} things"
    return sorted(names)


def render(drawing: Drawing) -> PIL.Image.Image:
    """Render a drawing as RGB, 64 x 64 pixels, on white; no system fonts are used, since no drawing has text."""
    png = resvg_py.svg_to_bytes(
        svg_string=drawing.svg(), background="#ffffff", width=PIXELS, height=PIXELS, skip_system_fonts=True
    )
    picture = PIL.Image.open(io.BytesIO(bytes(png)), formats=["PNG"]).convert("RGB")
    assert picture.size == (PIXELS, PIXELS)
    return picture


def stems_of(names: Iterable[str], pictures: Pictures) -> dict[str, str]:
    """Return the stem of each name, its words without those of variants; stems that share a picture are merged."""

    def words(name: str) -> str:
        return "-".join(SYNONYMS.get(w, w) for w in name.split("-") if w not in VARIANTS) or "person"

    stems = {name: words(name) for name in names}
    for drawn in pictures.values():
        first: dict[bytes, str] = {}
        for name, picture in drawn.items():
            one, other = stems[first.setdefault(picture.tobytes(), name)], stems[name]
            if one != other:
                stems = {n: min(one, other) if s in (one, other) else s for n, s in stems.items()}
    return stems


def validation_stems(stems: dict[str, str]) -> set[str]:
    """Choose the stems of the validation split, in the order of their SHA-256, until it has 219 motifs."""
    sizes: dict[str, int] = {}
    for stem in stems.values():
        sizes[stem] = sizes.get(stem, 0) + 1
    chosen: set[str] = set()
    room = VALIDATION
    for stem in sorted(sizes, key=lambda stem: hashlib.sha256(stem.encode()).digest()):
        if sizes[stem] <= min(room, FAMILY):
            chosen.add(stem)
            room -= sizes[stem]
    assert room == 0
    return chosen


def sheet_of(pictures: list[PIL.Image.Image]) -> PIL.Image.Image:
    rows = -(-len(pictures) // COLUMNS)
    sheet = PIL.Image.new("RGB", (COLUMNS * PIXELS, rows * PIXELS), "white")
    for cell, picture in enumerate(pictures):
        sheet.paste(picture, cell_box(cell))
    return sheet


def build(say: Callable[[str], None]) -> tuple[str, dict[str, PIL.Image.Image]]:
    """Return the text of things.json and the sheet of each domain."""
    drawings = {}
    with tempfile.TemporaryDirectory() as folder:
        for domain in DOMAINS:
            package, sha256 = PACKAGES[domain]
            say(f"downloading {package}")
            drawings[domain] = drawings_of(fetch(package, sha256, Path(folder)))
    names = common_names(drawings)
    say(f"rendering {len(names)} motifs in {len(drawings)} domains")
    pictures = {domain: {name: render(drawn[name]) for name in names} for domain, drawn in drawings.items()}
    stems = stems_of(names, pictures)
    validation = validation_stems(stems)
    names.sort(key=lambda name: (stems[name], name))  # variants side by side make smaller sheets
    rows = [[name, stems[name], "val" if stems[name] in validation else "train"] for name in names]
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    return text, {domain: sheet_of([drawn[name] for name in names]) for domain, drawn in pictures.items()}


def differences(text: str, sheets: dict[str, PIL.Image.Image]) -> list[str]:
    """Return the files of the vendored archive that differ from the rebuilt ones."""
    changed = [] if (ARCHIVE / "things.json").read_text(encoding="utf-8") == text else ["things.json"]
    for domain, sheet in sheets.items():
        vendored = open_sheet(ARCHIVE / f"{domain}.webp")
        if vendored.size != sheet.size or PIL.ImageChops.difference(vendored, sheet).getbbox():
            changed.append(f"{domain}.webp")
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the existing archive and write nothing")
    check = parser.parse_args().check
    text, sheets = build(lambda line: print(line, file=sys.stderr))
    if check:
        changed = differences(text, sheets)
        print(f"differs: {', '.join(changed)}" if changed else "the archive equals the rebuilt one")
        return 1 if changed else 0
    ARCHIVE.mkdir(exist_ok=True)
    (ARCHIVE / "things.json").write_text(text, encoding="utf-8", newline="\n")
    for domain, sheet in sheets.items():
        path = ARCHIVE / f"{domain}.webp"
        sheet.save(path, "WEBP", lossless=True, quality=100, method=6, exact=True)
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
