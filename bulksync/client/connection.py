"""The connections to the API, and the one request that an attempt is."""

import asyncio
import math
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from pydantic import SecretStr
from yarl import URL

from bulksync import __version__
from bulksync.client.deadlines import Deadlines, Limited
from bulksync.client.exchange import MAX_BODY, Answer, exchange
from bulksync.client.reply import MAX_DETAIL, read_reply
from bulksync.errors import UsageError
from bulksync.model import Execution, Reply, Row, Step
from bulksync.text import clean

SHORTEST_KEY = 8
"""Characters from which on a key is told from an ordinary word."""

Put = Callable[[Row], Awaitable[Reply]]


@asynccontextmanager
async def connect(
    target: str,
    key: SecretStr,
    *,
    max_in_flight: int,
    timeout: float,  # noqa: ASYNC109  of each attempt, not of this call
    connect_timeout: float,
    keepalive: float,
    proxy: str | None = None,
    ca_file: Path | None = None,
) -> AsyncIterator[Put]:
    """Open the connections to *target* and yield what puts one row; times are in seconds.

    As many connections as requests in flight, so that no attempt's time goes into waiting for one. UsageError where
    *ca_file* cannot be used.
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
    times = aiohttp.ClientTimeout(sock_connect=connect_timeout, ceil_threshold=math.inf)
    connector = aiohttp.TCPConnector(limit=max_in_flight, keepalive_timeout=keepalive, ssl=tls(ca_file))
    with closing(Deadlines(timeout)) as deadlines:

        async def put(row: Row) -> Reply:
            try:
                with Limited(deadlines):
                    connection = await opened(connector, request, times)
                    answer = await exchange(connection, line_of(prefix, row), request.headers, row.body)
            except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
                return failed_reply(error)
            return reply_of(answer, row, secret)

        async with connector:
            yield put


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
    """Return an open connection to where *request* goes, a new one or one that was used before."""
    try:
        return await connector.connect(request, [], times)
    except TimeoutError:
        raise aiohttp.ConnectionTimeoutError from None


def reply_of(answer: Answer, row: Row, secret: str) -> Reply:
    """Say what an answer means, without a word of the key."""
    if len(answer.body) > MAX_BODY and 200 <= answer.status < 300:
        return Reply(answer.status, "response_too_large", f"the answer is over {MAX_BODY} bytes")
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


def tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying TLS context that trusts *ca_file*, or the system; UsageError where it cannot be read."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca-file {ca_file} cannot be used: {error}", "name a file of PEM certificates") from None


def failed_reply(error: Exception) -> Reply:
    """Say why no usable answer came; the text is ours, as an exception's own can hold headers."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Reply(None, "dns_failed", f"no address for {error.host}")
        case aiohttp.ClientConnectorCertificateError():
            return Reply(None, "tls_verify_failed", clean(f"certificate: {error.certificate_error}", MAX_DETAIL))
        case aiohttp.ClientConnectorSSLError():
            return Reply(None, "tls_failed", clean(f"TLS: {error.os_error}", MAX_DETAIL))
        case aiohttp.ClientProxyConnectionError():
            return Reply(None, "proxy_failed", f"no connection to the proxy: {reason_of(error.os_error)}")
        case aiohttp.ClientHttpProxyError(status=407):
            # A refusal as of the API itself, not an outage: asking the proxy again would not help.
            return Reply(407, "http_407", "the proxy asks for a user and a password")
        case aiohttp.ClientHttpProxyError():
            return Reply(None, "proxy_failed", f"the proxy answered {error.status}")
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
        case _:
            return Reply(None, "connection_lost", f"connection lost: {type(error).__name__}")


def reason_of(error: OSError) -> str:
    """Return what the system says of an error; the event loops word it each in their own way."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
