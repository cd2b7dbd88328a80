"""The fault matrix, end to end: the real program against each fault, and what the row, the run and the server saw.

A test that shows a row of the matrix is marked with its number, here or beside the station that it is about;
`python -m tests.matrix` prints which test shows which fault.
"""

import asyncio
import json
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from bulksync.ledger.store import Store
from bulksync.sandbox.faults import Faults
from bulksync.sandbox.server import Sandbox, Settings
from bulksync.sandbox.server import serve as sandbox
from tests.matrix import FAULTS, missing, shown
from tests.support import fault_server as faults
from tests.support.fault_server import Authority, Behaviour, answer, authority, raw, serve
from tests.support.ledgers import execute
from tests.support.program import WORKFLOW, execution, rows_of, write_rows
from tests.support.watched import ran, running

REPORT = "rows.csv.report.csv"
IMPATIENT = ("--timeout", "1500ms")

Facts = tuple[str, str, str, str]
"""Outcome, error, HTTP status and attempts of a row."""

FINE: Facts = ("updated", "", "200", "1")
SECOND: Facts = ("updated", "", "200", "2")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run came to: its exit code, the lines of its report, and what it said."""

    code: int
    rows: list[dict[str, str]]
    said: str

    @property
    def facts(self) -> list[Facts]:
        """The main facts of each row."""
        return [(row["outcome"], row["error"], row["httpStatus"], row["attempts"]) for row in self.rows]

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Rows by outcome and error."""
        return Counter((row["outcome"], row["error"]) for row in self.rows)


async def sent(
    url: str,
    folder: Path,
    *more: object,
    numbers: Sequence[int] = range(3),
    attempts: int = 2,
    rate: str = "unlimited",
    variables: Mapping[str, str] | None = None,
) -> Ended:
    """Run the program to its end on an input with a row for each of these executions."""
    write_rows(folder / "rows.csv", numbers)
    return await run(url, folder, *more, "--rate", rate, attempts=attempts, variables=variables)


async def run(
    url: str, folder: Path, *more: object, attempts: int = 2, variables: Mapping[str, str] | None = None
) -> Ended:
    """Run the program to its end on the input that is there."""
    done = await ran(*call(url, *more, attempts=attempts), folder=folder, variables=variables)
    assert "Traceback" not in done.stderr
    report = folder / REPORT
    return Ended(done.code, rows_of(report) if report.exists() else [], done.stderr)


def call(url: str, *more: object, attempts: int) -> tuple[object, ...]:
    """Return the arguments of a run."""
    return "run", "rows.csv", "--base-url", url, "--max-attempts", attempts, "--drain", "2s", *more


def unsent(error: str) -> Facts:
    """Return what a row is told that the run did not get to."""
    return ("unsent", error, "", "0")


def patched(folder: Path, code: str) -> dict[str, str]:
    """Return the variables that make the program start with this code, to break a library or the system below it."""
    (folder / "patch").mkdir()
    (folder / "patch" / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder / "patch")}


# The connection


@pytest.mark.fault(1, "closed before it is read")
async def test_a_connection_that_is_closed_unread(tmp_path: Path) -> None:
    """A connection that is closed before the request takes none; closed as it is written, it costs an attempt."""
    async with serve(faults.close_unread) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, ended.facts[1:]) == (0, [FINE, FINE])
    assert ended.facts[0] in (FINE, SECOND)
    seen = [request.ids[1] for request in server.requests if request.path]
    assert sorted(seen) == [execution(n) for n in (0, 1, 2)]


@pytest.mark.fault(2, "closed without an answer")
@pytest.mark.fault(3, "reset in the middle of the headers")
@pytest.mark.parametrize("behaviour", [faults.close, faults.reset], ids=["read", "reset"])
async def test_a_lost_answer(behaviour: Behaviour, tmp_path: Path) -> None:
    """A row whose answer is lost is sent again, once, and the report says that its answer may be a second one."""
    async with serve(behaviour) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, ended.facts) == (0, [SECOND, FINE, FINE])
    assert [row["dispositionCertain"] for row in ended.rows] == ["false", "true", "true"]
    seen = [request.ids[1] for request in server.requests if request.path]
    assert len(server.requests) == 4
    assert sorted(seen) == [execution(n) for n in (0, 0, 1, 2)]


