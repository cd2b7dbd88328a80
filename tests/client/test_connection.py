"""The client: one attempt is one wire request, and only an answer that names the execution counts."""

import asyncio
import contextlib
import json
import socket
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulksync import __version__
from bulksync.client.connection import MAX_ANSWER, Method, line_of
from bulksync.client.http1 import Answer
from bulksync.client.key import read_key
from bulksync.client.response import message_of, object_in, read_answer
from bulksync.client.retry_after import asked_wait
from bulksync.client.tls import CERTIFICATE_WANTED
from bulksync.errors import UsageError
from bulksync.model import Execution, Reply, Row, Step
from tests.support import fault_server as faults
from tests.support.api_page import PAGE
from tests.support.clients import ACKNOWLEDGED, NO_HTTP, PutNow, client, reply_to, row
from tests.support.fault_server import Authority, Behaviour, answer, authority, raw, serve
from tests.support.program import KEY, WORKFLOW, execution

NAMES = {"id": execution(1), "workflowId": WORKFLOW, "status": "COMPLETED"}


def read_reply(status: int, headers: Mapping[str, str], body: bytes, sent: Row) -> Reply:
    """Return what a whole answer means."""
    return read_answer(Answer(status, headers, body), sent, MAX_ANSWER)[1]


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """Return how long an answer asks to wait."""
    return asked_wait(headers, object_in(body))


async def test_a_request_holds_these_things_and_no_others() -> None:
    """The method, the path, the headers and the body on the wire are the API page's, and nothing is added."""
    async with serve() as server, client(server.url + "/prefix") as put:
        assert await put(row(body=b'{"status":"COMPLETED","metadata":{}}')) == ACKNOWLEDGED
    [seen] = server.requests
    assert (seen.method, seen.path) == ("PUT", f"/prefix/api/v1/workflow/{WORKFLOW}/execution/{execution(1)}")
    assert seen.body == b'{"status":"COMPLETED","metadata":{}}'
    assert dict(seen.headers) == {
        "host": server.url.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": "36",
        "user-agent": f"bulksync/{__version__}",
        "x-api-key": KEY,
    }


@given(
    method=st.sampled_from(("GET", "PUT")),
    workflow=st.uuids(),
    name=st.uuids(),
    prefix=st.sampled_from(("", "/api", "/a%2Fb", "/%C3%A9")),
)
def test_the_path_is_the_template(method: Method, workflow: object, name: object, prefix: str) -> None:
    """Whatever the ids, the path that goes out is the template with them in their places."""
    line = line_of(method, prefix, Row(1, 2, str(workflow), str(name), None, b"{}"))
    assert line == f"{method} {prefix}/api/v1/workflow/{workflow}/execution/{name} HTTP/1.1"


async def test_nothing_of_the_callers_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ~/.netrc nor a proxy variable has a say in where a request goes and what it holds."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.delenv("no_proxy", raising=False)
    async with serve() as proxy, serve() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with client(server.url) as put:
            assert await put(row()) == ACKNOWLEDGED
    assert proxy.connections == 0
    assert "authorization" not in server.requests[0].headers


async def test_cookies_are_not_kept() -> None:
    """A cookie that an answer sets is not sent back."""
    cookie = answer(headers={"Set-Cookie": "route=7; Path=/"})
    async with serve(cookie, cookie) as server, client(server.url) as put:
        assert [await put(row()), await put(row())] == [ACKNOWLEDGED] * 2
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


async def test_a_proxy_that_was_asked_for_is_used() -> None:
    """With `--proxy` every request goes to it, the whole URL in its first line."""
    async with serve() as proxy, client("http://api.example", proxy=proxy.url) as put:
        assert await put(row()) == ACKNOWLEDGED
    assert proxy.requests[0].path == f"http://api.example/api/v1/workflow/{WORKFLOW}/execution/{execution(1)}"


async def test_a_proxy_does_not_see_the_key() -> None:
    """What asks a proxy for a tunnel names the target and the proxy's own user, and nothing that is for the API."""
    asked: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with client("https://api.example", proxy=f"http://me:secret@127.0.0.1:{port}") as put:
            assert await put(row()) == Reply(
                None, "proxy_failed", f"the proxy 127.0.0.1:{port} answered 502 Bad Gateway"
            )
    [request] = asked
    assert request.startswith("CONNECT api.example:443 HTTP/1.1\r\n")
    names = {line.partition(":")[0].lower() for line in request.strip().splitlines()[1:]}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "proxy-authorization"}
    assert KEY not in request


async def test_a_proxy_that_is_not_there() -> None:
    """A proxy that refuses the connection is not taken for the API being away."""
    async with serve() as gone:
        pass
    async with client("http://api.example", proxy=gone.url) as put:
        assert await put(row()) == Reply(
            None, "proxy_failed", f"no connection to the proxy {gone.url.removeprefix('http://')}: Connection refused"
        )


