"""Carries each row from its first attempt to its outcome."""

import asyncio
from collections.abc import Iterable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from bulksync.errors import StorageError
from bulksync.ledger.writer import Ledger
from bulksync.model import SETTLED, Key, Reply, Result, Row, Stop, Tell, Way
from bulksync.options.models import RunOptions
from bulksync.quota.pacer import Pacer
from bulksync.sender.attempts import Attempts
from bulksync.sender.clock import Clock
from bulksync.sender.feed import Feed
from bulksync.sender.health import Health
from bulksync.sender.order import Order
from bulksync.sender.retry import Verdict, backoff, over_budget
from bulksync.sender.standing import Standing
from bulksync.sender.tally import Tally
from bulksync.sender.turns import Place, Turns
from bulksync.text import clean

WORKERS = 2
"""Rows carried concurrently for each request in flight: one on the wire, and one waiting for its turn.

With four, a row has left the processor's caches by the time its turn comes: 5 to 8 % of the time (measured). Rows that
back off are not counted, as each makes room for another one.
"""

WINDOW = 4
"""Rows admitted for each request in flight, including those that back off or wait to be explained."""

FEWEST = 64
"""Rows that may always be admitted, however few requests may be in flight: twice as many as resolving a doubt takes."""

INTERNAL_ERRORS = 10
"""Internal errors in single rows that a run survives."""

ELSEWHERE = 20
"""Rows sampled from the whole input when access or server is in doubt: twice as many as resolving a doubt takes."""

SYSTEM = Clock()


