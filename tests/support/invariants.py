"""What must hold of every history of `tests.support.simulation`, whatever the seed; each rule yields what breaks it.

The numbers are those of the list of invariants that the design was built around; the others came with the contract.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from bulksync.model import Key, payload_digest
from tests.support.rates import is_kept
from tests.support.simulation import History, Line, Request, Snapshot

NEVER_SENT = {"connect_failed"}
"""Errors with which the server cannot have seen the request."""

DEFINITE = {"", "http_400", "http_401", "http_404", "http_408", "http_422", "http_425", "http_429", "http_503"}
DEFINITE |= NEVER_SENT | {"redirect_refused"}
"""Errors with which it is certain whether the update was applied."""

FINAL = {"", "http_403", "http_404", "http_422"}
"""Errors with which a row is settled, so that the next one of its execution may follow."""

DEFINITE |= {"http_403"}

STOPPERS = {"http_401", "redirect_refused", "response_mismatch"}
"""Errors after which nobody should be asked again."""

LONGEST_HOLD = 300.0

REFUSALS = {"http_403", "http_404", "http_422"}

WAITS = NEVER_SENT | {"none", "http_429", "http_503"}
"""What comes of requests that only wait, and charge no row an attempt."""

FAILURES = {"connection_lost", "request_timeout", "response_truncated", "response_invalid", "http_500", "http_502"}
"""What charges an attempt, if it is not the server that is away."""

MANY = 20
"""Executions that fail in a row while the server is unreachable."""

SETTLED = {"updated", "unchanged", "rejected", "invalid"}

HELD = {"updated", "unchanged"}
"""Outcomes of rows whose payload the server holds."""

SLACK = 1e-3
"""Seconds within which a request that was just starting may still start when a hold begins."""

Rule = Callable[[History], Iterator[str]]


def violations(history: History) -> list[str]:
    """Return what is wrong with a history, each with the name of the rule that it breaks."""
    return [f"{rule.__name__}: {what}" for rule in RULES for what in rule(history)]


def error_of(request: Request) -> str:
    """Return the error of the reply that the client got; `none` where it got none."""
    return request.reply.error if request.reply else "none"


def by_key(history: History) -> dict[Key, list[Request]]:
    """Return the requests of each execution in the order in which they started."""
    found: dict[Key, list[Request]] = defaultdict(list)
    for request in history.requests:
        found[request.key].append(request)
    return found


def by_row(requests: Iterable[Request]) -> dict[int, list[Request]]:
    """Return the requests of each row."""
    found: dict[int, list[Request]] = defaultdict(list)
    for request in requests:
        found[request.row].append(request)
    return found


def by_invocation(history: History) -> list[list[Request]]:
    """Return the requests of each invocation."""
    found: list[list[Request]] = [[] for _ in history.invocations]
    for request in history.requests:
        found[request.invocation].append(request)
    return found


def looks(history: History) -> Iterator[tuple[Snapshot, Line, list[Request]]]:
    """Yield every line of every snapshot with the requests for its row up to then."""
    for snapshot in history.snapshots:
        requests = by_row(one for one in history.requests if one.invocation <= snapshot.after)
        for line in snapshot.lines:
            yield snapshot, line, requests[line.row]


# What the ledger says


def i01_one_line_for_each_row(history: History) -> Iterator[str]:
    """The ledger has exactly one line for each input row, in input order, each with an outcome."""
    for snapshot in history.snapshots:
        if [(line.row, line.key) for line in snapshot.lines] != [(row.row, row.key) for row in history.rows]:
            yield f"other rows than the input's after invocation {snapshot.after}"
        if without := [line.row for line in snapshot.lines if line.outcome is None]:
            yield f"rows {without} have no outcome after invocation {snapshot.after}"


def i02_updated_means_acknowledged(history: History) -> Iterator[str]:
    """A row is `updated` only by a valid acknowledgement of this row's payload, whose words its line holds."""
    payloads = {row.row: row.body for row in history.rows}
    for snapshot, line, requests in looks(history):
        words = {one.word for one in requests if error_of(one) == "" and one.body == payloads[line.row]}
        if line.outcome == "updated" and line.disposition not in words:
            yield f"row {line.row} is updated with {line.disposition!r} after invocation {snapshot.after}"
        if line.outcome == "rejected" and not {error_of(one) for one in requests} & (FINAL - {""}):
            yield f"row {line.row} is rejected without a refusal after invocation {snapshot.after}"