async def reply_through(answer_of: bytes, **options: Any) -> tuple[Reply, str]:
    """Return what is told of a proxy that answers CONNECT so, and its place."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer_of)
        writer.close()

    async with await asyncio.start_server(behave, "127.0.0.1", 0) as proxy:
        place = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with client("https://api.example", proxy=f"http://me:secret@{place}", **options) as put:
            return await put(row()), place


PROXY_REFUSALS = {
    302: "302 Found",
    400: "400 Bad Request",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    501: "501 Not Implemented",
    505: "505 HTTP Version Not Supported",
    511: "511 Network Authentication Required",
    499: "499",
}


@pytest.mark.fault("B9", "a proxy that refuses CONNECT")
@pytest.mark.parametrize(("status", "name"), PROXY_REFUSALS.items(), ids=str)
async def test_a_proxy_that_refuses(status: int, name: str) -> None:
    """A proxy that refuses for good is named, with what it answered and without its password."""
    head = f"HTTP/1.1 {status} secret\r\nLocation: http://me:secret@x/\r\nContent-Length: 0\r\n\r\n".encode()
    reply, place = await reply_through(head)
    assert reply == Reply(status, "proxy_failed", f"the proxy {place} refused the connection: it answered {name}")


PROXY_OUTAGES: dict[str, tuple[bytes, str]] = {
    "500": (b"HTTP/1.1 500 X\r\n\r\n", "the proxy {} answered 500 Internal Server Error"),
    "502": (b"HTTP/1.1 502 X\r\n\r\n", "the proxy {} answered 502 Bad Gateway"),
    "503": (b"HTTP/1.1 503 X\r\n\r\n", "the proxy {} answered 503 Service Unavailable"),
    "504": (b"HTTP/1.1 504 X\r\n\r\n", "the proxy {} answered 504 Gateway Timeout"),
    "429": (b"HTTP/1.1 429 X\r\n\r\n", "the proxy {} answered 429 Too Many Requests"),
    "garbage": (b"\x00\x01\r\n\r\n", "the answer of the proxy {} is not HTTP"),
    "nothing": (b"", "the proxy {} closed the connection"),
}


@pytest.mark.fault("B9", "a proxy that has trouble of its own")
@pytest.mark.parametrize(("head", "detail"), PROXY_OUTAGES.values(), ids=PROXY_OUTAGES)
async def test_a_proxy_in_trouble(head: bytes, detail: str) -> None:
    """A proxy that cannot connect now is an outage: nothing was sent, and it may come back."""
    reply, place = await reply_through(head)
    assert reply == Reply(None, "proxy_failed", detail.format(place))


async def test_a_proxy_that_asks_who_we_are() -> None:
    """A proxy that wants a user and a password is a refusal of its own."""
    reply, _ = await reply_through(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n")
    assert reply == Reply(407, "http_407", "the proxy asks for a user and a password")


async def test_a_proxy_without_an_address() -> None:
    """A proxy whose name has no address is the proxy's fault, and its password is not told."""
    async with client("http://api.example", proxy="http://me:secret@nowhere.invalid:3128") as put:
        assert await put(row()) == Reply(None, "proxy_failed", "no address for the proxy nowhere.invalid:3128")


async def test_a_proxy_is_told_its_own_user() -> None:
    """The user and password of a proxy that sends plain requests on go to it, and not to the request line."""
    async with serve() as proxy:
        url = proxy.url.replace("//", "//me:s%C3%A9cret@")
        async with client("http://api.example", proxy=url) as put:
            assert await put(row()) == ACKNOWLEDGED
    [request] = proxy.requests
    assert request.headers["proxy-authorization"] == "Basic bWU6c8OpY3JldA=="
    assert request.path.startswith("http://api.example/")


