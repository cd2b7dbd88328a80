"""Tests of `bulksync.sender.dispatcher`, in virtual time, against a server that is one scripted function."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulksync.errors import StorageError
from bulksync.model import SETTLED, Execution, Key, Outcome, Reply, Result, Row, Send, Stop, Turn
from bulksync.model import Request as Asking
from bulksync.options.models import RunOptions
from bulksync.quota.pacer import Pacer
from bulksync.sender.clock import Clock
from bulksync.sender.dispatcher import Dispatcher
from tests.support import virtual
from tests.support.rates import fullest
from tests.support.stations import GivenRows, Recorded, by

Answer = Callable[[Row, int], Awaitable[Reply]]
"""What the server does with a row and the number of the attempt at it, from 1."""

SIGNAL = Stop(143, "interrupted", "stopped by SIGTERM")

ACKNOWLEDGEMENT = Reply(200, "", execution=Execution("COMPLETED", "updated", "", "", ()))


def refusal(status: int, retry_after: float | None = None) -> Reply:
    """Return an answer that is no acknowledgement."""
    return Reply(status, f"http_{status}", f"HTTP {status}", retry_after=retry_after)


def row(number: int, execution: int | None = None) -> Row:
    """Return a row, of an execution of its own where none is given."""
    name = number if execution is None else execution
    return Row(number, number + 1, "workflow", f"execution-{name}", "RUNNING", b'{"row":%d}' % number)


def rows(executions: Iterable[int]) -> list[Row]:
    """Return rows of these executions, numbered from 1."""
    return [row(number, execution) for number, execution in enumerate(executions, 1)]


@dataclass(slots=True)
class Request:
    """One request as the server saw it."""

    row: int
    key: Key
    started: float
    ended: float = float("inf")
    reply: Reply | None = None


@dataclass(slots=True)
class Played:
    """What a run came to: what the server saw, what was recorded, what was said."""

    requests: list[Request] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stop: Stop | None = None
    ended: float = 0.0
    most_inside: int = 0
    dispatcher: Dispatcher | None = None

    @property
    def outcomes(self) -> dict[int, tuple[str, str]]:
        """Outcome and error by row; a row that was recorded twice would show."""
        assert len({result.row for result in self.results}) == len(self.results)
        return {result.row: (str(result.outcome), result.error) for result in self.results}

    @property
    def sent_outcomes(self) -> dict[int, tuple[str, str]]:
        """Outcome and error of the rows that were sent; the others were let in for nothing."""
        return {number: outcome for number, outcome in self.outcomes.items() if number in self.sent}

    @property
    def counts(self) -> dict[str, int]:
        """Rows by outcome."""
        return dict(Counter(str(result.outcome) for result in self.results))

    @property
    def sent(self) -> list[int]:
        """Rows in the order in which their requests started."""
        return [request.row for request in self.requests]

    @property
    def stopped(self) -> tuple[int, str] | None:
        """Exit code and error of the stop."""
        return None if self.stop is None else (self.stop.exit_code, self.stop.error)

    def most_in_flight(self, requests: Sequence[Request] | None = None) -> int:
        """Return how many requests were on the wire at once."""
        chosen = self.requests if requests is None else requests
        moves = sorted([(one.started, 1) for one in chosen] + [(one.ended, -1) for one in chosen])
        most = now = 0
        for _, move in moves:
            now += move
            most = max(most, now)
        return most


During = Callable[[Dispatcher, anyio.CancelScope], Coroutine[Any, Any, None]]


async def play(
    given_rows: Sequence[Row],
    answer: Answer,
    *,
    during: During | None = None,
    chunk: int = 100,
    room: Callable[[], Awaitable[None]] | None = None,
    chance: Callable[[], float] | None = None,
    is_known: bool = False,
    wasted: Callable[[int], bool] = lambda _: False,
    unconnected: Mapping[int, Reply] = MappingProxyType({}),
    before: Callable[[Dispatcher], None] = lambda _: None,
    **options: Any,
) -> Played:
    """Send rows to a scripted server; *during* happens meanwhile.

    The turns of rows whose number is *wasted* are not used the first time, *unconnected* ones get no connection then;
    *before* the start a test may interfere.
    """
    played = Played()
    chosen = RunOptions(**{"rate": 1000} | options)
    attempts: Counter[int] = Counter()
    without = dict(unconnected)

    def elsewhere(most: int) -> list[Row]:
        return spread([one for one in given_rows if not attempts[one.row]], most)

    async def put(sent_row: Row, turn: Turn) -> Reply | None:
        if (failure := without.pop(sent_row.row, None)) is not None:
            return failure
        for _ in range(1 + wasted(sent_row.row)):
            if not await turn():
                return None
        attempts[sent_row.row] += 1
        request = Request(sent_row.row, sent_row.key, virtual.now())
        played.requests.append(request)
        played.most_inside = max(played.most_inside, dispatcher._order.inside)
        try:
            request.reply = await answer(sent_row, attempts[sent_row.row])
        finally:
            request.ended = virtual.now()
        return request.reply

    ledger = Recorded(room)
    played.results = ledger.results
    dispatcher = Dispatcher(
        chosen,
        GivenRows(given_rows, chunk, elsewhere),
        by(put),
        ledger,
        Pacer(chosen.rate, anyio.current_time),
        lambda event, **fields: played.said.append((event, fields)),
        Clock(virtual.now, virtual.now, chance or random.Random(1).random),  # noqa: S311  no secret
        is_known=is_known,
    )
    played.dispatcher = dispatcher
    before(dispatcher)
    async with anyio.create_task_group() as around:
        with anyio.CancelScope() as sending:
            if during is not None:
                around.start_soon(during, dispatcher, sending)
            await dispatcher.run()
        played.ended = virtual.now()
        around.cancel_scope.cancel()
    played.stop = dispatcher.stopped
    return played


def spread(given_rows: Sequence[Row], most: int) -> list[Row]:
    """Return the first rows of so many executions at most, from all over the input; the last of them too."""
    first: dict[Key, Row] = {}
    for one in given_rows:
        first.setdefault(one.key, one)
    found = list(first.values())
    count = min(most, len(found))
    return [found[-1 - number * len(found) // count] for number in range(count)]


def played(given_rows: Sequence[Row], answer: Answer, **how: Any) -> Played:
    """Send rows to a scripted server in virtual time."""
    return virtual.run(lambda: play(given_rows, answer, **how))


def answers(*script: Reply, latency: float = 0.01) -> Answer:
    """Return a server that answers each row's attempts with these replies in turn, the last one for ever."""

    async def answer(_: Row, attempt: int) -> Reply:
        await anyio.sleep(latency)
        return script[min(attempt, len(script)) - 1]

    return answer


