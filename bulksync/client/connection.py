"""The connections to the API, and the single request of an attempt."""

import asyncio
import math
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from time import monotonic
from typing import Literal

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from pydantic import SecretStr
from yarl import URL

from bulksync import __version__
from bulksync.client.deadlines import Deadlines, Limited
from bulksync.client.failure import unanswered, unsent
from bulksync.client.http1 import Answer, exchange, is_reusable
from bulksync.client.pool import FAILED, Pool, Wire, drop
from bulksync.client.redact import may_repeat, redacted
from bulksync.client.response import read_answer
from bulksync.client.tls import tls
from bulksync.model import Reply, Row, Turn

Method = Literal["GET", "PUT"]

MAX_ANSWER = 4 * 1024 * 1024
"""Default limit on the body of an answer, in bytes."""

LONGEST_OBJECTION = 1.0
"""Seconds in which a server that has never answered may still reject an established connection."""

NO_LIMITS = aiohttp.ClientTimeout(ceil_threshold=math.inf)
"""Disables aiohttp's own timeouts, as ours limit the whole opening."""


@asynccontextmanager
async def connect(
    target: str,
    key: SecretStr,
    *,
    max_in_flight: int,
    timeout: float,  # noqa: ASYNC109  of each attempt, not of this call
    connect_timeout: float,
    keepalive: float,
    max_answer: int = MAX_ANSWER,
    proxy: str | None = None,
    ca_file: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
) -> AsyncIterator["Client"]:
    """Yield a client that opens connections to *target* as needed.

    *timeout* covers the time from the write to the last byte of the answer, *connect_timeout* the whole opening of a
    connection; a connection that was idle for *keepalive* is not used any more: all in seconds. *max_answer* limits a
    body, in bytes, both compressed and decompressed. At most *max_in_flight* connections are open at once; further
    calls wait for one. Raises UsageError if a file cannot be used.
    """
    secret = key.get_secret_value()
    request = request_to(target, secret, proxy)
    connector = aiohttp.TCPConnector(limit=0, ssl=tls(ca_file, client_cert, client_key))
    async with connector:
        with closing(Deadlines(connect_timeout)) as opening, closing(Deadlines(timeout)) as answering:
            opener = Opener(connector, request, opening)
            async with aclosing(Pool(opener.open, limit=max_in_flight, keepalive=keepalive)) as pool:
                yield Client(opener, pool, answering, request, secret, max_answer, has_cert=client_cert is not None)


class Opener:
    """Opens connections for *request*; *is_heard* once the server has answered on one."""

    def __init__(self, connector: aiohttp.TCPConnector, request: aiohttp.ClientRequest, deadlines: Deadlines) -> None:
        self._connector = connector
        self._request = request
        self._deadlines = deadlines
        self.is_heard = False

    async def open(self) -> Connection:
        """Open a connection; raises aiohttp's ClientError, OSError or TimeoutError if that fails."""
        began = monotonic()
        with Limited(self._deadlines):
            connection = await self._connector.connect(self._request, [], NO_LIMITS)
        if self._request.is_ssl() and not self.is_heard:
            await await_objection(connection, min(monotonic() - began, LONGEST_OBJECTION))
        return connection


async def await_objection(connection: Connection, seconds: float) -> None:
    """Give a server that has never answered one round trip to reject us; raises the reason why it closed.

    TLS 1.3 lets it reject our certificate, or the lack of one, only after the handshake; a request that crosses the
    alert on the wire can remove it from the socket unread.
    """
    protocol = connection.protocol
    assert protocol is not None  # noqa: S101  an open connection has one
    try:
        if (closed := protocol.closed) is not None:
            closed.add_done_callback(see)  # it may fail at any time, and asyncio warns about exceptions never retrieved
            await asyncio.wait([closed], timeout=seconds)
    except BaseException:
        drop(connection)
        raise
    if not protocol.is_connected():
        error = protocol.exception()
        drop(connection)
        raise error or aiohttp.ServerDisconnectedError


def see(closed: asyncio.Future[None]) -> None:
    """Retrieve the reason why a connection was closed."""
    if not closed.cancelled():
        closed.exception()


