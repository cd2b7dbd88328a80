"""Whose fault it is, end to end: the row's own, the access's or the server's, as a repeated command has to bear it.

Each test runs the program against a recorder that answers by rules, heals it, and runs the same command again: then
every row that can be done is done, and none that was acknowledged is sent twice.
"""

import csv
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bulksync.sender.standing import BLOCK
from tests.support.fault_server import TLS_ALERT, authority
from tests.support.program import CANARY, KEY, execution, rows_of
from tests.support.recorder import (
    SECOND,
    Answer,
    Greeting,
    Recorder,
    Request,
    Rule,
    always,
    answer,
    for_seconds,
    from_arrival,
    html,
    limited,
    recording,
    until_told,
    when,
)
from tests.support.watched import running

REPORT = "rows.csv.report.csv"
WITHIN = 250.0
"""Seconds after which a run is taken to go on for ever."""

Member = tuple[int, int]
"""A row, by the numbers of its workflow and its execution."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run came to: its exit code, rows by outcome, and what it said."""

    code: int
    outcomes: Counter[str]
    said: str


def workflow(number: int) -> str:
    """Return the id of a made-up workflow."""
    return f"11111111-1111-4111-8111-{number:012x}"


def good(count: int, first: int = 1_000) -> list[Member]:
    """Return rows of different executions of the first workflow."""
    return [(0, number) for number in range(first, first + count)]


def poison(count: int) -> list[Member]:
    """Return rows of different executions of another workflow, which `broken` breaks."""
    return [(1, number) for number in range(count)]


def write(folder: Path, rows: Sequence[Member]) -> None:
    """Write an input."""
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["workflowId", "executionId", "status", "metadata"])
        writer.writerows(
            [workflow(one), execution(number), "COMPLETED", f'{{"turn": {turn}, "note": "{CANARY}"}}']
            for turn, (one, number) in enumerate(rows)
        )


def is_poison(request: Request) -> bool:
    """Whether a request is for a row of the other workflow."""
    return request.workflow == workflow(1)


def of_rows(first: int, last: int, said: Answer) -> Rule:
    """Return the rule for some rows, by their place in the input."""
    return when(lambda request: first <= request.row <= last, said)


async def run(
    api: Recorder,
    folder: Path,
    *more: object,
    variables: Mapping[str, str] | None = None,
    rate: str = "unlimited",
    width: int = 8,
    outage: str = "90s",
) -> Ended:
    """Run the program to its end, with patience for a slow machine, as no request of these servers hangs."""
    pace = ("--rate", rate, "--max-in-flight", width, "--timeout", "60s", "--max-outage", outage)
    call = ("run", "rows.csv", "--base-url", api.url, *pace, "--stats", "0s", *more)
    async with running(*call, folder=folder, variables=variables) as program:
        done = await program.done(within=WITHIN)
    report = folder / REPORT
    outcomes = Counter(row["outcome"] for row in rows_of(report)) if report.exists() else Counter[str]()
    return Ended(done.code, outcomes, done.stderr)


async def repeated(api: Recorder, folder: Path, *more: object, rows: int) -> None:
    """Heal the server, run the same command again, and see all rows done, none of them acknowledged twice."""
    api.rules.clear()
    ended = await run(api, folder, *more)
    assert (ended.code, ended.outcomes) == (0, {"updated": rows}), ended.said
    assert api.acknowledged == dict.fromkeys(range(rows), 1)


ALL_MAY_FAIL = ("--max-failures", "100%")


# B1: rows that always fail are not an outage


@pytest.mark.fault("B1", "one broken workflow in the middle, at the end, all over, at the head")
@pytest.mark.parametrize(
    "rows",
    [
        good(40) + poison(150) + good(100, 2_000),
        good(40) + poison(8),
        [row for pair in zip(good(60), poison(60), strict=True) for row in pair],
        poison(30) + good(60),
    ],
    ids=["middle", "end", "spread", "head"],
)
async def test_rows_that_always_fail(rows: list[Member], tmp_path: Path) -> None:
    """Rows of one broken workflow are found out and finished, and every other row is sent in the first run."""
    write(tmp_path, rows)
    broken = sum(one for one, _ in rows)
    options = (*ALL_MAY_FAIL, "--max-attempts", 2)
    async with recording(when(is_poison, answer(500))) as api:
        ended = await run(api, tmp_path, *options)
        assert (ended.code, ended.outcomes) == (4, {"updated": len(rows) - broken, "unknown": broken}), ended.said
        sent = Counter(request.row for request in api.requests)
        assert max(sent.values()) <= 6, "a row that always fails is charged, but for what opened the breaker"
        await repeated(api, tmp_path, *options, rows=len(rows))