def by_row(script: dict[int, Reply], otherwise: Reply = ACKNOWLEDGEMENT, latency: float = 0.01) -> Answer:
    """Return a server that answers some rows in their own way, at every attempt."""

    async def answer(sent_row: Row, _: int) -> Reply:
        await anyio.sleep(latency)
        return script.get(sent_row.row, otherwise)

    return answer


# Outcomes


def test_every_row_gets_its_outcome_once() -> None:
    """A thousand rows to a server that is well: each is sent once, recorded once, with what the server said."""
    done = played(rows(range(1000)), answers(ACKNOWLEDGEMENT))
    assert sorted(done.sent) == list(range(1, 1001))
    assert done.outcomes == dict.fromkeys(range(1, 1001), ("updated", ""))
    assert done.stop is None
    first = next(result for result in done.results if result.row == 1)
    assert first == Result(
        row=1,
        key=("workflow", "execution-0"),
        outcome=Outcome.UPDATED,
        status=200,
        execution=ACKNOWLEDGEMENT.execution,
        attempts=1,
        first_sent=first.first_sent,
        finished=first.finished,
        duration=first.duration,
        digest=first.digest,
    )
    assert first.first_sent == pytest.approx(0, abs=1e-3)
    assert first.finished == pytest.approx(0.01, abs=1e-3)
    assert first.duration == pytest.approx(0.01, abs=1e-4)


def test_no_rows() -> None:
    """An empty input is done at once."""
    done = played([], answers(ACKNOWLEDGEMENT))
    assert (done.requests, done.results, done.stop) == ([], [], None)


@pytest.mark.parametrize(
    ("script", "outcome", "attempts", "doubtful"),
    [
        ([ACKNOWLEDGEMENT], ("updated", ""), 1, False),
        ([refusal(400)], ("rejected", "http_400"), 1, False),
        ([refusal(500), ACKNOWLEDGEMENT], ("updated", ""), 2, True),
        ([refusal(503), ACKNOWLEDGEMENT], ("updated", ""), 2, False),
        ([refusal(429), refusal(400)], ("rejected", "http_400"), 2, False),
        ([Reply(None, "request_timeout"), refusal(400)], ("rejected", "http_400"), 2, True),
        ([Reply(None, "connect_failed"), ACKNOWLEDGEMENT], ("updated", ""), 1, False),
        ([refusal(500)], ("unknown", "http_500"), 5, True),
        ([refusal(408)], ("failed", "http_408"), 5, False),
        ([refusal(503)], ("failed", "http_503"), 6, False),
        ([refusal(500), refusal(503)], ("unknown", "http_503"), 5, True),
        ([refusal(500), refusal(400)], ("rejected", "http_400"), 2, True),
        ([Reply(200, "response_invalid"), ACKNOWLEDGEMENT], ("updated", ""), 2, True),
    ],
)
def test_what_becomes_of_a_row(script: list[Reply], outcome: tuple[str, str], attempts: int, doubtful: bool) -> None:
    """The last reply decides; every request that may have arrived is an attempt; doubt is never forgotten."""

    async def answer(sent_row: Row, attempt: int) -> Reply:
        await anyio.sleep(0.01)
        return script[min(attempt, len(script)) - 1] if sent_row.row == 2 else ACKNOWLEDGEMENT

    done = played(rows(range(1_000)), answer, rate=20, max_failures="9")
    assert done.outcomes[2] == outcome
    assert [(one.attempts, one.doubtful) for one in done.results if one.row == 2] == [(attempts, doubtful)]


# Order


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=60), st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 20))
def test_rows_of_one_execution_never_overlap_or_swap(
    executions: list[int], seed: int, max_in_flight: int, chunk: int
) -> None:
    """Whatever goes wrong: one request of an execution at a time, in file order, none behind an unsettled row."""
    luck = random.Random(seed)  # noqa: S311  no secret
    replies = [ACKNOWLEDGEMENT] * 6 + [refusal(status) for status in (400, 429, 500, 503)]
    replies += [Reply(None, "request_timeout"), Reply(None, "connect_failed")]

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(luck.random() / 10)
        return luck.choice(replies)

    how = {"max_in_flight": max_in_flight, "max_attempts": 2, "max_failures": "100%", "chunk": chunk}
    done = played(rows(executions), answer, accept_refusals=True, **how)
    of_one: dict[Key, list[Request]] = defaultdict(list)
    for request in done.requests:
        of_one[request.key].append(request)
    outcomes = {result.row: result.outcome for result in done.results}
    for requests in of_one.values():
        for before, after in pairwise(requests):
            assert before.ended <= after.started
            assert before.row <= after.row
            assert before.row == after.row or outcomes[before.row] in SETTLED
    last_sent = {key: max(request.row for request in requests) for key, requests in of_one.items()}
    for one in rows(executions):
        assert (one.row in outcomes) == (one.row <= last_sent[one.key])
    assert done.most_in_flight() <= max_in_flight
    assert done.stop is None


@pytest.mark.parametrize(("status", "outcome"), [(408, "failed"), (500, "unknown")])
def test_nothing_follows_an_unsettled_row(status: int, outcome: str) -> None:
    """After a failed or unknown row the later ones of its execution are neither sent nor recorded; others go on."""
    done = played(rows([0, 1, 1, 0, 1, 2]), by_row({2: refusal(status)}), max_attempts=2, max_failures="9")
    updated = ("updated", "")
    assert done.outcomes == {1: updated, 2: (outcome, f"http_{status}"), 4: updated, 6: updated}
    assert sorted(done.sent) == [1, 2, 2, 4, 6]


def test_a_rejected_row_lets_the_next_one_go() -> None:
    """A row that the server refused for good does not keep the later rows of its execution."""
    done = played(rows([0, 1, 1, 1]), by_row({2: refusal(400), 3: refusal(422)}), max_failures="9")
    assert (done.sent, done.counts) == ([1, 2, 3, 4], {"updated": 2, "rejected": 2})


def test_retries_keep_file_order() -> None:
    """A row in backoff keeps its place: the next row of its execution is sent after it is acknowledged."""
    done = played(rows([0, 1, 1]), answers(refusal(503), refusal(503), ACKNOWLEDGEMENT))
    assert [number for number in done.sent if number > 1] == [2, 2, 2, 3, 3, 3]
    assert done.counts == {"updated": 3}


@pytest.mark.parametrize("executions", [[0] * 500, list(range(500)), [0, *range(400)], [0, 1] * 200])
@pytest.mark.parametrize("max_in_flight", [1, 4, 32])
@pytest.mark.parametrize("chunk", [1, 100])
def test_the_window_bounds_the_rows_inside(executions: list[int], max_in_flight: int, chunk: int) -> None:
    """Never more than 4 rows for each request in flight are inside, 64 at least, however they are spread."""
    done = played(rows(executions), answers(ACKNOWLEDGEMENT), max_in_flight=max_in_flight, chunk=chunk)
    assert done.most_inside <= max(4 * max_in_flight, 64)
    assert done.counts == {"updated": len(executions)}