@pytest.mark.fault(4, "chunks or content cut")
@pytest.mark.parametrize("behaviour", [faults.cut_chunked, faults.cut_short], ids=["chunks", "content"])
async def test_an_answer_that_is_cut(behaviour: Behaviour, tmp_path: Path) -> None:
    """A row whose answer never comes whole is unknown: it may have been applied."""
    async with serve(faults.valid, then=behaviour) as server:
        ended = await sent(server.url, tmp_path)
    lost: Facts = ("unknown", "response_truncated", "", "2")
    assert (ended.code, ended.facts, len(server.requests)) == (4, [FINE, lost, lost], 5)


@pytest.mark.fault(4, "chunks or content cut")
async def test_an_answer_that_is_cut_once(tmp_path: Path) -> None:
    """An answer that is cut once costs one more request."""
    async with serve(faults.cut_chunked) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, ended.facts, len(server.requests)) == (0, [SECOND, FINE, FINE], 4)


@pytest.mark.fault(5, "cut where only the end of the connection tells")
async def test_an_answer_that_ends_with_the_connection(tmp_path: Path) -> None:
    """An answer that looks complete and is no JSON is no acknowledgement."""
    async with serve(faults.valid, then=faults.cut_at_eof) as server:
        ended = await sent(server.url, tmp_path)
    lost: Facts = ("unknown", "response_invalid", "200", "2")
    assert (ended.code, ended.facts, len(server.requests)) == (4, [FINE, lost, lost], 5)


@pytest.mark.fault(6, "no answer in time")
@pytest.mark.fault(7, "a byte now and then")
@pytest.mark.parametrize("behaviour", [faults.hang, faults.drip], ids=["silence", "drip"])
async def test_an_answer_that_takes_too_long(behaviour: Behaviour, tmp_path: Path) -> None:
    """An attempt has its time, whether nothing comes or a byte now and then; the row is unknown when all had theirs."""
    async with serve(faults.valid, then=behaviour) as server:
        ended = await sent(server.url, tmp_path, *IMPATIENT)
    late: Facts = ("unknown", "request_timeout", "", "2")
    assert (ended.code, ended.facts, len(server.requests)) == (4, [FINE, late, late], 5)
    assert all(int(row["durationMs"]) >= 1_500 for row in ended.rows[1:])


@pytest.mark.fault(8, "applied late, after the row behind it")
async def test_an_update_that_is_applied_late(tmp_path: Path) -> None:
    """An attempt that may still be applied when a later row of its execution is sent is a risk that is named."""
    script = {execution(0): ["late_apply"]}
    async with sandbox(Settings(script=script, late=0.01)) as api:
        ended = await sent(api.url, tmp_path, numbers=[0, 0, 1])
        turns = [arrival.body["metadata"]["turn"] for arrival in api.applied if arrival.execution_id == execution(0)]
    assert (ended.code, ended.facts) == (0, [SECOND, FINE, FINE])
    assert [row["orderRisk"] for row in ended.rows] == ["true", "true", "false"]
    assert [row["dispositionCertain"] for row in ended.rows] == ["false", "true", "true"]
    assert Counter(turns) == {0: 2, 1: 1}


@pytest.mark.fault(9, "connection refused for a while")
async def test_a_server_that_comes_up_later(tmp_path: Path) -> None:
    """Attempts that nobody listened to are not counted against the row, and the run goes on when somebody does."""
    write_rows(tmp_path / "rows.csv", range(3))
    (tmp_path / "said").touch()
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{port.getsockname()[1]}"
        async with running(*call(url, "-vv", attempts=1), folder=tmp_path, through="exec {} 2>said") as program:
            await program.until(lambda: (tmp_path / "said").read_text().count("connect_failed") >= 3)
            async with serve(at=port) as server:
                done = await program.done()
    assert (done.code, len(server.requests)) == (0, 3)
    assert [row["attempts"] for row in rows_of(tmp_path / REPORT)] == ["1", "1", "1"]


@pytest.mark.fault(10, "connection refused for longer than --max-outage")
async def test_a_server_that_stays_away(tmp_path: Path) -> None:
    """When the server has been away for `--max-outage` the run stops, nothing is charged to any row, and all wait."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        ended = await sent(f"http://127.0.0.1:{port.getsockname()[1]}", tmp_path, "--max-outage", "1s")
    assert (ended.code, ended.facts) == (6, ended.facts)
    assert {*ended.facts} <= {unsent("connect_failed"), unsent("aborted_outage")}
    assert unsent("connect_failed") in ended.facts


@pytest.mark.fault(11, "no address at the start")
async def test_a_name_without_an_address(tmp_path: Path) -> None:
    """A host name that does not resolve at the start is a wrong one: the run stops at once."""
    ended = await sent("https://nowhere.invalid", tmp_path)
    assert (ended.code, ended.facts) == (6, [unsent("dns_failed"), *[unsent("aborted_outage")] * 2])


DNS_FAILS = """
import aiohttp, socket
from aiohttp.resolver import ThreadedResolver
asked, resolve, init = [], ThreadedResolver.resolve, aiohttp.TCPConnector.__init__
async def failing(self, *arguments, **options):
    asked.append(arguments)
    if 2 <= len(asked) <= 3:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return await resolve(self, *arguments, **options)
