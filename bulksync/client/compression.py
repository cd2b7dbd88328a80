"""Decompresses bodies that a server compressed despite being asked not to, never beyond a limit."""

import zlib
from collections.abc import Callable
from typing import Any

GZIP = 16 + zlib.MAX_WBITS
RAW = -zlib.MAX_WBITS
"""zlib's settings for the wrapping of a stream: none, or gzip."""

GZIP_MAGIC = b"\x1f\x8b"

MAX_STREAMS = 64
"""Maximum gzip streams decompressed in one body: each copies what follows it."""

MAX_CODINGS = 3
"""Maximum stacked content codings removed; no server applies more."""


class NotUnpackedError(Exception):
    """A body cannot be decompressed; the text says why."""


def unpacked(body: bytes, codings: str, limit: int) -> bytes:
    """Remove the codings that a Content-Encoding names (RFC 9110 §8.4), the last one first.

    Return *limit* + 1 bytes of a body larger than *limit*; raises NotUnpackedError if it cannot be read.
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
    """Decompress at most *limit* bytes of gzip, which may consist of several concatenated streams (RFC 1952 §2.2)."""
    body = b""
    for _ in range(MAX_STREAMS):
        stream = zlib.decompressobj(GZIP)
        body += stream.decompress(data, limit - len(body))
        data = stream.unused_data
        if len(body) >= limit or (stream.eof and not data.startswith(GZIP_MAGIC)):
            return body
    raise zlib.error


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress at most *limit* bytes of deflate: in zlib format as specified, or raw, as some servers send it."""
    try:
        return inflated(zlib.decompressobj(), data, limit)
    except zlib.error:
        return inflated(zlib.decompressobj(RAW), data, limit)


def inflated(stream: Any, data: bytes, limit: int) -> bytes:
    """Decompress at most *limit* bytes of one stream; raises zlib.error if it ends early."""
    body: bytes = stream.decompress(data, limit)
    if not stream.eof and len(body) < limit:
        raise zlib.error
    return body


UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": gunzip, "x-gzip": gunzip, "deflate": inflate}