def test_rows_that_back_off_leave_their_place() -> None:
    """While rows back off others are carried in their place, and afterwards no more at once than before."""
    inside: list[int] = []

    async def during(dispatcher: Dispatcher, _: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(0.01)
            inside.append(dispatcher._order.inside)

    async def answer(sent_row: Row, attempt: int) -> Reply:
        await anyio.sleep(0.01)
        return refusal(503) if sent_row.row in (2, 4, 6, 8) and attempt == 1 else ACKNOWLEDGEMENT

    # They back off for 0.2 s; the input is longer than what is read of it at once, as at its end all workers may stay.
    done = played(rows(range(60)), answer, during=during, chunk=50, max_in_flight=1, chance=lambda: 0.4)
    assert done.counts == {"updated": 60}
    assert done.sent[:20] == list(range(1, 21))
    assert sorted(done.sent[20:]) == [2, 4, 6, 8, *range(21, 61)]
    assert (max(inside), max(inside[45:])) == (6, 2)


@pytest.mark.fault("C1", "a connection that is gone when its turn comes")
def test_a_turn_that_was_not_used_is_asked_for_again() -> None:
    """A client that finds its connection closed waits for another turn; the rate counts both, and nobody is stuck."""
    given = []

    async def answer(_: Row, __: int) -> Reply:
        given.append(virtual.now())
        return ACKNOWLEDGEMENT

    done = played(rows(range(50)), answer, rate=10, max_in_flight=2, wasted=lambda number: number % 5 == 1)
    assert done.counts == {"updated": 50}
    assert done.ended == pytest.approx(50 / 10 * 1.2, rel=0.05)
    assert done.dispatcher is not None
    assert done.dispatcher.turns.in_flight == 0


@pytest.mark.fault("C1", "a turn that comes late is given up")
def test_a_turn_that_is_not_used_in_time_is_given_up() -> None:
    """After a stall of the whole process no request starts on a turn from before it."""

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.001)
        return ACKNOWLEDGEMENT

    def stall(dispatcher: Dispatcher) -> None:
        clock = asyncio.get_running_loop()._clock  # type: ignore[attr-defined]  # the virtual one's
        give = dispatcher.turns._start_next

        stalls: list[float] = []

        def late(now: float) -> None:
            give(now)
            if dispatcher.tally.requests == 21 and not stalls:
                stalls.append(now)
                clock.now += 3.0

        dispatcher.turns._start_next = late  # type: ignore[method-assign]  # the machine stands still right then

    done = played(rows(range(60)), answer, rate=100, before=stall)
    assert done.counts == {"updated": 60}
    assert fullest([request.started for request in done.requests], 0.99) <= 100


# Before the first success


def test_a_bad_key_costs_one_request() -> None:
    """401 to the first request stops the run with exit code 5; nothing else was sent."""
    done = played(rows(range(100)), answers(refusal(401)))
    assert (done.sent, done.stopped) == ([1], (5, "aborted_access"))
    assert done.sent_outcomes == {1: ("failed", "http_401")}
    assert done.counts == {"failed": 1, "unsent": 63}


@pytest.mark.parametrize(
    ("reply", "code", "outcome"),
    [
        (refusal(407), 5, "failed"),
        (refusal(511), 5, "failed"),
        (Reply(302, "redirect_refused"), 5, "failed"),
        (Reply(None, "tls_failed"), 5, "unsent"),
        (Reply(None, "tls_verify_failed"), 5, "unsent"),
        (Reply(403, "proxy_failed"), 5, "unsent"),
        (Reply(None, "dns_failed"), 6, "unsent"),
        (Reply(200, "response_mismatch"), 6, "unknown"),
    ],
)
def test_one_request_tells_that_nobody_should_be_asked(reply: Reply, code: int, outcome: str) -> None:
    """No access, no trust, no such host, an answer for somebody else: one request, then the run stops."""
    done = played(rows(range(100)), answers(reply))
    assert len(done.sent) == 1
    assert (done.stop and done.stop.exit_code) == code
    assert done.sent_outcomes == {1: (outcome, reply.error)}


@pytest.mark.parametrize("error", ["dns_failed", "tls_failed"])
def test_who_is_not_alone_has_seen_it_work(error: str) -> None:
    """While the first request is on its way, a second connection that fails is an outage, as the first one did not."""
    done = played(rows(range(100)), answers(ACKNOWLEDGEMENT), unconnected={2: Reply(None, error)})
    assert (done.stop, done.counts) == (None, {"updated": 100})


@pytest.mark.parametrize(
    "reply",
    [
        refusal(401),
        Reply(301, "redirect_refused"),
        Reply(200, "response_mismatch"),
        Reply(None, "tls_verify_failed"),
        Reply(511, "proxy_failed"),
    ],
)
def test_it_stops_a_running_run_too(reply: Reply) -> None:
    """The same answers in the middle stop the run; what is in flight finishes, nothing new starts."""
    done = played(rows(range(500)), by_row({200: reply}))
    seen = next(request.ended for request in done.requests if request.row == 200)
    assert done.stop is not None
    assert done.stop.exit_code in (5, 6)
    assert [request.row for request in done.requests if request.started > seen] == []
    assert all(request.reply is not None for request in done.requests)
    assert done.counts["updated"] == len(done.requests) - 1


@pytest.mark.fault("B3", "every row refused, whatever the status")
@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 501])
def test_ten_refusals_speak_of_the_key_or_the_address(status: int) -> None:
    """Ten executions from all over the input, refused before any success: exit code 5, and nothing is rejected."""
    done = played(rows(range(100)), answers(refusal(status)))
    assert (len(done.sent), done.stopped) == (10, (5, "aborted_access"))
    assert done.sent_outcomes == dict.fromkeys(done.sent, ("failed", f"http_{status}"))
    assert min(abs(one - other) for one, other in pairwise(sorted(done.sent))) >= 5


@pytest.mark.fault("B2", "deleted executions at the head")
@pytest.mark.parametrize("status", [403, 404, 422])
@pytest.mark.parametrize("dead", [1, 9, 10, 50])
def test_refusals_at_the_head_are_believed_after_a_success(status: int, dead: int) -> None:
    """However many rows at the head are refused: rows farther on are asked, and one success shows whose fault it is."""
    refused = dict.fromkeys(range(1, dead + 1), refusal(status))
    done = played(rows(range(100)), by_row(refused), max_failures="100%")
    assert done.stop is None
    assert done.outcomes == {
        number: ("rejected", f"http_{status}") if number in refused else ("updated", "") for number in range(1, 101)
    }


