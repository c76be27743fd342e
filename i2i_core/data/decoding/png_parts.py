"""PNGs without the chunks that a decoder might refuse or unpack to gigabytes, and what those say of the picture."""

from __future__ import annotations

import io
import zlib
from typing import Any, BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
LEFT_OUT = (*TEXTS, b"iCCP", b"cICP")
"""The chunks that the decoder does not get: here they are read in bounded memory, or passed over."""
ORIENTED = (b"Raw profile type exif", b"XML:com.adobe.xmp")
"""The keywords of texts that may say how a picture is turned."""
MOST = 2**24
"""Most bytes of a text or a profile, packed or not; larger ones are ignored."""


def without_texts(stream: BinaryIO) -> tuple[BinaryIO, dict[str, Any]]:
    """Return an open PNG as a file without `LEFT_OUT`, and their contents: colour profile, cICP, EXIF data and XMP.

    Raises ValueError for indices of a palette that is missing.
    """
    stream.seek(len(SIGNATURE))
    parts, said, colour, begin, drawn, palette = list[tuple[int, int]](), dict[str, Any](), 0, 0, False, False
    while len(head := stream.read(8)) == 8 and head[4:].isalpha():
        name, length, at = head[4:], int.from_bytes(head[:4]), stream.tell()
        if name == b"IHDR":
            colour = stream.read(10)[-1]
        palette, drawn = palette or name == b"PLTE", drawn or name == b"IDAT"
        if drawn and colour == 3 and not palette:
            raise ValueError("a damaged PNG: its pixels are places in a palette, and it has none")
        if name in LEFT_OUT:
            parts.append((begin, at - 8))
            begin = at + length + 4
            if length <= MOST and (name in TEXTS or not drawn):
                said = _said(name, stream.read(length)) | said
        stream.seek(at + length + 4)
    size = stream.seek(0, io.SEEK_END)
    whole = [(first, min(end, size)) for first, end in [*parts, (begin, size)] if first < min(end, size)]
    stream.seek(0)
    return (stream if not parts else io.BufferedReader(_Parts(stream, whole), 2**16)), said


def _said(name: bytes, body: bytes) -> dict[str, Any]:
    """Return the contents of a chunk by the names that Pillow gives them."""
    if name == b"cICP":
        return {"cicp": tuple(body)} if len(body) == 4 else {}
    keyword, _, rest = body.partition(b"\0")
    if name == b"iCCP":
        profile = _unpacked(rest[1:])
        return {"icc_profile": profile} if profile else {}
    if keyword not in ORIENTED:
        return {}
    packed = name == b"zTXt"
    if name == b"iTXt":  # with a flag, a method, a language and a translated keyword before the text
        packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    text = _unpacked(rest[1:] if name == b"zTXt" else rest) if packed else rest
    return {keyword.decode(): text.decode("utf-8", "replace")}


def _unpacked(data: bytes) -> bytes:
    """Inflate data; return nothing for damaged data, and for more than `MOST` bytes."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(data, MOST)
    except zlib.error:
        return b""
    return found if inflate.eof else b""


class _Parts(io.RawIOBase):
    """A file that consists of parts of another one, each from a first byte to an end."""

    def __init__(self, stream: BinaryIO, parts: list[tuple[int, int]]) -> None:
        self.stream, self.parts, self.at = stream, parts, 0
        self.size = sum(end - first for first, end in parts)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence])
        return self.at

    def readinto(self, buffer: Any) -> int:
        before = 0
        for first, end in self.parts:
            if self.at < before + end - first:
                self.stream.seek(first + self.at - before)
                found = self.stream.read(min(len(buffer), before + end - first - self.at))
                buffer[: len(found)] = found
                self.at += len(found)
                return len(found)
            before += end - first
        return 0
