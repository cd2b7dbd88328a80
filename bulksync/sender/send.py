"""Sends what a plan holds: rows from the input to the dispatcher, outcomes to the ledger, and the ways to stop."""

import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from bulksync.errors import StoppedError
from bulksync.ledger.writer import Ledger
from bulksync.model import Stop, Tell, Way
from bulksync.options.models import RunOptions
from bulksync.options.values import show_duration
from bulksync.quota.pacer import Pacer
from bulksync.quota.shared import SharedPacer
from bulksync.quota.station import Station
from bulksync.reader.source import Source
from bulksync.sender.clock import Clock
from bulksync.sender.dispatcher import Dispatcher
from bulksync.sender.feed import STORAGE, Feed, Planned, Supply
from bulksync.sender.plan import Plan
from bulksync.sender.signals import watch_signals
from bulksync.sender.tally import Tally

Watch = Callable[[Dispatcher], Coroutine[Any, Any, None]]
"""Shows how far the run is, until cancelled."""


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

    def drain_on_signal(self, number: signal.Signals) -> None:
        """Take nothing new, because of a signal."""
        self.drain(Stop(128 + number, "interrupted", f"stopped by {number.name}"))

    def drain(self, stop: Stop) -> None:
        """Take nothing new."""
        self.stop = stop
        if self._before is not None:
            self._before.cancel()
        if self._dispatcher is not None:
            self._dispatcher.stop(self.stop)

    def cancel(self) -> None:
        """Cancel the requests in flight."""
        if self._sending is not None:
            self._sending.cancel()


@asynccontextmanager
async def stop_on_signals() -> AsyncGenerator[Brake, None]:
    """Yield what signals pull: the first stops, the second insists, the third leaves."""
    brake = Brake()
    async with anyio.create_task_group() as listening:
        await listening.start(watch_signals, brake.drain_on_signal, brake.cancel)
        yield brake
        listening.cancel_scope.cancel()


async def send(
    ledger: Ledger,
    plan: Plan,
    source: Source,
    options: RunOptions,
    way: Way,
    *,
    brake: Brake,
    watch: Watch,
    tell: Tell,
    station: Station | None = None,
    parts: Parts = PARTS,
    supply: Supply | None = None,
) -> Sent:
    """Send the due rows of a plan, or those that *supply* gives; StorageError where results cannot be recorded.

    With a *station* the rate is shared with all that lease their turns there.
    """
    now = parts.clock.now
    shared = None if station is None else parts.shared(options.rate, now, station, tell)
    pacer = shared or parts.pacer(options.rate, now)
    supply = supply or Planned(ledger, plan, source, options, parts.marked)
    feed = Feed(supply, options.limit)
    dispatcher = parts.dispatcher(options, feed, way, ledger, pacer, tell, parts.clock, is_known=plan.is_known)
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
    return Sent(dispatcher.stopped or feed.limit_reached, dispatcher.tally)


async def halt_with(dispatcher: Dispatcher, supply: Supply) -> None:
    """Have no more rows given once the run is stopped."""
    await dispatcher.halted()
    supply.halt()


LEDGER_GONE = Stop(
    8,
    "aborted_storage",
    "the ledger was deleted, moved or replaced while the run used it",
    "put the ledger back if it was moved; else keep this report: the same command begins a new ledger, which knows"
    " nothing of what was sent, and sends every row again (a --retry-file has only the rows still to be done)",
)


async def stop_in_time(dispatcher: Dispatcher, sending: anyio.CancelScope, options: RunOptions) -> None:
    """Stop after `--max-duration`; after any stop, cancel the requests that outlast `--drain`."""
    limit = options.max_duration
    with anyio.move_on_after(limit):
        await dispatcher.halted()
    if dispatcher.stopped is None and limit is not None:
        dispatcher.stop(Stop(10, "deadline_exceeded", f"--max-duration {show_duration(limit)} was reached"))
    await anyio.sleep(options.drain)
    sending.cancel()
