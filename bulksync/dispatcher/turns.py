"""The rows that wait to start a request: each gets a turn when there is a free slot and the pacer allows it."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from bulksync.pacing import Pacer
from bulksync.tally import Tally


class Turns:
    """Hands out turns by row number, so that a retry goes before the rows behind it; the only caller of the pacer."""

    def __init__(
        self,
        pacer: Pacer,
        width: Callable[[], int],
        room: Callable[[], Awaitable[None]],
        tally: Tally,
        now: Callable[[], float],
    ) -> None:
        self._pacer = pacer
        self._width = width
        self._room = room
        self._tally = tally
        self._now = now
        self._waiting: list[tuple[int, asyncio.Future[bool]]] = []
        self._wake = asyncio.Event()
        self._is_closed = False
        self.in_flight = 0

    async def take(self, row: int) -> bool:
        """Wait until this row may start a request; False where nothing may start any more."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._is_closed:
            turn.set_result(False)
        else:
            heapq.heappush(self._waiting, (row, turn))
            self._wake.set()
        may_start = await turn
        if may_start and self._is_closed:  # between the turn and our waking up
            self.give_back()
            return False
        return may_start

    def give_back(self) -> None:
        """Free the slot of a request that has ended."""
        self.in_flight -= 1
        self._wake.set()

    def close(self) -> None:
        """Let nothing more start."""
        self._is_closed = True
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_result(False)
        self._waiting.clear()

    async def give(self) -> None:
        """Give turns until cancelled."""
        while True:
            await self._somebody_can_start()
            await self._room()
            since, held = self._now(), self._pacer.held_for
            count = await self._pacer.turns(max(1, min(len(self._waiting), self._free())))
            held = self._pacer.held_for - held
            self._tally.time_went["hold"] += held
            self._tally.time_went["rate"] += self._now() - since - held
            for _ in range(min(count, self._free())):
                self._start_next()

    async def _somebody_can_start(self) -> None:
        while not (self._waiting and self._free()):
            since, cause = self._now(), "server" if self.in_flight else "retry"
            self._wake.clear()
            await self._wake.wait()
            self._tally.time_went[cause] += self._now() - since

    def _start_next(self) -> None:
        while self._waiting:
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self.in_flight += 1
                turn.set_result(True)
                return

    def _free(self) -> int:
        return max(0, self._width() - self.in_flight)
