"""Shows requests as they would be sent, made as those that are; without the key."""

from collections.abc import Iterable

from yarl import URL

from bulksync.client.connection import head_of, header_lines, prefix_of, request_to
from bulksync.model import Request, Row

UNSAID = "***"
"""Stands for the key."""


async def preview(target: str, rows: Iterable[Row]) -> list[Request]:
    """Return the requests that would put *rows*; on an event loop, as aiohttp makes no request without one."""
    request = request_to(target, UNSAID, None)
    prefix, headers = prefix_of(request), header_lines(request.headers)
    return [parsed(request.url, row, head_of(prefix, row, headers)) for row in rows]


def parsed(target: URL, row: Row, head: bytes) -> Request:
    """Take the head of a request apart."""
    first, *lines = head.decode().rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return Request(row.row, row.line, method, f"{target.origin()}{path}", headers, row.body.decode())
