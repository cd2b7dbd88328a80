"""Tests of `bulksync.client.protocol`: only what arrives behind a request can answer it, on both event loops."""

import asyncio
import contextlib
import json
import select
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bulksync.client import Trust, connect
from bulksync.client.protocol import with_one_length
from bulksync.model import Put, Reply, Row
from tests.fault_server import Authority, Behaviour, Request, acknowledgement, authority, message, serve
from tests.program import KEY, WORKFLOW, execution

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that the client trusts."""
    return authority(tmp_path_factory.mktemp("authority") / "trusted")


def on(loop: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on one of the two event loops."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def row(number: int) -> Row:
    """Return a row; all of them are of one execution, so that an answer to one looks like an answer to another."""
    return Row(number, number + 1, WORKFLOW, execution(1), "COMPLETED", b'{"status":"COMPLETED"}')


@asynccontextmanager
async def client(url: str, certificate: Path | None = None, **options: Any) -> AsyncIterator[Put]:
    """Yield what puts a row, over one connection at a time."""
    given = {"max_in_flight": 1, "connect_timeout": 5.0, "keepalive": 10.0, "max_answer": 2**20, "timeout": 5.0}
    async with connect(url, SecretStr(KEY), trust=Trust(certificate), **given | options) as put:
        yield put


async def at_once() -> bool:
    """Give a turn."""
    return True


def word(reply: Reply | None) -> str:
    """Return what came of a row: the disposition that only its own answer has, or the error."""
    assert reply is not None
    return reply.execution.disposition if reply.execution else reply.error


def numbered(stray: Callable[[bytes], bytes], *, apart: bool) -> tuple[Behaviour, asyncio.Event]:
    """Return a server that answers each request with its number, and then, *apart* or at once, something more.

    The event is set when that has been written.
    """
    count, said = 0, asyncio.Event()

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        nonlocal count
        count += 1
        whole = message(acknowledgement(request, disposition=f"answer {count}"))
        if apart:
            writer.write(whole)
            await writer.drain()
            await asyncio.sleep(0.03)
            writer.write(stray(whole))
        else:
            writer.write(whole + stray(whole))
        await writer.drain()
        said.set()

    return behave, said


STRAYS: dict[str, Callable[[bytes], bytes]] = {
    "the answer again": lambda whole: whole,
    "half of the answer": lambda whole: whole[: len(whole) // 2],
    "a byte": lambda _: b"H",
    "a goodbye": lambda _: message(b"", status=408, headers={"Connection": "close"}),
    "an interim answer": lambda _: b"HTTP/1.1 102 Processing\r\n\r\n",
    "an error": lambda _: message(b'{"message":"no"}', status=422),
}


@pytest.mark.fault("A1", "an answer that nobody asked for")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_what_comes_between_requests_answers_none(
    loop: str, tls: bool, stray: Callable[[bytes], bytes], trusted: Authority
) -> None:
    """Whatever a server says on an idle connection: the next row has its own answer, over a new connection."""

    async def main() -> None:
        behave, said = numbered(stray, apart=True)
        context, certificate = (trusted.tls(), trusted.certificate) if tls else (None, None)
        async with serve(then=behave, tls=context) as server, client(server.url, certificate) as put:
            for number in (1, 2, 3):
                said.clear()
                assert word(await put(row(number), at_once)) == f"answer {number}"
                await said.wait()
            assert (len(server.requests), server.connections) == (3, 3)

    on(loop, main)


@pytest.mark.fault("A1", "two answers in one")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_what_comes_with_an_answer_answers_nothing_else(loop: str, stray: Callable[[bytes], bytes]) -> None:
    """A second answer in the same breath is not the next row's."""

    async def main() -> None:
        behave, _ = numbered(stray, apart=False)
        async with serve(then=behave) as server, client(server.url) as put:
            said = [word(await put(row(number), at_once)) for number in (1, 2, 3)]
            assert (said, server.connections) == (["answer 1", "answer 2", "answer 3"], 3)

    on(loop, main)


@pytest.mark.fault("A1", "an answer that waits in the socket of a loop that stood still")
@pytest.mark.parametrize("loop", LOOPS)
def test_what_lies_in_the_socket_unread_answers_nothing(loop: str) -> None:
    """A stray answer that came while the event loop did nothing is found before the next request is written."""

    async def main() -> None:
        behave, said = numbered(STRAYS["the answer again"], apart=True)
        async with elsewhere(behave, said) as url, client(url) as put:
            assert word(await put(row(1), at_once)) == "answer 1"

            async def standing_still() -> bool:
                stray_is_there(said)  # the loop reads nothing meanwhile
                return True

            assert word(await put(row(2), standing_still)) == "answer 2"

    on(loop, main)


@asynccontextmanager
async def elsewhere(behave: Behaviour, said: asyncio.Event) -> AsyncIterator[str]:
    """Yield the URL of a server in a thread of its own, which goes on while our loop stands still."""
    started, ended, urls = threading.Event(), threading.Event(), []
    threading_said[id(said)] = threading.Event()

    async def telling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        await behave(reader, writer, request)
        threading_said[id(said)].set()

    async def main() -> None:
        async with serve(then=telling) as server:
            urls.append(server.url)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    await asyncio.to_thread(started.wait)
    try:
        yield urls[0]
    finally:
        ended.set()
        await asyncio.to_thread(thread.join)