@pytest.mark.fault("C1", "a proxy that never answers CONNECT")
async def test_a_silent_proxy() -> None:
    """The whole opening has one time, the proxy's answer included."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with client("https://api.example", proxy=url, connect_timeout=0.2) as put:
            assert await put(row()) == Reply(None, "connect_timeout", "no connection in time")


LOST = Reply(None, "connection_lost", "connection lost: ServerDisconnectedError")

RESET = Reply(None, "connection_lost", "connection lost: ClientOSError")

LATE = Reply(None, "request_timeout", "no complete answer in time")

CUT = Reply(None, "response_truncated", "the answer ended early")

TOO_LARGE = Reply(200, "response_too_large", "the answer is over 4,194,304 bytes, see --max-answer", stranger=True)

NO_JSON = Reply(200, "response_invalid", "not JSON but application/json", stranger=True)

HTML = {"Content-Type": "text/html"}


def strange(detail: str) -> Reply:
    """Return what a 200 is worth that is no acknowledgement."""
    return Reply(200, "response_invalid", detail, stranger=True)


BEHAVIOURS: dict[str, tuple[Behaviour, Reply]] = {
    "valid": (faults.valid, ACKNOWLEDGED),
    "202 with a valid body": (answer(202), Reply(202, "", execution=ACKNOWLEDGED.execution)),
    "connection closed behind it": (faults.closing, ACKNOWLEDGED),
    "followed by a forged one": (faults.forged, ACKNOWLEDGED),
    "behind two that are none yet": (faults.interim, ACKNOWLEDGED),
    "no length, and complete": (
        raw(lambda request: b"HTTP/1.1 200 OK\r\n\r\n" + faults.acknowledgement(request)),
        ACKNOWLEDGED,
    ),
    "closed": (faults.close, LOST),
    "reset": (faults.reset, RESET),
    "chunks cut": (faults.cut_chunked, CUT),
    "content cut": (faults.cut_short, CUT),
    "no length, and cut": (faults.cut_at_eof, strange("not JSON but nothing")),
    "no length, and empty": (raw(b"HTTP/1.1 200 OK\r\n\r\n"), strange("not JSON but nothing")),
    "garbage": (raw(faults.GARBAGE), NO_HTTP),
    "TLS": (raw(faults.TLS_ALERT), NO_HTTP),
    "bad status line": (faults.bad_status_line, NO_HTTP),
    "101": (raw(faults.UPGRADE), Reply(101, "http_101", stranger=True)),
    "status 999": (answer(999, b""), Reply(999, "http_999", stranger=True)),
    "204": (answer(204, b""), Reply(204, "response_invalid", "not JSON but application/json", stranger=True)),
    "wrong id": (
        faults.wrong_id,
        Reply(200, "response_mismatch", "the answer names execution ffffffff-ffff-4fff-8fff-ffffffffffff"),
    ),
    "wrong workflow": (
        answer(workflowId=execution(9)),
        Reply(200, "response_mismatch", f"the answer names execution {execution(1)}"),
    ),
    "HTML": (answer(body=b"<title>Sign in</title>", headers=HTML), strange("not JSON but text/html")),
    "null": (answer(body=b"null"), strange("the answer: Input should be an object")),
    "{}": (answer(body=b"{}"), strange("id: Field required")),
    "an array": (answer(body=b"[]"), strange("the answer: Input should be an object")),
    "no ids but status": (answer(body=b'{"status": "COMPLETED"}'), strange("id: Field required")),
    "nesting without end": (answer(body=b'{"id":' + b"[" * 60_000), NO_JSON),
    "5,000,000 brackets": (answer(body=b"[" * 5_000_000), TOO_LARGE),
    "an integer of 5,000 digits": (answer(body=b'{"id":' + b"1" * 5_000 + b"}"), NO_JSON),
    "no UTF-8": (answer(body=b'{"id":"\xff\xfe"}'), NO_JSON),
    "a lone surrogate": (answer(body=b'{"id":"\\ud800"}'), NO_JSON),
    "301": (
        answer(301, b"", {"Location": "https://elsewhere.example/x?y"}),
        Reply(301, "redirect_refused", "answered 301, to https://elsewhere.example", stranger=True),
    ),
    "304": (
        answer(304, b""),
        Reply(304, "redirect_refused", "answered 304, to another path of the same server", stranger=True),
    ),
    "401": (
        answer(401, b'{"message":"invalid API key","code":"UNAUTHORIZED"}'),
        Reply(401, "http_401", "UNAUTHORIZED: invalid API key"),
    ),
    "401, large": (answer(401, b"x" * 5_000_000), Reply(401, "http_401", "x" * 199 + "…", stranger=True)),
    "401, large, of the API": (
        answer(401, b'{"message":"no","trace":"' + b"x" * 5_000_000 + b'"}'),
        Reply(401, "http_401", "no"),
    ),
    "401, cut": (
        raw(faults.message(b'{"message":"no","trace":"', status=401, length=500)),
        Reply(401, "http_401", '{"message":"no","trace":"', stranger=True),
    ),
    "302, large": (
        answer(302, b"x" * 5_000_000),
        Reply(302, "redirect_refused", "answered 302, to another path of the same server", stranger=True),
    ),
    "429": (
        answer(429, b'{"message":"slow down"}', {"Retry-After": "7"}),
        Reply(429, "http_429", "slow down", retry_after=7.0),
    ),
    "503": (answer(503, b"", {"Retry-After": "0"}), Reply(503, "http_503", retry_after=0.0, stranger=True)),
    "500 that says when": (answer(500, b"", {"Retry-After": "7"}), Reply(500, "http_500", stranger=True)),
    "the certificate that nginx wants": (
        answer(400, b"<title>400 No required SSL certificate was sent</title>", HTML),
        Reply(400, "http_400", CERTIFICATE_WANTED, stranger=True),
    ),
}


@pytest.mark.parametrize(("behaviour", "reply"), BEHAVIOURS.values(), ids=BEHAVIOURS)
async def test_what_an_answer_means(behaviour: Behaviour, reply: Reply) -> None:
    """Each way to answer has one meaning, and costs one request."""
    assert await reply_to(behaviour) == reply


@pytest.mark.parametrize("behaviour", [faults.hang, faults.drip], ids=["silence", "a byte now and then"])
async def test_an_attempt_has_one_time(behaviour: Behaviour) -> None:
    """An attempt ends at its timeout, whether nothing comes or something always does."""
    assert await reply_to(behaviour, timeout=0.2) == LATE


async def test_a_body_may_be_refused_before_it_is_sent() -> None:
    """An answer that comes while the body is still on its way counts."""
    large = row(body=b'"' + b"x" * 1_000_000 + b'"')
    assert await reply_to(faults.early_413, large) == Reply(413, "http_413", "too large")


async def test_a_connection_with_half_a_body_is_not_reused() -> None:
    """Where an answer came before the whole body had left, the next row does not stand behind the rest of it."""
    large = row(1, body=bytes(20 * faults.MEBIBYTE))  # more than sockets take at once
    async with serve(faults.early_and_kept) as server, client(server.url) as put:
        assert await put(large) == Reply(413, "http_413", "too large")
        assert await put(row(2)) == ACKNOWLEDGED
    assert server.connections == 2


@pytest.mark.fault(29, "512 MiB, a gzip bomb, 500 headers")
@pytest.mark.parametrize(
    "behaviour",
    [faults.endless, raw(faults.message(length=10**15) + bytes(5 * 10**6)), None],
    ids=["endless", "10**15 bytes", "gzip bomb"],
)
async def test_memory_is_flat_whatever_comes(behaviour: Behaviour | None) -> None:
    """Of an answer without an end, or one that unpacks to 512 MiB, no more is read than one that is too large."""
    behaviour = behaviour or raw(faults.bomb())
    tracemalloc.start()
    try:
        assert await reply_to(behaviour) == TOO_LARGE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * faults.MEBIBYTE


async def test_nobody_listens() -> None:
    """A refused connection is told from a lost one: nothing was sent."""
    async with serve() as gone:
        pass
    async with client(gone.url) as put:
        assert await put(row()) == Reply(None, "connect_failed", "no connection: Connection refused")


async def test_no_such_host() -> None:
    """A name without an address is a failure of its own."""
    async with client("http://nowhere.invalid") as put:
        assert await put(row()) == Reply(None, "dns_failed", "no address for nowhere.invalid")


@pytest.mark.parametrize(
    "behaviour", [faults.close, faults.reset, raw(faults.GARBAGE)], ids=["close", "reset", "garbage"]
)
async def test_a_reused_connection_is_not_tried_again(behaviour: Behaviour) -> None:
    """A request that is lost on a connection that worked before is not sent again by anyone but the dispatcher."""
    async with serve(faults.valid, behaviour) as server, client(server.url) as put:
        first, second = await put(row(1)), await put(row(2))
    assert (first, second.execution) == (ACKNOWLEDGED, None)
    assert [(request.connection, request.ids[1]) for request in server.requests] == [
        (1, execution(1)),
        (1, execution(2)),
    ]


async def test_connections_are_reused() -> None:
    """Rows that follow each other share a connection."""
    async with serve() as server, client(server.url) as put:
        assert [await put(row()) for _ in range(5)] == [ACKNOWLEDGED] * 5
    assert (len(server.requests), server.connections) == (5, 1)


async def test_a_connection_that_said_too_much_is_not_reused() -> None:
    """A second answer that nobody asked for is never taken for the next row's."""
    async with serve(faults.forged) as server, client(server.url) as put:
        assert [await put(row()), await put(row())] == [ACKNOWLEDGED] * 2
    assert server.connections == 2


