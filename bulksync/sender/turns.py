"""The rows waiting to start a request: first for a place, which brings a connection, then for a turn to write.

A turn granted before there is a connection would be used whenever that opens: after a stall, by many rows at once.
"""

import asyncio
import heapq
import math
from dataclasses import dataclass, field

from bulksync.ledger.writer import Ledger
from bulksync.model import Row
from bulksync.quota.pacer import TICK, Pacer
from bulksync.sender.clock import Clock
from bulksync.sender.health import Health
from bulksync.sender.tally import Tally

AHEAD = 0.5
"""Seconds of upcoming turns for which rows have a connection ready.

Opening one with TLS takes three round trips, and a server may close one that stays unused.
"""

LATE = 0.01
"""Seconds after which an unused turn is dropped: a server that counts requests as they arrive tolerates no more."""


@dataclass(slots=True, order=True)
class Waiting:
    """A row waiting for a place; rows that keep failing go behind all others."""

    is_failing: bool
    number: int
    row: Row = field(compare=False)
    tried: int = field(compare=False)
    place: "asyncio.Future[Place | None]" = field(compare=False)


@dataclass(slots=True, eq=False)
class Place:
    """A row's place, held from before its connection is opened until its answer arrives; not *valid* once recalled."""

    number: int
    is_valid: bool = True
    is_in_flight: bool = False


class Turns:
    """Grants places and turns; the only caller of the pacer.

    The server's health limits both. Retries go before later rows, unless health ranks the rows.
    """

    def __init__(self, rate: float, pacer: Pacer, health: Health, ledger: Ledger, tally: Tally, clock: Clock) -> None:
        self._ahead = 1 + int(rate * AHEAD) if math.isfinite(rate) else math.inf
        self._late = LATE if math.isfinite(rate) else math.inf
        self._pacer = pacer
        self._health = health
        self._ledger = ledger
        self._tally = tally
        self._now = clock.now
        self._asking: list[Waiting] = []
        self._ready: list[tuple[int, Place, asyncio.Future[float | None]]] = []
        self._places: set[Place] = set()
        self._asked = asyncio.Event()
        self._moved = asyncio.Event()
        self._is_closed = False
        self.in_flight = 0

    # For the rows

    async def place(self, row: Row, tried: int, *, is_failing: bool) -> Place | None:
        """Wait until this row may open its connection; None if nothing may start any more."""
        if self._is_closed:
            return None
        if not self._asking and self._has_room():
            return self._placed(row.row)
        place: asyncio.Future[Place | None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._asking, Waiting(is_failing, row.row, row, tried, place))
        self._asked.set()
        return await place

    async def wait(self, place: Place) -> bool:
        """Wait until a request may be written immediately; False if it may not, or not from this place.

        A turn that the place was already granted went unused: its connection turned out to be closed.
        """
        if place.is_in_flight:
            self._land(place)
        while place.is_valid and not self._is_closed:
            turn: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._ready, (place.number, place, turn))
            self._moved.set()
            given = await turn
            if given is None:
                return False
            if self._now() - given <= self._late and not self._is_closed:
                return True
            self._land(place)
        return False

    def release(self, place: Place) -> None:
        """Give a place back, whatever the result."""
        if place.is_in_flight:
            self._land(place)
        self._places.discard(place)
        self.look_again()

    def _land(self, place: Place) -> None:
        place.is_in_flight = False
        self.in_flight -= 1

    # For the run

    def look_again(self) -> None:
        """Check again, as more rows may start than before."""
        self._asked.set()
        self._moved.set()

    def recall(self) -> None:
        """Recall the places of all rows that have not started: from now on others go first."""
        for place in self._places:
            place.is_valid = place.is_in_flight
        self._send_away()
        self.look_again()

    def close(self) -> None:
        """Let nothing more start."""
        self._is_closed = True
        for waiting in self._asking:
            if not waiting.place.done():
                waiting.place.set_result(None)
        self._asking.clear()
        self._send_away()

    def _send_away(self) -> None:
        for _, _, turn in self._ready:
            if not turn.done():
                turn.set_result(None)
        self._ready.clear()

    # Places

    async def serve_places(self) -> None:
        """Grant places, to rows whose turn is near, until cancelled."""
        while True:
            self._asked.clear()
            while (wait := self._pacer.wait_for(AHEAD)) > 0:  # noqa: ASYNC110  a hold may be extended meanwhile
                await asyncio.sleep(wait + TICK)
            while self._asking and self._has_room():
                waiting = self._next()
                if not waiting.place.done():
                    waiting.place.set_result(self._placed(waiting.number))
            await self._asked.wait()

    def _has_room(self) -> bool:
        taken = len(self._places)
        is_free = taken < self._health.breadth(self.in_flight) and taken - self.in_flight < self._ahead
        return is_free and self._pacer.wait_for(AHEAD) <= 0

    def _placed(self, number: int) -> Place:
        place = Place(number)
        self._places.add(place)
        return place

    def _next(self) -> Waiting:
        rank = self._health.rank()
        if rank is None:
            return heapq.heappop(self._asking)
        first = min(self._asking, key=lambda waiting: rank(waiting.row, waiting.tried))
        self._asking.remove(first)
        heapq.heapify(self._asking)
        return first

    # Turns

    async def serve_turns(self) -> None:
        """Grant turns until cancelled."""
        while True:
            await self._somebody_can_start()
            await self._ledger.room()
            since, held = self._now(), self._pacer.held_for
            count = await self._pacer.turns(max(1, self._startable()))
            self._went("rate", since, held)
            now = self._now()
            for _ in range(min(count, self._startable())):
                self._start_next(now)

    async def _somebody_can_start(self) -> None:
        while not self._startable():
            since, held, cause = self._now(), self._pacer.held_for, "server" if self._places else "retry"
            self._moved.clear()
            await self._moved.wait()
            self._went(cause, since, held)

    def _went(self, cause: str, since: float, held: float) -> None:
        """Attribute the time since *since* to *cause*; the part spent *held* counts as a hold."""
        on_hold = self._pacer.held_for - held
        self._tally.time_went["hold"] += on_hold
        self._tally.time_went[cause] += self._now() - since - on_hold

    def _startable(self) -> int:
        return max(0, min(len(self._ready), self._health.width() - self.in_flight))

    def _start_next(self, now: float) -> None:
        _, place, turn = heapq.heappop(self._ready)
        if not turn.done():
            place.is_in_flight = True
            self.in_flight += 1
            turn.set_result(now)
        self._asked.set()  # there is now room for other places
