"""The open connections to the API: ready before a request's turn, fresh at the moment of its write."""

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
"""Whatever may end a connection, or its opening."""

LOST_TURNS = 3
"""Turns for which a request finds no connection before it gives up: each opens a new one in between."""

PASSES = 3
"""Passes of the event loop after which it has read what lay in a socket: asyncio needs two, uvloop one."""

LONGEST_CLOSE = 1.0
"""Seconds that closing may take at the end; it takes one pass of the event loop."""

SPARE_AFTER = 1.0
"""Seconds for which a lost connection must have stood to be replaced unasked, so that a server is not pestered."""


class SpokeFirstError(ClientError):
    """The server sends bytes on a new connection before anything was asked."""


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
        """Whether it is open, to be kept, and without a byte that nobody asked for."""
        return self.protocol.is_connected() and not self.protocol.should_close

    def is_quiet(self) -> bool:
        """Whether its socket holds nothing that the event loop has not read yet, not even the end; costs 0.7 µs."""
        return not self._poll.poll(0)

    def trouble(self) -> BaseException:
        """Say why it is not fit: what the event loop was told, or that bytes came unasked."""
        if self.protocol.is_connected():
            return SpokeFirstError()
        return self.protocol.exception() or ServerDisconnectedError()

    def close(self) -> None:
        """Close the connection."""
        drop(self._connection)


def drop(connection: Connection) -> None:
    """Close a connection now: neither the rest of a request nor the end of TLS is waited for, which takes 30 s."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


def poll_of(protocol: ResponseHandler) -> select.poll:
    """Return what asks a connection's socket whether it can be read; uvloop's sockets have a number and no `recv`."""
    poll = select.poll()
    number = protocol.transport.get_extra_info("socket").fileno() if protocol.transport is not None else -1
    if number >= 0:  # of a connection that was lost meanwhile there is none
        poll.register(number, select.POLLIN)
    return poll


async def let_loop_read() -> None:
    """Let the event loop read what lies in sockets already."""
    for _ in range(PASSES):
        await asyncio.sleep(0)


class Pool:
    """Connections made by *open_one*, for at most *limit* requests; idle ones are closed after *keepalive* seconds.

    A request reserves a connection, waits for its turn, and then takes the one that idled for the shortest time. It
    holds none of its own while it waits: at a low rate the others would die of age before their turns came.
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
        """Return a connection to write to at once, its turn given; None where the run stops.

        Raises what `open_one` raises, without a turn; what ended new connections where they end before their turn.
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
        """Keep a connection for the next request, if it may be kept."""
        wire.since = monotonic()
        wire.is_new = False
        if self._keepalive and wire.is_fit():
            self._keep(wire)
        else:
            wire.close()

    async def aclose(self) -> None:
        """Close every connection, and open no more."""
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
        """Open a connection where there are fewer than requests that wait for their turn."""
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
        """Take the fit connection that idled for the shortest time; None where there is none.

        What arrived after a stall may still lie in a socket: such a connection stays until the loop has read it.
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
        """Whether the server may be about to close a connection; how long it lets a new one stand is another matter."""
        return not wire.is_new and monotonic() - wire.since > self._keepalive

    def _discard(self, wire: Wire) -> None:
        if wire.is_new:
            self._trouble = wire.trouble()
        wire.close()

    def _lost(self, wire: Wire, closed: asyncio.Future[None]) -> None:
        """Forget a connection that the server closed; where it was the last one that requests wait with, open another.

        Without that each request would lose its turn where turns come more seldom than the server closes.
        """
        closed.exception()  # seen, or asyncio would complain
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
        """Open a connection for whoever waits; where that fails the request whose turn comes will see it."""
        try:
            await self._open()
        except FAILED:
            return

    def _tidy(self) -> None:
        """Close what idled for too long, and come back for the others."""
        self._timer = None
        for wire in [wire for wire in self._idle if self._is_old(wire)]:
            self._idle.remove(wire)
            wire.close()
            self._replace(wire)
        if used := [wire.since for wire in self._idle if not wire.is_new]:
            self._timer = self._loop.call_later(max(0.01, min(used) + self._keepalive - monotonic()), self._tidy)
