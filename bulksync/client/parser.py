"""aiohttp's parser for answers, with the patience of HTTP's own rules for a length that is given twice."""

import re
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

MAX_LINE = 64 * 1024
"""Bytes of a header line that are read."""

MAX_HEADERS = 1_000
"""Header lines of an answer that are read."""

MAX_HEAD = 4 * 1024 * 1024
"""Bytes of all its header lines together that are kept."""

LENGTH = re.compile(rb"^content-length[ \t]*:([^\r\n]*)(?:\r?\n)?", re.IGNORECASE | re.MULTILINE)
CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*chunked[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
HEAD_END = re.compile(rb"\n\r?\n")

NOTHING = ((), False, b"")
"""What aiohttp's parser returns where no message has begun."""


def parse_answers(protocol: ResponseHandler) -> None:
    """Let a connection parse what arrives from now on as answers to the next request."""
    protocol._parser = Parser(protocol)  # type: ignore[assignment]  # it has all that is called


def parser_for(protocol: ResponseHandler) -> Any:
    """Return a new parser of aiohttp's."""
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADERS,
    )
    return protocol._parser


class Parser:
    """Stands for aiohttp's parser, and gives it a head that it refuses once more, with one length.

    llhttp refuses every repetition. Only a head that was refused is looked at, so that others cost next to nothing.
    """

    def __init__(self, protocol: ResponseHandler) -> None:
        self._protocol = protocol
        self._parser = parser_for(protocol)
        self._head: bytes | None = b""
        self._refusal: HttpProcessingError | None = None

    def feed_data(self, data: bytes) -> Any:
        """Parse what arrived; HttpProcessingError where that is no HTTP."""
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
        assert self._head is not None  # noqa: S101  only a head is refused
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
        """Say that nothing follows; returns the message that had begun, None where none had."""
        return self._parser.feed_eof()

    def pause_reading(self) -> None:
        """Keep the rest of what arrived until more is fed."""
        self._parser.pause_reading()


def with_one_length(head: bytes) -> bytes | None:
    """Return a refused head, and what follows it, with one length; None if that is not its flaw, b"" if incomplete."""
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
    """Return the header line that stands for several lengths; None where they contradict each other.

    Equal ones are one (RFC 9110 §8.6); beside chunks none counts, and the connection ends behind them (RFC 9112 §6.3).
    """
    if is_chunked:
        return b"Connection: close\r\n"
    if not all(length.isdigit() for length in lengths) or len({int(length) for length in lengths}) > 1:
        return None
    return b"Content-Length: " + lengths[0] + b"\r\n"