async def test_a_connection_that_was_left_is_not_reused() -> None:
    """The answer to a request that was given up never reaches the row behind it."""
    async with serve(faults.drip) as server, client(server.url, timeout=1.5) as put:
        assert [await put(row(1)), await put(row(2))] == [LATE, ACKNOWLEDGED]
    assert server.connections == 2


async def test_no_answer_reaches_another_row() -> None:
    """Requests that are cancelled at any moment leave nothing on a connection that the next row could take."""

    async def give_up(put: PutNow, sent: Row, seconds: float) -> Reply | None:
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(put(sent), seconds)
        return None

    async with serve() as server, client(server.url) as put:
        for number in range(1, 200):
            reply = await give_up(put, row(number), (number % 40) / 20_000)
            assert reply in (None, ACKNOWLEDGED)
        assert await put(row(200)) == ACKNOWLEDGED


@pytest.mark.fault(31, "idle connections closed as they are used")
async def test_the_keep_alive_race_costs_no_request_twice() -> None:
    """Where the server closes idle connections just as they are used, each arrival is one attempt and its reply."""
    async with serve(idle=0.05) as server, client(server.url) as put:
        replies = []
        for number in range(1, 31):
            replies.append(await put(row(number)))
            await asyncio.sleep(0.0485 + number % 5 / 1000)  # around the moment at which the server closes
        arrived = [request.ids[1] for request in server.requests]
    assert arrived == [execution(number) for number, reply in enumerate(replies, 1) if reply == ACKNOWLEDGED]
    assert {reply.error for reply in replies} <= {"", "connection_lost"}


