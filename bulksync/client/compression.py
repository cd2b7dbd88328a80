"""Bodies that a server compressed, though it was asked not to: unpacked, and never by more than a bound."""

import zlib
from collections.abc import Callable
from typing import Any

GZIP = 16 + zlib.MAX_WBITS
RAW = -zlib.MAX_WBITS
"""What zlib is told of a stream's wrapping: that of gzip, or none."""

GZIP_MAGIC = b"\x1f\x8b"

MAX_STREAMS = 64
"""Streams of gzip in one body that are unpacked: each copies what follows it."""

MAX_CODINGS = 3
"""Codings on top of each other that are taken off; no server applies more."""


class NotUnpackedError(Exception):
    """A body cannot be unpacked; the text says why."""


def unpacked(body: bytes, codings: str, limit: int) -> bytes:
    """Take off the codings that a Content-Encoding names (RFC 9110 §8.4), the last one first.

    Of a body that is larger than *limit* one byte more than that; NotUnpackedError where it cannot be read.
    """
    names = [name for part in codings.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    for name in reversed(names[-MAX_CODINGS:]):
        if (unpack := UNPACKERS.get(name)) is None or len(names) > MAX_CODINGS:
            raise NotUnpackedError(f"the answer is compressed with {name}, though it was asked not to be")
        try:
            body = unpack(body, limit + 1)
        except zlib.error:
            raise NotUnpackedError(f"the answer says it is compressed with {name}, and is not") from None
    return body


def gunzip(data: bytes, limit: int) -> bytes:
    """Unpack at most *limit* bytes of gzip, which may be several streams one behind the other (RFC 1952 §2.2)."""
    body = b""
    for _ in range(MAX_STREAMS):
        stream = zlib.decompressobj(GZIP)
        body += stream.decompress(data, limit - len(body))
        data = stream.unused_data
        if len(body) >= limit or (stream.eof and not data.startswith(GZIP_MAGIC)):
            return body
    raise zlib.error


def inflate(data: bytes, limit: int) -> bytes:
    """Unpack at most *limit* bytes of deflate: wrapped by zlib, as it is defined, or bare, as some servers send it."""
    try:
        return inflated(zlib.decompressobj(), data, limit)
    except zlib.error:
        return inflated(zlib.decompressobj(RAW), data, limit)


def inflated(stream: Any, data: bytes, limit: int) -> bytes:
    """Unpack at most *limit* bytes of one stream; zlib.error where it ends early."""
    body: bytes = stream.decompress(data, limit)
    if not stream.eof and len(body) < limit:
        raise zlib.error
    return body


UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": gunzip, "x-gzip": gunzip, "deflate": inflate}
