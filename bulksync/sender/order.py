"""The rows between input and outcome: file order within an execution, and a window over all of them."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from bulksync.model import Key, Row
from bulksync.sender.feed import Feed

PARKED = 10_000
"""Maximum rows parked behind others of their execution: how far to look ahead for executions that can proceed."""

PARKED_BYTES = 16 * 2**20
"""Maximum total size of the parked rows' bodies."""


class Order:
    """Admits rows so that those of one execution never overlap and never change order.

    At most *window* rows are inside, not counting those parked behind them.
    """

    def __init__(self, feed: Feed, window: int) -> None:
        self._feed = feed
        self._window = window
        self._rows: deque[Row] = deque()
        self._read_to = 0
        self._ahead: set[int] = set()
        self.is_exhausted = False
        self._reading = asyncio.Lock()
        self._behind: dict[Key, list[Row]] = {}
        """For each execution with a row inside, the rows parked behind it."""
        self._blocked: set[Key] = set()
        self._ready: deque[Row] = deque()
        self._moved = asyncio.Event()
        self._is_closed = False
        self._parked = 0
        self._parked_bytes = 0
        self.inside = 0

    @property
    def is_stuck(self) -> bool:
        """Whether no row can be admitted until one that is inside is released."""
        if self._ready or self._reading.locked():
            return False
        return self._is_full() or (self.is_exhausted and not self._rows)

    def close(self) -> None:
        """Admit no more rows."""
        self._is_closed = True
        self._moved.set()

    async def admit(self, *, wait: bool = True) -> Row | None:
        """Return the next row whose execution is free, parking rows whose execution is not; None if there is none.

        Without *wait*, also return None if only the release of a row could make room.
        """
        while not self._is_closed:
            if self._ready:
                return self._ready.popleft()
            if self._is_full():
                if not wait:
                    return None
                self._moved.clear()
                await self._moved.wait()
                continue
            self.inside += 1  # before reading the input: other workers get here during that await
            row = await self._next()
            if row is None or not self._let_in(row):
                self._leave()
            else:
                return row
            if row is None:
                return None
        return None

    def jump(self, rows: Iterable[Row]) -> list[Row]:
        """Admit rows from farther on in the input, and return those whose execution is free."""
        new = [row for row in rows if row.row > self._read_to and row.row not in self._ahead]
        free = {row.key: row for row in new if row.key not in self._behind and row.key not in self._blocked}
        for key, row in free.items():
            self._ahead.add(row.row)
            self._behind[key] = []
            self.inside += 1
        return list(free.values())

    def release(self, row: Row, *, is_settled: bool) -> None:
        """Release a row; the next one of its execution may proceed only if this one is settled, otherwise none may."""
        behind = self._behind.pop(row.key)
        if not is_settled:
            self._unpark(behind)
            self._blocked.add(row.key)
        elif behind:
            self._unpark(behind[:1])
            self.inside += 1
            self._ready.append(behind.pop(0))
            self._behind[row.key] = behind
        self._leave()

    def _let_in(self, row: Row) -> bool:
        if row.key in self._blocked:
            return False
        if (behind := self._behind.get(row.key)) is None:
            self._behind[row.key] = []
            return True
        behind.append(row)
        self._parked += 1
        self._parked_bytes += len(row.body)
        return False

    def _unpark(self, rows: Sequence[Row]) -> None:
        self._parked -= len(rows)
        self._parked_bytes -= sum(len(row.body) for row in rows)

    def _is_full(self) -> bool:
        is_parked_full = self._parked >= PARKED or self._parked_bytes >= PARKED_BYTES
        return self.inside >= self._window or is_parked_full

    def _leave(self) -> None:
        self.inside -= 1
        self._moved.set()

    async def _next(self) -> Row | None:
        while True:
            while not self._rows:
                if self.is_exhausted:
                    return None
                await self._read()
            row = self._rows.popleft()
            self._read_to = row.row
            if row.row not in self._ahead:
                return row

    async def _read(self) -> None:
        async with self._reading:
            if not self._rows and not self.is_exhausted:
                chunk = await self._feed.next()
                self.is_exhausted = chunk is None
                self._rows.extend(chunk or ())
