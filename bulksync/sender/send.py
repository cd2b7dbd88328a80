"""Sends what a plan holds: rows from the input to the dispatcher, outcomes to the ledger, and the ways to stop."""

import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from bulksync.errors import InputError, StoppedError, StorageError
from bulksync.ledger.store import Store
from bulksync.ledger.writer import Ledger
from bulksync.model import Put, Row, Stop, Tell
from bulksync.options.models import RunOptions
from bulksync.options.values import show_duration
from bulksync.quota.pacer import Pacer
from bulksync.quota.shared import SharedPacer
from bulksync.quota.station import Station
from bulksync.reader.chunks import allowed_set, chunk_digest, chunks
from bulksync.reader.input import open_input
from bulksync.reader.source import Source
from bulksync.sender.clock import Clock
from bulksync.sender.dispatcher import Dispatcher
from bulksync.sender.plan import Plan
from bulksync.sender.signals import watch_signals
from bulksync.sender.tally import Tally
from bulksync.text import clean

Watch = Callable[[Dispatcher], Coroutine[Any, Any, None]]
"""Shows how far the run is, until cancelled."""

FEWEST_MARKED = 100
"""Rows that one commit of the watermark allows at least; at higher rates a second's worth, at most a chunk."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending: why it stopped early, if it did, and what was counted."""

    stop: Stop | None
    tally: Tally


@dataclass(frozen=True, slots=True)
class Parts:
    """What sending is put together from; tests put other clocks and broken parts in.

    *marked* is how many rows one commit of the watermark allows, 0 for what suits the rate.
    """

    dispatcher: type[Dispatcher] = Dispatcher
    pacer: type[Pacer] = Pacer
    clock: Clock = field(default_factory=Clock)
    marked: int = 0
    shared: type[SharedPacer] = SharedPacer


PARTS = Parts()