# B2, B3: before the first success


@pytest.mark.fault("B2", "ten deleted executions at the head")
async def test_deleted_executions_at_the_head(tmp_path: Path) -> None:
    """Rows from all over the input are asked for the proof, so that the first ones are rejected and the rest done."""
    write(tmp_path, good(50))
    async with recording(of_rows(0, 9, answer(404))) as api:
        ended = await run(api, tmp_path)
        again = await run(api, tmp_path)
        assert (ended.code, ended.outcomes) == (3, {"rejected": 10, "updated": 40}), ended.said
        assert (again.code, api.acknowledged) == (3, dict.fromkeys(range(10, 50), 1))


@pytest.mark.fault("B2", "one deleted execution with many rows at the head")
async def test_a_deleted_execution_with_many_rows(tmp_path: Path) -> None:
    """One execution that is gone says nothing of the access, however many rows it has."""
    write(tmp_path, [(0, 1)] * 130 + good(40))
    async with recording(when(lambda request: request.execution == execution(1), answer(404))) as api:
        ended = await run(api, tmp_path, *ALL_MAY_FAIL)
    assert (ended.code, ended.outcomes) == (3, {"rejected": 130, "updated": 40}), ended.said


@pytest.mark.fault("B2", "the first answer is not the API's")
@pytest.mark.parametrize(
    "page",
    [
        {"id": execution(1_000), "workflowId": workflow(0), "status": None},
        {"id": execution(1_000), "workflowId": workflow(0)},
        ["nothing"],
    ],
    ids=["status null", "no status", "a list"],
)
async def test_a_first_answer_that_is_no_acknowledgement(page: object, tmp_path: Path) -> None:
    """A row whose answer cannot be used is unknown; others prove the access, and are done."""
    write(tmp_path, good(40))
    options = ("--max-attempts", 2)
    async with recording(of_rows(0, 0, answer(200, page))) as api:
        ended = await run(api, tmp_path, *options)
        assert (ended.code, ended.outcomes) == (4, {"unknown": 1, "updated": 39}), ended.said
        api.rules.clear()
        assert (await run(api, tmp_path, *options)).outcomes == {"updated": 40}
        # The row's first answers were 200 too.
        assert {row: count for row, count in api.acknowledged.items() if row} == dict.fromkeys(range(1, 40), 1)


@pytest.mark.fault("B3", "every row is refused from the start")
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 422, 501])
async def test_everything_is_refused_from_the_start(status: int, tmp_path: Path) -> None:
    """Ten refusals before any success speak of the access: no row is rejected, and the way on is named."""
    write(tmp_path, good(30))
    async with recording(always(answer(status))) as api:
        ended = await run(api, tmp_path)
        assert (ended.code, ended.outcomes["rejected"], ended.outcomes.total()) == (5, 0, 30), ended.said
        assert ("--accept-refusals" in ended.said, 0 < len(api.requests) <= 10) == (True, True), ended.said
        await repeated(api, tmp_path, rows=30)


@pytest.mark.fault("B3", "every row is refused by what is not this API")
@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 501])
async def test_a_page_for_people_from_the_start(status: int, tmp_path: Path) -> None:
    """A static host or a firewall in the API's place is no reason to reject rows."""
    write(tmp_path, good(30))
    async with recording(always(html(status))) as api:
        ended = await run(api, tmp_path)
        assert (ended.code in (5, 6), ended.outcomes["rejected"], ended.outcomes["updated"]) == (True, 0, 0)
        assert 0 < len(api.requests) <= 10
        api.requests.clear()
        api.answers.clear()
        await repeated(api, tmp_path, rows=30)