ThreadedResolver.resolve = failing
aiohttp.TCPConnector.__init__ = lambda self, **options: init(self, use_dns_cache=False, **options)
"""


@pytest.mark.fault(12, "no address in the middle of the run")
async def test_a_name_that_loses_its_address_for_a_while(tmp_path: Path) -> None:
    """Once a row has succeeded, a name that does not resolve is an outage like any other, and costs no row."""
    async with serve(then=faults.closing) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        ended = await sent(url, tmp_path, attempts=1, variables=patched(tmp_path, DNS_FAILS))
    assert (ended.code, ended.facts, len(server.requests)) == (0, [FINE] * 3, 3)


# TLS and addresses


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Found the authority that the program is told to trust."""
    return authority(tmp_path_factory.mktemp("tls") / "trusted")


def self_signed(trusted: Authority) -> ssl.SSLContext:
    """Return a certificate that nobody vouches for."""
    return trusted.tls(self_signed=True)


def of_another_host(trusted: Authority) -> ssl.SSLContext:
    """Return a certificate of another host."""
    return trusted.tls("DNS:api.example")


def expired(trusted: Authority) -> ssl.SSLContext:
    """Return a certificate of yesterday."""
    return trusted.tls(days=-1)


@pytest.mark.fault(13, "certificate self-signed, expired or of another host")
@pytest.mark.parametrize("certificate", [self_signed, of_another_host, expired], ids=lambda made: made.__name__)
async def test_a_certificate_that_is_not_believed(
    certificate: Callable[[Authority], ssl.SSLContext], trusted: Authority, tmp_path: Path
) -> None:
    """A server that cannot prove its name gets neither the key nor a row."""
    async with serve(tls=certificate(trusted)) as server:
        ended = await sent(server.url, tmp_path, "--ca-file", trusted.certificate)
    assert (ended.code, ended.facts) == (5, [unsent("tls_verify_failed"), *[unsent("aborted_access")] * 2])
    assert server.requests == []


@pytest.mark.fault(14, "http to a TLS port, https to a plain one")
async def test_http_to_a_tls_port(trusted: Authority, tmp_path: Path) -> None:
    """A server that hangs up on every row from the first one on is taken for another one."""
    async with serve(tls=trusted.tls()) as server:
        ended = await sent(server.url.replace("https:", "http:"), tmp_path, numbers=range(4))
    lost: Facts = ("unknown", "connection_lost", "", "2")
    assert (ended.code, ended.facts) == (6, [lost] * 4)
    assert server.requests == []


@pytest.mark.fault(14, "http to a TLS port, https to a plain one")
async def test_https_to_a_plain_port(tmp_path: Path) -> None:
    """A server that does not speak TLS gets nothing: the URL is wrong."""
    async with serve() as server:
        ended = await sent(server.url.replace("http:", "https:"), tmp_path)
    assert (ended.code, ended.facts) == (5, [unsent("tls_failed"), *[unsent("aborted_access")] * 2])
    assert server.requests == []


@pytest.mark.fault(15, "redirect to another origin")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect(status: int, tmp_path: Path) -> None:
    """A redirect stops the run, and nothing goes to where it leads."""
    async with serve() as elsewhere, serve(then=answer(status, b"", {"Location": elsewhere.url})) as server:
        ended = await sent(server.url, tmp_path)
    refused: Facts = ("failed", "redirect_refused", str(status), "1")
    assert (ended.code, ended.facts) == (5, [refused, *[unsent("aborted_access")] * 2])
    assert (len(server.requests), elsewhere.connections) == (1, 0)


# Refusals


@pytest.mark.fault(16, "401 on the first row")
async def test_a_wrong_key(tmp_path: Path) -> None:
    """A wrong key costs one request."""
    async with sandbox(Settings(key="another")) as api:
        ended = await sent(api.url, tmp_path)
    assert (ended.code, ended.facts) == (5, [("failed", "http_401", "401", "1"), *[unsent("aborted_access")] * 2])
    assert len(api.log) == 1


