"""Ready connections: nothing that arrived before a request's write answers it, and a turn is followed by the write."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from bulksync.client.pool import let_loop_read
from bulksync.model import Reply
from tests.support.clients import ACKNOWLEDGED, granted, paced, row
from tests.support.fault_server import Authority, acknowledgement, authority, message, serve
from tests.support.thread_server import Server, Talk, listening

Run = Callable[[Coroutine[Any, Any, Any]], Any]

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
WIRES = pytest.mark.parametrize("is_tls", [False, True], ids=["TCP", "TLS"])
REFUSED = Reply(422, "http_422", "no")


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Found the authority that the client is told to trust."""
    return authority(tmp_path_factory.mktemp("tls") / "trusted")


@pytest.fixture
def tls(trusted: Authority, is_tls: bool) -> ssl.SSLContext | None:
    """Return what the server needs for TLS, or nothing."""
    return trusted.tls() if is_tls else None


STRAY = message(b'{"id": "<id>", "workflowId": "<workflow>", "status": "COMPLETED", "disposition": "STRAY"}')


def stray_of(request: Any) -> bytes:
    """Return a second answer that would do for the same execution."""
    return message(acknowledgement(request, disposition="STRAY"))


STRAYS: dict[str, Callable[[Any], bytes]] = {
    "the answer again": stray_of,
    "408": lambda _: message(b"", status=408, headers={"Connection": "close"}),
    "half an answer": lambda request: stray_of(request)[:50],
    "a byte": lambda _: b"H",
    "a line break": lambda _: b"\r\n",
    "the end": lambda _: b"",
}


def refuse(talk: Talk) -> None:
    """Answer a request with 422."""
    talk.read()
    talk.write(message(b'{"message": "no"}', status=422))
    talk.linger()


@pytest.mark.fault("A1", "stray answers, 408 and ends on an idle connection")
@LOOPS
@WIRES
@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("is_read", [True, False], ids=["read", "unread in the socket"])
def test_what_comes_before_a_request_is_not_its_answer(
    run: Run, tls: ssl.SSLContext | None, stray: Callable[[Any], bytes], is_read: bool, trusted: Authority
) -> None:
    """Whatever a server sends on an idle connection, the next request goes to another one and gets its own answer."""

    def behave(talk: Talk, server: Server) -> None:
        if talk.number > 1:
            refuse(talk)
            return
        request = talk.read()
        talk.write(message(acknowledgement(request)))
        server.heard.wait()
        talk.write(stray(request)) if stray(request) else talk.connection.shutdown(1)
        server.said.set()
        talk.linger()

    async def main(server: Server) -> list[Reply | None]:
        async def turn() -> bool:
            server.prompt()
            if is_read:
                await let_loop_read()
            return True

        async with paced(server.url, ca_file=trusted.certificate) as put:
            return [await put(row(1), granted), await put(row(1), turn)]

    with listening(behave, tls) as server:
        assert run(main(server)) == [ACKNOWLEDGED, REFUSED]
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.fault("A1", "bytes behind an answer, in the same segment")
@LOOPS
@WIRES
@pytest.mark.parametrize("stray", list(STRAYS.values())[:4], ids=list(STRAYS)[:4])
def test_what_follows_an_answer_ends_the_connection(
    run: Run, tls: ssl.SSLContext | None, stray: Callable[[Any], bytes], trusted: Authority
) -> None:
    """Bytes behind an answer's body, were it the beginning of another answer, keep the connection from the next row."""

    def behave(talk: Talk, server: Server) -> None:
        if talk.number > 1:
            refuse(talk)
            return
        request = talk.read()
        talk.write(message(acknowledgement(request)) + stray(request))
        talk.linger()

    async def main(server: Server) -> list[Reply | None]:
        async with paced(server.url, ca_file=trusted.certificate) as put:
            return [await put(row(1), granted), await put(row(1), granted)]

    with listening(behave, tls) as server:
        assert run(main(server)) == [ACKNOWLEDGED, REFUSED]
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.fault("A1", "an answer between connecting and the turn")
@LOOPS
@WIRES
@pytest.mark.parametrize("is_read", [True, False], ids=["read", "unread in the socket"])
def test_what_comes_on_a_new_connection_is_not_its_answer(
    run: Run, tls: ssl.SSLContext | None, is_read: bool, trusted: Authority
) -> None:
    """A server that answers before it was asked has its connection closed, and another one gets the request."""

    def behave(talk: Talk, server: Server) -> None:
        if talk.number > 1:
            refuse(talk)
            return
        server.heard.wait()
        talk.write(message(b'{"id": "?"}'))
        server.said.set()
        talk.linger()

    async def main(server: Server) -> tuple[Reply | None, int]:
        turns = 0

        async def turn() -> bool:
            nonlocal turns
            turns += 1
            if turns == 1:
                server.prompt()
                if is_read:
                    await let_loop_read()
            return True

        async with paced(server.url, ca_file=trusted.certificate) as put:
            return await put(row(1), turn), turns

    with listening(behave, tls) as server:
        assert run(main(server)) == (REFUSED, 2)
    assert [request.connection for request in server.requests] == [2]


