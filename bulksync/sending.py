"""Sends what a plan holds: rows from the input to the dispatcher, outcomes to the ledger, and the ways to stop."""

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import anyio

from bulksync.dispatcher import Dispatcher, Tell
from bulksync.errors import InputError, StoppedError, StorageError
from bulksync.ledger import Ledger, Store
from bulksync.model import Put, Reply, Row, Stop
from bulksync.options import RunOptions, show_duration
from bulksync.pacing import Pacer
from bulksync.planning import Plan, allowed_set, chunk_digest, chunks
from bulksync.reader import Source, open_input
from bulksync.signals import watch_signals
from bulksync.tally import Tally
from bulksync.text import clean
from bulksync.watching import Watch

FEWEST_MARKED = 100
"""Rows that one commit of the watermark allows at least; at higher rates a second's worth, at most a chunk."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending: why it stopped early, if it did, and what was counted."""

    stop: Stop | None
    tally: Tally


class Brake:
    """What stops a run: pulled, it lets nothing new start; slammed, it cancels what is in flight."""

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
        """Cancel what is in flight."""
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
    ledger: Ledger, plan: Plan, source: Source, options: RunOptions, put: Put, *, brake: Brake, watch: Watch, tell: Tell
) -> Sent:
    """Send the due rows of a plan; StorageError where their outcomes cannot be recorded."""
    limited = Limit(options.limit)
    rows = due_rows(ledger.store, plan, source, options)

    async def feed() -> list[Row] | None:
        try:
            return limited.cut(await ledger.call(next, rows, None))
        except InputError as error:
            dispatcher.stop(Stop(7, "input_changed", clean(error.what)))  # it holds the input's name, whatever that is
        except StorageError:
            dispatcher.stop(STORAGE)
        return None

    dispatcher = Dispatcher(
        options,
        feed,
        put=at_once(put),
        pacer=Pacer(options.rate, anyio.current_time),
        record=ledger.record,
        room=ledger.room,
        kept=ledger.kept,
        is_known=plan.is_known,
        tell=tell,
    )
    try:
        async with anyio.create_task_group() as around:
            around.start_soon(ledger.keep, plan.run.id, lambda: dispatcher.stop(STORAGE))
            around.start_soon(watch, dispatcher)
            with anyio.CancelScope() as sending:
                brake.attach(dispatcher, sending)
                around.start_soon(stop_in_time, dispatcher, sending, options)
                await dispatcher.run()
            around.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):  # whatever ends the run, an answer that came is kept
            await ledger.call(rows.close)
            await ledger.flush(plan.run.id)
    stop = dispatcher.stopped
    if stop is None and limited.was_reached:
        stop = Stop(10, "interrupted", f"--limit {options.limit} was reached")
    return Sent(stop, dispatcher.tally)


STORAGE = Stop(8, "aborted_storage", "the ledger cannot be written")


def at_once(put: Put) -> Callable[[Row], Awaitable[Reply]]:
    """Return what puts a row whose turn has come already."""

    async def granted() -> bool:
        return True

    async def put_now(row: Row) -> Reply:
        reply = await put(row, granted)
        assert reply is not None  # noqa: S101  its turn was granted
        return reply

    return put_now


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
        rows = rows[: self._left]
        self._left -= len(rows)
        return rows


async def stop_in_time(dispatcher: Dispatcher, sending: anyio.CancelScope, options: RunOptions) -> None:
    """Stop after `--max-duration`, and cancel what is in flight when it has not finished `--drain` after any stop."""
    limit = options.max_duration
    with anyio.move_on_after(limit):
        await dispatcher.halted()
    if dispatcher.stopped is None and limit is not None:
        dispatcher.stop(Stop(10, "deadline_exceeded", f"--max-duration {show_duration(limit)} was reached"))
    await anyio.sleep(options.drain)
    sending.cancel()


def due_rows(store: Store, plan: Plan, source: Source, options: RunOptions) -> Generator[list[Row], None, None]:
    """Read the input again and give the due rows of each chunk, once the ledger knows that they may be sent.

    Blocks: the ledger's thread reads too, as a third one would only take the interpreter's lock from the other two.
    InputError where a chunk is not what it was when it was validated; none of its rows is given then.
    """
    run = plan.run
    step = int(min(1_000.0, max(float(FEWEST_MARKED), options.rate)))
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
