"""A connection's protocol, which takes as an answer only what arrives once a request was written.

Some servers repeat an answer, or say goodbye with a 408, on a connection that is not in use; whatever came before a
request cannot be its answer.
"""

import asyncio
import re
import select
import ssl
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MAX_LINE = 64 * 1024
"""Bytes of a header line that are read; balancers put tokens of some ten thousand there."""

MAX_HEADERS = 1_000

MAX_HEAD = 1024 * 1024
"""Bytes of a head that are looked through as a whole; of a longer one the parser sees piece by piece."""

END_OF_HEAD = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\n(?i:content-length):[ \t]*([0-9]+(?:[ \t]*,[ \t]*[0-9]+)*)[ \t]*\r?(?=\n)")


class Protocol(ResponseHandler):
    """Parses what arrives while an answer is expected; a connection on which anything else came is of no use."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.is_reused = False
        self._is_expecting = False
        self._left: int | None = None
        self._head: bytes | None = None
        self._unread: select.poll | None = None

    def expect(self) -> None:
        """Take what arrives from now on as an answer."""
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )

    def set_response_params(self, **params: Any) -> None:
        """Begin to expect an answer, as aiohttp itself does for a proxy's."""
        super().set_response_params(**params)
        self._is_expecting, self._head, self._left = True, b"", None

    def rest(self) -> None:
        """Expect nothing any more: the answer was read."""
        self.is_reused, self._is_expecting = True, False

    @property
    def is_fit(self) -> bool:
        """Whether a request may be written: open, not to be closed, and nothing has come since the last answer."""
        return self.is_connected() and not self.should_close and not self._has_unread()

    def data_received(self, data: bytes) -> None:
        """Parse a piece of an answer, its head as a whole; whatever else comes makes the connection unfit."""
        if not self._is_expecting:
            self.force_close()
            return
        if self._head is not None:
            self._head += data
            if END_OF_HEAD.search(self._head) is None and len(self._head) < MAX_HEAD:
                return
            data, self._head = with_one_length(self._head), None
            self._left = announced(data)
        elif self._left is not None:
            self._left -= len(data)
        super().data_received(data)
        if self._is_over(data):
            self.force_close()

    def _is_over(self, data: bytes) -> bool:
        """Whether more came than the answer, of which the parser keeps the beginning to itself."""
        if self._left is not None:
            return self._left < 0
        is_whole = self._payload is not None and self._payload.is_eof()
        return is_whole and not data.endswith(b"\n")  # as the last chunk does

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let the parser see what came of a head that was not whole."""
        if self._head:
            head, self._head = self._head, None
            super().data_received(head)
        super().connection_lost(exc)

    def _has_unread(self) -> bool:
        """Whether bytes lie in the socket that the event loop has not read yet: after a stall they may be old."""
        if self._unread is None:
            assert self.transport is not None  # noqa: S101  it is connected
            self._unread = select.poll()
            self._unread.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._unread.poll(0))


def announced(data: bytes) -> int | None:
    """Return how many bytes of a body are still to come behind its head and this part of it; None where none says."""
    if (end := END_OF_HEAD.search(data)) is None or (length := LENGTH.search(data, 0, end.end())) is None:
        return None
    return int(length[1]) + end.end() - len(data) if length[1].isdigit() else None


def with_one_length(data: bytes) -> bytes:
    """Return a head, and what came with it, that says its Content-Length once where it says the same several times.

    Source: RFC 9112 §6.3, which lets a recipient take one of equal values; the parser would refuse them.
    """
    end = END_OF_HEAD.search(data)
    head = data[: end.end()] if end else data
    said = LENGTH.findall(head)
    if len(said) < 2 and not any(b"," in one for one in said):
        return data
    values = {int(value) for one in said for value in one.split(b",")}
    if len(values) != 1:
        return data
    once = iter([b"\nContent-Length: %d\r" % values.pop()])
    return LENGTH.sub(lambda _: next(once, b""), head) + data[len(head) :]


class Connector(aiohttp.TCPConnector):
    """Opens connections with this module's protocol, at most *limit* of them."""

    def __init__(self, *, limit: int, keepalive: float, context: ssl.SSLContext) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive, ssl=context)
        self._factory = partial(Protocol, self._loop)  # type: ignore[assignment]  # our kind of what aiohttp makes
