"""The rows between the input and their outcome: file order within an execution, and a window on all of them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from bulksync.model import Key, Row

Feed = Callable[[], Awaitable[Sequence[Row] | None]]
"""Gives the next rows of the input that are due, in file order; None at its end."""


class Order:
    """Lets rows in so that those of one execution never overlap and never swap; at most *window* are inside."""

    def __init__(self, feed: Feed, window: int) -> None:
        self._feed = feed
        self._window = window
        self._rows: deque[Row] = deque()
        self.is_exhausted = False
        self._reading = asyncio.Lock()
        self._behind: dict[Key, list[Row]] = {}
        """By execution that has a row inside: the rows parked behind it."""
        self._blocked: set[Key] = set()
        self._ready: deque[Row] = deque()
        self._moved = asyncio.Event()
        self._is_closed = False
        self.inside = 0

    def close(self) -> None:
        """Let no more rows in."""
        self._is_closed = True
        self._moved.set()

    async def admit(self, *, wait: bool = True) -> Row | None:
        """Return the next row whose execution is free, and park those whose is not; None where there is none.

        Without *wait*, also None where only the end of a row that is inside could make room.
        """
        while not self._is_closed:
            if self._ready:
                return self._ready.popleft()
            if self.inside >= self._window:
                if not wait:
                    return None
                self._moved.clear()
                await self._moved.wait()
                continue
            self.inside += 1  # before the input is read: while that takes its time, others come here too
            row = await self._next()
            if row is None or row.key in self._blocked:
                self._leave()
                if row is None:
                    return None
            elif (behind := self._behind.get(row.key)) is not None:
                behind.append(row)
            else:
                self._behind[row.key] = []
                return row
        return None

    def release(self, row: Row, *, is_settled: bool) -> None:
        """Let a row out; the next one of its execution may go only if this one is settled, else none may."""
        behind = self._behind.pop(row.key)
        if not is_settled:
            self.inside -= len(behind)
            self._blocked.add(row.key)
        elif behind:
            self._ready.append(behind.pop(0))
            self._behind[row.key] = behind
        self._leave()

    def _leave(self) -> None:
        self.inside -= 1
        self._moved.set()

    async def _next(self) -> Row | None:
        while not self._rows:
            async with self._reading:
                if not self._rows and not self.is_exhausted:
                    chunk = await self._feed()
                    self.is_exhausted = chunk is None
                    self._rows.extend(chunk or ())
            if self.is_exhausted and not self._rows:
                return None
        return self._rows.popleft()