@pytest.mark.fault("B2", "a chain of a deleted execution at the head")
def test_a_chain_that_is_refused_asks_once() -> None:
    """An execution that does not exist, with 130 rows at the head, speaks for itself alone."""
    given_rows = rows([*[0] * 130, *range(1, 20)])
    done = played(given_rows, by_row(dict.fromkeys(range(1, 131), refusal(404))), max_failures="100%")
    assert (done.stop, done.counts) == (None, {"rejected": 130, "updated": 19})
    assert [number for number in done.sent if number <= 130] == list(range(1, 131))


def test_other_workflows_are_asked_first() -> None:
    """Where the rows of one workflow are refused, the next one asked is of another, wherever that stands."""
    given_rows = [replace(one, workflow_id="other") if one.row == 3 else one for one in rows(range(100))]
    done = played(given_rows, by_row({3: ACKNOWLEDGEMENT}, refusal(404)), max_failures="100%")
    assert done.sent[:2] == [1, 3]


def test_few_refusals_are_believed_where_the_key_has_worked_before() -> None:
    """Where key and address had a success before, fewer than twenty rows that are all refused are rejected."""
    done = played(rows(range(19)), answers(refusal(404)), is_known=True)
    assert (done.stop, done.counts) == (None, {"rejected": 19})


def test_when_every_row_was_refused() -> None:
    """Fewer than ten rows, all refused: exit code 5 too, and nothing is believed."""
    done = played(rows(range(3)), answers(refusal(404)))
    assert (sorted(done.sent), done.stopped) == ([1, 2, 3], (5, "aborted_access"))
    assert done.outcomes == dict.fromkeys((1, 2, 3), ("failed", "http_404"))


@pytest.mark.parametrize("size", [1, 15, 300])
def test_refusals_are_the_rows_own_where_the_caller_says_so(size: int) -> None:
    """With --accept-refusals every refused row is rejected, without any success, and all go at full speed."""
    done = played(rows(range(size)), answers(refusal(404)), accept_refusals=True, max_failures="100%")
    assert (done.stop, done.counts) == (None, {"rejected": size})


def test_a_refused_row_keeps_its_execution() -> None:
    """As long as a refusal is not believed, the next row of the execution waits; and it goes once it is."""
    done = played(rows([0, 0, 0, 1]), by_row({1: refusal(404)}), max_failures="9")
    assert done.sent[:2] == [1, 4]
    assert sorted(done.sent) == [1, 2, 3, 4]
    assert done.counts == {"rejected": 1, "updated": 3}


def test_a_refusal_is_recorded_even_where_the_run_is_cut_short() -> None:
    """Refusals that wait to be explained are not lost when the row behind them is cancelled in flight."""

    async def answer(sent_row: Row, _: int) -> Reply:
        await anyio.sleep(600 if sent_row.row == 2 else 0.01)
        return refusal(404)

    async def during(dispatcher: Dispatcher, sending: anyio.CancelScope) -> None:
        await anyio.sleep(60)
        dispatcher.stop(SIGNAL)
        sending.cancel()

    done = played(rows(range(3)), answer, during=during)
    assert done.outcomes == {1: ("failed", "http_404"), 2: ("unknown", "interrupted"), 3: ("failed", "http_404")}


def test_one_row_at_a_time_until_one_succeeds() -> None:
    """Before the first acknowledgement one request is on the wire, afterwards as many as are allowed."""

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.1)
        return refusal(400) if virtual.now() < 0.85 else ACKNOWLEDGEMENT

    done = played(rows(range(200)), answer, max_in_flight=8, max_failures="100%")
    assert done.most_in_flight(done.requests[:9]) == 1
    assert done.most_in_flight() == 8


@pytest.mark.fault("A4", "answers that are no acknowledgements, before any success")
@pytest.mark.parametrize("error", ["response_invalid", "protocol_error", "response_too_large"])
def test_who_does_not_speak_this_api_is_left_alone(error: str) -> None:
    """Ten executions answered by a stranger: exit code 6, within a few seconds."""
    done = played(rows(range(100)), answers(Reply(200, error)))
    assert (len(done.sent), done.stopped) == (10, (6, "aborted_outage"))
    assert done.sent_outcomes == dict.fromkeys(done.sent, ("unknown", error))
    assert done.ended < 3


@pytest.mark.fault("B2", "a first answer that is no acknowledgement")
def test_one_odd_answer_at_the_head_is_not_everyones() -> None:
    """A first row whose answer is never an acknowledgement keeps none of the others from being sent."""
    done = played(rows(range(100)), by_row({1: Reply(200, "response_invalid")}), max_failures="9")
    assert (done.stop, done.counts) == (None, {"updated": 99, "unknown": 1})


def test_ten_rows_without_any_answer() -> None:
    """Connections lost with every one of ten rows, before any success: exit code 6."""
    done = played(rows(range(100)), answers(Reply(None, "connection_lost")), max_attempts=2)
    assert (len(done.sent), done.stopped) == (10, (6, "aborted_outage"))


# In the middle

BLOCKED = Reply(403, "http_403", "Forbidden", stranger=True)
"""What a firewall answers in the API's place."""


@pytest.mark.fault("B4", "a firewall's page for everyone")
@pytest.mark.parametrize("reply", [BLOCKED, Reply(404, "http_404", stranger=True)])
def test_a_page_in_place_of_an_answer_is_not_believed(reply: Reply) -> None:
    """Where rows from elsewhere are refused too, the run stops with 5, and no row is rejected."""

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.02)
        return ACKNOWLEDGEMENT if virtual.now() < 3 else reply

    done = played(rows(range(1_000)), answer, rate=100)
    refused = [request.row for request in done.requests if request.reply == reply]
    assert done.stopped == (5, "aborted_access")
    assert {done.outcomes[number] for number in refused} == {("failed", reply.error)}
    assert len(refused) < 20
    assert "rejected" not in done.counts


@pytest.mark.fault("B4", "a firewall's page for everyone, for a second")
def test_a_page_that_passes_costs_no_row() -> None:
    """Where a block is over before the run gives up, every row is updated: those that were refused are asked again."""

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.02)
        return BLOCKED if 3 <= virtual.now() < 4 else ACKNOWLEDGEMENT

    done = played(rows(range(1_000)), answer, rate=100)
    assert (done.stop, done.counts) == (None, {"updated": 1_000})


@pytest.mark.fault("B4", "a firewall's page for one row")
def test_a_page_for_one_row_is_its_own() -> None:
    """Where the rows from elsewhere succeed, the refusal was the row's own, and the run goes on."""
    done = played(rows(range(500)), by_row({200: BLOCKED}), rate=100)
    assert (done.stop, done.counts) == (None, {"updated": 499, "rejected": 1})