@pytest.mark.fault(17, "401 in the middle of the run")
async def test_a_key_that_is_revoked(tmp_path: Path) -> None:
    """A key that is revoked while the run goes on costs no more requests than were in flight."""
    async with serve(*[faults.valid] * 20, then=answer(401, b"")) as server:
        ended = await sent(server.url, tmp_path, "--max-in-flight", 4, numbers=range(60))
    refused = len(server.requests) - 20
    assert ended.code == 5
    assert 1 <= refused <= 4
    assert ended.counts == {
        ("updated", ""): 20,
        ("failed", "http_401"): refused,
        ("unsent", "aborted_access"): 40 - refused,
    }


@pytest.mark.fault(18, "403")
@pytest.mark.fault(19, "404")
@pytest.mark.parametrize("status", [403, 404])
async def test_a_refusal_of_one_row(status: int, tmp_path: Path) -> None:
    """Once a row has succeeded, a 403 or 404 is about its own row, and the run goes on."""
    async with sandbox(Settings(script={execution(n): [status] * 9 for n in (0, 2)})) as api:
        ended = await sent(api.url, tmp_path, numbers=range(4))
    refused: Facts = ("rejected", f"http_{status}", str(status), "1")
    assert (ended.code, ended.facts, len(api.log)) == (3, [refused, FINE, refused, FINE], 4)


@pytest.mark.fault(18, "403")
@pytest.mark.fault(19, "404")
@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("count", [3, 30], ids=["each of a few rows", "ten in a row"])
async def test_a_refusal_of_every_row(status: int, count: int, tmp_path: Path) -> None:
    """Ten refusals before any success, or of every row there is, speak of the key or the address."""
    async with sandbox(Settings(script={"*": [status] * 9})) as api:
        ended = await sent(api.url, tmp_path, numbers=range(count))
    asked = min(count, 10)
    refused: Facts = ("failed", f"http_{status}", str(status), "1")
    assert (ended.code, Counter(ended.facts)) == (
        5,
        Counter([refused] * asked + [unsent("aborted_access")] * (count - asked)),
    )
    assert len(api.log) == asked
    assert "add --accept-refusals" in ended.said


@pytest.mark.fault(20, "400, 409, 413, 422 for some rows")
async def test_rows_that_are_refused(tmp_path: Path) -> None:
    """A row that the server refuses is rejected with the server's own words, and the others are sent."""
    statuses = (400, 409, 413, 422)
    refusals = {
        execution(number): answer(status, b'{"message":"not %d","code":"NO"}' % status)
        for number, status in enumerate(statuses)
    }

    async def by_execution(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: faults.Request) -> None:
        await refusals.get(request.ids[1], faults.valid)(reader, writer, request)

    async with serve(then=by_execution) as server:
        ended = await sent(server.url, tmp_path, numbers=range(6))
    refused: list[Facts] = [("rejected", f"http_{status}", str(status), "1") for status in statuses]
    assert (ended.code, ended.facts, len(server.requests)) == (3, [*refused, FINE, FINE], 6)
    assert [row["detail"] for row in ended.rows[:4]] == [f"NO: not {status}" for status in statuses]


@pytest.mark.fault(21, "400 for every row")
async def test_every_row_is_refused(tmp_path: Path) -> None:
    """Ten executions tell that key or URL may be wrong; where the rows are, half of a hundred tell it of the input."""
    async with serve(then=answer(400, b"")) as server:
        refused = await sent(server.url, tmp_path, numbers=range(150))
        asked = len(server.requests)
        ended = await run(server.url, tmp_path, "--accept-refusals", "--rate", "unlimited")
    assert (refused.code, asked, refused.counts[("failed", "http_400")]) == (5, 10, 10)
    assert (ended.code, ended.counts[("rejected", "http_400")] >= 100) == (12, True)


# Holds and outages


def spaced(server: faults.FaultServer) -> float:
    """Return the seconds between the first request and the second."""
    first, second, *_ = server.requests
    return second.at - first.at


LATER = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:49:38 GMT"}
"""A second later, on a clock that is decades behind."""


@pytest.mark.fault(22, "429 with Retry-After")
@pytest.mark.fault(55, "clocks that disagree")
@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, LATER], ids=["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_to_wait(status: int, headers: dict[str, str], tmp_path: Path) -> None:
    """Everyone waits as long as the server asks, by its own clock, and no row is lost."""
    async with serve(answer(status, b"", headers)) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, ended.facts, len(server.requests)) == (0, [SECOND, FINE, FINE], 4)
    assert spaced(server) >= 1.0