def i05_attempts_are_requests(history: History) -> Iterator[str]:
    """The attempts of a row are its requests; those of a killed invocation may be missing."""
    killed = {one.number for one in history.invocations if one.is_killed}
    for snapshot, line, requests in looks(history):
        sent = [one for one in requests if error_of(one) not in NEVER_SENT]
        certain = sum(one.invocation not in killed for one in sent)
        if not certain <= line.attempts <= len(sent):
            what = f"{line.attempts} attempts for {certain} to {len(sent)} requests"
            yield f"row {line.row} has {what} after invocation {snapshot.after}"


def unsent_means_unsent(history: History) -> Iterator[str]:
    """A row of which a request may have arrived is never `unsent`."""
    for snapshot, line, requests in looks(history):
        if line.outcome == "unsent" and any(error_of(one) not in NEVER_SENT for one in requests):
            yield f"row {line.row} is unsent though it was sent, after invocation {snapshot.after}"


def doubt_is_remembered(history: History) -> Iterator[str]:
    """A row is doubtful where a request may have been applied whose acknowledgement its line does not hold."""
    for snapshot, line, requests in looks(history):
        for one in requests:
            may_be_applied = error_of(one) not in DEFINITE or (one.applied or math.inf) <= snapshot.time
            if may_be_applied and line.disposition != one.word and not line.doubtful:
                yield f"row {line.row} is certain after invocation {snapshot.after}, but see request {one.number}"


def certainty_is_not_given_up(history: History) -> Iterator[str]:
    """Without kills, a row is doubtful only where one of its requests is."""
    if any(one.is_killed for one in history.invocations):
        return
    for snapshot, line, requests in looks(history):
        if line.doubtful and all(error_of(one) in DEFINITE for one in requests):
            yield f"row {line.row} is doubtful without a reason after invocation {snapshot.after}"


def what_is_acknowledged_is_what_the_server_holds(history: History) -> Iterator[str]:
    """A payload counts as acknowledged only while the server holds it, and nothing given up can be applied late."""
    for snapshot in history.snapshots:
        for key, digest in snapshot.acknowledged.items():
            held = last_applied(history, key, snapshot.time)
            if held is None or digest != payload_digest(held.body):
                yield f"{key[1]} counts as acknowledged after invocation {snapshot.after}, the server holds another"


def what_was_acknowledged_is_known(history: History) -> Iterator[str]:
    """At the end every execution whose last update is certain, and none of whose rows is at risk, is acknowledged."""
    if not history.snapshots:
        return
    last = history.snapshots[-1]
    newest: dict[Key, Line] = {}
    at_risk = {line.key for line in last.lines if line.row in last.risks}
    for line in last.lines:
        if line.outcome in HELD or line.doubtful:
            newest[line.key] = line
    for key, line in newest.items():
        if line.outcome in HELD and key not in at_risk and key not in last.acknowledged:
            yield f"{key[1]} does not count as acknowledged though row {line.row} is"


def unchanged_means_held(history: History) -> Iterator[str]:
    """A row is left out only where the server holds its payload before any later row, whatever is applied late."""
    for snapshot in history.snapshots:
        for line in snapshot.lines:
            if line.outcome != "unchanged":
                continue
            before = [one for one in (*history.earlier, *history.requests) if is_before(one, line, history)]
            held = max(before, key=lambda one: one.applied or 0.0, default=None)
            if held is None or held.body != history.rows[line.row - 1].body:
                yield f"row {line.row} is unchanged after invocation {snapshot.after}, the server holds another"


def is_before(one: Request, line: Line, history: History) -> bool:
    """Whether a request of this execution was applied, and not for this row or one behind it."""
    return one.key == line.key and one.applied is not None and (one.row < line.row or one.started < history.started)


