"""Renders requests as they would be sent, built by the same code, without the key."""

from collections.abc import Iterable

from yarl import URL

from bulksync.client.connection import header_lines, prefix_of, request_of, request_to
from bulksync.model import Preview, Row

UNSAID = "***"
"""Placeholder for the key."""


async def preview(target: str, rows: Iterable[Row]) -> list[Preview]:
    """Return the requests that would put *rows*; async, as aiohttp builds requests only on an event loop."""
    request = request_to(target, UNSAID, None)
    prefix, headers = prefix_of(request), header_lines(request.headers)
    return [parsed(request.url, row, request_of("PUT", prefix, row, headers)) for row in rows]


def parsed(target: URL, row: Row, request: bytes) -> Preview:
    """Split a request into its parts."""
    head, _, body = request.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    return Preview(row.row, row.line, method, f"{target.origin()}{path}", headers, body)
