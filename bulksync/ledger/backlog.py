"""The rows that have their outcome and that nobody has looked at yet: each is taken once."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from bulksync.model import Outcome, Result

AHEAD = 1_000
"""Rows not yet taken at which new requests wait: whoever looks at each row decides how fast a run goes on."""

TAKEN_AT_ONCE = 200


class Backlog:
    """Row numbers of one run in the order of their commits, and at its end the others in input order."""

    def __init__(self) -> None:
        self._rows: deque[int] = deque()
        self._taken = bytearray()
        self._others: Iterator[int] = iter(())
        self._is_over = False
        self._moved = asyncio.Event()
        self.run = 0

    def add(self, run: int, results: Iterable[Result]) -> None:
        """Take what was committed; why a row is unsent is known only when its run is closed."""
        self.add_rows(run, [result.row for result in results if result.outcome is not Outcome.UNSENT])

    def add_rows(self, run: int, rows: Iterable[int]) -> None:
        """Take rows of which the ledger has the outcome."""
        self.run = run
        self._rows.extend(rows)
        self._moved.set()

    def complete(self, run: int, rows: int) -> None:
        """Take that a run of so many *rows* is closed: each of them has its outcome now."""
        self.run = run
        self._others = iter(range(1, rows + 1))
        self._is_over = True
        self._moved.set()

    def close(self) -> None:
        """Have nothing to take any more."""
        self._rows.clear()
        self._others = iter(())
        self._is_over = True
        self._moved.set()

    async def room(self) -> None:
        """Wait until not too many rows wait to be taken."""
        while len(self._rows) >= AHEAD and not self._is_over:
            self._moved.clear()
            await self._moved.wait()

    async def take(self) -> list[int]:
        """Wait for rows, and return some; none where all were taken."""
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