def only_what_changed_is_sent(history: History) -> Iterator[str]:
    """With --only-changed from the start, the rows before the first changed one of an execution are not sent."""
    if 0 not in history.scenario.only_changed:
        return
    changed: set[Key] = set()
    sent = {one.row for one in history.requests}
    for row in history.rows:
        if history.acknowledged.get(row.key) != payload_digest(row.body):
            changed.add(row.key)
        if row.key not in changed and row.row in sent:
            yield f"row {row.row} was sent though it had not changed"


def order_risks_are_told(history: History) -> Iterator[str]:
    """Rows behind an ambiguous attempt at the same execution carry the risk, from that row on."""
    for snapshot in history.snapshots:
        doubts: dict[Key, int] = {}
        for line in snapshot.lines:
            if line.doubtful:
                doubts.setdefault(line.key, line.row)
            first = doubts.get(line.key, line.row)
            if first < line.row and line.attempts and not {first, line.row} <= snapshot.risks:
                yield f"rows {first} and {line.row} carry no risk after invocation {snapshot.after}"


# What the server holds


def last_applied(history: History, key: Key, time: float) -> Request | None:
    """Return the request whose update the server holds at a time."""
    sent = (one for one in (*history.earlier, *history.requests) if one.key == key)
    applied = [one for one in sent if one.applied is not None and one.applied <= time]
    return max(applied, key=lambda one: one.applied or 0.0, default=None)


def i03_the_last_row_wins(history: History) -> Iterator[str]:
    """At the end the server holds, of each execution, the last row that was not rejected; or the risk is told."""
    if not history.snapshots or history.scenario.is_left:
        return
    last = history.snapshots[-1]
    wanted: dict[Key, set[bytes | None]] = {}
    for line in last.lines:
        allowed = wanted.setdefault(line.key, {held_at(history, line.key, history.started)})
        if line.outcome != "rejected":
            wanted[line.key] = {history.rows[line.row - 1].body}
        elif line.doubtful:
            allowed.add(history.rows[line.row - 1].body)
    for key, bodies in wanted.items():
        held = held_at(history, key, math.inf)
        told = history.scenario.late and {line.row for line in last.lines if line.key == key} & last.risks
        if held not in bodies and not told:
            yield f"{key[1]} is left with {held!r}, not {bodies}"


def held_at(history: History, key: Key, time: float) -> bytes | None:
    """Return the payload that the server holds at a time; None where it holds none of ours."""
    held = last_applied(history, key, time)
    return held.body if held else None


def i04_updates_are_applied_in_file_order(history: History) -> Iterator[str]:
    """Without late updates, the server never applies an earlier row of an execution after a later one, kills or not."""
    if history.scenario.late:
        return
    for key, requests in by_key(history).items():
        applied = sorted((one for one in requests if one.applied is not None), key=lambda one: one.applied or 0.0)
        for before, after in pairwise(applied):
            if before.row > after.row:
                yield f"{key[1]}: row {after.row} was applied after row {before.row}"


# What is sent, and when


def i06_no_second_holds_more_than_the_rate(history: History) -> Iterator[str]:
    """No closed second of any invocation holds more requests than the rate, retries included."""
    for number, requests in enumerate(by_invocation(history)):
        if not is_kept([one.started for one in requests], history.scenario.rate):
            yield f"more than {history.scenario.rate}/s in invocation {number}"


def i07_one_request_of_an_execution_at_a_time(history: History) -> Iterator[str]:
    """Requests of one execution never overlap, and never more are on the wire than allowed."""
    for key, requests in by_key(history).items():
        for before, after in pairwise(requests):
            if before.ended > after.started:
                yield f"{key[1]}: rows {before.row} and {after.row} overlap"
    for number, requests in enumerate(by_invocation(history)):
        if overlap(requests) > history.scenario.max_in_flight:
            yield f"{overlap(requests)} in flight in invocation {number}"