async def test_a_shorter_keepalive_avoids_the_race() -> None:
    """With `--keepalive` below the server's no row meets a closing connection."""
    async with serve(idle=0.05) as server, client(server.url, keepalive=0.01) as put:
        for number in range(1, 11):
            assert await put(row(number)) == ACKNOWLEDGED
            await asyncio.sleep(0.045 + number % 5 / 500)  # around the moment at which the server closes
    assert len(server.requests) == 10


@pytest.mark.fault(15, "redirect to another origin")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    """Neither the key nor the row reaches the place that a redirect names."""
    async with serve() as elsewhere:
        there = answer(status, b"", {"Location": f"{elsewhere.url}/api"})
        refused = Reply(status, "redirect_refused", f"answered {status}, to {elsewhere.url}", stranger=True)
        assert await reply_to(there) == refused
    assert elsewhere.connections == 0


ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)

HIDDEN = "\u200b".join(KEY)


@pytest.mark.parametrize("key", [KEY, ESCAPED, HIDDEN], ids=["as it is", "escaped", "with characters not shown"])
@pytest.mark.parametrize("where", ["disposition", "status", "startedAt", "completedAt"])
async def test_the_key_is_blanked_in_an_acknowledgement(where: str, key: str) -> None:
    """A server that repeats the key in an answer puts *** in the report."""
    body = json.dumps(NAMES | {where: "<>"}).replace("<>", f"= {key} =").encode()
    said = (await reply_to(answer(body=body))).execution
    assert said is not None
    assert "= *** =" in (said.disposition, said.status, said.started_at, said.completed_at)
    assert KEY not in repr(said)


async def test_the_key_is_blanked_in_steps() -> None:
    """What a step says is blanked too."""
    step = dict.fromkeys(("id", "type", "status", "disposition"), KEY) | {"agentCall": {"callEndedReason": KEY}}
    reply = await reply_to(answer(stepExecutions=[step | {"order": 1}]))
    assert reply.execution == Execution("COMPLETED", "", "", "", [Step("***", "***", 1, "***", "***", "***")])


REPEATED: dict[str, tuple[Behaviour, str]] = {
    "message": (answer(401, json.dumps({"message": f"bad key {KEY}"}).encode()), "bad key ***"),
    "escaped": (answer(401, b'{"message":"%s"}' % ESCAPED.encode()), "***"),
    "text": (answer(500, f"no {KEY} here".encode()), "no *** here"),
    "colours": (answer(500, f"no {KEY[:5]}\x1b[31m{KEY[5:]}".encode()), "no ***"),
    "cut off": (answer(400, (b"x" * 190 + KEY.encode()) * 2), "x" * 190 + "***…"),
    "location": (answer(302, b"", {"Location": f"https://{KEY}/"}), "answered 302, to https://***"),
    "type": (answer(body=b"x", headers={"Content-Type": f"text/{KEY}"}), "not JSON but text/***"),
    "id": (answer(id=KEY), "the answer names execution ***"),
    "coding": (
        answer(headers={"Content-Encoding": KEY}),
        "the answer is compressed with ***, though it was asked not to be",
    ),
    "4 MB": (answer(500, b'{"message":"bad key %s","trace":"' % KEY.encode() + b"x" * 5_000_000), "bad key ***"),
    "4 MB of text": (answer(500, b" " * 4_000_000 + KEY.encode()), ""),
}


@pytest.mark.parametrize(("behaviour", "detail"), REPEATED.values(), ids=REPEATED)
async def test_the_key_is_blanked_in_a_refusal(behaviour: Behaviour, detail: str) -> None:
    """Wherever a refusal repeats the key, whole or cut off, the detail says *** instead."""
    assert (await reply_to(behaviour)).detail == detail


async def test_a_short_key_blanks_no_words() -> None:
    """A key that could be any word is not looked for: `test` in an answer stays."""
    reply = await reply_to(answer(400, b'{"message":"this is a test"}'), key="test")
    assert reply.detail == "this is a test"


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

WAITS: list[tuple[str, float | None]] = [
    ("0", 0.0),
    ("2", 2.0),
    ("007", 7.0),
    (" 5 ", 5.0),
    ("999999999", 999_999_999.0),
    ("99999999999999", None),
    ("-1", None),
    ("+5", None),
    ("1.5", 1.5),
    ("60.0", 60.0),
    ("1.", None),
    (".5", None),
    ("5, 10", None),
    ("\u0665", None),
    ("", None),
    ("garbage", None),
    ("Sun, 06 Nov 1994 08:50:07 GMT", 30.0),
    ("Sunday, 06-Nov-94 08:50:07 GMT", 30.0),
    ("Sun Nov  6 08:50:07 1994", 30.0),
    ("Sun, 06 Nov 1994 08:50:07 -0000", 30.0),
    ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
    ("Sun, 06 Nov 99999 08:49:07 GMT", None),
]


@pytest.mark.parametrize(("value", "seconds"), WAITS, ids=[repr(value) for value, _ in WAITS])
def test_retry_after(value: str, seconds: float | None) -> None:
    """A number of seconds or a date is understood, the date by the server's own clock; all else is not."""
    assert retry_after({"Retry-After": value, "Date": DATE}, b"") == seconds