@pytest.mark.fault("B4", "a block of rows refused in JSON")
@pytest.mark.parametrize("size", [19, 20, 60])
@pytest.mark.parametrize("max_in_flight", [1, 32])
def test_a_block_of_refused_rows_is_rejected(size: int, max_in_flight: int) -> None:
    """However long a block of refused rows is, rows elsewhere show that it is theirs alone."""
    dead = dict.fromkeys(range(100, 100 + size), refusal(404))
    how = {"rate": 100, "max_in_flight": max_in_flight, "max_failures": "100%"}
    done = played(rows(range(500)), by_row(dead), **how)
    assert (done.stop, done.counts) == (None, {"updated": 500 - size, "rejected": size})


def test_refusals_at_the_end_are_the_rows_own() -> None:
    """Fewer than twenty refused rows at the end of the input are rejected though nothing comes behind them."""
    done = played(rows(range(100)), by_row(dict.fromkeys(range(85, 101), refusal(404))), max_failures="100%")
    assert (done.stop, done.counts) == (None, {"updated": 84, "rejected": 16})


@pytest.mark.fault("B4", "every row refused in JSON, from the middle on")
def test_the_twentieth_refusal_in_a_row_asks_elsewhere() -> None:
    """Where all rows are refused from some moment on, at most thirty are sent then, and none is rejected."""

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.02)
        return ACKNOWLEDGEMENT if virtual.now() < 3 else refusal(404)

    done = played(rows(range(1_000)), answer, rate=100)
    refused = [request.row for request in done.requests if request.reply == refusal(404)]
    assert done.stopped == (5, "aborted_access")
    assert {done.outcomes[number] for number in refused} == {("failed", "http_404")}
    assert 30 <= len(refused) <= 33


def of_workflow(given_rows: Iterable[Row], numbers: Iterable[int]) -> list[Row]:
    """Return rows of which those with some *numbers* are of another workflow."""
    chosen = set(numbers)
    return [replace(one, workflow_id="ill") if one.row in chosen else one for one in given_rows]


@pytest.mark.fault("B1", "one broken workflow")
@pytest.mark.parametrize(
    ("ill", "status"),
    [
        *[(ill, status) for ill in (range(41, 191), range(1, 151), range(1, 291, 2)) for status in (500, 502)],
        (range(141, 291), 500),
    ],
)
def test_a_workflow_that_always_fails_keeps_nobody_else(ill: range, status: int) -> None:
    """Rows that always fail use their attempts up, and every other row is updated in the same run."""
    given_rows = of_workflow(rows(range(290)), ill)
    done = played(given_rows, by_row(dict.fromkeys(ill, refusal(status))), max_failures="100%", rate=100)
    assert (done.stop, done.counts) == (None, {"updated": 290 - len(ill), "unknown": len(ill)})


@pytest.mark.fault("B1", "one broken workflow at the end of the input")
def test_a_gateway_that_fails_at_the_end_is_waited_for() -> None:
    """Where only rows are left that a gateway fails, it may be away: every other row is updated, then the run waits."""
    ill = range(141, 291)
    done = played(of_workflow(rows(range(290)), ill), by_row(dict.fromkeys(ill, refusal(502))), rate=100)
    assert (done.stopped, done.counts["updated"]) == ((6, "aborted_outage"), 140)
    assert [number for number, (outcome, _) in done.outcomes.items() if outcome == "failed"] == []


@pytest.mark.fault("B1", "rows that always fail, of the same workflow as the others")
@pytest.mark.parametrize("ill", [range(41, 191), range(283, 291), range(1, 291, 2)])
def test_rows_that_always_fail_keep_nobody_else(ill: range) -> None:
    """The same within one workflow: in a block, at the end (eight of them), or every other row."""
    done = played(rows(range(290)), by_row(dict.fromkeys(ill, refusal(500))), max_failures="100%", rate=100)
    assert (done.stop, done.counts) == (None, {"updated": 290 - len(ill), "unknown": len(ill)})


# Stops


def after(seconds: float, stop: Stop = SIGNAL) -> During:
    """Return what stops a run after some time."""

    async def during(dispatcher: Dispatcher, _: anyio.CancelScope) -> None:
        await anyio.sleep(seconds)
        dispatcher.stop(stop)

    return during


def test_a_stop_lets_what_is_in_flight_finish() -> None:
    """After a stop nothing starts, every request that is out is waited for, and its answer recorded."""
    done = played(rows(range(1000)), answers(ACKNOWLEDGEMENT, latency=1.0), rate=50, during=after(5.5))
    assert done.stop == SIGNAL
    assert max(request.started for request in done.requests) <= 5.5
    assert done.ended == pytest.approx(max(request.ended for request in done.requests), abs=1e-2)
    assert done.counts["updated"] == len(done.requests)
    assert done.most_in_flight() > 10


def test_a_stop_ends_a_hold() -> None:
    """A run that waits as the server asked stops at once."""
    done = played(rows(range(10)), answers(refusal(429, retry_after=60)), during=after(5))
    assert done.ended == pytest.approx(5, abs=0.1)
    assert done.outcomes[1] == ("failed", "http_429")


def test_a_stop_ends_backoff() -> None:
    """Rows in backoff end at once, with what their last reply says."""
    script = by_row({number: refusal(503 if number % 2 else 500) for number in range(2, 12)})
    done = played(rows(range(30)), script, chance=lambda: 0.99, during=after(0.3), max_failures="100%")
    assert done.ended == pytest.approx(0.3, abs=0.05)
    outcomes = {number: done.outcomes[number] for number in range(2, 12)}
    assert outcomes == {
        number: ("failed", "http_503") if number % 2 else ("unknown", "http_500") for number in range(2, 12)
    }


def test_a_signal_replaces_the_reason_of_a_stop() -> None:
    """The first reason stands, but a signal tells more."""

    async def during(dispatcher: Dispatcher, _: anyio.CancelScope) -> None:
        await anyio.sleep(1)
        dispatcher.stop(Stop(10, "deadline_exceeded", "first"))
        dispatcher.stop(Stop(6, "aborted_outage", "second"))
        assert dispatcher.stopped == Stop(10, "deadline_exceeded", "first")
        dispatcher.stop(SIGNAL)

    done = played(rows(range(1000)), answers(ACKNOWLEDGEMENT), rate=10, during=during)
    assert done.stop == SIGNAL