def overlap(requests: Iterable[Request]) -> int:
    """Return how many requests were on the wire at once."""
    most = now = 0
    for _, move in sorted(move for one in requests for move in ((one.started, 1), (one.ended, -1))):
        now += move
        most = max(most, now)
    return most


def i08_nothing_starts_after_a_stop(history: History) -> Iterator[str]:
    """Once a run is stopped, by whatever, no request starts."""
    for invocation in history.invocations:
        stopped = invocation.stopped_at
        if stopped is None:
            continue
        if late := [one.row for one in by_invocation(history)[invocation.number] if one.started > stopped]:
            yield f"rows {late} were sent after the stop of invocation {invocation.number}"


def some_answers_stop_the_run(history: History) -> Iterator[str]:
    """No access, a redirect, somebody else's answer or too long a hold: no request starts behind it."""
    for requests in by_invocation(history):
        for one in requests:
            asked = one.reply.retry_after if one.reply else None
            if error_of(one) not in STOPPERS and (asked or 0.0) <= LONGEST_HOLD:
                continue
            if late := [other.row for other in requests if other.started > one.ended]:
                yield f"rows {late} were sent in invocation {one.invocation} after {error_of(one)}"


def i09_the_window_is_kept(history: History) -> Iterator[str]:
    """Never more rows are let in than the window holds."""
    for invocation in history.invocations:
        if invocation.is_overfull:
            yield f"too many rows were inside in invocation {invocation.number}"


def nothing_overtakes_an_unsettled_row(history: History) -> Iterator[str]:
    """A row is sent only when every earlier row of its execution has had its final answer, or was left out."""
    earlier: dict[Key, list[int]] = defaultdict(list)
    left_out = {line.row for one in history.snapshots for line in one.lines if line.outcome == "unchanged"}
    for row in history.rows:
        if row.row not in left_out:
            earlier[row.key].append(row.row)
    for key, requests in by_key(history).items():
        settled: dict[int, float] = {}
        for one in requests:
            behind = [row for row in earlier[key] if row < one.row]
            if early := [row for row in behind if settled.get(row, math.inf) > one.started]:
                yield f"{key[1]}: row {one.row} was sent before rows {early} were settled"
            if error_of(one) in FINAL:
                settled.setdefault(one.row, one.ended)


def what_is_settled_is_not_sent_again(history: History) -> Iterator[str]:
    """A row that the ledger holds as settled is never sent again."""
    done: dict[int, int] = {}
    for snapshot in history.snapshots:
        for line in snapshot.lines:
            if line.outcome in SETTLED:
                done.setdefault(line.row, snapshot.after)
    for one in history.requests:
        if one.row in done and one.invocation > done[one.row]:
            yield f"row {one.row} was sent again in invocation {one.invocation}"


def a_hold_is_for_everyone(history: History) -> Iterator[str]:
    """After 429, or 503 with Retry-After, nothing starts for the time that the server asks for."""
    for requests in by_invocation(history):
        for hold in requests:
            reply = hold.reply
            if reply is None or not (reply.status == 429 or (reply.status == 503 and reply.retry_after)):
                continue
            until = hold.ended + (reply.retry_after or 0.5)
            if early := [one.row for one in requests if hold.ended + SLACK < one.started < until]:
                yield f"rows {early} were sent while the server asked to wait, in invocation {hold.invocation}"


def one_at_a_time_until_one_succeeds(history: History) -> Iterator[str]:
    """Before the first acknowledgement of an invocation there is one request on the wire.

    Where the key has worked before, or refusals are taken as the rows' own, before the first of those too.
    """
    for number, requests in enumerate(by_invocation(history)):
        is_known = history.scenario.is_calm(number) or any(error_of(one) == "" for one in earlier(history, number))
        opening = {"", *REFUSALS} if is_known else {""}
        proven = min((one.ended for one in requests if error_of(one) in opening), default=math.inf)
        if overlap(one for one in requests if one.started < proven) > 1:
            yield f"several requests before the first success of invocation {number}"


def earlier(history: History, number: int) -> list[Request]:
    """Return the requests before an invocation, of the nights before too."""
    return [*history.earlier, *(one for one in history.requests if one.invocation < number)]