BODY_WAITS: list[tuple[bytes, float | None]] = [
    (b'{"retry_after": 3}', 3.0),
    (b'{"retry_after": 2.5}', 2.5),
    (b'{"retry_after": null}', None),
    (b'{"retry_after": true}', None),
    (b'{"retry_after": -1}', None),
    (b'{"retry_after": NaN}', None),
    (b'{"retry_after": 1e99}', None),
    (b'{"retry_after": "3"}', None),
    (b"[3]", None),
    (b"3", None),
    (b"", None),
]


@pytest.mark.parametrize(("body", "seconds"), BODY_WAITS)
def test_retry_after_in_the_body(body: bytes, seconds: float | None) -> None:
    """Without a usable header the number of seconds in the body counts."""
    assert retry_after({}, body) == retry_after({"Retry-After": "soon"}, body) == seconds
    assert retry_after({"Retry-After": "9"}, body) == 9.0


DATES = st.datetimes().map(lambda date: date.strftime("%a, %d %b %Y %H:%M:%S GMT"))


@given(value=st.text() | DATES | st.from_regex(r"[0-9A-Za-z,: +-]+"), date=st.text() | DATES, body=st.binary())
def test_retry_after_never_fails(value: str, date: str, body: bytes) -> None:
    """Whatever a server writes there, it is a time that is not negative, or nothing."""
    seconds = retry_after({"Retry-After": value, "Date": date}, body)
    assert seconds is None or seconds >= 0


MESSAGES: list[tuple[bytes, str]] = [
    (b'{"status":400,"message":"Bad request","code":"BAD_REQUEST","success":false}', "BAD_REQUEST: Bad request"),
    (b'{"error":"rate_limited","message":"Retry later.","retryable":true}', "rate_limited: Retry later."),
    (b'{"detail":[{"loc":["body","status"],"msg":"bad"}]}', '[{"loc":["body","status"],"msg":"bad"}]'),
    (b'{"detail":"Not Found"}', "Not Found"),
    (b'{"error":"NOT_FOUND"}', "NOT_FOUND"),
    (b'{"error":{"message":"x"}}', '{"message":"x"}'),
    (b'{"message":["a","b"],"code":7}', '["a","b"]'),
    (b'{"message":12345678901234567890123}', "12345678901234567890123"),
    (b'{"success":false}', '{"success":false}'),
    (b'{"message":"","code":"","error":null}', '{"message":"","code":"","error":null}'),
    (b'{"message":' + b"[" * 300 + b"]" * 300 + b"}", '{"message":' + "[" * 188 + "…"),
    (b"<h1>502 Bad Gateway</h1>\r\n<hr>nginx\r\n", "<h1>502 Bad Gateway</h1> <hr>nginx"),
    (b'["a"]', '["a"]'),
    (b"\xff\x00\x1b[31mred\x1b[0m \xe2\x80\xaeevil", "\ufffdred evil"),
    (b"", ""),
]


@pytest.mark.parametrize(("body", "detail"), MESSAGES)
def test_the_message_of_a_refusal(body: bytes, detail: str) -> None:
    """Each known shape of an error body gives its message, and any other its text, on one clean line."""
    assert message_of(body, object_in(body)) == detail


