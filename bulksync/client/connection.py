"""The connections to the API, and the one request that an attempt is."""

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from pydantic import SecretStr
from yarl import URL

from bulksync import __version__
from bulksync.client.deadlines import Deadlines, Limited
from bulksync.client.exchange import Answer, exchange, is_quiet, protocol_of
from bulksync.client.protocol import Connector
from bulksync.client.reply import MAX_DETAIL, read_reply
from bulksync.client.trust import SYSTEM, Trust, tls
from bulksync.model import Execution, Put, Reply, Row, Step, Turn
from bulksync.text import clean

ALERTS = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE", "ALERT_HANDSHAKE")
"""In the names of TLS alerts that are about a client's certificate, or may be: handshake_failure is TLS 1.2's."""

UNAVAILABLE = frozenset({500, 502, 503, 504})
"""What a proxy answers that may be able to connect later."""

SHORTEST_KEY = 8
"""Characters from which on a key is told from an ordinary word."""

UNFIT = 3
"""Connections in a row that a server may close, or speak on, before a request was written."""


@asynccontextmanager
async def connect(
    target: str,
    key: SecretStr,
    *,
    max_in_flight: int,
    timeout: float,  # noqa: ASYNC109  of each attempt, not of this call
    connect_timeout: float,
    keepalive: float,
    max_answer: int,
    proxy: str | None = None,
    trust: Trust = SYSTEM,
) -> AsyncIterator[Put]:
    """Open the connections to *target* and yield what puts one row; times are in seconds, *max_answer* in bytes.

    As many connections as requests in flight, so that nobody waits for one. An attempt's time begins with its request:
    neither opening a connection nor waiting for a turn counts. UsageError where *trust* cannot be used.
    """
    secret = key.get_secret_value()
    # What all requests have in common; only their request lines and bodies differ.
    request = aiohttp.ClientRequest(
        "PUT",
        URL(target),
        headers={
            hdrs.ACCEPT: "application/json",
            hdrs.ACCEPT_ENCODING: "identity",
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.USER_AGENT: f"bulksync/{__version__}",
            "X-API-Key": secret,
        },
        proxy=URL(proxy) if proxy else None,
        loop=asyncio.get_running_loop(),
    )
    prefix = prefix_of(request)
    times = aiohttp.ClientTimeout(connect=connect_timeout, sock_connect=connect_timeout, ceil_threshold=math.inf)
    connector = Connector(limit=max_in_flight, keepalive=keepalive, context=tls(trust))
    with closing(Deadlines(timeout)) as deadlines:

        async def put(row: Row, turn: Turn) -> Reply | None:
            try:
                for _ in range(UNFIT):
                    connection = await opened(connector, request, times)
                    if not await turn_of(connection, turn):
                        return None
                    if await is_quiet(connection):
                        with Limited(deadlines):
                            line = line_of(prefix, row)
                            answer = await exchange(connection, line, request.headers, row.body, max_answer)
                        return reply_of(answer, row, secret, max_answer)
                    connection.close()
            except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
                return failed_reply(error)
            return Reply(None, "connect_failed", "the server closed every connection before a request was sent")

        async with connector:
            yield put


async def turn_of(connection: Connection, turn: Turn) -> bool:
    """Wait for the turn of an open connection; where none comes it is free for another row."""
    may_go = False
    try:
        may_go = await turn()
    finally:
        if not may_go:
            connection.release()
    return may_go


def prefix_of(request: aiohttp.ClientRequest) -> str:
    """Return what stands before the API's own path; for a proxy to send on, the target too (RFC 9112 §3.2.2)."""
    is_sent_on = request.proxy and not request.is_ssl()
    return (str(request.url) if is_sent_on else request.url.raw_path).rstrip("/")


def line_of(prefix: str, row: Row) -> str:
    """Return the request line that updates a row; its ids were checked, so that nothing in them needs quoting."""
    return f"PUT {prefix}/api/v1/workflow/{row.workflow_id}/execution/{row.execution_id} HTTP/1.1"


async def opened(
    connector: aiohttp.TCPConnector, request: aiohttp.ClientRequest, times: aiohttp.ClientTimeout
) -> Connection:
    """Return a connection to where *request* goes that is fit for it, a new one or one that was used before."""
    while True:
        try:
            connection = await connector.connect(request, [], times)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        if protocol_of(connection).is_reused and not await is_quiet(connection):
            connection.close()
        else:
            return connection


