"""Deliberately broken parts, each with one mistake that somebody could make: the simulation must notice every one."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from bulksync.ledger import sql
from bulksync.ledger.store import Store
from bulksync.ledger.writer import Ledger
from bulksync.model import Execution, InvalidRow, Key, Outcome, Reply, Result, Row, Stop, Turn, Way
from bulksync.quota.pacer import Pacer
from bulksync.sender.attempts import Attempts
from bulksync.sender.dispatcher import Dispatcher
from bulksync.sender.feed import Feed
from bulksync.sender.health import Health
from bulksync.sender.order import Order
from bulksync.sender.retry import Verdict
from bulksync.sender.turns import Place, Turns, Waiting
from tests.support import invariants as rules
from tests.support.invariants import Rule
from tests.support.simulation import (
    Client,
    Connection,
    DirectLedger,
    History,
    Parts,
    chained,
    crowded,
    cut_short,
    ill,
    simulate,
    simulate_nights,
    simulate_one,
    simulate_return,
    swapped,
    with_another_key,
)
from tests.support.stations import by

# Order


class NoOrder(Order):
    """Lets every row in, whatever is inside of its execution."""

    async def admit(self, *, wait: bool = True) -> Row | None:
        """Return the next row."""
        while not self._is_closed and self.inside >= self._window and wait:
            self._moved.clear()
            await self._moved.wait()
        if self._is_closed or self.inside >= self._window or (row := await self._next()) is None:
            return None
        self.inside += 1
        self._behind.setdefault(row.key, [])
        return row

    def release(self, row: Row, *, is_settled: bool) -> None:
        """Let a row out."""
        self.inside -= 1
        self._moved.set()


class ReleasesUnsettled(Order):
    """Lets the next row go whatever became of the one before it."""

    def release(self, row: Row, *, is_settled: bool) -> None:
        """Let a row out as if it were settled."""
        super().release(row, is_settled=True)


class NewestFirst(Order):
    """Takes parked rows from the wrong end."""

    def release(self, row: Row, *, is_settled: bool) -> None:
        """Let a row out, and the row that came last in."""
        self._behind[row.key].reverse()
        super().release(row, is_settled=is_settled)


class ReadsAhead(Order):
    """Takes its place in the window only after the input was read."""

    async def _next(self) -> Row | None:
        self.inside -= 1
        row = await super()._next()
        self.inside += 1
        return row


def ordered_by(kind: type[Order]) -> type[Dispatcher]:
    """Return a dispatcher with another order."""

    class Ordered(Dispatcher):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._order = kind(self._order._feed, self._window)

    return Ordered


class NoWindow(Dispatcher):
    """Lets ten times as many rows in as it should."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._order = Order(self._order._feed, self._window * 10)


# Turns


class FreeRetries(Turns):
    """Lets a retry start without a place and a turn."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._seen: set[int] = set()

    async def place(self, row: Row, tried: int, *, is_failing: bool) -> Place | None:
        """Wait for a place the first time only."""
        if tried and not self._is_closed:
            return self._placed(row.row)
        return await super().place(row, tried, is_failing=is_failing)

    async def wait(self, place: Place) -> bool:
        """Wait for a turn the first time only."""
        if place.number in self._seen and not self._is_closed:
            place.is_in_flight = True
            self.in_flight += 1
            return True
        self._seen.add(place.number)
        return await super().wait(place)


class NeverClosed(Turns):
    """Goes on giving places and turns to rows in backoff after a stop."""

    def close(self) -> None:
        """Send away only who waits."""
        super().close()
        self._is_closed = False


class FirstComeFirst(Turns):
    """Asks in file order about access and server."""

    def _next(self) -> Waiting:
        return heapq.heappop(self._asking)


def taking(kind: type[Turns]) -> type[Dispatcher]:
    """Return a dispatcher with other turns."""

    class Taking(Dispatcher):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            old, rate = self.turns, self._options.rate
            self.turns = kind(rate, old._pacer, old._health, old._ledger, old._tally, self._clock)

    return Taking


# The server's state


class NoHold(Health):
    """Backs off the row that was answered 429, and nobody else."""

    def _hold_as_asked(self, reply: Reply) -> Stop | None:
        return None


class GoesOn(Health):
    """Goes on after 401, a redirect or an answer of somebody else."""

    def observe(self, attempts: Attempts, reply: Reply, verdict: Verdict) -> Stop | None:
        """Never stop for a reply."""
        super().observe(attempts, reply, verdict)
        return None


class BelievesRefusals(Health):
    """Takes every refusal as the row's own."""

    def observe(self, attempts: Attempts, reply: Reply, verdict: Verdict) -> Stop | None:
        """Accept refusals for ever."""
        self._accepts = True
        return super().observe(attempts, reply, verdict)


