"""Kinds of files by their first bytes: one that is decoded, or the reason why it is none."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

READ = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIC")
"""The kinds of picture files that are decoded, whatever the suffix of a file."""
MAX_PIXELS = 250_000_000
"""Limit of a picture's pixels, checked against its header before decoding. Phones make pictures of 200 megapixels."""
HEAD = 1024
"""Number of bytes from which a kind is told."""

_MAGIC = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    (rb"II\*\0....CR", "a raw photograph (CR2)"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"GIF8[79]a", "GIF"),
    (rb"....ftyp(.{4})*?avi[fs]", "AVIF"),
    (rb"....ftyp(.{4})*?(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC"),
    (rb"....ftypcrx ", "a raw photograph (CR3)"),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |....moov", "a video"),
    (rb"FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR", "a raw photograph"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "JPEG 2000"),
    (rb"8BPS", "a Photoshop document"),
    (rb"gimp xcf", "a GIMP document"),
    (rb"%PDF", "a PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance picture (HDR)"),
    (rb"P[1-7]\s", "a netpbm picture (PBM, PGM, PPM or PAM)"),
    (rb"\0\0\x01\0[^\0]", "an icon (ICO)"),
    (rb"DDS ", "a texture (DDS)"),
    (rb".{128}DICM", "DICOM"),
    (rb"SIMPLE  =", "FITS"),
    (rb"\x89HDF", "HDF5"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\0\x05\x16[\0\x07]", "what macOS stores beside a file (AppleDouble)"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "a gzip archive"),
)


def kind_of(file: BinaryIO) -> str:
    """Return the kind of an open file, one of `READ`; leave it at its start. Raises ValueError with what it is else."""
    head = file.read(HEAD)
    file.seek(0)
    found = next((kind for magic, kind in _MAGIC if re.match(magic, head[:256], re.DOTALL)), "")
    if found in READ:
        return found
    raise ValueError(_why_not(head, found))


def is_cut(file: BinaryIO, kind: str) -> bool:
    """Return True if an open file is shorter than it says itself; False if its kind does not say that."""
    size = file.seek(0, os.SEEK_END)
    if kind == "PNG":
        file.seek(-min(size, 12), os.SEEK_END)
        return b"IEND" not in file.read()
    file.seek(4)
    if kind == "WEBP":
        return size < 8 + int.from_bytes(file.read(4), "little")
    end, length = 0, 8
    while kind in ("AVIF", "HEIC") and length >= 8 and end < size:  # the boxes of which it consists
        file.seek(end)
        length = int.from_bytes(file.read(4))
        end += length
    return end > size


def _why_not(head: bytes, found: str) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "it is empty"
    if not head.strip(b"\0"):
        return "it begins with nothing but zero bytes, as a copy that failed"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the picture; fetch it with git lfs pull"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "it is a web page (HTML), not a picture; download the picture itself"
    if b"<svg" in start:
        found = "an SVG drawing"
    if found:
        return f"it is {found}, which is not read; convert it, for example to PNG"
    if _is_text(head):
        return "it is text, not a picture"
    return f"not a {', '.join(READ[:-1])} or {READ[-1]}"


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "replace").rstrip("\ufffd")  # a character may be cut at the end
    return bool(text) and all(sign.isprintable() or sign.isspace() for sign in text) and "\ufffd" not in text