@pytest.mark.fault("B3", "refusals are accepted as the rows' own")
async def test_refusals_that_are_accepted(tmp_path: Path) -> None:
    """Who says that refusals are the rows' own gets them rejected."""
    write(tmp_path, good(30))
    async with recording(always(answer(422))) as api:
        ended = await run(api, tmp_path, "--accept-refusals", *ALL_MAY_FAIL)
    assert (ended.code, ended.outcomes, len(api.requests)) == (3, {"rejected": 30}, 30), ended.said


# B4: refusals in mid-run


@pytest.mark.fault("B4", "a firewall or an ingress refuses everything in mid-run")
@pytest.mark.parametrize(
    "said",
    [html(403), answer(404)],
    ids=["403 page", "404"],
)
async def test_everything_is_refused_in_mid_run(said: Answer, tmp_path: Path) -> None:
    """When nothing succeeds any more the run stops, and what was refused meanwhile is sent again later."""
    write(tmp_path, good(120))
    async with recording(from_arrival(40, always(said))) as api:
        ended = await run(api, tmp_path, *ALL_MAY_FAIL)
        assert (ended.code, ended.outcomes["rejected"], ended.outcomes["updated"]) == (5, 0, 40), ended.said
        assert (ended.outcomes["failed"] > 0, ended.outcomes.total()) == (True, 120)
        assert len(api.requests) < 100
        await repeated(api, tmp_path, *ALL_MAY_FAIL, rows=120)


@pytest.mark.fault("B4", "everything is refused for a while in mid-run")
async def test_a_firewall_that_relents(tmp_path: Path) -> None:
    """Whether it is back before the run gives up or after it, no row is lost to a block that passes."""
    write(tmp_path, good(120))
    async with recording(for_seconds(40, 1.0, html(403))) as api:
        ended = await run(api, tmp_path, *ALL_MAY_FAIL)
        assert (ended.code in (0, 3, 5), ended.outcomes["rejected"] <= 1) == (True, True), ended.said


@pytest.mark.fault("B4", "some rows are refused while others succeed")
@pytest.mark.parametrize(
    ("count", "said"),
    [(1, html(403)), (19, answer(404)), (30, answer(404)), (30, answer(422)), (3, html(404))],
    ids=["1 page", "19", "30", "30 unprocessable", "3 pages"],
)
async def test_some_rows_are_refused(count: int, said: Answer, tmp_path: Path) -> None:
    """Refusals are the rows' own when rows from elsewhere succeed, however many stand together."""
    write(tmp_path, good(100))
    async with recording(of_rows(40, 39 + count, said)) as api:
        ended = await run(api, tmp_path)
        again = await run(api, tmp_path)
        assert (ended.code, ended.outcomes) == (3, {"rejected": count, "updated": 100 - count}), ended.said
        assert (again.code, max(api.acknowledged.values())) == (3, 1)


# B5: access belongs to target and key


@pytest.mark.fault("B5", "a wrong key after a good one")
@pytest.mark.parametrize("said", [answer(404), answer(403), html(404)], ids=["404", "403", "page"])
async def test_a_wrong_key_after_a_good_one(said: Answer, tmp_path: Path) -> None:
    """That one key worked says nothing of another: no row is rejected for it, and the good key goes on."""
    write(tmp_path, good(100))
    async with recording(when(lambda request: request.key != KEY, said)) as api:
        first = await run(api, tmp_path, "--limit", 10)
        wrong = await run(api, tmp_path, variables={"FEATHER_API_KEY": "another-key-0123456789"})
        strangers = sum(request.key != KEY for request in api.requests)
        assert (first.code, first.outcomes) == (10, {"updated": 10, "unsent": 90})
        assert (wrong.code, wrong.outcomes["rejected"], wrong.outcomes["updated"]) == (5, 0, 10), wrong.said
        assert 0 < strangers <= 10
        right = await run(api, tmp_path)
        assert (right.code, right.outcomes, api.acknowledged) == (0, {"updated": 100}, dict.fromkeys(range(100), 1))


# B6: one clock for all waiting