def attempts_are_limited(history: History) -> Iterator[str]:
    """No row fails more often, while others succeed, than it has attempts; but for one that each outage gives back."""
    for invocation, requests in zip(history.invocations, by_invocation(history), strict=True):
        allowed = history.scenario.max_attempts + outages(requests)
        succeeded = [one for one in requests if error_of(one) == ""]
        for row, of_row in by_row(requests).items():
            own = 0
            for one, next_one in pairwise(of_row):
                between = [other for other in succeeded if other.started > one.ended and other.ended < next_one.started]
                own += error_of(one) in FAILURES and bool(between)
            if own >= allowed:
                yield f"row {row} went on after {own} failures in invocation {invocation.number}"


def outages(requests: list[Request]) -> int:
    """Return how often many executions failed in a row."""
    found, failing = 0, set[Key]()
    for one in sorted(requests, key=lambda one: one.ended):
        failing = failing | {one.key} if error_of(one) in FAILURES | WAITS else set()
        if len(failing) >= MANY:
            found, failing = found + 1, set()
    return found


# Whose fault it is


def a_row_is_rejected_for_its_own_sake(history: History) -> Iterator[str]:
    """No row is rejected that was refused for a wrong key only, or for a firewall that stays."""
    stays = history.scenario.blocked[1] - history.scenario.blocked[0] > 60
    for snapshot, line, requests in looks(history):
        own = [one for one in requests if one.invocation != history.scenario.wrong_key and error_of(one) in REFUSALS]
        if line.outcome == "rejected" and not [one for one in own if not (stays and error_of(one) == "http_403")]:
            yield f"row {line.row} was rejected after invocation {snapshot.after} for what was not its fault"


def a_wrong_key_costs_ten_requests(history: History) -> Iterator[str]:
    """An invocation whose every request is refused asks ten executions at most."""
    number = history.scenario.wrong_key
    if 0 <= number < len(history.invocations) and not history.scenario.is_calm(number):
        asked = [one for one in by_invocation(history)[number] if error_of(one) == "http_404"]
        if len(asked) > 10:
            yield f"{len(asked)} requests with the wrong key"


def who_is_well_is_not_kept_by_who_is_ill(history: History) -> Iterator[str]:
    """A run that ends because only some rows fail, or are refused, for ever, has updated every other execution."""
    scenario = history.scenario
    since, until, _ = scenario.outage
    if until > since or scenario.faults or scenario.late or scenario.blocked[0] < 1e9:
        return
    ill = {row.key for row in history.rows if row.row in scenario.poison | scenario.refused}
    codes = {one.number: one.exit_code for one in history.invocations}
    for snapshot in history.snapshots:
        if codes[snapshot.after] not in (5, 6) or snapshot.after == scenario.wrong_key:
            continue
        if left := [line.row for line in snapshot.lines if line.key not in ill and line.outcome not in SETTLED]:
            yield f"rows {left} were kept by others in invocation {snapshot.after}"


def nobody_waits_for_longer_than_allowed(history: History) -> Iterator[str]:
    """Holds and outages of any kind come to an end: --max-outage after the last answer that could settle a row."""
    for invocation, requests in zip(history.invocations, by_invocation(history), strict=True):
        last = invocation.started
        allowed = history.scenario.options(invocation.number).max_outage
        final = {one.row: one for one in requests}
        for one in requests:
            if one.started > last + allowed + PATIENCE:
                yield f"row {one.row} was sent {one.started - last:.0f}s after the last answer that settled anything"
                break
            if error_of(one) not in WAITS or (error_of(one) == "http_503" and final[one.row] is one):
                last = max(last, one.ended)


PATIENCE = 10.0
"""Seconds between the last answer that settled a row and the first request that did not, from which on waiting counts.
"""


