"""Carries each row from its first attempt to its outcome."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from bulksync.dispatcher.health import Health
from bulksync.dispatcher.order import Feed, Order
from bulksync.dispatcher.tries import Tries
from bulksync.dispatcher.turns import Turns
from bulksync.model import SETTLED, Key, Outcome, Reply, Result, Row, Stop
from bulksync.options import RunOptions
from bulksync.pacing import Pacer
from bulksync.retry import REFUSALS, Verdict, backoff, over_budget
from bulksync.tally import Tally

WORKERS = 2
"""Rows that are carried at once for each request in flight: one on its way, and one that waits for its turn.

With four a row has left the processor's caches when its turn comes: 5 to 8 % of the time (measured). Those that back
off are not among them, as each makes room for another one.
"""

WINDOW = 4
"""Rows inside for each request in flight, with those that back off or wait for their execution."""

REFUSED_IN_A_ROW = 10
"""Rows refused with 403 or 404, before any success, that are taken to speak of the key or the address."""

LOST_IN_A_ROW = 3
"""Rows whose connection was lost in every attempt, before any success, that are taken to speak of the address."""

INTERNAL_ERRORS = 10
"""Faults of ours in single rows that the run outlives."""

STRANGERS = frozenset({"response_invalid", "protocol_error"})
"""Errors which say, before any success, that whoever answers does not speak this API."""

Tell = Callable[..., None]
"""Takes the name of an event and its fields, for the log."""


class Dispatcher:
    """Brings rows to their outcome; *put* is the client's; *record*, *room* and *kept* the ledger's.

    *is_known* says that the key and the address have worked before, so that a 403 or 404 is the row's own from the
    first one on. *now* is a monotonic clock and *wall* the time of day, both in seconds; *chance* draws from [0, 1).
    """

    def __init__(
        self,
        options: RunOptions,
        feed: Feed,
        *,
        put: Callable[[Row], Awaitable[Reply]],
        pacer: Pacer,
        record: Callable[[Result], None],
        room: Callable[[], Awaitable[None]],
        kept: Callable[[Key], Awaitable[None]],
        tell: Tell,
        is_known: bool = False,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._options = options
        self._put = put
        self._is_known = is_known
        self._record = record
        self._kept = kept
        self._tell = tell
        self._now = now
        self._wall = wall
        self._chance = chance
        self._window = max(WINDOW * options.max_in_flight, REFUSED_IN_A_ROW + 1)
        self._halt = asyncio.Event()
        self._internal_errors = 0
        self._order = Order(feed, self._window)
        self._workers: TaskGroup | None = None
        self.tally = Tally(width=options.max_in_flight)
        self.stopped: Stop | None = None
        self.health = Health(options, pacer, self.tally, tell, now, wall, chance)
        self.turns = Turns(pacer, self.health.width, room, self.tally, now)

    async def run(self) -> None:
        """Bring every row of the feed to its outcome, or as many as there are until `stop`."""
        async with anyio.create_task_group() as giving:
            giving.start_soon(self.turns.give)
            await self._prove()
            async with anyio.create_task_group() as self._workers:
                for _ in range(WORKERS * self._options.max_in_flight):
                    self._workers.start_soon(self._work)
            giving.cancel_scope.cancel()

    def stop(self, stop: Stop) -> None:
        """Take nothing new; what is in flight may finish. The first reason stands, but a signal replaces it."""
        if self.stopped is None or stop.exit_code > 128:
            self.stopped = stop
            self._tell("stopping", reason=stop.detail)
        self._halt.set()
        self._order.close()
        self.turns.close()

    async def halted(self) -> None:
        """Wait until `stop`."""
        await self._halt.wait()

    async def _work(self) -> None:
        """Carry one row after the other, until there are none, or another worker has taken this one's place."""
        is_replaced = False
        while not is_replaced and (row := await self._order.admit()) is not None:
            tries = Tries(row)
            self._settle(row, await self._carry(tries))
            # At the end of the input the other one may have gone, before the row behind this one was let in.
            is_replaced = tries.tried > 1 and not self._order.is_exhausted

    async def _carry(self, tries: Tries) -> Result:
        """Make attempts until a reply is final, the attempts are used up, or the run stops."""
        row = tries.row
        try:
            await self._kept(row.key)
            while await self.turns.take(row.row):
                verdict = await self._attempt(tries)
                if not verdict.retry or tries.charged >= self._options.max_attempts:
                    break
                await self._back_off(tries)
        except anyio.get_cancelled_exc_class():
            self._settle(row, tries.result(self.stopped))
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours in one row must not take the others down
            return self._failed_by_us(tries, error)
        return tries.result(self.stopped)

    async def _attempt(self, tries: Tries) -> Verdict:
        """Send the row once, and learn from what comes back."""
        sent, started = self._wall(), self._now()
        tries.in_flight = True
        try:
            reply = await self._put(tries.row)
        finally:
            self.turns.give_back()
        duration, is_outage = self._now() - started, self.health.is_outage
        verdict = tries.take(reply, sent=sent, duration=duration, is_outage=is_outage)
        if verdict.sent:
            self.tally.count(reply, sent=sent, duration=duration, is_retry=tries.attempts > 1)
        said = reply.error or "acknowledged"
        row = tries.row
        self._tell(  # as `named`, but spelled out: said of every request, mostly to nobody, and three times as fast
            "attempt",
            row=row.row,
            line=row.line,
            workflowId=row.workflow_id,
            executionId=row.execution_id,
            attempt=tries.tried,
            duration=duration,
            reason=said,
        )
        if (stop := self.health.saw(reply, verdict)) is not None:
            self.stop(stop)
        return verdict

    async def _back_off(self, tries: Tries) -> None:
        """Wait, while another worker takes the place of the one that carries this row."""
        if self._workers is not None and tries.tried == 1:
            self._workers.start_soon(self._work)
        wait = min(backoff(tries.tried, self._chance()), max(0.0, self.health.patience()))
        reason = tries.reply.error if tries.reply else ""
        self._tell("retry", **tries.named, wait=wait, reason=reason)
        with anyio.move_on_after(wait):
            await self._halt.wait()

    def _settle(self, row: Row, result: Result) -> None:
        """Record what became of a row, and let the next row of its execution go if it may."""
        self._record(result)
        self._order.release(row, is_settled=result.outcome in SETTLED)
        self.tally.outcomes[result.outcome] += 1
        budget, failures = self._options.max_failures, self.tally.failures
        if failures and over_budget(failures, self.tally.done, budget):
            reason = f"{failures} of {self.tally.done} rows went wrong, more than --max-failures {budget}"
            self.stop(Stop(12, "aborted_error_budget", reason))

    def _failed_by_us(self, tries: Tries, error: Exception) -> Result:
        self._tell("internal error", **tries.named, error=repr(error), exc_info=error)
        self._internal_errors += 1
        if self._internal_errors > INTERNAL_ERRORS:
            self.stop(Stop(1, "internal_error", "too many internal errors"))
        return tries.fault(error)

    # Before the first success

    async def _prove(self) -> None:
        """Send one row at a time until one succeeds: a wrong key or address then costs one request, not many."""
        refused: list[tuple[Row, Result]] = []
        refused_in_a_row = lost_in_a_row = 0
        try:
            while not self.health.is_proven and (row := await self._next_unless_all_refused(refused)) is not None:
                result = await self._carry(Tries(row))
                is_refusal = result.outcome is Outcome.REJECTED and result.status in REFUSALS and not self._is_known
                refused_in_a_row = refused_in_a_row + 1 if is_refusal else 0
                lost_in_a_row = lost_in_a_row + 1 if result.error == "connection_lost" else 0
                if is_refusal:
                    refused.append((row, result))
                else:
                    self._settle(row, result)
                if refused_in_a_row == REFUSED_IN_A_ROW:
                    self._stop_refused(result)
                if result.error in STRANGERS or lost_in_a_row == LOST_IN_A_ROW:
                    self.stop(Stop(6, "aborted_outage", f"no answer of this API: {result.error}, {result.detail}"))
        finally:  # even where it is cancelled, as every answer is recorded
            self._believe(refused)

    async def _next_unless_all_refused(self, refused: list[tuple[Row, Result]]) -> Row | None:
        """Take the next row; where refused ones leave none to take, decide first what their refusals mean."""
        row = await self._order.admit(wait=False)
        if row is None and refused:
            if not self.tally.done:
                self._stop_refused(refused[-1][1])
            self._believe(refused)
            row = await self._order.admit(wait=False)
        return row

    def _believe(self, refused: list[tuple[Row, Result]]) -> None:
        """Settle refused rows: rejected where the run goes on, to be sent again where it stopped for their sake."""
        for row, result in refused:
            self._settle(row, replace(result, outcome=Outcome.FAILED) if self.stopped else result)
        refused.clear()

    def _stop_refused(self, result: Result) -> None:
        self.stop(Stop(5, "aborted_access", f"every row so far was refused: {result.error}, {result.detail}"))