@pytest.mark.fault(23, "429 without a usable Retry-After")
@pytest.mark.parametrize("value", [None, "soon", "-1", "100000000000000"])
async def test_a_server_that_does_not_say_how_long(value: str | None, tmp_path: Path) -> None:
    """A 429 that says nothing usable holds everyone for the time of a backoff."""
    async with serve(answer(429, b"", {} if value is None else {"Retry-After": value})) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, ended.facts, len(server.requests)) == (0, [SECOND, FINE, FINE], 4)
    assert 0.5 <= spaced(server) < 60.0


@pytest.mark.fault(23, "429 without a usable Retry-After")
async def test_a_server_that_asks_to_wait_for_years(tmp_path: Path) -> None:
    """A wait longer than `--max-retry-after` is for another day."""
    async with serve(answer(429, b"", {"Retry-After": "999999999"})) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, len(server.requests)) == (6, 1)
    assert ended.facts == [("failed", "http_429", "429", "1"), *[unsent("aborted_outage")] * 2]


@pytest.mark.fault(24, "503 for three in ten")
async def test_a_server_that_is_often_unavailable(tmp_path: Path) -> None:
    """A server that answers 503 now and then is not taken for away, and each row gets through."""
    summary = tmp_path / "summary.json"
    async with sandbox(Settings(faults=Faults(unavailable=0.3), seed=1)) as api:
        ended = await sent(api.url, tmp_path, "--summary", summary, numbers=range(100), attempts=10)
    assert (ended.code, ended.counts) == (0, {("updated", ""): 100})
    told = json.loads(summary.read_text())
    assert (told["unavailable"], told["requests"], told["retries"]) == (
        len(api.log) - 100,
        len(api.log),
        len(api.log) - 100,
    )
    assert "the server is unreachable" not in ended.said
    assert sum(int(row["attempts"]) for row in ended.rows) == len(api.log) > 120


@pytest.mark.fault(25, "500 for one row, always")
async def test_a_row_that_breaks_the_server(tmp_path: Path) -> None:
    """A row that gets 500 each time is unknown in the end, and the others do not suffer."""
    async with sandbox(Settings(script={execution(1): [500] * 9})) as api:
        ended = await sent(api.url, tmp_path, attempts=3)
    assert (ended.code, ended.facts, len(api.log)) == (4, [FINE, ("unknown", "http_500", "500", "3"), FINE], 5)


# Answers of somebody else