def reply_of(answer: Answer, row: Row, secret: str, limit: int) -> Reply:
    """Say what an answer means, without a word of the key."""
    is_acknowledging = 200 <= answer.status < 300
    if len(answer.body) > limit and is_acknowledging:
        detail = f"the answer is over {limit:,} bytes; --max-answer allows more"
        return Reply(answer.status, "response_too_large", detail)
    if answer.encoding and is_acknowledging:
        detail = f"the answer is compressed with {clean(answer.encoding, 40)!r}, which was not asked for"
        return Reply(answer.status, "response_invalid", detail)
    reply = read_reply(answer.status, answer.headers, answer.body, row)
    return blanked(reply, secret) if reply.error or may_repeat(answer.body, secret) else reply


def may_repeat(body: bytes, secret: str) -> bool:
    """Whether an acknowledgement could hold the key: as it is, escaped, or with characters in it that are not shown."""
    return secret.encode() in body or b"\\" in body or not body.isascii()


def blanked(reply: Reply, secret: str) -> Reply:
    """Return the reply without the key, wherever the server repeats it, even where it was cut off."""
    if len(secret) < SHORTEST_KEY:
        return reply

    def blank(word: str) -> str:
        word = word.replace(secret, "***")
        cut = next((n for n in range(len(secret) - 1, 3, -1) if word.endswith(f"{secret[:n]}…")), 0)
        return f"{word[: -cut - 1]}***…" if cut else word

    def blank_step(step: Step) -> Step:
        head = blank(step.id), blank(step.type), step.order
        return Step(*head, blank(step.status), blank(step.disposition), blank(step.call_ended_reason))

    def blank_execution(said: Execution) -> Execution:
        times = blank(said.started_at), blank(said.completed_at)
        return Execution(blank(said.status), blank(said.disposition), *times, [blank_step(step) for step in said.steps])

    execution = reply.execution and blank_execution(reply.execution)
    return replace(reply, detail=blank(reply.detail), execution=execution)


def failed_reply(error: Exception) -> Reply:
    """Say why no usable answer came; the text is ours, as an exception's own can hold headers."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Reply(None, "dns_failed", f"no address for {error.host}")
        case aiohttp.ClientConnectorCertificateError():
            return Reply(None, "tls_verify_failed", clean(f"certificate: {error.certificate_error}", MAX_DETAIL))
        case aiohttp.ClientConnectorSSLError():
            return Reply(None, "tls_failed", clean(f"TLS: {error.os_error}{certificate_hint(error)}", MAX_DETAIL))
        case aiohttp.ClientProxyConnectionError():
            return Reply(None, "proxy_failed", f"no connection to the proxy: {reason_of(error.os_error)}")
        case aiohttp.ClientHttpProxyError(status=407):
            # A refusal as of the API itself, not an outage: asking the proxy again would not help.
            return Reply(407, "http_407", "the proxy asks for a user and a password")
        case aiohttp.ClientHttpProxyError() if error.status in UNAVAILABLE:
            return Reply(None, "proxy_failed", f"the proxy answered {error.status}")
        case aiohttp.ClientHttpProxyError():
            # With its status, as that says that the proxy will not, whoever asks again.
            return Reply(
                error.status, "proxy_failed", f"the proxy refuses connections to the API: it answered {error.status}"
            )
        case aiohttp.ClientConnectorError():
            return Reply(None, "connect_failed", f"no connection: {reason_of(error.os_error)}")
        case aiohttp.ConnectionTimeoutError():
            return Reply(None, "connect_timeout", "no connection in time")
        case TimeoutError():
            return Reply(None, "request_timeout", "no complete answer in time")
        case aiohttp.ClientPayloadError():
            return Reply(None, "response_truncated", "the answer ended early")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return Reply(None, "protocol_error", "the answer is not HTTP")
        case OSError() if certificate_hint(error):
            # TLS 1.3 says so only behind the handshake; the request was not looked at.
            return Reply(None, "tls_failed", f"TLS{certificate_hint(error)}")
        case _:
            return Reply(None, "connection_lost", f"connection lost: {type(error).__name__}")


def certificate_hint(error: Exception) -> str:
    """Return what helps where a TLS alert asks for a client's certificate, or does not take it (RFC 8446 §6.2)."""
    said = str(error).upper().replace(" ", "_")
    if not any(alert in said for alert in ALERTS):
        return ""
    return ": the server wants a client certificate that it trusts; name one with --client-cert and --client-key"


def reason_of(error: OSError) -> str:
    """Return what the system says of an error; the event loops word it each in their own way."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