@pytest.mark.fault("A1", "a server that speaks first")
@LOOPS
def test_a_server_that_always_speaks_first(run: Run) -> None:
    """A server of another protocol, which greets, is told as such; it sees three connections and no request."""

    def behave(talk: Talk, server: Server) -> None:
        talk.write(b"220 mail.example ESMTP\r\n")
        server.said.set()
        talk.linger()

    async def main(server: Server) -> Reply | None:
        async def turn() -> bool:
            server.prompt()
            server.said.clear()
            return True

        async with paced(server.url) as put:
            return await put(row(1), turn)

    with listening(behave) as server:
        spoke = Reply(None, "protocol_error", "the server speaks before it is asked", stranger=True)
        assert run(main(server)) == spoke
    assert (server.connections, server.requests) == (3, [])


@pytest.mark.fault("C1", "a server that closes connections at once")
@LOOPS
def test_a_server_that_closes_new_connections(run: Run) -> None:
    """A server that closes each connection before the request's turn is not asked for ever."""

    async def main(server: Server) -> tuple[Reply | None, int]:
        turns = 0

        async def turn() -> bool:
            nonlocal turns
            turns += 1
            assert server.said.wait(60)
            server.said.clear()
            return True

        async with paced(server.url) as put:
            return await put(row(1), turn), turns

    with listening(lambda talk, server: (talk.connection.shutdown(2), server.said.set())) as server:  # type: ignore[arg-type,func-returns-value]  # two steps
        closed = Reply(None, "connect_failed", "the server closed the connection before a request was sent")
        assert run(main(server)) == (closed, 3)


@pytest.mark.fault("A1", "an acknowledgement before the whole request has left")
@LOOPS
def test_an_acknowledgement_before_the_request_has_left(run: Run) -> None:
    """A 200 that comes while the request is still on its way acknowledges nothing of it."""

    def behave(talk: Talk, server: Server) -> None:
        talk.connection.recv(100)
        talk.write(message(b'{"id": "?"}'))
        server.heard.wait()

    async def main(server: Server) -> Reply | None:
        async with paced(server.url) as put:
            return await put(row(1, body=bytes(20 * 1024 * 1024)), granted)

    with listening(behave) as server:
        early = Reply(200, "response_invalid", "the answer came before the whole request had left", stranger=True)
        assert run(main(server)) == early
        server.heard.set()


# A connection, then the turn, then the write


@pytest.mark.fault("C1", "the connection before the turn")
async def test_the_turn_comes_once_a_connection_is_open() -> None:
    """When a turn is asked for the connection stands, and the request is written as soon as it is given."""
    seen = []
    async with serve() as server, paced(server.url) as put:

        async def turn() -> bool:
            await asyncio.sleep(0)
            seen.append((server.connections, len(server.requests)))
            return True

        assert [await put(row(1), turn), await put(row(2), turn)] == [ACKNOWLEDGED] * 2
    assert seen == [(1, 0), (1, 1)]


async def test_no_turn_without_a_connection() -> None:
    """A connection that cannot be opened is told without a turn."""

    async def turn() -> bool:
        pytest.fail("a turn was asked for")

    async with serve() as gone:
        pass
    async with paced(gone.url) as put:
        assert await put(row(1), turn) == Reply(None, "connect_failed", "no connection: Connection refused")


async def test_a_turn_that_is_refused() -> None:
    """Where the run stops nothing is written, and the connection serves the next request."""

    async def stop() -> bool:
        return False

    async with serve() as server, paced(server.url) as put:
        assert [await put(row(1), stop), await put(row(2), granted)] == [None, ACKNOWLEDGED]
    assert (server.connections, len(server.requests)) == (1, 1)


async def test_a_turn_that_is_cancelled() -> None:
    """Who is cancelled while waiting for a turn leaves the connection to the next request."""
    asked = asyncio.Event()

    async def never() -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    async with serve() as server, paced(server.url, max_in_flight=1) as put:
        waiting = asyncio.create_task(_reply(put(row(1), never)))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await put(row(2), granted) == ACKNOWLEDGED
    assert (server.connections, len(server.requests)) == (1, 1)


async def _reply(put: Awaitable[Reply | None]) -> Reply | None:
    return await put


