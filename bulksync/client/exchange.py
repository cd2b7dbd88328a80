"""One request and its answer on an open connection, in HTTP/1.1 (RFC 9112) as aiohttp writes and parses it.

aiohttp's session would do more for a request: follow redirects, keep cookies, find credentials, send it again, take
forms and files. Nothing of that is wanted here, and it took 60 of the 107 µs of an attempt (measured).
"""

import asyncio
from collections.abc import Mapping

from aiohttp import StreamReader, hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from bulksync.model import value

MAX_BODY = 64 * 1024
"""Bytes of an answer that are read; the API's page shows about two thousand."""


@value
class Answer:
    """What the server said; of a body over `MAX_BODY` there is one byte more than that."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def exchange(connection: Connection, request_line: str, headers: CIMultiDict[str], body: bytes) -> Answer:
    """Send a request once and read its answer; then the connection is free for another one, or closed.

    *headers* are those that every request has. Raises aiohttp's ClientError or HttpProcessingError, or OSError.
    """
    protocol = connection.protocol
    assert protocol is not None  # noqa: S101  an open connection has one
    try:
        protocol.set_response_params(read_until_eof=True, auto_decompress=False)
        await send(protocol, request_line, headers, body)
        answer = await receive(protocol)
    except BaseException:
        connection.close()
        raise
    if len(answer.body) > MAX_BODY or is_sending(protocol):
        connection.close()
    else:
        connection.release()
    return answer


async def send(protocol: ResponseHandler, request_line: str, headers: CIMultiDict[str], body: bytes) -> None:
    """Write a request, without waiting until it has left: the answer may come before."""
    headers = headers.copy()
    headers[hdrs.CONTENT_LENGTH] = str(len(body))
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    await writer.write_headers(request_line, headers)
    await writer.write(body, drain=False)


def is_sending(protocol: ResponseHandler) -> bool:
    """Whether a part of the request is still here though its answer has come: another one would stand behind it."""
    return protocol.transport is not None and protocol.transport.get_write_buffer_size() > 0


async def receive(protocol: ResponseHandler) -> Answer:
    """Read the answer, behind those that only say that it is still to come (RFC 9110 §15.2)."""
    message, content = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:  # what changes protocol is nothing that was asked for
        message, content = await protocol.read()
    return Answer(message.code, message.headers, await read_bounded(content))


async def read_bounded(content: StreamReader) -> bytes:
    """Read a body, at most one byte more than `MAX_BODY`."""
    body = await content.read(MAX_BODY + 1)
    while len(body) <= MAX_BODY and not content.at_eof():
        body += await content.read(MAX_BODY + 1 - len(body))
    return body
