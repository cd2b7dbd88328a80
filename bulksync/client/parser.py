"""aiohttp's response parser, made to accept a repeated Content-Length as the HTTP RFCs allow."""

import re
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

MAX_LINE = 64 * 1024
"""Maximum bytes of a header line."""

MAX_HEADERS = 1_000
"""Maximum header lines of an answer."""

MAX_HEAD = 4 * 1024 * 1024
"""Maximum bytes kept of all header lines together."""

LENGTH = re.compile(rb"^content-length[ \t]*:([^\r\n]*)(?:\r?\n)?", re.IGNORECASE | re.MULTILINE)
CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*chunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
HEAD_END = re.compile(rb"\n\r?\n")

NOTHING = ((), False, b"")
"""The value aiohttp's parser returns if no message has begun."""


def parse_answers(protocol: ResponseHandler) -> None:
    """Make a connection parse bytes arriving from now on as answers to the next request."""
    protocol._parser = Parser(protocol)  # type: ignore[assignment]  # it has every method that is called


def parser_for(protocol: ResponseHandler) -> Any:
    """Return a new aiohttp parser."""
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADERS,
    )
    return protocol._parser


class Parser:
    """Wraps aiohttp's parser; if that rejects a header block, feeds it again with a single Content-Length.

    llhttp rejects every repetition. Only rejected header blocks are examined, so all others cost next to nothing.
    """

    def __init__(self, protocol: ResponseHandler) -> None:
        self._protocol = protocol
        self._parser = parser_for(protocol)
        self._head: bytes | None = b""
        self._refusal: HttpProcessingError | None = None

    def feed_data(self, data: bytes) -> Any:
        """Parse the bytes that arrived; raises HttpProcessingError if they are not HTTP."""
        if self._head is None:
            return self._parser.feed_data(data)
        self._head += data
        parsed = self._parsed(data)
        messages = parsed[0]
        if messages and messages[-1][0].code >= 200:
            self._head = None
        elif len(self._head) > MAX_HEAD:
            raise HttpProcessingError(message="the head is too large")
        return parsed

    def _parsed(self, data: bytes) -> Any:
        if self._refusal is None:
            try:
                return self._parser.feed_data(data)
            except HttpProcessingError as refusal:
                self._refusal = refusal
        assert self._head is not None  # noqa: S101  only a header block is rejected
        repaired = with_one_length(self._head)
        if repaired is None:
            raise self._refusal
        return self._begin_again(repaired) if repaired else NOTHING

    def _begin_again(self, head: bytes) -> Any:
        self._refusal = None
        self._parser = parser_for(self._protocol)
        self._protocol._parser = self  # type: ignore[assignment]  # as in `parse_answers`
        return self._parser.feed_data(head)

    def feed_eof(self) -> Any:
        """Signal the end of the input; return the message that had begun, None if none had."""
        return self._parser.feed_eof()

    def pause_reading(self) -> None:
        """Keep the rest of the bytes until more are fed."""
        self._parser.pause_reading()


def with_one_length(head: bytes) -> bytes | None:
    """Return a rejected header block, and the bytes after it, with a single Content-Length.

    None if that is not its flaw, b"" if it is incomplete.
    """
    lengths = [length.strip() for found in LENGTH.findall(head) for length in found.split(b",")]
    is_chunked = CHUNKED.search(head) is not None
    if len(lengths) < 2 and not (lengths and is_chunked):
        return None
    if (end := HEAD_END.search(head, LENGTH.search(head).start())) is None:  # type: ignore[union-attr]  # there are lengths
        return b""
    if (line := length_line(lengths, is_chunked=is_chunked)) is None:
        return None
    lines = LENGTH.sub(b"", head[: end.start() + 1])
    return lines + line + head[end.start() + 1 :]


def length_line(lengths: list[bytes], *, is_chunked: bool) -> bytes | None:
    """Return the header line that replaces several lengths; None if they contradict each other.

    Equal ones count as one (RFC 9110 §8.6); with chunked encoding all are ignored, and the connection closes after the
    answer (RFC 9112 §6.3).
    """
    if is_chunked:
        return b"Connection: close\r\n"
    if not all(length.isdigit() for length in lengths) or len({int(length) for length in lengths}) > 1:
        return None
    return b"Content-Length: " + lengths[0] + b"\r\n"