def test_what_is_cancelled_in_flight_is_unknown() -> None:
    """Cancelled requests may have been applied: their rows are unknown, each attempt counted and doubtful."""

    async def during(dispatcher: Dispatcher, sending: anyio.CancelScope) -> None:
        await anyio.sleep(5)
        dispatcher.stop(SIGNAL)
        sending.cancel()

    async def answer(sent_row: Row, _: int) -> Reply:
        await anyio.sleep(0.01 if sent_row.row < 5 else 600)
        return ACKNOWLEDGEMENT

    done = played(rows(range(100)), answer, max_in_flight=8, during=during)
    assert done.ended == pytest.approx(5, abs=0.01)
    assert {number: outcome for number, outcome in done.outcomes.items() if number <= 12} == {
        number: ("updated", "") if number < 5 else ("unknown", "interrupted") for number in range(1, 13)
    }
    lost = [result for result in done.results if result.outcome is Outcome.UNKNOWN]
    assert {(one.attempts, one.doubtful, one.status) for one in lost} == {(1, True, None)}
    assert {str(result.outcome) for result in done.results if result.row > 12} <= {"unsent"}


def test_the_rows_that_waited_are_unsent_for_the_stops_reason() -> None:
    """Rows that were let in but got no turn carry the reason of the stop."""
    done = played(rows(range(100)), answers(ACKNOWLEDGEMENT, latency=10), max_in_flight=2, during=after(15))
    left = {outcome for number, outcome in done.outcomes.items() if number not in done.sent}
    assert left == {("unsent", "interrupted")}


def test_a_stop_before_the_start_sends_nothing() -> None:
    """A run that is stopped before it began ends at once."""

    async def during(dispatcher: Dispatcher, _: anyio.CancelScope) -> None:
        dispatcher.stop(SIGNAL)

    async def slow_to_start() -> None:
        await anyio.sleep(1)

    done = played(rows(range(100)), answers(ACKNOWLEDGEMENT), during=during, room=slow_to_start)
    assert (done.sent, done.stop) == ([], SIGNAL)
    assert done.ended == pytest.approx(0, abs=1.1)


def test_a_turn_that_a_stop_overtakes_is_no_turn() -> None:
    """Of two turns given together, the second does not start where the answer to the first one stops the run."""

    async def answer(sent_row: Row, _: int) -> Reply:
        if sent_row.row == 1:
            await anyio.sleep(0.01)
            return ACKNOWLEDGEMENT
        return refusal(401)

    done = played(rows(range(100)), answer, rate=5_000)
    assert (done.sent, done.stopped) == ([1, 2], (5, "aborted_access"))
    assert done.dispatcher is not None
    assert done.dispatcher.turns.in_flight == 0


# The rate and holds


def test_retries_take_turns() -> None:
    """However many rows fail, no closed second sees more requests than the rate, retries included."""
    luck = random.Random(5)  # noqa: S311  no secret

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(luck.random() / 20)
        return ACKNOWLEDGEMENT if luck.random() < 0.6 else refusal(503)

    done = played(rows(range(400)), answer, rate=50, max_attempts=50, max_failures="100%")
    assert done.counts == {"updated": 400}
    assert len(done.requests) > 600
    assert fullest([request.started for request in done.requests]) <= 50


@pytest.mark.fault(22, "429 with Retry-After")
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("retry_after", [0.5, 7, 299])
def test_retry_after_holds_everyone(status: int, retry_after: float) -> None:
    """Where the server says how long to wait, no request starts for that long, then all rows are done."""

    async def answer(sent_row: Row, attempt: int) -> Reply:
        await anyio.sleep(0.02)
        return refusal(status, retry_after) if (sent_row.row, attempt) == (150, 1) else ACKNOWLEDGEMENT

    done = played(rows(range(500)), answer, rate=100)
    asked = next(request.ended for request in done.requests if request.reply and request.reply.status == status)
    assert [one.started for one in done.requests if asked + 1e-4 < one.started < asked + retry_after] == []
    assert done.counts == {"updated": 500}
    assert [event for event, _ in done.said if event == "hold"] == ["hold"]
    assert done.dispatcher is not None
    assert done.dispatcher.tally.time_went["hold"] >= retry_after


@pytest.mark.fault(23, "429 without a usable Retry-After")
def test_429_without_retry_after_holds_everyone_too() -> None:
    """Half a second at least where the server does not say how long."""

    async def answer(sent_row: Row, attempt: int) -> Reply:
        await anyio.sleep(0.02)
        return refusal(429) if (sent_row.row, attempt) == (150, 1) else ACKNOWLEDGEMENT

    done = played(rows(range(300)), answer, rate=100)
    asked = next(request.ended for request in done.requests if request.reply and request.reply.status == 429)
    assert [one.started for one in done.requests if asked + 1e-4 < one.started < asked + 0.5] == []


def test_503_without_retry_after_holds_its_row_only() -> None:
    """One row's backoff is not everyone's."""
    done = played(rows(range(300)), by_row({150: refusal(503)}), rate=100, max_failures="9")
    gaps = [after.started - before.started for before, after in pairwise(done.requests)]
    assert done.counts == {"updated": 299, "failed": 1}
    assert max(gaps[:250]) < 0.05


@pytest.mark.fault(23, "429 without a usable Retry-After")
def test_a_hold_longer_than_allowed_stops_the_run() -> None:
    """A server that asks for more than --max-retry-after is asked again by the next run: exit code 6."""
    done = played(rows(range(500)), by_row({100: refusal(429, 301)}), rate=100)
    assert done.stopped == (6, "aborted_outage")
    assert done.stop is not None
    assert done.stop.detail == "the server asks to wait 301s, more than --max-retry-after 5m"
    assert done.outcomes[100] == ("failed", "http_429")
    assert done.ended < 3


def test_a_quota_smaller_than_the_rate_is_found() -> None:
    """A server that takes half of the rate: all rows are done, few are refused, none fails."""
    seen: list[float] = []

    async def answer(_: Row, __: int) -> Reply:
        now = virtual.now()
        await anyio.sleep(0.01)
        seen[:] = [time for time in seen if now - time < 1]
        if len(seen) >= 50:
            return refusal(429, 1)
        seen.append(now)
        return ACKNOWLEDGEMENT

    done = played(rows(range(600)), answer, rate=100)
    throttled = sum(request.reply is not None and request.reply.status == 429 for request in done.requests)
    assert done.counts == {"updated": 600}
    assert throttled < 60
    assert done.ended < 40


def test_a_row_in_backoff_frees_its_slot() -> None:
    """A row that fails for long costs the others less than 5 % of their time."""
    well = played(rows(range(300)), answers(ACKNOWLEDGEMENT), max_in_flight=1, rate=50)
    ill = played(rows(range(300)), by_row({2: refusal(503)}), max_in_flight=1, rate=50, max_failures="9")
    ended = max(request.ended for request in ill.requests if request.row != 2)
    assert ill.counts == {"updated": 299, "failed": 1}
    assert ended < well.ended * 1.05