class AsksOn(Health):
    """Never has enough of refusals."""

    def no_access(self) -> Stop | None:
        """Return no stop."""
        return None


class WindsTheClock(Health):
    """Begins to wait anew with every answer."""

    def observe(self, attempts: Attempts, reply: Reply, verdict: Verdict) -> Stop | None:
        """Forget since when nothing was settled."""
        self._waiting_since = None
        return super().observe(attempts, reply, verdict)


def watching(kind: type[Health]) -> type[Dispatcher]:
    """Return a dispatcher with another view of the server."""

    class Watching(Dispatcher):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            old, is_known = self.health, not self.health.standing.is_doubted
            self.health = kind(old._options, old._pacer, old._tally, old._tell, old._clock, is_known=is_known)
            self.turns._health = self.health

    return Watching


class ImpatientPacer(Pacer):
    """Ends a hold a tenth too early."""

    def hold(self, seconds: float, *, everyone: bool = False) -> None:
        """Hold for less than asked."""
        super().hold(seconds * 0.8, everyone=everyone)


class BurstPacer(Pacer):
    """Starts with a full bucket: twice the rate in the first second."""

    async def turns(self, wanted: int) -> int:
        """Give one turn away for every turn."""
        count = await super().turns(max(1, wanted // 2))
        return min(wanted, 2 * count)


# The dispatcher


class NoCanary(Health):
    """Starts with as many requests as are allowed."""

    def width(self) -> int:
        """Return the most."""
        return self._options.max_in_flight


class ChargesWaiting(Dispatcher):
    """Charges a row an attempt for every answer that settles nothing."""

    def _is_charged(self, row: Row, verdict: Verdict) -> bool:
        return verdict.retry


class GivesUpAtOnce(Dispatcher):
    """Takes whatever was answered last as the row's own."""

    async def _is_explained(self, attempts: Attempts) -> bool:
        return True


class AsksNobodyElse(Dispatcher):
    """Does not look for rows elsewhere in the input."""

    async def _ask_around(self) -> None:
        self.health.is_asking_around = False
        self._conclude_if_stuck()


class RecordsBeforeTheReply(Dispatcher):
    """Notes a row as updated when its request starts."""

    async def _attempt(self, attempts: Attempts) -> bool:
        self._ledger.record(Result(attempts.row.row, attempts.row.key, Outcome.UPDATED, attempts=1))
        return await super()._attempt(attempts)


class ForgetsDoubt(Dispatcher):
    """Records an acknowledgement without the doubt about an earlier attempt."""

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        super()._settle(
            row, replace(result, doubtful=False) if result.outcome is Outcome.UPDATED else result, by_answer=by_answer
        )


class CancelledIsUnsent(Dispatcher):
    """Takes a request that was cancelled in flight for one that was never sent."""

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        is_cancelled = result.error == "interrupted"
        super()._settle(
            row, replace(result, outcome=Outcome.UNSENT, attempts=0) if is_cancelled else result, by_answer=by_answer
        )


class DropsAnswersOfTheDrain(Dispatcher):
    """Records nothing any more once it was stopped."""

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        if self.stopped is not None:
            self._ledger = Deaf(self._ledger)
        super()._settle(row, result, by_answer=by_answer)


class Deaf(DirectLedger):
    """Records nothing."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.store)

    def record(self, result: Result) -> None:
        """Do nothing."""


class CountsRowsForAttempts(Dispatcher):
    """Counts one attempt however often a row was sent."""

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        super()._settle(row, replace(result, attempts=min(result.attempts, 1)), by_answer=by_answer)


class BelievesAnybody(Dispatcher):
    """Takes an acknowledgement of another row for this one's."""

    def __init__(self, options: Any, feed: Feed, way: Way, *args: Any, **kwargs: Any) -> None:
        async def believing(row: Row, turn: Turn) -> Reply | None:
            reply = await way(row)[0].send(row, turn)
            if reply is None or reply.error != "response_mismatch":
                return reply
            return Reply(200, "", execution=Execution("COMPLETED", "another row's", "", "", ()))

        super().__init__(options, feed, by(believing), *args, **kwargs)


class TakesLossForRejection(Dispatcher):
    """Gives a row up as rejected when its last attempt was lost."""

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        is_lost = result.outcome is Outcome.UNKNOWN
        super()._settle(row, replace(result, outcome=Outcome.REJECTED) if is_lost else result, by_answer=by_answer)


class DoubtsEverything(Dispatcher):
    """Takes every row for one that may have been applied by an earlier attempt."""

    def _settle(self, row: Row, result: Result, *, by_answer: bool) -> None:
        super()._settle(row, replace(result, doubtful=True), by_answer=by_answer)


class HidesTheStop(Dispatcher):
    """Does not say at the end why it stopped."""

    async def run(self) -> None:
        """Run and forget."""
        await super().run()
        self.stopped = None


class CountsRetriesTwice(Dispatcher):
    """Counts the request of a retry twice."""

    async def _attempt(self, attempts: Attempts) -> bool:
        was_sent = await super()._attempt(attempts)
        self.tally.requests += attempts.requests > 1
        return was_sent


class NeverGivesUp(Dispatcher):
    """Tries each row for ever."""

    def __init__(self, options: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(options.model_copy(update={"max_attempts": 50}), *args, **kwargs)


# The client


class TakesWhatComes(Client):
    """Takes what the server says on an idle connection for the next answer."""

    async def _connection(self) -> Connection:
        return self._idle.pop() if self._idle else await super()._connection()


class TurnFirst(Client):
    """Waits for its turn before it has a connection."""

    async def put(self, row: Row, turn: Turn) -> Reply | None:
        """Put a row."""
        return await super().put(row, at_once) if await turn() else None


async def at_once() -> bool:
    """Give a turn."""
    return True


# The ledger


class KnowsAnyKey(Store):
    """Takes access as proven whatever the key."""

    def is_proven(self, target: str, key: str) -> bool:
        """Whether any key has had a success."""
        return bool(self._db.execute("SELECT count(*) FROM access").fetchone()[0])


class NeverMarksAhead(Store):
    """Does not say which rows may be sent before their turn."""

    def mark_ahead(self, run: int, rows: Iterable[int]) -> None:
        """Do nothing."""


class KnowsTheLatestRun(Store):
    """Lets an earlier run go on as if there had been none since."""

    def reopen(self, run: int, *, retry_rejected: bool) -> None:
        """Make everything due again."""
        super().reopen(run, retry_rejected=retry_rejected)
        with self.transaction() as db:
            db.execute("UPDATE line SET due = 1 WHERE run = ? AND error = 'superseded'", (run,))


class NeverMarks(Store):
    """Does not say which rows may be sent."""

    def mark(self, run: int, row: int) -> None:
        """Do nothing."""


class MarksTooLate(Store):
    """Says that rows may be sent only when the next ones are read."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._marked = 0

    def mark(self, run: int, row: int) -> None:
        """Mark the rows before these."""
        super().mark(run, self._marked)
        self._marked = row


class SendsAllAgain(Store):
    """Makes every row due again."""

    def reopen(self, run: int, *, retry_rejected: bool) -> None:
        """Forget what is settled."""
        super().reopen(run, retry_rejected=retry_rejected)
        with self.transaction() as db:
            db.execute("UPDATE line SET due = 1 WHERE run = ?", (run,))


class LeavesUnknown(Store):
    """Takes unknown rows for settled when the run is repeated."""

    def reopen(self, run: int, *, retry_rejected: bool) -> None:
        """Make the other rows due."""
        super().reopen(run, retry_rejected=retry_rejected)
        with self.transaction() as db:
            db.execute("UPDATE line SET due = 0 WHERE run = ? AND outcome = 'unknown'", (run,))


class ForgetsAttempts(Store):
    """Counts the attempts of the last invocation only."""

    def reopen(self, run: int, *, retry_rejected: bool) -> None:
        """Begin to count anew."""
        super().reopen(run, retry_rejected=retry_rejected)
        with self.transaction() as db:
            db.execute("UPDATE line SET attempts = 0 WHERE run = ? AND due", (run,))


class TrustsAllAcknowledged(Store):
    """Lets a payload count as acknowledged though a later one may have been applied."""

    def leave(self, run: int, *, error: str, detail: str) -> None:
        """Take over every digest."""
        super().leave(run, error=error, detail=detail)
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO acknowledged SELECT target, workflow, execution, line.digest "
                "FROM line JOIN run ON run.id = run WHERE run = ? AND line.digest IS NOT NULL ORDER BY row",
                (run,),
            )


class ForgetsLateOnes(Store):
    """Lets a payload count as acknowledged that an earlier row can still replace."""

    def leave(self, run: int, *, error: str, detail: str) -> None:
        """Take over the digests behind the last row that is open."""
        super().leave(run, error=error, detail=detail)
        with self.transaction() as db:
            db.execute(
                """
                WITH doubt AS (SELECT workflow AS w, execution AS e, max(row) AS last FROM line
                               WHERE run = ?1 AND doubtful AND outcome <> 'updated' GROUP BY 1, 2)
                INSERT OR REPLACE INTO acknowledged SELECT target, workflow, execution, line.digest
                FROM line JOIN run ON run.id = run LEFT JOIN doubt ON workflow = w AND execution = e
                WHERE run = ?1 AND line.digest IS NOT NULL AND row > coalesce(last, 0) ORDER BY row
                """,
                (run,),
            )


class KeepsAcknowledged(Store):
    """Lets a payload count as acknowledged though a later attempt in another run may have been applied."""

    def leave(self, run: int, *, error: str, detail: str) -> None:
        """Forget nothing, as if there were no doubts."""
        self._db.execute("CREATE TEMP TABLE kept AS SELECT * FROM acknowledged")
        super().leave(run, error=error, detail=detail)
        self._db.execute("INSERT OR IGNORE INTO acknowledged SELECT * FROM kept")
        self._db.execute("DROP TABLE kept")


class LeavesOutTooMuch(Store):
    """Leaves out a row with the acknowledged payload though one before it changes that."""

    def take_back(self, run: int) -> None:
        """Take nothing back."""


class SendsTheUnchanged(Store):
    """Leaves nothing out."""

    def leave_out(self, run: int, rows: Iterable[Row | InvalidRow]) -> None:
        """Do nothing."""


class TrustsTheKilled(Store):
    """Takes the rows that a killed run did not record for unsent."""

    def _recover(self) -> None:
        with self.transaction() as db:
            db.execute("UPDATE run SET watermark = 0 WHERE ended IS NULL")
        super()._recover()


class LeavesNoOutcome(Store):
    """Gives the rows that a run did not get to no outcome."""

    def leave(self, run: int, *, error: str, detail: str) -> None:
        """Take over what was acknowledged, and no more."""
        with self.transaction() as db:
            db.execute(sql.DOUBT, {"run": run})
            db.execute(sql.ACKNOWLEDGE, {"run": run})


class ForgetsAcknowledged(Store):
    """Does not take over what was acknowledged."""

    def leave(self, run: int, *, error: str, detail: str) -> None:
        """Give outcomes, and no more."""
        super().leave(run, error=error, detail=detail)
        with self.transaction() as db:
            db.execute("DELETE FROM acknowledged")


class TellsNoRisk(Store):
    """Knows of no row with a risk."""

    def order_risks(self, run: int) -> set[int]:
        """Return nothing."""
        return set()


class LosesTheFirst(Store):
    """Commits a batch without its first result."""

    def commit(self, run: int, results: Iterable[Result]) -> None:
        """Leave one out where there are many."""
        kept = list(results)
        super().commit(run, kept[1:] if len(kept) > 4 else kept)


class TrustsItsMemory(DirectLedger):
    """Takes what is recorded for what is kept."""

    async def kept(self, key: Key) -> None:
        """Wait for nothing."""


class LosesTheLastBatch(DirectLedger):
    """Forgets what is not yet committed when the run ends."""

    async def flush(self, run: int) -> None:
        """Commit only while the run goes on."""
        if "keep" in str(anyio.get_current_task().name):
            await super().flush(run)


Play = Callable[[int, Path, Parts], list[History]]


def simulate_once(seed: int, folder: Path, parts: Parts) -> list[History]:
    """Play a seed by itself."""
    return [simulate(seed, folder, parts)]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Broken parts, what is played with them, and the rule of `tests.support.invariants` that must notice."""

    parts: Parts
    rule: Rule | Callable[[list[History]], Iterator[str]]
    play: Play = simulate_once


BROKEN = {
    "no order": Mistake(Parts(dispatcher=ordered_by(NoOrder)), rules.i07_one_request_of_an_execution_at_a_time),
    "no order, by what is left": Mistake(
        Parts(dispatcher=ordered_by(NoOrder)), rules.i03_the_last_row_wins, play=simulate_one(chained)
    ),
    "successor released after an unsettled row": Mistake(
        Parts(dispatcher=ordered_by(ReleasesUnsettled)), rules.nothing_overtakes_an_unsettled_row
    ),
    "parked rows taken from the wrong end": Mistake(
        Parts(dispatcher=ordered_by(NewestFirst)), rules.i04_updates_are_applied_in_file_order
    ),
    "place taken after reading": Mistake(
        Parts(dispatcher=ordered_by(ReadsAhead)), rules.i09_the_window_is_kept, play=simulate_one(crowded)
    ),
    "window ten times too large": Mistake(
        Parts(dispatcher=NoWindow), rules.i09_the_window_is_kept, play=simulate_one(crowded)
    ),
    "retries without a turn": Mistake(Parts(dispatcher=taking(FreeRetries)), rules.a_hold_is_for_everyone),
    "stop ignored by rows in backoff": Mistake(
        Parts(dispatcher=taking(NeverClosed)), rules.i08_nothing_starts_after_a_stop
    ),
    "429 holds nobody else": Mistake(Parts(dispatcher=watching(NoHold)), rules.a_hold_is_for_everyone),
    "no reply stops the run": Mistake(Parts(dispatcher=watching(GoesOn)), rules.some_answers_stop_the_run),
    "hold ends too early": Mistake(Parts(pacer=ImpatientPacer), rules.a_hold_is_for_everyone),
    "bursts": Mistake(Parts(pacer=BurstPacer), rules.i06_no_second_holds_more_than_the_rate),
    "no canary": Mistake(Parts(dispatcher=watching(NoCanary)), rules.one_at_a_time_until_one_succeeds),
    "refusals believed at once": Mistake(
        Parts(dispatcher=watching(BelievesRefusals)), rules.a_row_is_rejected_for_its_own_sake
    ),
    "refusals asked for without end": Mistake(Parts(dispatcher=watching(AsksOn)), rules.a_wrong_key_costs_ten_requests),
    "access remembered for any key": Mistake(
        Parts(store=KnowsAnyKey), rules.a_row_is_rejected_for_its_own_sake, play=simulate_one(with_another_key)
    ),
    "probes in file order": Mistake(
        Parts(dispatcher=taking(FirstComeFirst)), rules.who_is_well_is_not_kept_by_who_is_ill, play=simulate_one(ill)
    ),
    "nobody asked elsewhere": Mistake(
        Parts(dispatcher=AsksNobodyElse), rules.who_is_well_is_not_kept_by_who_is_ill, play=simulate_one(ill)
    ),
    "latest run only": Mistake(Parts(store=KnowsTheLatestRun), rules.no_state_is_turned_back, play=simulate_return),
    "last answers not explained": Mistake(Parts(dispatcher=GivesUpAtOnce), rules.a_row_is_rejected_for_its_own_sake),
    "waiting charged": Mistake(Parts(dispatcher=ChargesWaiting), rules.waiting_fails_no_row),
    "clock wound by every answer": Mistake(
        Parts(dispatcher=watching(WindsTheClock)), rules.nobody_waits_for_longer_than_allowed
    ),
    "connection not looked at": Mistake(Parts(client=TakesWhatComes), rules.i02_updated_means_acknowledged),
    "turn before the connection": Mistake(Parts(client=TurnFirst), rules.i06_no_second_holds_more_than_the_rate),
    "rows ahead not marked": Mistake(Parts(store=NeverMarksAhead), rules.unsent_means_unsent, play=simulate_one(ill)),
    "recorded before the reply": Mistake(Parts(dispatcher=RecordsBeforeTheReply), rules.i02_updated_means_acknowledged),
    "doubt not remembered": Mistake(Parts(dispatcher=ForgetsDoubt), rules.doubt_is_remembered),
    "doubt about everything": Mistake(Parts(dispatcher=DoubtsEverything), rules.certainty_is_not_given_up),
    "cancelled is unsent": Mistake(
        Parts(dispatcher=CancelledIsUnsent), rules.unsent_means_unsent, play=simulate_one(cut_short)
    ),
    "drain drops answers": Mistake(Parts(dispatcher=DropsAnswersOfTheDrain), rules.i05_attempts_are_requests),
    "retries not counted": Mistake(Parts(dispatcher=CountsRowsForAttempts), rules.i05_attempts_are_requests),
    "another row's acknowledgement believed": Mistake(
        Parts(dispatcher=BelievesAnybody), rules.i02_updated_means_acknowledged, play=simulate_one(swapped)
    ),
    "loss taken for rejection": Mistake(Parts(dispatcher=TakesLossForRejection), rules.i02_updated_means_acknowledged),
    "attempts without limit": Mistake(Parts(dispatcher=NeverGivesUp), rules.attempts_are_limited),
    "stop hidden": Mistake(Parts(dispatcher=HidesTheStop), rules.the_exit_code_says_what_is_left),
    "requests of retries counted twice": Mistake(Parts(dispatcher=CountsRetriesTwice), rules.requests_are_counted),
    "watermark never marked": Mistake(Parts(store=NeverMarks), rules.unsent_means_unsent),
    "watermark marked too late": Mistake(Parts(store=MarksTooLate), rules.unsent_means_unsent),
    "acknowledged rows sent again": Mistake(Parts(store=SendsAllAgain), rules.what_is_settled_is_not_sent_again),
    "unknown rows left on repeat": Mistake(Parts(store=LeavesUnknown), rules.i10_a_finished_run_sends_nothing),
    "attempts of earlier invocations forgotten": Mistake(Parts(store=ForgetsAttempts), rules.i05_attempts_are_requests),
    "acknowledged in spite of doubt": Mistake(
        Parts(store=TrustsAllAcknowledged), rules.what_is_acknowledged_is_what_the_server_holds
    ),
    "late update forgotten": Mistake(
        Parts(store=ForgetsLateOnes), rules.what_is_acknowledged_is_what_the_server_holds, play=simulate_nights
    ),
    "acknowledged in spite of a later doubt": Mistake(
        Parts(store=KeepsAcknowledged), rules.unchanged_means_held, play=simulate_nights
    ),
    "left out behind a changed row": Mistake(
        Parts(store=LeavesOutTooMuch), rules.unchanged_means_held, play=simulate_nights
    ),
    "unchanged rows sent": Mistake(
        Parts(store=SendsTheUnchanged), rules.only_what_changed_is_sent, play=simulate_nights
    ),
    "acknowledged payloads forgotten": Mistake(Parts(store=ForgetsAcknowledged), rules.what_was_acknowledged_is_known),
    "killed run trusted": Mistake(Parts(store=TrustsTheKilled), rules.unsent_means_unsent),
    "rows left without an outcome": Mistake(Parts(store=LeavesNoOutcome), rules.i01_one_line_for_each_row),
    "no risk told": Mistake(Parts(store=TellsNoRisk), rules.order_risks_are_told),
    "results left out of a batch": Mistake(Parts(store=LosesTheFirst), rules.i05_attempts_are_requests),
    "later rows sent before the earlier is kept": Mistake(
        Parts(ledger=TrustsItsMemory), rules.i04_updates_are_applied_in_file_order, play=simulate_one(chained)
    ),
    "last batch lost": Mistake(Parts(ledger=LosesTheLastBatch), rules.i10_a_finished_run_sends_nothing),
}
"""By the mistake that was made."""

SHOWN_BY = {
    "no order": 14,
    "parked rows taken from the wrong end": 19,
    "place taken after reading": 5,
    "window ten times too large": 5,
    "retries without a turn": 3,
    "no reply stops the run": 10,
    "hold ends too early": 15,
    "bursts": 8,
    "no canary": 2,
    "refusals believed at once": 4,
    "refusals asked for without end": 12,
    "nobody asked elsewhere": 8,
    "last answers not explained": 13,
    "waiting charged": 9,
    "clock wound by every answer": 15,
    "doubt not remembered": 3,
    "doubt about everything": 3,
    "retries not counted": 3,
    "attempts without limit": 16,
    "stop hidden": 14,
    "requests of retries counted twice": 3,
    "acknowledged in spite of doubt": 7,
    "late update forgotten": 7,
    "acknowledged in spite of a later doubt": 11,
}
"""The seed that is played first where the others would take long to show the mistake."""