class Brake:
    """What stops a run: pulled, it lets nothing new start; slammed, it cancels the requests in flight."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self._dispatcher: Dispatcher | None = None
        self._sending: anyio.CancelScope | None = None
        self._before: anyio.CancelScope | None = None

    @contextmanager
    def before_sending(self) -> Iterator[None]:
        """Let a signal end what happens inside; StoppedError then."""
        # Validation may have noticed the signal, and ended itself, before its waiter was cancelled.
        with anyio.CancelScope() as self._before, suppress(InterruptedError):
            yield
        self._before = None
        if self.stop is not None:
            raise StoppedError("stopped before the first request; nothing was sent", self.stop.exit_code)

    def attach(self, dispatcher: Dispatcher, sending: anyio.CancelScope) -> None:
        """Say what is to be stopped from now on."""
        self._dispatcher, self._sending = dispatcher, sending
        if self.stop is not None:
            dispatcher.stop(self.stop)

    def pull_for(self, number: signal.Signals) -> None:
        """Take nothing new, because of a signal."""
        self.pull(Stop(128 + number, "interrupted", f"stopped by {number.name}"))

    def pull(self, stop: Stop) -> None:
        """Take nothing new."""
        self.stop = stop
        if self._before is not None:
            self._before.cancel()
        if self._dispatcher is not None:
            self._dispatcher.stop(self.stop)

    def slam(self) -> None:
        """Cancel the requests in flight."""
        if self._sending is not None:
            self._sending.cancel()


@asynccontextmanager
async def braked() -> AsyncGenerator[Brake, None]:
    """Yield what signals pull: the first stops, the second insists, the third leaves."""
    brake = Brake()
    async with anyio.create_task_group() as listening:
        await listening.start(watch_signals, brake.pull_for, brake.slam)
        yield brake
        listening.cancel_scope.cancel()


async def send(
    ledger: Ledger,
    plan: Plan,
    source: Source,
    options: RunOptions,
    put: Put,
    *,
    brake: Brake,
    watch: Watch,
    tell: Tell,
    station: Station | None = None,
    parts: Parts = PARTS,
    supply: "Supply | None" = None,
) -> Sent:
    """Send the due rows of a plan, or those that *supply* gives; StorageError where results cannot be recorded.

    With a *station* the rate is shared with all that lease their turns there.
    """
    now = parts.clock.now
    shared = None if station is None else parts.shared(options.rate, now, station, tell)
    limited = Limit(options.limit)
    supply = supply or Planned(ledger, plan, source, options, parts.marked or marked_at_once(options.rate))

    async def feed() -> list[Row] | None:
        if isinstance(rows := await supply.next(), Stop):
            dispatcher.stop(rows)
            return None
        return limited.cut(rows)

    async def elsewhere(most: int) -> list[Row]:
        if isinstance(rows := await supply.elsewhere(most, limited), Stop):
            dispatcher.stop(rows)
            return []
        return rows

    dispatcher = parts.dispatcher(
        options,
        feed,
        elsewhere,
        put=put,
        pacer=shared or parts.pacer(options.rate, now),
        record=ledger.record,
        room=ledger.room,
        kept=ledger.kept,
        is_known=plan.is_known,
        tell=tell,
        clock=parts.clock,
    )
    try:
        async with anyio.create_task_group() as around:
            around.start_soon(
                ledger.keep, plan.run.id, lambda: dispatcher.stop(STORAGE), lambda: dispatcher.stop(LEDGER_GONE)
            )
            around.start_soon(watch, dispatcher)
            if shared is not None:
                around.start_soon(shared.keep, dispatcher.stop)
            around.start_soon(halt_with, dispatcher, supply)
            with anyio.CancelScope() as sending:
                brake.attach(dispatcher, sending)
                around.start_soon(stop_in_time, dispatcher, sending, options)
                await dispatcher.run()
            around.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):  # whatever ends the run, an answer that came is kept
            await supply.close()
            await ledger.flush(plan.run.id)
    stop = dispatcher.stopped
    if stop is None and limited.was_reached:
        stop = Stop(10, "interrupted", f"--limit {options.limit} was reached")
    return Sent(stop, dispatcher.tally)


class Supply(Protocol):
    """Gives the rows to be sent: those of a plan, or those of a stream as they come. What ends the run is a Stop."""

    async def next(self) -> list[Row] | Stop | None:
        """Return the next due rows in file order; None at the end."""
        ...

    async def elsewhere(self, most: int, limited: "Limit") -> list[Row] | Stop:
        """Return at most so many due rows from farther on, each the first one of its execution."""
        ...

    def halt(self) -> None:
        """Give no more rows."""
        ...

    async def close(self) -> None:
        """Let go what is open."""
        ...


class Planned:
    """The due rows of a plan, read again from its input, *step* at a time."""

    def __init__(self, ledger: Ledger, plan: Plan, source: Source, options: RunOptions, step: int) -> None:
        self._ledger = ledger
        self._run = plan.run.id
        self._source = source
        self._options = options
        self._rows = due_rows(ledger.store, plan, source, options, step)

    async def next(self) -> list[Row] | Stop | None:
        """Return the next due rows in file order, once the ledger knows that they may be sent; None at the end."""
        try:
            return await self._ledger.call(next, self._rows, None)
        except (InputError, StorageError) as error:
            return stop_for(error)

    async def elsewhere(self, most: int, limited: "Limit") -> list[Row] | Stop:
        """Return due rows from all over the input."""
        ledger, store = self._ledger, self._ledger.store
        try:
            digests = await ledger.call(store.elsewhere, self._run, most)
            found = limited.take(await ledger.call(rows_at, self._source, self._options, digests))
            await ledger.call(store.mark_ahead, self._run, [row.row for row in found])
        except (InputError, StorageError) as error:
            return stop_for(error)
        return found

    def halt(self) -> None:
        """Nothing waits here for long."""

    async def close(self) -> None:
        """Close the input."""
        await self._ledger.call(self._rows.close)


async def halt_with(dispatcher: Dispatcher, supply: Supply) -> None:
    """Have no more rows given once the run is stopped."""
    await dispatcher.halted()
    supply.halt()


def stop_for(error: InputError | StorageError) -> Stop:
    """Return why a run stops whose rows cannot be read, or not be marked in the ledger."""
    if isinstance(error, StorageError):
        return STORAGE
    return Stop(7, "input_changed", clean(error.what))  # it holds the input's name, whatever that is


LEDGER_GONE = Stop(
    8,
    "aborted_storage",
    "the ledger was deleted, moved or replaced while the run used it",
    "put the ledger back if it was moved; else keep this report: the same command begins a new ledger, which knows"
    " nothing of what was sent, and sends every row again (a --retry-file has only the rows still to be done)",
)
STORAGE = Stop(8, "aborted_storage", "the ledger cannot be written")


class Limit:
    """Lets through a number of rows; *was_reached* says that there were more."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self.was_reached = False

    def cut(self, rows: list[Row] | None) -> list[Row] | None:
        """Return the rows that may still go; None at the end of the input, or of the limit."""
        if rows is None or self._left is None:
            return rows
        self.was_reached = len(rows) > self._left
        if self.was_reached and not self._left:
            return None
        return self.take(rows)

    def take(self, rows: list[Row]) -> list[Row]:
        """Return as many of these rows as may still go."""
        if self._left is not None:
            rows = rows[: self._left]
            self._left -= len(rows)
        return rows


