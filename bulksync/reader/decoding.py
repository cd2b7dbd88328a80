"""Turn bytes into text: hash, decompress, decode.

Decoding never fails here. An undecodable byte becomes a lone surrogate, which valid text never contains, so that it
invalidates only its own row.
"""

import codecs
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from bulksync.errors import InputError
from bulksync.reader.lines import TooLarge, split
from bulksync.reader.remedy import refused, way_on
from bulksync.reader.signatures import foreign
from bulksync.reader.source import Source

_BLOCK = 1 << 18
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose BOM is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD = 1 << 16
"""Bytes at the start of a file that are inspected to identify it."""

_WITHOUT_MARK = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
"""Encodings that write a BOM before every text they encode, and their counterparts without one."""

_LOST = re.compile("([\udc00-\udcff]+)")


def _kept(error: UnicodeError) -> tuple[str, int]:
    """Replace undecodable bytes as `surrogateescape` does, but ASCII bytes too, which it refuses."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("bulksync_mark", _kept)


class HashedFile(io.FileIO):
    """A file opened for reading that computes the SHA-256 of every byte read from it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "rb")
        self._sha256 = hashlib.sha256()

    def readinto(self, buffer: Any, /) -> int:
        """Read into *buffer*, see io.RawIOBase."""
        count = super().readinto(buffer) or 0
        self._sha256.update(memoryview(buffer)[:count])
        return count

    def digest(self) -> str:
        """Return the SHA-256 of the whole file in hex, after reading whatever is left of it."""
        buffer = bytearray(_BLOCK)
        while self.readinto(buffer):
            pass
        return self._sha256.hexdigest()


class Text:
    """The text of a source, block by block; *bom* says whether it began with a byte order mark."""

    def __init__(self, source: Source, file: HashedFile) -> None:
        self.source = source
        self.notes: list[str] = []
        self.name = source.name
        with explained(source):
            buffered = io.BufferedReader(file, _BLOCK)
            raw = buffered.peek(_HEAD)[:_HEAD]
            _refuse_empty(source, raw)
            self._binary = io.BufferedReader(gzip.GzipFile(fileobj=buffered), _BLOCK) if source.compressed else buffered
            self._start = start = _start(source, self._binary, raw)
        marked = [encoding for mark, encoding in _MARKS if start.startswith(mark)]
        self.bom = bool(marked)
        encoding = marked[0] if marked else source.encoding or "utf-8"  # the BOM overrides --encoding
        self.encoding = _WITHOUT_MARK.get(encoding, encoding)

    def lines(self) -> Iterator[str | TooLarge]:
        """Return the physical lines of the text, see `split`."""
        return split(self.blocks())

    @property
    def head(self) -> str:
        """The start of the text, used to identify a file that is not in the format it claims."""
        with suppress(UnicodeError):  # raised by codecs that do not support "replace"
            return self._start.decode(self.encoding, "replace").removeprefix("\ufeff")
        return ""

    def blocks(self) -> Iterator[str]:
        """Yield the decoded text without its byte order mark. Raises InputError if it cannot be read."""
        with explained(self.source):
            errors = "surrogateescape" if self.encoding == "utf-8" else "bulksync_mark"
            decoder = codecs.getincrementaldecoder(self.encoding)(errors)
            mark = "\ufeff" if self.bom else ""
            while block := self._binary.read(_BLOCK):
                yield decoder.decode(block).removeprefix(mark)
                mark = ""
            yield decoder.decode(b"", final=True)


def encoded(text: str, encoding: str) -> bytes:
    """Return the bytes that *text* was decoded from; characters not in this encoding become question marks."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        parts = enumerate(_LOST.split(text))
        return b"".join(_bytes(part) if at % 2 else part.encode(encoding, "replace") for at, part in parts)


def _bytes(lost: str) -> bytes:
    return bytes(ord(character) - 0xDC00 for character in lost)


def _refuse_empty(source: Source, raw: bytes) -> None:
    if not raw:
        raise InputError(
            f"{source.name} is empty (0 bytes), without {'even a header' if source.format != 'jsonl' else 'any row'}",
            "check what was to write it, then run again",
        )


def _start(source: Source, binary: "io.BufferedReader[Any]", raw: bytes) -> bytes:
    """Return the start of the decompressed content. Raises InputError if it is empty or not text."""
    if source.compressed and not raw.startswith(b"\x1f\x8b") and (other := foreign(raw)):
        raise refused(replace(source, compressed=False), f" is {other.name}, not gzip", other.way)
    start = binary.peek(_HEAD)[:_HEAD]
    if not start:
        raise InputError(f"{source.name} holds 0 bytes", "check what was to write it, then run again")
    if other := foreign(start):
        raise refused(source, f"{', once unpacked,' if source.compressed else ''} is {other.name}", other.way)
    return start


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """Convert exceptions raised while reading *source* into an InputError that names the cause."""
    name = source.name
    try:
        yield
    except EOFError as error:
        raise InputError(f"{name}: the gzip data ends too early", "copy the file again, it is not complete") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{name} is not gzip data, or damaged",
            way_on(replace(source, compressed=False), "copy it again; if it is plain text, rename it: mv FILE NEW"),
        ) from error
    except UnicodeError as error:
        raise InputError(f"{name} cannot be decoded", "name its encoding: --encoding cp1252") from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}", "check the disk, run again") from error