PAGE = answer(body=b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"})


@pytest.mark.fault(26, "200 text/html for every path")
async def test_a_login_page(tmp_path: Path) -> None:
    """A 200 is no success: whoever answers every row with a page is not this API."""
    async with serve(then=PAGE) as server:
        ended = await sent(server.url, tmp_path)
    lost: Facts = ("unknown", "response_invalid", "200", "2")
    assert (ended.code, ended.facts, len(server.requests)) == (6, [lost] * 3, 6)
    assert ended.rows[0]["detail"] == "not JSON but text/html"


@pytest.mark.fault(27, "200 with the id of another row")
async def test_an_answer_about_another_row(tmp_path: Path) -> None:
    """An answer that names another execution ends the run: no further one could be believed."""
    async with serve(faults.valid, faults.wrong_id) as server:
        ended = await sent(server.url, tmp_path, "--max-in-flight", 1, numbers=range(4))
    mixed: Facts = ("unknown", "response_mismatch", "200", "1")
    assert (ended.code, len(server.requests)) == (6, 2)
    assert ended.facts == [FINE, mixed, *[unsent("aborted_outage")] * 2]


@pytest.mark.fault(28, "a disposition that no page names")
async def test_a_word_that_is_new(tmp_path: Path) -> None:
    """A disposition that nobody has heard of is reported as it is, but for what would fool a terminal or a table."""
    words = [answer(disposition=word) for word in ("new-unknown-word", "=1+1", "red \x1b[31malert\x1b[0m")]
    async with serve(*words) as server:
        ended = await sent(server.url, tmp_path, "--max-in-flight", 1)
    assert (ended.code, ended.facts, len(server.requests)) == (0, [FINE] * 3, 3)
    assert [row["disposition"] for row in ended.rows] == ["new-unknown-word", "'=1+1", "red alert"]


LARGE: dict[str, tuple[Behaviour, Facts]] = {
    "endless": (faults.endless, ("unknown", "response_too_large", "200", "2")),
    "1,500 headers": (faults.many_headers, ("unknown", "protocol_error", "", "2")),
    "long header": (faults.long_header, ("unknown", "protocol_error", "", "2")),
    "gzip bomb": (faults.bombed, ("unknown", "response_too_large", "200", "2")),
}


@pytest.mark.fault(29, "512 MiB, a gzip bomb, 500 headers")
@pytest.mark.parametrize(("behaviour", "facts"), LARGE.values(), ids=LARGE)
async def test_an_answer_without_measure(behaviour: Behaviour, facts: Facts, tmp_path: Path) -> None:
    """An answer that is far too large is not read to its end, and is no acknowledgement."""
    async with serve(faults.valid, then=behaviour) as server:
        ended = await sent(server.url, tmp_path)
    assert (ended.code, ended.facts, len(server.requests)) == (4, [FINE, facts, facts], 5)


@pytest.mark.fault(30, "garbage or TLS instead of HTTP")
@pytest.mark.parametrize(
    "data", [faults.GARBAGE, faults.TLS_ALERT, b"SSH-2.0-OpenSSH_9.6\r\n"], ids=["garbage", "TLS", "SSH"]
)
async def test_a_server_that_speaks_something_else(data: bytes, tmp_path: Path) -> None:
    """A server that does not speak HTTP to any row is another one."""
    async with serve(then=raw(data)) as server:
        ended = await sent(server.url, tmp_path)
    lost: Facts = ("unknown", "protocol_error", "", "2")
    assert (ended.code, ended.facts, len(server.requests)) == (6, [lost] * 3, 6)


@pytest.mark.fault(31, "idle connections closed as they are used")
async def test_a_server_that_closes_idle_connections(tmp_path: Path) -> None:
    """A row whose request meets a closing connection is sent again by us alone: no row arrives twice."""
    async with serve(idle=0.05) as server:
        ended = await sent(server.url, tmp_path, rate="20/s", attempts=5, numbers=range(30))
    assert (ended.code, ended.counts) == (0, {("updated", ""): 30})
    assert Counter(request.ids[1] for request in server.requests) == Counter(execution(n) for n in range(30))


@pytest.mark.fault(32, "Connection: close on every answer")
async def test_a_server_that_closes_every_connection(tmp_path: Path) -> None:
    """A balancer that is drained closes each connection behind its answer, and no row is lost."""
    async with serve(then=faults.closing) as server:
        ended = await sent(server.url, tmp_path, numbers=range(20))
    assert (ended.code, ended.facts) == (0, [FINE] * 20)
    assert (len(server.requests), server.connections) == (20, 20)


# Input

HEADER = "workflowId,executionId,status,metadata\n"


def line(number: int, workflow: str = WORKFLOW, status: str = "COMPLETED", metadata: str = "") -> str:
    """Return a line of an input."""
    return f"{workflow},{execution(number)},{status},{metadata}\n"


UNREADABLE = {
    "unclosed quote": (HEADER + f'{WORKFLOW},"{execution(1)},COMPLETED,\n' + line(2) * 1_000).encode(),
    "no delimiter": b"workflowId executionId status\n" + f"{WORKFLOW} {execution(1)} COMPLETED\n".encode(),
    "UTF-16 without a mark": (HEADER + line(1)).encode("utf-16-le"),
    "column twice": b"workflowId,executionId,status,Status\n"
    + f"{WORKFLOW},{execution(1)},COMPLETED,FAILED\n".encode(),
    "NUL": (HEADER + line(1) + line(2, status="A\0B")).encode(),
    "header missing": line(1).encode(),
}


@pytest.mark.fault(48, "unclosed quote, delimiter, UTF-16, duplicate header, NUL")
@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_input_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    """An input whose rows cannot be told apart, or are not what they seem, is refused as a whole, with a next step."""
    (tmp_path / "rows.csv").write_bytes(content)
    async with serve() as server:
        ended = await run(server.url, tmp_path)
    assert (ended.code, server.connections) == (7, 0)
    assert re.search(r"^bulksync: next: .", ended.said, re.MULTILINE)


@pytest.mark.fault(48, "unclosed quote, delimiter, UTF-16, duplicate header, NUL")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_an_input_as_excel_writes_it(encoding: str, tmp_path: Path) -> None:
    """Semicolons and a byte order mark are understood."""
    (tmp_path / "rows.csv").write_bytes((HEADER + line(1)).replace(",", ";").encode(encoding))
    async with serve() as server:
        ended = await run(server.url, tmp_path)
    assert (ended.code, server.bodies) == (0, [{"status": "COMPLETED"}])


@pytest.mark.fault(49, "some invalid rows")
@pytest.mark.parametrize(("choice", "code", "count"), [("abort", 7, 0), ("skip", 3, 7)])
async def test_invalid_rows(choice: str, code: int, count: int, tmp_path: Path) -> None:
    """With invalid rows nothing is sent, or with `--on-invalid skip` all others; the report tells which they were."""
    bad = (line(3, workflow="x"), line(5, status="no word"), line(8, metadata="[]"))
    good = {number: line(number) for number in (1, 2, 4, 6, 7, 9, 10)}
    lines = good | dict(zip((3, 5, 8), bad, strict=True))
    (tmp_path / "rows.csv").write_text(HEADER + "".join(lines[number] for number in sorted(lines)))
    async with serve() as server:
        ended = await run(server.url, tmp_path, "--on-invalid", choice)
    assert (ended.code, len(server.requests), len(ended.rows)) == (code, count, 10)
    assert [(row["outcome"], row["error"]) for row in ended.rows if int(row["row"]) in (3, 5, 8)] == [
        ("invalid", "id_invalid"),
        ("invalid", "status_invalid"),
        ("invalid", "metadata_invalid"),
    ]
    assert {row["outcome"] for row in ended.rows if int(row["row"]) in good} == {"updated" if count else "unsent"}


@pytest.mark.fault(50, "empty file, or nothing but a header")
async def test_an_input_without_a_header(tmp_path: Path) -> None:
    """A file of 0 bytes is one that was cut, or never written: nothing is sent, and the run does not end well."""
    (tmp_path / "rows.csv").touch()
    async with serve() as server:
        ended = await run(server.url, tmp_path)
    assert (ended.code, server.connections, (tmp_path / REPORT).exists()) == (7, 0, False)


@pytest.mark.fault(50, "empty file, or nothing but a header")
async def test_an_input_without_rows(tmp_path: Path) -> None:
    """Nothing to do is done: the report has its header, and the run ends well."""
    (tmp_path / "rows.csv").write_text(HEADER)
    async with serve() as server:
        ended = await run(server.url, tmp_path)
    assert (ended.code, ended.rows, server.connections) == (0, [], 0)
    assert (tmp_path / REPORT).read_text().startswith("row,line,workflowId,executionId,")


@pytest.mark.fault(52, "hostile ids, formulas and ANSI")
@pytest.mark.parametrize("name", ["../../../admin", "..", "%2e%2e", "a/b", "a?x", "a#f", "a b", "\uff41"])
async def test_ids_that_would_leave_their_place(name: str, tmp_path: Path) -> None:
    """What is no id never becomes part of a path."""
    (tmp_path / "rows.csv").write_text(HEADER + f"{WORKFLOW},{name},COMPLETED,\n", encoding="utf-8")
    async with serve() as server:
        ended = await run(server.url, tmp_path)
    assert (ended.code, ended.facts, server.connections) == (7, [("invalid", "id_invalid", "", "0")], 0)


@pytest.mark.fault(52, "hostile ids, formulas and ANSI")
async def test_text_that_would_do_something(tmp_path: Path) -> None:
    """A formula is sent as the text that it is, and what the server says can neither colour nor calculate."""
    write_rows(tmp_path / "rows.csv", [])
    with (tmp_path / "rows.csv").open("a") as file:
        file.write(f'{WORKFLOW},{execution(1)},COMPLETED,"{{""note"": ""=HYPERLINK(1)""}}"\n')
    words = json.dumps({"message": "=cmd()\x1b[31m red\u202e"}).encode()
    async with serve(answer(422, words)) as server:
        ended = await run(server.url, tmp_path, "--accept-refusals")
    assert server.bodies == [{"status": "COMPLETED", "metadata": {"note": "=HYPERLINK(1)"}}]
    assert (ended.code, ended.rows[0]["detail"]) == (3, "'=cmd() red")


@pytest.mark.fault(45, "repeat with edited input or another target")
async def test_a_repeat_that_is_another_run(tmp_path: Path) -> None:
    """The same bytes to the same target are done; other bytes, or another target, are a run of their own."""
    async with serve() as server, serve() as other:
        codes = [(await sent(server.url, tmp_path)).code, (await run(server.url, tmp_path)).code]
        assert (codes, len(server.requests)) == ([0, 0], 3)
        ended = await sent(server.url, tmp_path, numbers=range(4))
        assert (ended.code, ended.facts, len(server.requests)) == (0, [FINE] * 4, 3 + 4)
        ended = await run(other.url, tmp_path)
        assert (ended.code, ended.facts, len(other.requests)) == (0, [FINE] * 4, 4)


@pytest.mark.fault(35, "power loss")
def test_a_commit_is_on_the_disk_when_it_is_done(tmp_path: Path) -> None:
    """SQLite is told to wait for the disk at each commit, as a test cannot cut the power."""
    with closing(Store(tmp_path / "rows.ledger")) as store:
        found = [execute(store, f"PRAGMA {name}")[0][0] for name in ("synchronous", "journal_mode", "locking_mode")]
    assert found == [2, "wal", "exclusive"]


# Order, faults of ours, and everything at once


@pytest.mark.fault(53, "one execution many times, with failures")
async def test_one_execution_many_times(tmp_path: Path) -> None:
    """Rows of one execution arrive one behind the other in the input's order, whatever befalls them."""
    failing = Faults(server_error=0.02, reset_after=0.02, unavailable=0.02)
    async with sandbox(Settings(faults=failing, seed=3)) as api:
        ended = await sent(api.url, tmp_path, attempts=9, numbers=[0] * 200)
    turns = [arrival.body["metadata"]["turn"] for arrival in sorted(api.log, key=lambda arrival: arrival.number)]
    assert (ended.code, ended.counts) == (0, {("updated", ""): 200})
    assert turns == sorted(turns)
    assert set(turns) == set(range(200))
    assert len(turns) > 200


PUT_BREAKS = """
from itertools import count
from aiohttp.client_proto import ResponseHandler
requests, set_response_params = count(), ResponseHandler.set_response_params
def broken(self, **params):
    if next(requests) == 2:
        raise RuntimeError("put is broken")
    set_response_params(self, **params)
ResponseHandler.set_response_params = broken
"""


@pytest.mark.fault(56, "a fault of ours in one row")
async def test_a_fault_of_ours_in_one_row(tmp_path: Path) -> None:
    """A fault of the program's own costs the row where it is, and is said to be one."""
    async with serve() as server:
        ended = await sent(server.url, tmp_path, numbers=range(5), variables=patched(tmp_path, PUT_BREAKS))
    outcome, error, _, _ = ended.facts[2]
    assert (ended.code, error, len(server.requests)) == (1, "internal_error", 4)
    assert outcome in ("failed", "unknown")
    assert [facts for row, facts in enumerate(ended.facts) if row != 2] == [FINE] * 4


@pytest.mark.fault(57, "everything at once")
@pytest.mark.parametrize("seed", range(3))
async def test_everything_at_once(seed: int, tmp_path: Path) -> None:
    """Whatever goes wrong, the same command again and again comes to its end, with each row applied as it stands."""
    some = Faults(
        server_error=0.05,
        unavailable=0.05,
        reset_before=0.05,
        reset_after=0.05,
        truncated=0.05,
        oversized=0.02,
        hang=0.01,
    )
    numbers = [*range(60), *range(30)]
    async with sandbox(Settings(faults=some, seed=seed)) as api:
        ended = await sent(api.url, tmp_path, *IMPATIENT, numbers=numbers)
        for _ in range(20):
            if ended.code == 0:
                break
            assert ended.code in (4, 6)
            ended = await run(api.url, tmp_path, *IMPATIENT)
    assert (ended.code, ended.counts) == (0, {("updated", ""): 90})
    assert last_applied(api) == {execution(number): turn for turn, number in enumerate(numbers)}


def last_applied(api: Sandbox) -> dict[str, int]:
    """Return which row of the input each execution was last updated by."""
    return {arrival.execution_id: arrival.body["metadata"]["turn"] for arrival in api.applied}


# The matrix itself


def test_every_fault_is_shown() -> None:
    """Each row of the matrix has a test that is marked with it, and no mark is about a row that there is not."""
    assert (missing(shown()), set(shown()) - set(FAULTS)) == ([], set())


def test_a_fault_has_one_name() -> None:
    """Tests that show the same fault say so in the same words; members of a kind have names of their own."""
    names = {row: {mark.what for mark in marks} for row, marks in shown().items() if isinstance(row, int)}
    assert {row: found for row, found in names.items() if len(found) > 1} == {}