threading_said: dict[int, threading.Event] = {}


def stray_is_there(said: asyncio.Event) -> None:
    """Block until the server has said more than it was asked."""
    assert threading_said[id(said)].wait(10)


@pytest.mark.fault("A1", "a connection that is closed while its row waits for a turn")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_greeting", [True, False], ids=["greets", "closes"])
def test_a_server_that_never_waits_for_a_request(loop: str, is_greeting: bool) -> None:
    """One that speaks first, or closes at once, gets no request, and after three connections the row is told."""

    async def main() -> None:
        tasks: list[asyncio.Task[None] | None] = []

        async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.current_task())
            if is_greeting:
                writer.write(message(json.dumps({"id": execution(1)}).encode()))
                await asyncio.sleep(0.1)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

        async def later() -> bool:
            await asyncio.sleep(0.05)
            return True

        listening = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with listening, client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}") as put:
            reply = await put(row(1), later)
            await asyncio.gather(*(task for task in tasks if task))
        assert (word(reply), len(tasks)) == ("connect_failed", 3)

    on(loop, main)


# Turns


@pytest.mark.fault("C1", "connection first, then the turn, then the write")
async def test_the_turn_is_asked_for_once_a_connection_is_open() -> None:
    """When a turn is asked for, the connection stands; without a connection none is asked for."""
    asked: list[int] = []
    async with serve() as server, client(server.url) as put:

        async def turn() -> bool:
            asked.append(server.connections)
            return True

        assert word(await put(row(1), turn)) == ""
    async with client(server.url) as put:
        assert word(await put(row(1), turn)) == "connect_failed"
    assert asked in ([0], [1])  # as the server's loop, which is this one, may still have to take the connection


async def test_a_row_without_a_turn_leaves_its_connection_to_others() -> None:
    """Where no turn comes nothing is sent, and the open connection is the next row's."""

    async def never() -> bool:
        return False

    async with serve() as server, client(server.url) as put:
        assert await put(row(1), never) is None
        assert word(await put(row(2), at_once)) == ""
        assert (len(server.requests), server.connections) == (1, 1)


@pytest.mark.fault("C1", "waiting counts as no attempt's time")
async def test_waiting_for_a_turn_takes_no_time_from_an_attempt() -> None:
    """The time of an attempt begins with its request."""

    async def late() -> bool:
        await asyncio.sleep(0.3)
        return True

    async with serve() as server, client(server.url, timeout=0.2) as put:
        assert word(await put(row(1), late)) == ""


# Stalls


@pytest.mark.fault("A2", "SIGSTOP for longer than --timeout")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("size", [0, 1_000_000], ids=["small", "large"])
def test_an_answer_that_came_during_a_stall_counts(loop: str, size: int) -> None:
    """A loop that stood still past a deadline reads what has come before the deadline ends the attempt."""

    async def main() -> None:
        said = asyncio.Event()

        async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
            writer.write(message(acknowledgement(request, disposition="in time", filler="x" * size)))
            await writer.drain()

        async with elsewhere(behave, said) as url, client(url, timeout=0.3, max_answer=2**22) as put:
            sending = asyncio.ensure_future(put(row(1), at_once))
            while not sending.done() and not threading_said[id(said)].is_set():
                # Once the request is out, nothing is read any more until the deadline is long over.
                await asyncio.sleep(0)
                if threading_said[id(said)].wait(0.001) or not sending.done():
                    stand_still(0.5)
            assert word(await sending) == "in time"

    on(loop, main)


def stand_still(seconds: float) -> None:
    """Block the loop, as a stopped process does."""
    select.select([], [], [], seconds)


# The head


@given(
    st.lists(
        st.sampled_from([b"Content-Length: 5", b"content-length:5", b"CONTENT-LENGTH: 5, 5", b"X: 1"]), max_size=6
    ),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_a_length_is_said_once(lines: list[bytes], end: bytes) -> None:
    """However often the same length is said, one is left, and every other line and the body stay as they are."""
    head = end.join([b"HTTP/1.1 200 OK", *lines, b"", b""])
    got = with_one_length(head + b"hello")
    assert got.endswith(end + end + b"hello")
    assert got.lower().count(b"content-length") == min(1, sum(b"X" not in line for line in lines))
    assert got.count(b"X: 1") == lines.count(b"X: 1")
    assert b"," not in got


@pytest.mark.parametrize(
    "head", [b"A: 1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"Content-Length: 5, 6\r\n\r\n"]
)
def test_lengths_that_differ_stay(head: bytes) -> None:
    """What contradicts itself is left to the parser, which refuses it."""
    assert with_one_length(b"HTTP/1.1 200 OK\r\n" + head) == b"HTTP/1.1 200 OK\r\n" + head