@given(body=st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_a_refusal_never_fails(body: bytes) -> None:
    """Any body of a refusal is read: the reply is that of its status."""
    for status, error in ((400, "http_400"), (429, "http_429"), (500, "http_500"), (307, "redirect_refused")):
        reply = read_reply(status, {}, body, row())
        assert (reply.status, reply.error, len(reply.detail) <= 200) == (status, error, True)


SAME = "3c90c3cc-0d44-4b50-8888-8dd25736052a"

SAME_ROW = Row(1, 2, SAME, SAME, "CREATED", b"{}")


def said(page: Mapping[str, Any]) -> Reply:
    """Return the reply to a 200 with this body."""
    return read_reply(200, {}, json.dumps(page).encode(), SAME_ROW)


def test_the_api_page_is_understood() -> None:
    """What the report shows of the page's 200 body comes out as it went in."""
    step = Step(SAME, "CALL", 123, "PENDING", "NO_ANSWER", "NO_ANSWER")
    assert said(PAGE) == Reply(200, "", execution=Execution("CREATED", "NO_ANSWER", "<string>", "<string>", [step]))


def test_what_the_page_does_not_name_is_accepted() -> None:
    """Unknown fields and unknown words of an enumeration change nothing about an acknowledgement."""
    page = PAGE | {"status": "NAPPING", "disposition": "new-unknown-word", "variables": {"a": [1]}, "enriched": True}
    page["stepExecutions"] = [PAGE["stepExecutions"][0] | {"stepIndex": 1, "type": "FAX", "agentCall": None}]
    step = Step(SAME, "FAX", 123, "PENDING", "NO_ANSWER", "")
    assert said(page).execution == Execution("NAPPING", "new-unknown-word", "<string>", "<string>", [step])


def test_the_ids_alone_name_the_execution() -> None:
    """The ids are compared ignoring case, and every field but these and the status may be missing."""
    assert said({"id": SAME.upper(), "workflowId": SAME.upper(), "status": "CREATED"}) == Reply(
        200, "", execution=Execution("CREATED", "", "", "", [])
    )


def test_steps_stand_by_their_order() -> None:
    """Steps are told in their order, those without one at the end; one without a disposition has an empty slot."""
    steps = [{"order": 3, "disposition": "C"}, {"disposition": "D"}, {"order": 1, "disposition": "A"}, {"order": 2}]
    execution_said = said(PAGE | {"stepExecutions": steps}).execution
    assert execution_said is not None
    assert [step.disposition for step in execution_said.steps] == ["A", "", "C", "D"]


ODD = [
    None,
    0,
    1.5,
    True,
    [],
    {},
    [1],
    {"a": [None]},
    "",
    "x" * 5_000,
    "a\x00\x1b[31mb\n",
    10**30,
    -(10**30),
    float("nan"),
    float("inf"),
]

FIELDS = sorted(PAGE.keys() - {"id", "workflowId", "status"})


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:20])
def test_odd_types_do_not_deny_an_acknowledgement(value: object) -> None:
    """Whatever stands in a field but the ids and the status, the execution was updated, and steps stay in order."""
    for field in FIELDS:
        reply = said(PAGE | {field: value})
        assert (reply.status, reply.error, reply.execution is None) == (200, "", False)
    for field in PAGE["stepExecutions"][0]:
        steps = [PAGE["stepExecutions"][0] | {field: value}, {"order": 124, "disposition": "B"}]
        told = said(PAGE | {"stepExecutions": steps}).execution
        assert told is not None
        assert sorted(step.disposition for step in told.steps)[-1] == "NO_ANSWER" or field == "disposition"
        assert all(step.order is None or abs(step.order) < 2**53 for step in told.steps)


def test_an_odd_step_does_not_hide_the_others() -> None:
    """A step that is no object has an empty slot; the others are told."""
    told = said(PAGE | {"stepExecutions": [None, {"order": 2, "disposition": "B"}, 7]}).execution
    assert told is not None
    assert [step.disposition for step in told.steps] == ["B", "", ""]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(PAGE)), inner),
)


@given(page=JSON, changed=st.dictionaries(st.sampled_from(FIELDS), JSON))
@settings(max_examples=200)
def test_a_2xx_never_fails(page: object, changed: dict[str, object]) -> None:
    """Any JSON is read: an acknowledgement if it names the execution, whatever else it says, or no acknowledgement."""
    reply = read_reply(200, {}, json.dumps(page).encode(), SAME_ROW)
    assert reply.error in ("response_invalid", "response_mismatch")
    assert said(PAGE | changed).error == ""


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write a key file."""
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def secret(environment: Mapping[str, str], file: Path | None = None, command: str | None = None) -> str:
    """Return the key that was found."""
    return read_key(environment, file, command).get_secret_value()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["no line end", "a line end", "one of Windows"])
def test_a_key_is_found(tmp_path: Path, end: str) -> None:
    """A file goes before a command, a command before the environment; one line end is no part of a key."""
    file = key_file(tmp_path, f"from-a-file{end}".encode())
    command = f"printf 'from-a-command{end}'"
    environment = {"FEATHER_API_KEY": f"from-the-environment{end}"}
    assert secret(environment, file, command) == "from-a-file"
    assert secret(environment, None, command) == "from-a-command"
    assert secret(environment) == "from-the-environment"


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    """What holds the key does not show it."""
    assert KEY not in repr(read_key({}, key_file(tmp_path, KEY.encode()), None))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644, 0o777], ids=oct)
def test_a_key_file_is_private(tmp_path: Path, mode: int) -> None:
    """A key file that others may read or write is refused, with the command that mends it."""
    path = key_file(tmp_path, KEY.encode(), mode)
    with pytest.raises(UsageError) as raised:
        read_key({}, path, None)
    assert raised.value.what == f"others may read or write {path}, so it is not used"
    assert raised.value.next_step == f"chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o400, 0o440], ids=oct)
def test_a_credential_of_systemd_is_private(tmp_path: Path, mode: int) -> None:
    """A file that `LoadCredential=` made has 0440 where an access list lets the service read it, and that is taken."""
    path = key_file(tmp_path, KEY.encode(), mode)
    assert secret({"CREDENTIALS_DIRECTORY": str(tmp_path)}, path) == KEY


@pytest.mark.parametrize(
    ("mode", "folder"),
    [(0o440, "elsewhere"), (0o440, ""), (0o460, "."), (0o404, "."), (0o444, ".")],
    ids=["of another folder", "of no folder", "group may write", "all may read", "group and all may read"],
)
def test_no_more_than_a_credential_is_let_through(tmp_path: Path, mode: int, folder: str) -> None:
    """Only a credential's own mode is excused, and only in the credentials' own folder."""
    path = key_file(tmp_path, KEY.encode(), mode)
    with pytest.raises(UsageError, match="others may read or write"):
        read_key({"CREDENTIALS_DIRECTORY": folder and str(tmp_path / folder)}, path, None)


@pytest.mark.parametrize(
    "text", ["", "\n", "two words", "two\nlines", " in front", "tab\t", "clé", "nul\0", "\x7f", "x" * 4_097]
)
def test_a_key_that_cannot_be_one(tmp_path: Path, text: str) -> None:
    """A key that could not stand in a header is refused, wherever it comes from, and not repeated."""
    wrong = "is empty, or contains whitespace or invalid characters"
    path = key_file(tmp_path, text.encode())
    for what, environment, file, command in (
        ("the key in FEATHER_API_KEY", {"FEATHER_API_KEY": text}, None, None),
        (f"the key in {path}", {}, path, None),
        ("the key that --api-key-command printed", {}, None, f"cat '{path}'"),
    ):
        with pytest.raises(UsageError) as raised:
            read_key(environment, file, command)
        assert raised.value.what == f"{what} {wrong}"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program", "No such file or directory"),
        ("false", "CalledProcessError"),
        ("'unclosed", "ValueError"),
    ],
)
def test_a_key_command_that_fails(command: str, reason: str) -> None:
    """A command that fails is said to; what it was is in the caller's own hands."""
    with pytest.raises(UsageError) as raised:
        read_key({}, None, command)
    assert (raised.value.what, raised.value.next_step) == (
        f"--api-key-command failed: {reason}",
        "run the command by hand",
    )