def waiting_fails_no_row(history: History) -> Iterator[str]:
    """A run that goes through to its end gives no row up because the server asked everyone to wait."""
    codes = {one.number: one.exit_code for one in history.invocations}
    for snapshot, line, requests in looks(history):
        last = [one for one in requests if one.invocation == snapshot.after]
        if codes[snapshot.after] == 4 and last and line.outcome == "failed" and error_of(last[-1]) == "http_429":
            yield f"row {line.row} was given up in invocation {snapshot.after} for waiting"


def no_state_is_turned_back(histories: list[History]) -> Iterator[str]:
    """An input that is gone back to, after another one was sent, changes nothing that the other one has updated."""
    *_, between, again = histories
    for key in {row.key for row in between.rows}:
        held = last_applied(between, key, again.started)
        if held in between.requests and last_applied(again, key, math.inf) is not held:
            yield f"{key[1]} was turned back"
    yield from what_is_acknowledged_is_what_the_server_holds(again)


# What the caller is told


def i10_a_finished_run_sends_nothing(history: History) -> Iterator[str]:
    """Left alone with a server that is well, one more call finishes the run, and the call after that sends nothing."""
    if history.scenario.is_left:
        return
    *_, finishing, idle = history.invocations
    if finishing.exit_code not in (0, 3):
        yield f"exit code {finishing.exit_code} from a server that is well"
    if not idle.is_finished or by_invocation(history)[idle.number]:
        yield "a finished run was not seen as finished"
    last = history.snapshots[-1].lines if history.snapshots else ()
    if left := [line.row for line in last if line.outcome not in SETTLED]:
        yield f"rows {left} are not settled at the end"


def the_exit_code_says_what_is_left(history: History) -> Iterator[str]:
    """A signal tells more than a stop, a stop more than the rows, and 0 says that every row is up to date."""
    codes = {one.number: one for one in history.invocations}
    for snapshot in history.snapshots:
        invocation = codes[snapshot.after]
        if invocation.is_killed:
            continue
        outcomes = {str(line.outcome) for line in snapshot.lines}
        expected = 143 if invocation.signalled_at is not None else 4 if outcomes - SETTLED else 3
        if outcomes <= HELD:
            expected = 143 if invocation.signalled_at is not None else 0
        code = invocation.exit_code
        if code != expected and not (code in (5, 6, 10, 12) and invocation.signalled_at is None):
            yield f"exit code {code} instead of {expected} of invocation {snapshot.after}"


def requests_are_counted(history: History) -> Iterator[str]:
    """The summary's number of requests is the number of those that were answered or lost on the wire."""
    requests = by_invocation(history)
    for invocation in history.invocations:
        answered = sum(one.reply is not None and error_of(one) not in NEVER_SENT for one in requests[invocation.number])
        if not invocation.is_killed and not invocation.is_finished and invocation.counted != answered:
            yield f"{invocation.counted} requests counted, {answered} made, in invocation {invocation.number}"


RULES: tuple[Rule, ...] = (
    i01_one_line_for_each_row,
    i02_updated_means_acknowledged,
    i03_the_last_row_wins,
    i04_updates_are_applied_in_file_order,
    i05_attempts_are_requests,
    i06_no_second_holds_more_than_the_rate,
    i07_one_request_of_an_execution_at_a_time,
    i08_nothing_starts_after_a_stop,
    some_answers_stop_the_run,
    i09_the_window_is_kept,
    i10_a_finished_run_sends_nothing,
    unsent_means_unsent,
    doubt_is_remembered,
    certainty_is_not_given_up,
    what_is_acknowledged_is_what_the_server_holds,
    what_was_acknowledged_is_known,
    unchanged_means_held,
    only_what_changed_is_sent,
    order_risks_are_told,
    nothing_overtakes_an_unsettled_row,
    what_is_settled_is_not_sent_again,
    a_hold_is_for_everyone,
    one_at_a_time_until_one_succeeds,
    attempts_are_limited,
    a_row_is_rejected_for_its_own_sake,
    a_wrong_key_costs_ten_requests,
    who_is_well_is_not_kept_by_who_is_ill,
    nobody_waits_for_longer_than_allowed,
    waiting_fails_no_row,
    the_exit_code_says_what_is_left,
    requests_are_counted,
)