def test_a_slow_disk_holds_the_requests() -> None:
    """While the ledger is behind, nothing starts."""

    async def until_ten() -> None:
        await anyio.sleep(max(0.0, 10 - virtual.now()))

    done = played(rows(range(50)), answers(ACKNOWLEDGEMENT), room=until_ten)
    assert min(request.started for request in done.requests) >= 10
    assert done.counts == {"updated": 50}


def test_a_slow_server_is_used_to_the_limit_of_requests_in_flight() -> None:
    """Where the server is the brake, the slots are full: 32 requests of a second each make 32 rows a second."""
    done = played(rows(range(640)), answers(ACKNOWLEDGEMENT, latency=1.0))
    assert done.most_in_flight() == 32
    assert done.ended == pytest.approx(21, abs=0.7)


# Outages

AWAY_FROM, AWAY_UNTIL = 100.0, 700.0


def outage(reply: Reply, until: float = AWAY_UNTIL, delay: float = 0.01) -> Answer:
    """Return a server that is away for a while; who asks then gets this reply after this delay."""

    async def answer(_: Row, __: int) -> Reply:
        if AWAY_FROM <= virtual.now() < until:
            await anyio.sleep(delay)
            return reply
        await anyio.sleep(0.02)
        return ACKNOWLEDGEMENT

    return answer


KINDS = {
    "refused": outage(Reply(None, "connect_failed"), delay=0.001),
    "gateway": outage(refusal(502)),
    "hangs": outage(Reply(None, "request_timeout"), delay=30),
    "busy": outage(refusal(503)),
}


@pytest.mark.fault(9, "connection refused for a while")
@pytest.mark.parametrize("kind", ["refused", "gateway", "hangs", "busy"])
def test_an_outage_of_ten_minutes_costs_no_row(kind: str) -> None:
    """At 100/s no row fails, and fewer than 150 requests go into the outage."""
    size = 12_000
    done = played(rows(range(size)), KINDS[kind], rate=100, chunk=1_000)
    into = sum(AWAY_FROM <= request.started < AWAY_UNTIL for request in done.requests)
    assert (done.counts, done.stop) == ({"updated": size}, None)
    assert into < 150
    assert done.ended < size / 100 + 600 + 90


@pytest.mark.fault(10, "connection refused for longer than --max-outage")
@pytest.mark.parametrize(
    ("reply", "delay", "error"),
    [
        (Reply(None, "connect_failed"), 0.001, "connect_failed"),
        (refusal(502), 0.01, "http_502"),
        (Reply(None, "request_timeout"), 30, "request_timeout"),
    ],
)
def test_an_outage_longer_than_allowed_stops_the_run(reply: Reply, delay: float, error: str) -> None:
    """After --max-outage the run stops with exit code 6; what was not acknowledged is left for the next run."""
    server = outage(reply, until=1e9, delay=delay)
    done = played(rows(range(12_000)), server, rate=100, max_outage="15m", chunk=1_000)
    assert done.stopped == (6, "aborted_outage")
    assert AWAY_FROM + 900 <= done.ended < AWAY_FROM + 900 + 65
    into = [request for request in done.requests if request.started >= AWAY_FROM]
    assert len(into) < 200
    asked = ("unsent" if error == "connect_failed" else "unknown", error)
    outcomes = done.outcomes
    assert {outcomes[request.row] for request in into} == {asked}
    assert set(outcomes.values()) <= {("updated", ""), asked, ("unsent", "aborted_outage")}


@pytest.mark.fault(9, "connection refused for a while")
def test_a_server_that_is_away_from_the_start() -> None:
    """A refused first connection is asked again until the server is there, one request at a time."""

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.001)
        return Reply(None, "connect_failed") if virtual.now() < 300 else ACKNOWLEDGEMENT

    done = played(rows(range(100)), answer, max_outage="15m")
    assert (done.counts, done.stop) == ({"updated": 100}, None)
    assert done.most_in_flight([request for request in done.requests if request.started < 300]) == 1
    assert sum(request.started < 300 for request in done.requests) < 60


@pytest.mark.fault(24, "503 for three in ten")
def test_bad_luck_is_no_outage() -> None:
    """A third of all answers are 503, for ever: no hold, and no row is spared its attempts."""
    luck = random.Random(7)  # noqa: S311  no secret

    async def answer(_: Row, __: int) -> Reply:
        await anyio.sleep(0.01)
        return refusal(503) if luck.random() < 0.3 else ACKNOWLEDGEMENT

    done = played(rows(range(2_000)), answer, rate=500)
    assert [event for event, _ in done.said if event == "hold"] == []
    assert done.counts["updated"] > 1_980


# Budgets and faults of ours


@pytest.mark.parametrize(("budget", "fewest", "most"), [("50%", 66, 132), ("5", 6, 38), ("0", 1, 33), ("60%", 66, 132)])
def test_a_wrong_mapping_stops_within_the_budget(budget: str, fewest: int, most: int) -> None:
    """Where nearly every row is rejected, the run stops as soon as the budget is exceeded: exit code 12."""
    script = {number: refusal(400) for number in range(2, 10_001) if number % 3}
    done = played(rows(range(10_000)), by_row(script), max_failures=budget)
    assert done.stopped == (12, "aborted_error_budget")
    assert fewest <= done.counts["rejected"] <= most


def test_a_budget_that_is_kept_stops_nothing() -> None:
    """A third of the rows rejected is not more than half."""
    script = {number: refusal(400) for number in range(3, 901, 3)}
    done = played(rows(range(900)), by_row(script), max_failures="50%")
    assert (done.stop, done.counts) == (None, {"updated": 600, "rejected": 300})


def broken_for(broken: set[int]) -> Answer:
    """Return a client with a fault: it raises for some rows."""

    async def answer(sent_row: Row, _: int) -> Reply:
        await anyio.sleep(0.01)
        if sent_row.row in broken:
            raise ZeroDivisionError
        return ACKNOWLEDGEMENT

    return answer


@pytest.mark.fault(56, "a fault of ours in one row")
def test_a_fault_of_ours_costs_one_row() -> None:
    """A row over which our own code fails is unknown where it was in flight, and the others go on."""
    done = played(rows(range(100)), broken_for({5, 6, 50}))
    assert done.stop is None
    assert {
        number: outcome for number, outcome in done.outcomes.items() if outcome != ("updated", "")
    } == dict.fromkeys((5, 6, 50), ("unknown", "internal_error"))
    assert done.sent == list(range(1, 101))
    # By row, as 5 and 6 fail in the same moment.
    assert sorted(fields["row"] for event, fields in done.said if event == "internal error") == [5, 6, 50]
    assert done.dispatcher is not None
    assert done.dispatcher.turns.in_flight == 0


def test_too_many_faults_of_ours_stop_the_run() -> None:
    """The eleventh fault stops the run with exit code 1."""
    done = played(rows(range(1000)), broken_for(set(range(100, 1000))), max_failures="100%", max_in_flight=4)
    assert done.stopped == (1, "internal_error")
    assert 11 <= done.counts["unknown"] <= 14