FOR_EVER = {
    "503, 1": answer(503, Retry_After="1"),
    "429, 1": answer(429, Retry_After="1"),
    "429": answer(429),
    "503": answer(503),
    "502": answer(502),
}


@pytest.mark.fault("B6", "the server asks to wait for ever")
@pytest.mark.parametrize("said", FOR_EVER.values(), ids=FOR_EVER)
@pytest.mark.parametrize("begins", [0, 20])
async def test_waiting_has_an_end(begins: int, said: Answer, tmp_path: Path) -> None:
    """Whatever the run waits for, after --max-outage without a settled row it ends, and no attempt was charged."""
    write(tmp_path, good(60))
    options = ("--max-attempts", 2)
    async with recording(from_arrival(begins, always(said))) as api:
        ended = await run(api, tmp_path, *options, outage="1s")
        undone = {"failed", "unsent", *(("unknown",) if said.status == 502 else ())}
        assert (ended.code, ended.outcomes["updated"], set(ended.outcomes) - undone) == (
            6,
            begins,
            {"updated"} if begins else set(),
        ), ended.said
        await repeated(api, tmp_path, *options, rows=60)


# B7: an outage costs no row an attempt


@pytest.mark.fault("B7", "an outage of some seconds, with one or two attempts a row")
@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("said", [answer(502), answer(503), answer(500)], ids=["502", "503", "500"])
async def test_no_row_fails_for_an_outage(said: Answer, attempts: int, tmp_path: Path) -> None:
    """The attempts that told of the outage are given back, so that even rows with one attempt are done.

    It ends once it was seen for what it is and was asked about: whoever is in flight then may be told as well.
    """
    write(tmp_path, good(200))
    async with recording(until_told(60, BLOCK + 8, said)) as api:
        ended = await run(api, tmp_path, "--max-attempts", attempts)
    assert (ended.code, ended.outcomes) == (0, {"updated": 200}), ended.said
    assert api.acknowledged == dict.fromkeys(range(200), 1)


def until_epoch(first: int, count: int) -> Rule:
    """Return the rule that throttles some arrivals until a time of day, two or three seconds from now."""

    def rule(request: Request) -> Answer | None:
        if not first <= request.number < first + count:
            return None
        return answer(429, X_RateLimit_Reset=str(int(time.time()) + 3))

    return rule


ASKING = {
    "fraction": from_arrival(20, when(lambda request: request.number < 28, answer(429, Retry_After="1.5"))),
    "fraction, 503": from_arrival(20, when(lambda request: request.number < 28, answer(503, Retry_After="1.5"))),
    "seconds": from_arrival(20, when(lambda request: request.number < 28, answer(429, RateLimit_Reset="2"))),
    "seconds, x": from_arrival(20, when(lambda request: request.number < 28, answer(429, X_RateLimit_Reset="2"))),
    "epoch": until_epoch(20, 8),
}