class Dispatcher:
    """Brings the rows of a *feed* to their outcome in the *ledger*, with the requests of each row's *way*.

    *is_known* says that the key has worked at this URL before.
    """

    def __init__(
        self,
        options: RunOptions,
        feed: Feed,
        way: Way,
        ledger: Ledger,
        pacer: Pacer,
        tell: Tell,
        clock: Clock = SYSTEM,
        *,
        is_known: bool = False,
    ) -> None:
        self._options = options
        self._feed = feed
        self._way = way
        self._ledger = ledger
        self._tell = tell
        self._clock = clock
        self._window = max(WINDOW * options.max_in_flight, FEWEST)
        self._halt = asyncio.Event()
        self._internal_errors = 0
        self._order = Order(feed, self._window)
        self._workers: TaskGroup
        self._carried: dict[int, Attempts] = {}
        self._suspects: dict[Key, asyncio.Future[bool]] = {}
        """Rows whose last answer is not explained yet; each future resolves to whether that answer was final."""
        self._has_asked_around = False
        self.tally = Tally(width=options.max_in_flight)
        self.stopped: Stop | None = None
        self.health = Health(options, pacer, self.tally, tell, clock, is_known=is_known)
        self.turns = Turns(options.rate, pacer, self.health, ledger, self.tally, clock)

    async def run(self) -> None:
        """Bring every row of the feed to its outcome, or as many as possible until `stop`."""
        async with anyio.create_task_group() as around:
            around.start_soon(self.turns.serve_places)
            around.start_soon(self.turns.serve_turns)
            around.start_soon(self._give_up_in_time)
            async with anyio.create_task_group() as self._workers:
                for _ in range(WORKERS * self._options.max_in_flight):
                    self._workers.start_soon(self._work)
            around.cancel_scope.cancel()

    def stop(self, stop: Stop) -> None:
        """Start nothing new; requests in flight may finish. The first reason is kept, but a signal replaces it."""
        if self.stopped is None or stop.exit_code > 128:
            self.stopped = stop
            self._tell("stopping", reason=stop.detail)
        self._halt.set()
        self._order.close()
        self.turns.close()
        self._rule(list(self._suspects), are_believed=True)

    async def halted(self) -> None:
        """Wait until `stop` is called."""
        await self._halt.wait()

    async def _give_up_in_time(self) -> None:
        """Stop the run once it has waited for `--max-outage`, for whatever reason."""
        while self.stopped is None:
            at = self.health.gives_up_at
            left = self._options.max_outage if at is None else at - self._clock.now()
            if left <= 0:
                self.stop(self.health.outage())
            await anyio.sleep(max(0.0, left))

    # The life of a row

    async def _work(self, row: Row | None = None) -> None:
        """Carry one row after another until none are left or other workers suffice; an extra *row* is carried alone."""
        is_extra = row is not None
        while (row := row or await self._next()) is not None:
            attempts = await self._bring(row)
            # At the end of the input the other workers may have exited before the next row here was admitted.
            if (is_extra or attempts.has_made_room) and not self._order.is_exhausted:
                return
            row = None

    async def _next(self) -> Row | None:
        if (row := await self._order.admit(wait=False)) is not None:
            return row
        self._stop_with_feed()
        self._conclude_if_stuck()
        row = await self._order.admit()
        self._stop_with_feed()
        return row

    def _stop_with_feed(self) -> None:
        if self._feed.stop is not None and self.stopped is None:
            self.stop(self._feed.stop)

    async def _bring(self, row: Row) -> Attempts:
        """Bring a row to its outcome, and release the next row of its execution if allowed."""
        first, *others = self._way(row)
        attempts = Attempts(row, first)
        try:
            result = await self._carry(attempts)
            for request in others:
                if not attempts.is_acknowledged:
                    break
                attempts = Attempts(row, request, has_made_room=attempts.has_made_room)
                result = await self._carry(attempts)
        finally:
            self._carried.pop(row.row, None)
        self._settle(row, result, by_answer=attempts.reply is not None)
        return attempts

    async def _carry(self, attempts: Attempts) -> Result:
        """Make attempts until an answer is final, the attempts are used up, or the run stops."""
        self._carried[attempts.row.row] = attempts
        try:
            await self._ledger.kept(attempts.row.key)
            while await self._attempt(attempts) and not await self._is_final(attempts):
                await self._back_off(attempts)
        except anyio.get_cancelled_exc_class():
            self._settle(attempts.row, attempts.result(self.stopped), by_answer=False)
            raise
        except StorageError as error:
            self.stop(Stop(8, "aborted_storage", clean(error.what)))
        except Exception as error:  # noqa: BLE001  an internal error in one row must not affect the others
            return self._record_fault(attempts, error)
        return attempts.result(self.stopped)

    async def _attempt(self, attempts: Attempts) -> bool:
        """Send the row once and process the reply; False if nothing may be sent any more."""
        row, reply = attempts.row, None
        while reply is None:
            is_failing = attempts.tries > 1 and self.health.standing.is_found_out(row.key)
            if (place := await self.turns.place(row, attempts.tries, is_failing=is_failing)) is None:
                return False
            attempts.begin(self._clock.wall(), self._clock.now(), in_flight=False)
            try:
                reply = await attempts.request.send(row, partial(self._turn, attempts, place))
            finally:
                self.turns.release(place)
        self._learn(attempts, reply)
        return True

    async def _turn(self, attempts: Attempts, place: Place) -> bool:
        """Wait for the row's turn once its connection is open; after that its request may have arrived."""
        attempts.in_flight = False  # if an earlier turn was not used
        if not await self.turns.wait(place):
            return False
        attempts.begin(self._clock.wall(), self._clock.now(), in_flight=True)
        return True

    def _learn(self, attempts: Attempts, reply: Reply) -> None:
        """Process a reply: what it means for its row, and for access and server."""
        before, now = self.health.standing, self._clock.now()
        verdict = self.health.judge(attempts.request, reply, is_alone=not self.turns.in_flight)
        attempts.record_reply(reply, verdict, now)
        if verdict.sent:
            self.tally.count(reply, sent=attempts.sent, duration=attempts.duration, is_retry=attempts.requests > 1)
        self._tell_attempt(attempts, reply)
        if verdict.is_success and not attempts.request.proves:
            return
        if (stop := self.health.observe(attempts, reply, verdict)) is not None:
            self.stop(stop)
        if is_charged := self._is_charged(attempts.row, verdict):
            attempts.counted.append(now)
        attempts.is_spent = is_charged and len(attempts.counted) >= self._options.max_attempts
        if self.health.standing is not before:
            self._follow(before)

    def _is_charged(self, row: Row, verdict: Verdict) -> bool:
        """Whether a failure counts against `--max-attempts`: not while the server is unreachable or asks us to wait.

        A 503 counts if other rows succeed meanwhile, as one row might get it forever; a 429 concerns only the rate.
        """
        standing = self.health.standing
        is_waiting = verdict.waits and not (verdict.away and standing.is_found_out(row.key))
        return verdict.retry and verdict.sent and not is_waiting and not standing.is_away

    def _tell_attempt(self, attempts: Attempts, reply: Reply) -> None:
        row = attempts.row
        self._tell(  # `named` inlined, three times as fast: logged for every request, usually with no listener
            "attempt",
            row=row.row,
            line=row.line,
            workflowId=row.workflow_id,
            executionId=row.execution_id,
            attempt=attempts.tries,
            duration=attempts.duration,
            reason=reply.error or "acknowledged",
        )

    async def _is_final(self, attempts: Attempts) -> bool:
        """Whether the last answer is final and the row's own; waits while that is not known yet."""
        verdict = attempts.verdict
        assert verdict is not None  # noqa: S101  an attempt was made
        if verdict.is_success or self.stopped is not None:
            attempts.is_disbelieved = self._is_disbelieved()
            return True
        if verdict.retry and not attempts.is_spent:
            return False
        standing, key = self.health.standing, attempts.row.key
        if key not in standing.unexplained or (verdict.retry and standing.is_found_out(key)):
            return True
        if not await self._is_explained(attempts):
            return False
        # A temporary problem that affects everyone has passed by now; one of the row itself will recur.
        return attempts.pages != 1 or self.stopped is not None

    async def _is_explained(self, attempts: Attempts) -> bool:
        """Wait until another answer explains this row's; False if the row was not at fault, so that it continues."""
        key = attempts.row.key
        ruling = self._suspects[key] = asyncio.get_running_loop().create_future()
        self._make_room(attempts)
        self._conclude_if_stuck()
        try:
            is_final: bool = await ruling
        finally:
            self._suspects.pop(key, None)
        attempts.is_disbelieved = self._is_disbelieved()
        return is_final

    def _is_disbelieved(self) -> bool:
        """Whether refusals are not to be trusted: the run stops while access is in doubt."""
        return self.stopped is not None and self.health.standing.is_doubted

    async def _back_off(self, attempts: Attempts) -> None:
        """Wait, while another worker takes this one's slot."""
        self._make_room(attempts)
        wait = backoff(attempts.tries, self._clock.chance())
        reason = attempts.reply.error if attempts.reply else ""
        self._tell("retry", **attempts.named, wait=wait, reason=reason)
        with anyio.move_on_after(wait):
            await self._halt.wait()

    def _make_room(self, attempts: Attempts) -> None:
        if not attempts.has_made_room:
            attempts.has_made_room = True
            self._workers.start_soon(self._work)

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        """Record a row's outcome, and release the next row of its execution if allowed."""
        self._ledger.record(result)
        self._order.release(row, is_settled=result.outcome in SETTLED)
        self.health.settle(row, by_answer=by_answer)
        self.tally.outcomes[result.outcome] += 1
        budget, failures = self._options.max_failures, self.tally.failures
        if failures and over_budget(failures, self.tally.done, budget):
            reason = f"{failures} of {self.tally.done} rows were not updated, more than --max-failures {budget}"
            self.stop(Stop(12, "aborted_error_budget", reason))

    def _record_fault(self, attempts: Attempts, error: Exception) -> Result:
        self._tell("internal error", **attempts.named, error=repr(error), exc_info=error)
        self._internal_errors += 1
        if self._internal_errors > INTERNAL_ERRORS:
            self.stop(Stop(1, "internal_error", "too many internal errors"))
        return attempts.fault(error)

    # Who is at fault

    def _follow(self, before: Standing) -> None:
        """Act on a change of the standing: refund attempts, ask other rows, rule on what is explained."""
        standing = self.health.standing
        if standing.is_away and not before.is_away:
            self._forgive(standing)
        if not standing.is_calm and (before.is_calm or not before.unexplained):
            self.turns.recall()
        if not standing.is_calm and standing.may_be_the_rows and not self._has_asked_around:
            self._has_asked_around = self.health.is_asking_around = True
            self._workers.start_soon(self._ask_around)
        self._has_asked_around = self._has_asked_around and not standing.is_calm
        self._rule([key for key in self._suspects if key not in standing.unexplained], are_believed=True)
        self.turns.look_again()

    def _forgive(self, standing: Standing) -> None:
        """Refund the attempts that failed because the server is unreachable, and resume rows that had none left."""
        failing = standing.failing
        since = min(bad.answered for bad in failing)
        for attempts in self._carried.values():
            attempts.forgive(since)
        self._rule([bad.key for bad in failing], are_believed=False)

    async def _ask_around(self) -> None:
        """Admit rows from the whole input, as neighbouring rows may all be bad in the same way."""
        try:
            rows = await self._feed.elsewhere(ELSEWHERE)
        finally:
            self.health.is_asking_around = False
        self._stop_with_feed()
        for row in self._order.jump(rows) if self.stopped is None else ():
            self._workers.start_soon(self._work, row)
        self.turns.look_again()
        self._conclude_if_stuck()

    def _rule(self, suspects: Iterable[Key], *, are_believed: bool) -> None:
        """Release rows that wait for their answer to be explained."""
        for key in suspects:
            ruling = self._suspects.get(key)
            if ruling is not None and not ruling.done():
                ruling.set_result(are_believed)

    def _conclude_if_stuck(self) -> None:
        """If no row is left that could explain the others: stop the run if access is in doubt, else blame the rows."""
        is_busy = self.health.is_asking_around or len(self._carried) > len(self._suspects)
        if is_busy or not self._suspects or not self._order.is_stuck:
            return
        if (stop := self.health.no_access()) is not None:
            self.stop(stop)
        self._rule(list(self._suspects), are_believed=True)