# What is counted


def test_the_tally_tells_where_the_time_went() -> None:
    """The parts of the time add up to the run, and the brake has the most of it."""
    for how, latency, brake in (({"rate": 20}, 0.01, "rate"), ({"max_in_flight": 2}, 0.5, "server")):
        done = played(rows(range(200)), answers(ACKNOWLEDGEMENT, latency=latency), **how)
        assert done.dispatcher is not None
        went = done.dispatcher.tally.time_went
        assert sum(went.values()) == pytest.approx(done.ended, rel=0.02)
        assert max(went, key=went.__getitem__) == brake


def test_the_tally_counts_what_was_on_the_wire() -> None:
    """Requests and retries are those that may have reached the server; refused connections are neither."""

    async def answer(sent_row: Row, attempt: int) -> Reply:
        await anyio.sleep(0.01)
        if sent_row.row % 4:
            return ACKNOWLEDGEMENT
        return [Reply(None, "connect_failed"), refusal(503), ACKNOWLEDGEMENT][min(attempt, 3) - 1]

    done = played(rows(range(100)), answer)
    assert done.dispatcher is not None
    tally = done.dispatcher.tally
    assert (tally.requests, tally.retries, tally.done) == (125, 25, 100)


# Several requests for one row


async def read_and_update(
    given_rows: Sequence[Row], read: Answer, update: Answer, *, during: During | None = None, **options: Any
) -> tuple[Played, list[tuple[str, int, float]]]:
    """Send rows that are each read before they are updated; return also each request: which, its row and its time."""
    played = Played()
    log: list[tuple[str, int, float]] = []
    attempts: Counter[tuple[str, int]] = Counter()

    def by_script(kind: str, answer: Answer) -> Send:
        async def send(sent_row: Row, turn: Turn) -> Reply | None:
            if not await turn():
                return None
            attempts[kind, sent_row.row] += 1
            log.append((kind, sent_row.row, virtual.now()))
            return await answer(sent_row, attempts[kind, sent_row.row])

        return send

    requests = (
        Asking(by_script("read", read), Outcome.FETCHED, is_safe=True, proves=False),
        Asking(by_script("update", update)),
    )
    ledger, chosen = Recorded(), RunOptions(**{"rate": 1000} | options)
    played.results = ledger.results
    clock = Clock(virtual.now, virtual.now, random.Random(1).random)  # noqa: S311  no secret
    pacer = Pacer(chosen.rate, anyio.current_time)
    dispatcher = Dispatcher(
        chosen, GivenRows(given_rows, 100), lambda _: requests, ledger, pacer, lambda *_, **__: None, clock
    )
    async with anyio.create_task_group() as around:
        with anyio.CancelScope() as sending:
            if during is not None:
                around.start_soon(during, dispatcher, sending)
            await dispatcher.run()
        around.cancel_scope.cancel()
    played.dispatcher, played.stop = dispatcher, dispatcher.stopped
    return played, log


def test_each_row_takes_its_requests_in_order() -> None:
    """The second request follows a valid answer to the first, each in a turn of its own; a retry repeats one alone."""

    async def read(_: Row, attempt: int) -> Reply:
        return refusal(500) if attempt == 1 else ACKNOWLEDGEMENT

    seen, log = virtual.run(lambda: read_and_update(rows([1, 2, 1, 3, 2]), read, answers(ACKNOWLEDGEMENT), rate=50))
    by_row = {number: [kind for kind, row_number, _ in log if row_number == number] for number in range(1, 6)}
    assert by_row == {number: ["read", "read", "update"] for number in range(1, 6)}
    assert seen.counts == {"updated": 5}
    assert {result.attempts for result in seen.results} == {1}
    assert fullest([at for *_, at in log]) <= 50
    assert seen.dispatcher is not None
    assert seen.dispatcher.tally.requests == 15


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [(refusal(404), "rejected"), (refusal(500), "failed"), (Reply(None, "connection_lost"), "failed")],
)
def test_what_is_not_read_is_not_updated(reply: Reply, outcome: str) -> None:
    """Where the first request fails for good the row has its outcome, without a doubt, and the second never goes."""

    async def read(sent_row: Row, _: int) -> Reply:
        return reply if sent_row.row == 3 else ACKNOWLEDGEMENT

    seen, log = virtual.run(lambda: read_and_update(rows([1, 2, 3, 4]), read, answers(ACKNOWLEDGEMENT), max_attempts=2))
    (result,) = [result for result in seen.results if result.row == 3]
    assert (str(result.outcome), result.doubtful) == (outcome, False)
    assert {number for kind, number, _ in log if kind == "update"} == {1, 2, 4}


def test_a_read_that_is_cut_off_leaves_its_row_unsent() -> None:
    """Who is cancelled while it reads has changed nothing; who is cancelled while it updates is unknown."""

    async def cancel(dispatcher: Dispatcher, sending: anyio.CancelScope) -> None:
        await anyio.sleep(1)
        dispatcher.stop(SIGNAL)
        sending.cancel()

    slow = answers(ACKNOWLEDGEMENT, latency=10)
    first, _ = virtual.run(lambda: read_and_update(rows([1]), slow, answers(ACKNOWLEDGEMENT), during=cancel))
    second, _ = virtual.run(lambda: read_and_update(rows([1]), answers(ACKNOWLEDGEMENT), slow, during=cancel))
    assert first.outcomes == {1: ("unsent", "interrupted")}
    assert second.outcomes == {1: ("unknown", "interrupted")}


def test_reading_proves_no_access_to_write() -> None:
    """Where every update is refused the run stops with 5, however well reading works."""
    seen, log = virtual.run(
        lambda: read_and_update(rows(range(60)), answers(ACKNOWLEDGEMENT), answers(refusal(403)), max_failures="100%")
    )
    assert (seen.stopped, seen.counts.get("rejected", 0)) == ((5, "aborted_access"), 0)
    assert len([kind for kind, *_ in log if kind == "update"]) == 10


def test_a_disk_that_cannot_take_the_state_stops_the_run() -> None:
    """A StorageError of a request ends the run with 8; its row was not sent."""

    async def full(sent_row: Row, _: int) -> Reply:
        if sent_row.row == 3:
            raise StorageError("the states cannot be written: No space left on device", "free space")
        return ACKNOWLEDGEMENT

    seen, _ = virtual.run(lambda: read_and_update(rows(range(40)), full, answers(ACKNOWLEDGEMENT), max_in_flight=1))
    assert seen.stopped == (8, "aborted_storage")
    assert [result.row for result in seen.results if result.outcome is Outcome.UPDATED] == [1, 2]
    assert seen.outcomes[3] == ("unsent", "aborted_storage")
