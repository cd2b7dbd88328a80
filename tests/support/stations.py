"""What stands beside a dispatcher under test: a feed of given rows, and a ledger that keeps results in memory."""

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import anyio

from bulksync.ledger.store import Store
from bulksync.ledger.writer import Ledger
from bulksync.model import Key, Request, Result, Row, Send, Stop, Way
from bulksync.sender.feed import Feed


def by(send: Send) -> Way:
    """Return the way of rows that each take one request, an update."""
    request = Request(send)
    return lambda _: (request,)


class GivenRows(Feed):
    """Gives rows in chunks of so many; those from *elsewhere* are what a test decides."""

    def __init__(self, rows: Sequence[Row], chunk: int, elsewhere: Callable[[int], list[Row]] = lambda _: []) -> None:
        self._waiting = list(rows)
        self._chunk = chunk
        self._found = elsewhere
        self.stop: Stop | None = None

    async def next(self) -> list[Row] | None:
        """Return the next rows."""
        await anyio.lowlevel.checkpoint()
        part = self._waiting[: self._chunk]
        del self._waiting[: self._chunk]
        return part or None

    async def elsewhere(self, most: int) -> list[Row]:
        """Return what the test decides."""
        await anyio.lowlevel.checkpoint()
        return self._found(most)


class Recorded(Ledger):
    """Keeps results in memory; *room* is what a test waits for before a turn."""

    def __init__(self, room: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__(ThreadPoolExecutor(max_workers=1), Store(None))  # starts its thread with the first call: never
        self._has_room = room
        self.results: list[Result] = []

    def record(self, result: Result) -> None:
        """Keep a result."""
        self.results.append(result)

    async def room(self) -> None:
        """Wait for what the test waits for."""
        if self._has_room is not None:
            await self._has_room()

    async def kept(self, key: Key) -> None:
        """Wait for nothing."""
