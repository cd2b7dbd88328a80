"""Finished rows not yet delivered to the caller; each is delivered once."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from bulksync.model import Outcome, Result

AHEAD = 1_000
"""Undelivered rows at which new requests wait: a consumer that processes each row sets the pace of the run."""

TAKEN_AT_ONCE = 200


class Backlog:
    """Row numbers of one run in the order of their commits; at its end, the remaining ones in input order."""

    def __init__(self) -> None:
        self._rows: deque[int] = deque()
        self._taken = bytearray()
        self._others: Iterator[int] = iter(())
        self._is_over = False
        self._moved = asyncio.Event()
        self.run = 0

    def add(self, run: int, results: Iterable[Result]) -> None:
        """Add what was committed, except unsent rows: their reason is known only when the run is closed."""
        self.add_rows(run, [result.row for result in results if result.outcome is not Outcome.UNSENT])

    def add_rows(self, run: int, rows: Iterable[int]) -> None:
        """Add rows whose outcome is in the ledger."""
        self.run = run
        self._rows.extend(rows)
        self._moved.set()

    def complete(self, run: int, rows: int) -> None:
        """Mark the run as closed; all *rows* now have an outcome."""
        self.run = run
        self._others = iter(range(1, rows + 1))
        self._is_over = True
        self._moved.set()

    def close(self) -> None:
        """Discard everything still queued."""
        self._rows.clear()
        self._others = iter(())
        self._is_over = True
        self._moved.set()

    async def room(self) -> None:
        """Wait until few enough rows are queued."""
        while len(self._rows) >= AHEAD and not self._is_over:
            self._moved.clear()
            await self._moved.wait()

    async def take(self) -> list[int]:
        """Wait for rows, and return some; empty once all were delivered."""
        while not self._rows and not self._is_over:
            self._moved.clear()
            await self._moved.wait()
        rows = list(islice(self._fresh(), TAKEN_AT_ONCE))
        self._moved.set()
        return rows

    def _fresh(self) -> Iterator[int]:
        while self._rows:
            if self._is_fresh(row := self._rows.popleft()):
                yield row
        yield from (row for row in self._others if self._is_fresh(row))

    def _is_fresh(self, row: int) -> bool:
        self._taken.extend(bytes(max(0, row + 1 - len(self._taken))))
        was_taken, self._taken[row] = self._taken[row], 1
        return not was_taken
