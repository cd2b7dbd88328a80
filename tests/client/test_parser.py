"""Answers as real servers send them: what curl reads is read, and what contradicts itself is not."""

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.client.compression import NotUnpackedError, unpacked
from bulksync.client.parser import HEAD_END, LENGTH, MAX_HEADERS, with_one_length
from bulksync.model import Reply
from tests.support.clients import ACKNOWLEDGED, NO_HTTP, reply_to
from tests.support.fault_server import Behaviour, Request, acknowledgement, raw
from tests.support.program import KEY

Bytes = Callable[[Request], bytes]


def plain(*lines: str, first: str = "HTTP/1.1 200 OK", end: str = "\r\n") -> Bytes:
    """Return an acknowledgement with these header lines, `N` in them being its length."""

    def build(request: Request) -> bytes:
        body = acknowledgement(request)
        head = end.join((first, *lines, "", "")).replace("N", str(len(body)))
        return head.encode("latin-1") + body

    return build


def chunked(size: str = "%x", trailer: str = "", *lines: str) -> Bytes:
    """Return an acknowledgement in one chunk."""

    def build(request: Request) -> bytes:
        body = acknowledgement(request)
        head = "\r\n".join(("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *lines, "", ""))
        return head.encode() + (size % len(body)).encode() + b"\r\n" + body + b"\r\n0\r\n" + trailer.encode() + b"\r\n"

    return build


READ: dict[str, Bytes] = {
    "a header line of 60,000 bytes": plain("Content-Length: N", "X-Long: " + "x" * 60_000),
    "999 header lines": plain("Content-Length: N", *(f"X-{n}: x" for n in range(MAX_HEADERS - 1))),
    "two equal lengths": plain("Content-Length: N", "Server: x", "content-length: N"),
    "three equal lengths": plain(*["Content-Length: N"] * 3),
    "a list of equal lengths": plain("Content-Length: N, N"),
    "a list of equal lengths, and another": plain("Content-Length:N,N", "X: y", "Content-Length: N"),
    "the same length in other digits": plain("Content-Length: 0N", "Content-Length: N"),
    "a length beside chunks": chunked("%x", "", "Content-Length: 5"),
    "chunks beside a length": lambda request: chunked()(request).replace(
        b" OK\r\n", b" OK\r\nContent-Length: 9\r\n", 1
    ),
    "chunks with an extension": chunked("%x;name=value"),
    "chunks in upper case, zeros in front": chunked("000%X"),
    "chunks with a blank behind the size": chunked("%x "),
    "chunks with a trailer": chunked("%x", "X-Checksum: 1\r\n"),
    "no reason": plain("Content-Length: N", first="HTTP/1.1 200"),
    "an empty reason": plain("Content-Length: N", first="HTTP/1.1 200 "),
    "a reason in other letters": plain("Content-Length: N", first="HTTP/1.1 200 trés bien"),
    "line feeds only": plain("Content-Length: N", "Server: x", end="\n"),
    "line feeds only, two equal lengths": plain("Content-Length: N", "Content-Length: N", end="\n"),
    "HTTP/1.0": plain("Content-Length: N", first="HTTP/1.0 200 OK"),
    "blanks around a value": plain("Content-Length: \t N \t"),
    "names in odd case": plain("cOnTeNt-LeNgTh: N"),
    "a folded header line": plain("Content-Length: N", "X-Folded: one\r\n two"),
    "bytes that are no ASCII": plain("Content-Length: N", "X-Name: caf\xe9 \xff"),
    "an empty header": plain("Content-Length: N", "X-Empty:"),
    "the same Content-Type twice": plain("Content-Length: N", *["Content-Type: application/json"] * 2),
    "an answer to come, and equal lengths": lambda request: (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + plain("Content-Length: N", "Content-Length: N")(request)
    ),
    "a line break in front": lambda request: b"\r\n" + plain("Content-Length: N")(request),
    "a byte order mark": lambda request: (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\xef\xbb\xbf" + acknowledgement(request)
    ),
}


@pytest.mark.fault("A3", "long heads, equal lengths, odd but valid HTTP")
@pytest.mark.parametrize("build", READ.values(), ids=READ)
async def test_what_real_servers_send_is_read(build: Bytes) -> None:
    """An answer in any of HTTP's dialects acknowledges the row."""
    assert await reply_to(raw(build)) == ACKNOWLEDGED


@pytest.mark.fault("A3", "equal lengths in pieces")
@pytest.mark.parametrize("name", ["two equal lengths", "a list of equal lengths", "a length beside chunks"])
async def test_a_head_may_come_in_pieces(name: str) -> None:
    """A head that is read twice may arrive byte by byte."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        for byte in READ[name](request):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    assert await reply_to(behave) == ACKNOWLEDGED


UNREAD: dict[str, Bytes] = {
    "two lengths": plain("Content-Length: N", "Content-Length: 2"),
    "a list of two lengths": plain("Content-Length: N, 2"),
    "a length that is none, twice": plain("Content-Length: +N", "Content-Length: +N"),
    "a header line of 70,000 bytes": plain("Content-Length: N", "X-Long: " + "x" * 70_000),
    "1,100 header lines": plain("Content-Length: N", *(f"X-{n}: x" for n in range(1_100))),
    "8 MB of header lines": plain("Content-Length: N", *(f"X-{n}: {'x' * 50_000}" for n in range(160))),
    "a head without an end": lambda _: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2_000,
    "a null byte": plain("Content-Length: N", "X-Null: a\0b"),
}


@pytest.mark.fault("A3", "lengths that contradict each other, heads without an end")
@pytest.mark.parametrize("build", UNREAD.values(), ids=UNREAD)
async def test_what_contradicts_itself_is_not_read(build: Bytes) -> None:
    """An answer whose length is in doubt, or whose head is out of bounds, is none."""
    assert await reply_to(raw(build)) == NO_HTTP


@given(head=st.binary() | st.from_regex(rb"(content-length: [0-9, ]*\r?\n|[a-z:]*\n|transfer-encoding: chunked\n)*\n?"))
def test_a_head_that_was_refused_never_fails(head: bytes) -> None:
    """Whatever was refused, a head comes out that says one length at most, or nothing."""
    repaired = with_one_length(head)
    if repaired:
        end = HEAD_END.search(repaired)
        assert len(LENGTH.findall(repaired[: end.end() if end else None])) <= 1


# Compressed bodies


def bare(data: bytes) -> bytes:
    """Compress without any wrapping."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "GZIP": ("GZIP", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate, bare": ("deflate", bare),
    "identity": ("identity", bytes),
    "nothing": ("", bytes),
    "gzip over deflate": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    "gzip in two parts": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "gzip and zeros": ("gzip", lambda data: gzip.compress(data) + bytes(9)),
}


def packed(coding: str, pack: Callable[[bytes], bytes], body: bytes | None = None, status: int = 200) -> Behaviour:
    """Return the behaviour of a compressed answer, *body* or an acknowledgement."""

    def build(request: Request) -> bytes:
        data = pack(acknowledgement(request) if body is None else body)
        head = f"HTTP/1.1 {status} X\r\nContent-Encoding: {coding}\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data

    return raw(build)


@pytest.mark.fault("A3", "bodies compressed unasked")
@pytest.mark.parametrize(("coding", "pack"), PACKED.values(), ids=PACKED)
async def test_a_compressed_body_is_read(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """A server that compresses though it was asked not to is understood, in refusals too, and repeats no key."""
    assert await reply_to(packed(coding, pack)) == ACKNOWLEDGED
    refusal = await reply_to(packed(coding, pack, b'{"message": "no %s"}' % KEY.encode(), 400))
    assert refusal == Reply(400, "http_400", "no ***")


DAMAGED: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "br": ("br", bytes, "the answer is compressed with br, though it was asked not to be"),
    "zstd": ("zstd", bytes, "the answer is compressed with zstd, though it was asked not to be"),
    "not gzip": ("gzip", bytes, "the answer says it is compressed with gzip, and is not"),
    "gzip cut": (
        "gzip",
        lambda data: gzip.compress(data)[:-9],
        "the answer says it is compressed with gzip, and is not",
    ),
    "not deflate": ("deflate", bytes, "the answer says it is compressed with deflate, and is not"),
}


@pytest.mark.fault("A3", "bodies that cannot be unpacked")
@pytest.mark.parametrize(("coding", "pack", "detail"), DAMAGED.values(), ids=DAMAGED)
async def test_a_body_that_cannot_be_unpacked(coding: str, pack: Callable[[bytes], bytes], detail: str) -> None:
    """A 2xx that cannot be read acknowledges nothing and says which coding it was; a refusal stays what it is."""
    assert await reply_to(packed(coding, pack)) == Reply(200, "response_invalid", detail, stranger=True)
    assert await reply_to(packed(coding, pack, b"no", 403)) == Reply(403, "http_403", stranger=True)


@given(data=st.binary(), coding=st.sampled_from(["gzip", "deflate", "gzip, deflate", "br", "identity", ",", ""]))
def test_unpacking_never_takes_more_than_its_bound(data: bytes, coding: str) -> None:
    """Whatever comes, at most one byte over the bound comes out, or an error of one kind."""
    for body in (data, gzip.compress(data), zlib.compress(data), bare(data)):
        with contextlib.suppress(NotUnpackedError):
            assert len(unpacked(body, coding, max(10, len(body)))) <= max(10, len(body)) + 1


def test_many_small_streams_are_refused() -> None:
    """Gzip of a hundred thousand empty streams is no work for minutes."""
    with pytest.raises(NotUnpackedError):
        unpacked(gzip.compress(b"") * 100_000, "gzip", 1_000)


@pytest.mark.fault("A4", "answers of some megabytes")
async def test_a_large_answer_is_an_acknowledgement() -> None:
    """An answer of 4,000,000 bytes is read to its end, compressed or not."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n\r\n"
    for coding, pack in ((b"identity", bytes), (b"gzip", gzip.compress)):
        large = raw(lambda request: head % coding + pack(acknowledgement(request, summary="x" * 4_000_000)))  # noqa: B023  used at once
        assert await reply_to(large) == ACKNOWLEDGED


@pytest.mark.fault("A4", "--max-answer")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_the_bound_can_be_chosen(pack: Callable[[bytes], bytes]) -> None:
    """Over `--max-answer` a 2xx acknowledges nothing, and of a refusal the message is what was read."""
    coding = "identity" if pack is bytes else "gzip"
    body = b'{"message": "no", "trace": "' + b"x" * 2_000 + b'"}'
    too_large = Reply(200, "response_too_large", "the answer is over 1,000 bytes, see --max-answer", stranger=True)
    assert await reply_to(packed(coding, pack, body), max_answer=1_000) == too_large
    assert await reply_to(packed(coding, pack, body, 400), max_answer=1_000) == Reply(400, "http_400", "no")
