"""The connection pool: connections are ready before a request's turn, and verified at the moment of the write."""

import asyncio
import select
from collections.abc import Awaitable, Callable
from time import monotonic

from aiohttp import ClientError, ServerDisconnectedError
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError

from bulksync.client.tls import alert_of
from bulksync.model import Turn

FAILED = (ClientError, HttpProcessingError, OSError)
"""Exceptions with which a connection, or its opening, may fail."""

LOST_TURNS = 3
"""Turns that a request may lose for lack of a connection before it fails: each time, a new one is opened."""

PASSES = 3
"""Passes of the event loop after which it has read the data in a socket: asyncio needs two, uvloop one."""

LONGEST_CLOSE = 1.0
"""Maximum seconds for closing at the end; it takes one pass of the event loop."""

SPARE_AFTER = 1.0
"""Minimum age in seconds at which a lost connection is replaced without demand, to avoid hammering a server."""


class SpokeFirstError(ClientError):
    """The server sends bytes on a new connection before any request."""


class Wire:
    """One open connection; *is_new* until its first request, *since* when it was last used or opened (monotonic)."""

    __slots__ = ("_connection", "_poll", "is_new", "opened", "protocol", "since")

    def __init__(self, connection: Connection) -> None:
        protocol = connection.protocol
        assert protocol is not None  # noqa: S101  an open connection has one
        self._connection = connection
        self._poll = poll_of(protocol)
        self.protocol: ResponseHandler = protocol
        self.opened = self.since = monotonic()
        self.is_new = True

    def is_fit(self) -> bool:
        """Whether it is open, may be kept, and has received no unsolicited bytes."""
        return self.protocol.is_connected() and not self.protocol.should_close

    def is_quiet(self) -> bool:
        """Whether its socket holds nothing that the event loop has not read yet, not even EOF; costs 0.7 µs."""
        return not self._poll.poll(0)

    def trouble(self) -> BaseException:
        """Return why it is unfit: the event loop's exception, or unsolicited bytes."""
        if self.protocol.is_connected():
            return SpokeFirstError()
        return self.protocol.exception() or ServerDisconnectedError()

    def close(self) -> None:
        """Close the connection."""
        drop(self._connection)


