"""Sends the rows of a plan: input to dispatcher, outcomes to ledger, and the ways to stop."""

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
"""Displays the run's progress until cancelled."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending: why it stopped early, if it did, and the counts."""

    stop: Stop | None
    tally: Tally


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that sending is assembled from; tests substitute other clocks and faulty parts.

    *marked* is how many rows one commit of the watermark covers; 0 chooses it to suit the rate.
    """

    dispatcher: type[Dispatcher] = Dispatcher
    pacer: type[Pacer] = Pacer
    clock: Clock = field(default_factory=Clock)
    marked: int = 0
    shared: type[SharedPacer] = SharedPacer


PARTS = Parts()


class Brake:
    """Stops a run: `drain` lets nothing new start, `cancel` cancels the requests in flight."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self._dispatcher: Dispatcher | None = None
        self._sending: anyio.CancelScope | None = None
        self._before: anyio.CancelScope | None = None

    @contextmanager
    def before_sending(self) -> Iterator[None]:
        """Let a signal interrupt the block; StoppedError is raised then."""
        # Validation may have noticed the signal and stopped by itself before its waiter was cancelled.
        with anyio.CancelScope() as self._before, suppress(InterruptedError):
            yield
        self._before = None
        if self.stop is not None:
            raise StoppedError("stopped before the first request; nothing was sent", self.stop.exit_code)

    def attach(self, dispatcher: Dispatcher, sending: anyio.CancelScope) -> None:
        """Set what is to be stopped from now on."""
        self._dispatcher, self._sending = dispatcher, sending
        if self.stop is not None:
            dispatcher.stop(self.stop)

    def drain_on_signal(self, number: signal.Signals) -> None:
        """Start nothing new, because of a signal."""
        self.drain(Stop(128 + number, "interrupted", f"stopped by {number.name}"))

    def drain(self, stop: Stop) -> None:
        """Start nothing new."""
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
    """Yield a brake that signals operate: the first drains, the second cancels, the third exits at once."""
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
    """Send the due rows of a plan, or those from *supply*; raises StorageError if results cannot be recorded.

    With a *station*, the rate is shared with all processes that lease their turns there.
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
        with anyio.CancelScope(shield=True):  # whatever ends the run, answers already received are recorded
            await supply.close()
            await ledger.flush(plan.run.id)
    return Sent(dispatcher.stopped or feed.limit_reached, dispatcher.tally)


async def halt_with(dispatcher: Dispatcher, supply: Supply) -> None:
    """Halt the supply once the run is stopped."""
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
