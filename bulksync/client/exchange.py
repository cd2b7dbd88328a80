"""One request and its answer on an open connection, in HTTP/1.1 (RFC 9112) as aiohttp writes and parses it.

aiohttp's session would do more for a request: follow redirects, keep cookies, find credentials, send it again, take
forms and files. Nothing of that is wanted here, and it took 60 of the 107 µs of an attempt (measured).
"""

import asyncio
import zlib
from collections.abc import Mapping

from aiohttp import StreamReader, hdrs
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from bulksync.client.protocol import Protocol
from bulksync.model import value

PIECE = 256 * 1024
"""Bytes of a body that are read at once."""

PASSES = 5
"""Turns of the event loop in which it reads all that has arrived, through TLS too."""

WRAPPED, RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
"""How zlib finds out about gzip and zlib by their heads (zlib.net/manual.html, inflateInit2), and the lack of both."""

ENCODINGS = {"gzip": (WRAPPED,), "x-gzip": (WRAPPED,), "deflate": (WRAPPED, RAW)}
"""RFC 9110 §8.4.1; some servers take "deflate" by its word and leave zlib's head out."""


@value
class Answer:
    """What the server said; of a body over the limit there is one byte more than that.

    *encoding* is the content encoding of a body that could not be read because of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    encoding: str = ""


def protocol_of(connection: Connection) -> Protocol:
    """Return the protocol of an open connection."""
    protocol = connection.protocol
    assert isinstance(protocol, Protocol)  # noqa: S101  our connector makes no others
    return protocol


async def is_quiet(connection: Connection) -> bool:
    """Whether a request may be written now; what has arrived meanwhile is read first, as it need not be an answer."""
    protocol = protocol_of(connection)
    for _ in range(PASSES):
        if protocol.is_fit:
            return True
        if not protocol.is_connected() or protocol.should_close:
            return False
        await asyncio.sleep(0)
    return False


async def exchange(
    connection: Connection, request_line: str, headers: CIMultiDict[str], body: bytes, limit: int
) -> Answer:
    """Send a request once and read its answer; then the connection is free for another one, or closed.

    *headers* are those that every request has. Raises aiohttp's ClientError or HttpProcessingError, or OSError.
    """
    protocol = protocol_of(connection)
    try:
        protocol.expect()
        await send(protocol, request_line, headers, body)
        answer = await receive(protocol, limit)
    except BaseException:
        connection.close()
        raise
    protocol.rest()
    if len(answer.body) > limit or is_sending(protocol):
        connection.close()
    else:
        connection.release()
    return answer


async def send(protocol: Protocol, request_line: str, headers: CIMultiDict[str], body: bytes) -> None:
    """Write a request, without waiting until it has left: the answer may come before."""
    headers = headers.copy()
    headers[hdrs.CONTENT_LENGTH] = str(len(body))
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    await writer.write_headers(request_line, headers)
    await writer.write(body, drain=False)


def is_sending(protocol: Protocol) -> bool:
    """Whether a part of the request is still here though its answer has come: another one would stand behind it."""
    return protocol.transport is not None and protocol.transport.get_write_buffer_size() > 0


async def receive(protocol: Protocol, limit: int) -> Answer:
    """Read the answer, behind those that only say that it is still to come (RFC 9110 §15.2)."""
    message, content = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:  # what changes protocol is nothing that was asked for
        message, content = await protocol.read()
    body = await read_bounded(content, limit)
    encoding = message.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if not body or encoding in ("", "identity"):
        return Answer(message.code, message.headers, body)
    decoded = decompressed(body, encoding, limit)
    return Answer(message.code, message.headers, decoded or b"", "" if decoded is not None else encoding)


async def read_bounded(content: StreamReader, limit: int) -> bytes:
    """Read a body, at most one byte more than the limit."""
    body = await content.read(min(PIECE, limit + 1))
    if content.at_eof():
        return body
    whole = bytearray(body)
    while len(whole) <= limit and not content.at_eof():
        whole += await content.read(min(PIECE, limit + 1 - len(whole)))
    return bytes(whole)


def decompressed(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Return what a compressed body holds, at most one byte more than the limit; None where that cannot be read."""
    for window in ENCODINGS.get(encoding, ()):
        try:
            return zlib.decompressobj(window).decompress(body, limit + 1)
        except zlib.error:
            continue
    return None