async def stop_in_time(dispatcher: Dispatcher, sending: anyio.CancelScope, options: RunOptions) -> None:
    """Stop after `--max-duration`; after any stop, cancel the requests that outlast `--drain`."""
    limit = options.max_duration
    with anyio.move_on_after(limit):
        await dispatcher.halted()
    if dispatcher.stopped is None and limit is not None:
        dispatcher.stop(Stop(10, "deadline_exceeded", f"--max-duration {show_duration(limit)} was reached"))
    await anyio.sleep(options.drain)
    sending.cancel()


def marked_at_once(rate: float) -> int:
    """Return how many rows one commit of the watermark allows: a second's worth, within bounds."""
    return int(min(1_000.0, max(float(FEWEST_MARKED), rate)))


def due_rows(
    store: Store, plan: Plan, source: Source, options: RunOptions, step: int
) -> Generator[list[Row], None, None]:
    """Read the input again and give the due rows of each chunk, once the ledger knows that they may be sent.

    Blocks: the ledger's thread reads too, as a third one would only take the interpreter's lock from the other two.
    InputError where a chunk is not what it was when it was validated; none of its rows is given then.
    """
    run = plan.run
    with open_input(source) as content:
        seen = 0
        for chunk in chunks(content.rows(allowed_set(options.allow_status))):
            first, last = chunk[0].row, chunk[-1].row
            if store.chunk_digest(run.id, first) != chunk_digest(chunk):
                raise InputError(f"{source.name} changed after it was validated, at or behind row {first}")
            due = store.due(run.id, first, last)
            rows = [row for row in chunk if isinstance(row, Row) and row.row in due]
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                store.mark(run.id, part[-1].row)
                yield part
            seen = last
        if seen != run.rows:
            raise InputError(f"{source.name} changed after it was validated: it has {seen} rows, not {run.rows}")


def rows_at(source: Source, options: RunOptions, digests: Mapping[int, bytes]) -> list[Row]:
    """Read the input again and return some rows; *digests* are those of their chunks. Blocks.

    InputError where one of these chunks is not what it was when it was validated.
    """
    found: list[Row] = []
    with open_input(source) as content:
        for chunk in chunks(content.rows(allowed_set(options.allow_status))):
            wanted = [row for row in chunk if row.row in digests]
            if wanted and digests[wanted[0].row] != chunk_digest(chunk):
                raise InputError(f"{source.name} changed after it was validated, at or behind row {chunk[0].row}")
            found += [row for row in wanted if isinstance(row, Row)]
            if len(found) == len(digests):
                break
    return found