class Client:
    """Makes requests on the connections of *pool*, with one method for each request of the API."""

    def __init__(
        self,
        opener: Opener,
        pool: Pool,
        answering: Deadlines,
        request: aiohttp.ClientRequest,
        secret: str,
        max_answer: int,
        *,
        has_cert: bool,
    ) -> None:
        self._opener = opener
        self._pool = pool
        self._answering = answering
        self._prefix, self._headers = prefix_of(request), header_lines(request.headers)
        self._secret = secret
        self._max_answer = max_answer
        self._has_cert = has_cert
        self._gateway = None if request.proxy is None else host_and_port(request.proxy)

    async def put(self, row: Row, turn: Turn) -> Reply | None:
        """Update a row's execution in its *turn*; None if the run stops first. Without a connection nothing is sent."""
        return await self._send("PUT", row, turn)

    async def get(self, row: Row, turn: Turn) -> Reply | None:
        """Read a row's execution, including its metadata, in its *turn*; otherwise like `put`."""
        return await self._send("GET", row, turn)

    async def _send(self, method: Method, row: Row, turn: Turn) -> Reply | None:
        async with self._pool.slots:
            try:
                wire = await self._pool.acquire(turn)
            except FAILED as error:
                return unsent(error, self._gateway, has_cert=self._has_cert)
            return None if wire is None else await self._attempt(wire, method, row)

    async def _attempt(self, wire: Wire, method: Method, row: Row) -> Reply:
        """Write the request immediately after its turn, and read the answer."""
        is_new = wire.is_new
        try:
            with Limited(self._answering):
                request = request_of(method, self._prefix, row, self._headers)
                answer = await exchange(wire.protocol, request, self._max_answer)
        except BaseException as error:
            wire.close()
            if isinstance(error, FAILED):
                return unanswered(error, is_new=is_new, has_cert=self._has_cert)
            raise
        self._opener.is_heard = True
        if is_reusable(wire.protocol, answer, self._max_answer):
            self._pool.release(wire)
        else:
            wire.close()
        return reply_of(answer, row, self._secret, self._max_answer, with_metadata=method == "GET")


def request_to(target: str, secret: str, proxy: str | None) -> aiohttp.ClientRequest:
    """Return the request that all others are based on; only request line and body differ."""
    headers = {
        hdrs.ACCEPT: "application/json",
        hdrs.ACCEPT_ENCODING: "identity",
        hdrs.USER_AGENT: f"bulksync/{__version__}",
        "X-API-Key": secret,
    }
    gateway = URL(proxy) if proxy else None
    if gateway is not None and gateway.user and not target.startswith("https:"):
        # With a tunnel, aiohttp sends this to the proxy only.
        user = f"{gateway.user}:{gateway.password or ''}".encode()
        headers[hdrs.PROXY_AUTHORIZATION] = f"Basic {b64encode(user).decode()}"
    loop = asyncio.get_running_loop()
    return aiohttp.ClientRequest("PUT", URL(target), headers=headers, proxy=gateway, loop=loop)


def prefix_of(request: aiohttp.ClientRequest) -> str:
    """Return the prefix of the API's path; for a forwarding proxy it includes the target (RFC 9112 §3.2.2)."""
    is_sent_on = request.proxy and not request.is_ssl()
    return (str(request.url) if is_sent_on else request.url.raw_path).rstrip("/")


def host_and_port(url: URL) -> str:
    """Return the host and port of a URL, without any user and password."""
    return f"{url.host_subcomponent}:{url.port}"


def header_lines(headers: Mapping[str, str]) -> str:
    """Return the header lines common to all requests; raises ValueError if a value would break out of its line."""
    lines = [f"{name}: {value}" for name, value in headers.items() if name != hdrs.CONTENT_LENGTH]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header with a line break")
    return "".join(f"{line}\r\n" for line in lines)


def line_of(method: Method, prefix: str, row: Row) -> str:
    """Return the request line for a row; its IDs were validated, so nothing in them needs quoting."""
    return f"{method} {prefix}/api/v1/workflow/{row.workflow_id}/execution/{row.execution_id} HTTP/1.1"


def request_of(method: Method, prefix: str, row: Row, headers: str) -> bytes:
    """Return a request for a row as sent on the wire; a read has no body."""
    line = line_of(method, prefix, row)
    if method == "GET":
        return f"{line}\r\n{headers}\r\n".encode()
    about = f"Content-Type: application/json\r\nContent-Length: {len(row.body)}\r\n"
    return f"{line}\r\n{headers}{about}\r\n".encode() + row.body


def reply_of(answer: Answer, row: Row, secret: str, limit: int, *, with_metadata: bool = False) -> Reply:
    """Convert an answer to a reply, with the key redacted."""
    body, reply = read_answer(answer, row, limit, with_metadata=with_metadata)
    return redacted(reply, secret) if reply.error or may_repeat(body, secret) else reply