@pytest.mark.fault("C1", "time that passes before the turn")
async def test_waiting_for_a_turn_takes_no_time_of_the_attempt() -> None:
    """The timeout counts from the write: a turn that comes later than it allows costs nothing."""

    async def late() -> bool:
        await asyncio.sleep(1.6)
        return True

    async with serve() as server, paced(server.url, timeout=1.5, connect_timeout=1.5) as put:
        assert await put(row(1), late) == ACKNOWLEDGED


async def test_requests_that_wait_have_a_connection_each() -> None:
    """As many connections stand as requests wait for their turns, and no more than may be in flight."""
    gate, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def turn() -> bool:
        asked.release()
        await gate.wait()
        return True

    async with serve() as server, paced(server.url, max_in_flight=3) as put:
        waiting = [asyncio.create_task(_reply(put(row(number), turn))) for number in range(1, 6)]
        for _ in range(3):
            await asked.acquire()
        await let_loop_read()
        assert server.connections == 3
        gate.set()
        assert await asyncio.gather(*waiting) == [ACKNOWLEDGED] * 5
    assert server.connections == 3


async def test_the_connection_that_idled_least_is_used() -> None:
    """At a low rate one connection takes all requests, so that it does not die of age as the others do."""
    gate, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def turn() -> bool:
        asked.release()
        await gate.wait()
        return True

    async with serve() as server, paced(server.url) as put:
        both = [asyncio.create_task(_reply(put(row(number), turn))) for number in (1, 2)]
        for _ in both:
            await asked.acquire()
        gate.set()
        await asyncio.gather(*both)
        for number in range(3, 8):
            assert await put(row(number), granted) == ACKNOWLEDGED
    assert len({request.connection for request in server.requests[2:]}) == 1


@LOOPS
def test_a_connection_that_is_lost_before_the_turn_is_replaced(run: Run) -> None:
    """Where the server closes the connection that a request waits with, another one stands when its turn comes."""

    def behave(talk: Talk, server: Server) -> None:
        if talk.number == 2:
            server.said.set()
        talk.write(message(acknowledgement(talk.read())))
        if talk.number == 1:
            server.heard.wait()
            return
        talk.linger()

    async def main(server: Server) -> tuple[list[Reply | None], int]:
        turns = 0

        async def turn() -> bool:
            nonlocal turns
            turns += 1
            await asyncio.sleep(1.1)  # as long as a connection must stand to be replaced
            server.heard.set()
            assert await asyncio.to_thread(server.said.wait, 60)
            await let_loop_read()
            return True

        async with paced(server.url) as put:
            return [await put(row(1), granted), await put(row(2), turn)], turns

    with listening(behave) as server:
        assert run(main(server)) == ([ACKNOWLEDGED] * 2, 1)
    assert [request.connection for request in server.requests] == [1, 2]


async def test_a_connection_is_not_used_beyond_its_age() -> None:
    """A turn that comes after `--keepalive` finds the used connection closed; the row goes to a new one."""
    turns = 0

    async def late() -> bool:
        nonlocal turns
        turns += 1
        await asyncio.sleep(0.2 if turns == 1 else 0)
        return True

    async with serve() as server, paced(server.url, keepalive=0.1) as put:
        assert [await put(row(1), granted), await put(row(2), late)] == [ACKNOWLEDGED] * 2
    assert [request.connection for request in server.requests] == [1, 2]


@LOOPS
def test_session_tickets_are_no_answer(run: Run, trusted: Authority) -> None:
    """What TLS itself sends on a new connection, as TLS 1.3 does, costs neither the connection nor a turn."""

    def behave(talk: Talk, server: Server) -> None:
        while True:
            talk.write(message(acknowledgement(talk.read())))

    async def main(server: Server) -> tuple[list[Reply | None], int]:
        turns = 0

        async def turn() -> bool:
            nonlocal turns
            turns += 1
            return True

        async with paced(server.url, ca_file=trusted.certificate) as put:
            return [await put(row(number), turn) for number in range(1, 11)], turns

    with listening(behave, trusted.tls()) as server:
        assert run(main(server)) == ([ACKNOWLEDGED] * 10, 10)
    assert server.connections == 1


async def test_a_connection_that_grew_old_in_a_stall_is_not_used() -> None:
    """Where the loop stood still, so that nothing was closed in time, `--keepalive` holds all the same."""
    turns = 0

    async def stalled() -> bool:
        nonlocal turns
        turns += 1
        until = time.monotonic() + 0.15
        while turns == 1 and time.monotonic() < until:
            pass
        return True

    async with serve() as server, paced(server.url, keepalive=0.1) as put:
        assert [await put(row(1), granted), await put(row(2), stalled)] == [ACKNOWLEDGED] * 2
    assert [request.connection for request in server.requests] == [1, 2]