def drop(connection: Connection) -> None:
    """Close a connection at once, without waiting for unsent data or the TLS shutdown, which takes 30 s."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


def poll_of(protocol: ResponseHandler) -> select.poll:
    """Return a poll object for a connection's socket; uvloop's sockets have a file descriptor but no `recv`."""
    poll = select.poll()
    number = protocol.transport.get_extra_info("socket").fileno() if protocol.transport is not None else -1
    if number >= 0:  # a connection lost meanwhile has none
        poll.register(number, select.POLLIN)
    return poll


async def let_loop_read() -> None:
    """Let the event loop read the data already in the sockets."""
    for _ in range(PASSES):
        await asyncio.sleep(0)


class Pool:
    """Connections made by *open_one*, for at most *limit* requests; idle ones are closed after *keepalive* seconds.

    A request reserves a connection, waits for its turn, and then takes the most recently used one. It holds none of its
    own while it waits: at a low rate the others would expire before their turns came.
    """

    def __init__(self, open_one: Callable[[], Awaitable[Connection]], *, limit: int, keepalive: float) -> None:
        self.slots = asyncio.Semaphore(limit)
        self._open_one = open_one
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._idle: list[Wire] = []
        self._waiting = self._opening = 0
        self._trouble: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._spare: asyncio.Task[None] | None = None
        self._standing: dict[asyncio.Future[None], Wire] = {}

    async def acquire(self, turn: Turn) -> Wire | None:
        """Return a connection to write to at once, with its turn granted; None if the run stops.

        Raises the exception of `open_one`, without a turn, or that of new connections which end before their turn.
        """
        for _ in range(LOST_TURNS):
            self._waiting += 1
            try:
                await self._ready()
                if not await turn():
                    return None
            finally:
                self._waiting -= 1
            if (wire := self._freshest()) is not None:
                return wire
            if alert_of(self._trouble):
                break
            await let_loop_read()
        trouble, self._trouble = self._trouble, None
        raise trouble or ServerDisconnectedError()

    def release(self, wire: Wire) -> None:
        """Return a connection to the pool if it may be reused."""
        wire.since = monotonic()
        wire.is_new = False
        if self._keepalive and wire.is_fit():
            self._keep(wire)
        else:
            wire.close()

    async def aclose(self) -> None:
        """Close all connections, and open no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._spare is not None:
            self._spare.cancel()
            await asyncio.wait([self._spare])
        self._idle.clear()
        for wire in self._standing.values():
            wire.close()
        if self._standing:
            await asyncio.wait(list(self._standing), timeout=LONGEST_CLOSE)

    async def _ready(self) -> None:
        """Open a connection if there are fewer than requests waiting for their turn."""
        while self._idle and not self._idle[-1].is_fit():
            self._discard(self._idle.pop())
        if len(self._idle) + self._opening < self._waiting:
            await self._open()

    async def _open(self) -> None:
        self._opening += 1
        try:
            wire = Wire(await self._open_one())
        finally:
            self._opening -= 1
        if (closed := wire.protocol.closed) is None:
            self._discard(wire)
            return
        self._standing[closed] = wire
        closed.add_done_callback(lambda closed: self._lost(wire, closed))
        self._keep(wire)

    def _keep(self, wire: Wire) -> None:
        self._idle.append(wire)
        if self._timer is None and not wire.is_new:
            self._timer = self._loop.call_later(self._keepalive, self._tidy)

    def _freshest(self) -> Wire | None:
        """Take the fit connection that was used most recently; None if there is none.

        After a stall a socket may still hold unread data: such a connection stays in the pool until the loop has read
        it.
        """
        for place in range(len(self._idle) - 1, -1, -1):
            wire = self._idle[place]
            if not wire.is_fit() or self._is_old(wire):
                del self._idle[place]
                self._discard(wire)
            elif wire.is_quiet():
                del self._idle[place]
                self._trouble = None
                return wire
        return None

    def _is_old(self, wire: Wire) -> bool:
        """Whether the server may be about to close a connection; for a new one its time limit may be different."""
        return not wire.is_new and monotonic() - wire.since > self._keepalive

    def _discard(self, wire: Wire) -> None:
        if wire.is_new:
            self._trouble = wire.trouble()
        wire.close()

    def _lost(self, wire: Wire, closed: asyncio.Future[None]) -> None:
        """Forget a connection that the server closed; if waiting requests rely on no other one, open a spare.

        Otherwise each request would lose its turn if turns are less frequent than the server's closing of idle
        connections.
        """
        closed.exception()  # retrieved, or asyncio would warn
        del self._standing[closed]
        if wire not in self._idle:
            return
        self._idle.remove(wire)
        self._discard(wire)
        self._replace(wire)

    def _replace(self, wire: Wire) -> None:
        is_needed = self._waiting and not self._opening and not any(idle.is_fit() for idle in self._idle)
        if is_needed and monotonic() - wire.opened >= SPARE_AFTER:
            self._spare = self._loop.create_task(self._open_spare())

    async def _open_spare(self) -> None:
        """Open a connection for any waiting request; a failure surfaces at the request whose turn comes."""
        try:
            await self._open()
        except FAILED:
            return

    def _tidy(self) -> None:
        """Close connections that were idle for too long, and schedule the next check."""
        self._timer = None
        for wire in [wire for wire in self._idle if self._is_old(wire)]:
            self._idle.remove(wire)
            wire.close()
            self._replace(wire)
        if used := [wire.since for wire in self._idle if not wire.is_new]:
            self._timer = self._loop.call_later(max(0.01, min(used) + self._keepalive - monotonic()), self._tidy)