@pytest.mark.fault("B7", "how long to wait, in a fraction or in the reset headers")
@pytest.mark.parametrize("rule", ASKING.values(), ids=ASKING)
async def test_how_long_the_server_asks_to_wait(rule: Rule, tmp_path: Path) -> None:
    """A wait that is asked for in any usual way is kept by everyone, and fails no row."""
    write(tmp_path, good(100))
    async with recording(rule) as api:
        ended = await run(api, tmp_path, "--max-attempts", 2)
    refused = api.requests[20].at
    early = [request.number for request in api.requests if SECOND // 2 < request.at - refused < SECOND * 13 // 10]
    assert (ended.code, ended.outcomes, early) == (0, {"updated": 100}, []), ended.said


# B8, B9: TLS and proxies


def turned_away(said: bytes, connections: range) -> Greeting:
    """Return what says something else than TLS to some of the connections."""
    return lambda number: said if number in connections else None


@pytest.mark.fault("B8", "a TLS alert, a plain answer or nothing on new connections in mid-run")
@pytest.mark.parametrize(
    "said",
    [TLS_ALERT, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", b""],
    ids=["alert", "plain 503", "closed"],
)
async def test_a_handshake_that_fails_in_mid_run(said: bytes, tmp_path: Path) -> None:
    """Once the access is proven, a handshake that fails is waited out as any outage."""
    write(tmp_path, good(60))
    trusted = authority(tmp_path / "authority")
    closing = always(Answer(headers=(("Connection", "close"),)))
    async with recording(closing, tls=trusted.tls()) as api:
        api.forwarder.greeting = turned_away(said, range(30, 36))
        ended = await run(api, tmp_path, "--ca-file", trusted.certificate, "--max-attempts", 2)
    assert (ended.code, ended.outcomes) == (0, {"updated": 60}), ended.said
    assert api.acknowledged == dict.fromkeys(range(60), 1)


@pytest.mark.fault("B9", "a proxy refuses to connect")
@pytest.mark.parametrize(
    "said",
    [html(403), answer(302, Location="https://login.example/"), html(511), html(404), html(405)],
    ids=["403", "302", "511", "404", "405"],
)
async def test_a_proxy_that_refuses(said: Answer, tmp_path: Path) -> None:
    """A proxy that says no is not asked for minutes: the run stops at once, and names it."""
    write(tmp_path, good(30))
    trusted = authority(tmp_path / "authority")
    trust = ("--ca-file", trusted.certificate)
    async with recording(tls=trusted.tls()) as api, recording(always(said)) as proxy:
        ended = await run(api, tmp_path, *trust, "--proxy", proxy.url)
        assert (ended.code, ended.outcomes["rejected"], api.requests) == (5, 0, []), ended.said
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        told = [line for line in ended.said.splitlines() if "proxy" in line and "bulksync run" not in line]
        assert (len(proxy.requests) <= 3, told != []) == (True, True), ended.said
        await repeated(api, tmp_path, *trust, rows=30)


# B10, B11: pace and order


def shares(answers: Sequence[int], parts: int) -> Iterator[float]:
    """Return the share of 503s in each part of what was answered."""
    size = len(answers) // parts
    for start in range(0, size * parts, size):
        yield answers[start : start + size].count(503) / size


@pytest.mark.fault("B10", "half of all requests are refused with 503 and no word how long to wait")
async def test_a_limit_that_is_half_the_rate(tmp_path: Path) -> None:
    """Refusals among successes lower the rate, so that fewer and fewer are refused."""
    write(tmp_path, good(400))
    refused = html(503, "Service Temporarily Unavailable")
    async with recording(limited(50, refused)) as api:
        ended = await run(api, tmp_path, "--max-attempts", 20, rate="100/s")
    assert (ended.code, ended.outcomes) == (0, {"updated": 400}), ended.said
    first, *_, last = shares(api.answers, 4)
    assert (last < 0.25, last < first) == (True, True), (first, last)
    assert "at 200/s" not in ended.said, "no higher rate is advised"


@pytest.mark.fault("B11", "rows sorted by execution")
async def test_executions_run_side_by_side(tmp_path: Path) -> None:
    """Rows that wait for their execution do not keep other executions from being sent."""
    write(tmp_path, [(0, number) for number in range(4) for _ in range(40)])
    async with recording(always(answer(200, wait=0.05))) as api:
        ended = await run(api, tmp_path, width=4)
    assert (ended.code, ended.outcomes) == (0, {"updated": 160}), ended.said
    assert sum(count == 4 for count in api.at_once) >= 30  # every fourth arrival, where all four answers come at once
    for number in range(4):
        rows = [request.row for request in api.requests if request.execution == execution(number)]
        assert rows == sorted(rows)


# C3: what is said


@pytest.mark.fault("C3", "Retry-After: 0")
@pytest.mark.parametrize("status", [429, 503])
async def test_waiting_for_nothing_is_said_once(status: int, tmp_path: Path) -> None:
    """A server that asks for no wait at all, again and again, makes one line and not one for each answer."""
    write(tmp_path, good(100))
    refusing = from_arrival(20, when(lambda request: request.number < 34, answer(status, Retry_After="0")))
    async with recording(refusing) as api:
        ended = await run(api, tmp_path, "--max-attempts", 20, "--log-format", "json")
    events = Counter(json.loads(line)["event"] for line in ended.said.splitlines())
    assert (ended.code, ended.outcomes, events["hold"]) == (0, {"updated": 100}, 1), ended.said