def test_no_key_at_all(tmp_path: Path) -> None:
    """Without a key, or without the file that was named, the message says where keys come from."""
    with pytest.raises(UsageError, match=r"^no API key found$"):
        read_key({}, None, None)
    with pytest.raises(UsageError, match=r"cannot be read: No such file or directory$"):
        read_key({"FEATHER_API_KEY": KEY}, tmp_path / "missing", None)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Found the authority that the client is told to trust."""
    return authority(tmp_path_factory.mktemp("tls") / "trusted")


async def test_a_certificate_that_is_trusted(trusted: Authority) -> None:
    """With `--ca-file` a server whose certificate that authority signed is believed."""
    async with serve(tls=trusted.tls()) as server, client(server.url, ca_file=trusted.certificate) as put:
        assert await put(row()) == ACKNOWLEDGED


UNVERIFIED = "certificate: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.fault(13, "certificate self-signed, expired or of another host")
@pytest.mark.parametrize(
    ("name", "days", "is_trusted", "reason"),
    [
        ("IP:127.0.0.1", 2, False, "unable to get local issuer certificate"),
        ("DNS:api.example", 2, True, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("IP:127.0.0.1", -1, True, "certificate has expired"),
    ],
    ids=["unknown authority", "another host", "expired"],
)
async def test_a_certificate_that_is_not(
    trusted: Authority, name: str, days: int, is_trusted: bool, reason: str
) -> None:
    """A certificate of an unknown authority, of another host or of yesterday ends it before anything is sent."""
    certificate = trusted.certificate if is_trusted else None
    async with serve(tls=trusted.tls(name, days)) as server, client(server.url, ca_file=certificate) as put:
        reply = await put(row())
    assert (reply.status, reply.error) == (None, "tls_verify_failed")
    assert reply.detail.startswith(UNVERIFIED + reason)
    assert server.requests == []


@pytest.mark.fault(13, "certificate self-signed, expired or of another host")
async def test_a_certificate_that_signed_itself(trusted: Authority) -> None:
    """A certificate that nobody else vouches for is not believed."""
    async with serve(tls=trusted.tls(self_signed=True)) as server, client(server.url) as put:
        reply = await put(row())
    assert (reply.error, server.requests) == ("tls_verify_failed", [])
    assert reply.detail.startswith(f"{UNVERIFIED}self-signed certificate")


async def test_https_to_a_plain_port() -> None:
    """A server that does not speak TLS is not retried as if it were away."""
    async with serve() as server, client(server.url.replace("http:", "https:")) as put:
        reply = await put(row())
    assert (reply.status, reply.error, server.requests) == (None, "tls_failed", [])


async def test_https_to_a_silent_port() -> None:
    """A server that never answers the handshake is given up when the time to connect is over."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with client(f"https://127.0.0.1:{silent.getsockname()[1]}", connect_timeout=0.2) as put:
            assert await put(row()) == Reply(None, "connect_timeout", "no connection in time")


async def test_http_to_a_tls_port(trusted: Authority) -> None:
    """A server that speaks nothing but TLS looks like a lost connection."""
    async with serve(tls=trusted.tls()) as server, client(server.url.replace("https:", "http:")) as put:
        assert (await put(row())).error == "connection_lost"
    assert server.requests == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["missing", "empty", "something else"])
async def test_an_authority_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    """A `--ca-file` that holds no certificates ends the run before it starts."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        async with client("https://api.example", ca_file=path):
            pass
    assert raised.value.what.startswith(f"--ca-file {path} cannot be used: ")
    assert raised.value.next_step == "name a file of PEM certificates"
