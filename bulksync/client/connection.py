"""The connections to the API, and the one request that an attempt is."""

import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import aiohttp
from aiohttp import hdrs
from pydantic import SecretStr
from yarl import URL

from bulksync import __version__
from bulksync.client.deadlines import Deadlines, Limited
from bulksync.client.reply import MAX_DETAIL, read_reply
from bulksync.errors import UsageError
from bulksync.model import Execution, Reply, Row, Step
from bulksync.text import clean

MAX_BODY = 64 * 1024
"""Bytes of an answer that are read; the API's page shows about two thousand."""

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
    url, secret = URL(target), key.get_secret_value()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_in_flight, keepalive_timeout=keepalive, ssl=tls(ca_file)),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, ceil_threshold=float("inf")),
        headers={
            hdrs.ACCEPT: "application/json",
            hdrs.ACCEPT_ENCODING: "identity",
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.USER_AGENT: f"bulksync/{__version__}",
            "X-API-Key": secret,
        },
        middlewares=(send_once,),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        proxy=proxy,
    )
    with closing(Deadlines(timeout)) as deadlines:

        async def put(row: Row) -> Reply:
            try:
                with Limited(deadlines):
                    async with session.put(url_of(url, row), data=row.body, allow_redirects=False) as response:
                        body = await read_bounded(response)
            except (aiohttp.ClientError, TimeoutError, ConnectionLostError) as error:
                return failed_reply(error)
            return reply_of(response, body, row, secret)

        async with session:
            yield put


def reply_of(response: aiohttp.ClientResponse, body: bytes, row: Row, secret: str) -> Reply:
    """Say what an answer means, without a word of the key."""
    if len(body) > MAX_BODY and 200 <= response.status < 300:
        return Reply(response.status, "response_too_large", f"the answer is over {MAX_BODY} bytes")
    reply = read_reply(response.status, response.headers, body, row)
    return blanked(reply, secret) if reply.error or may_repeat(body, secret) else reply


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


def url_of(target: URL, row: Row) -> URL:
    """Return the URL that updates a row; its ids were checked, so that nothing in them needs quoting."""
    prefix = target.raw_path.rstrip("/")
    return target.with_path(f"{prefix}/api/v1/workflow/{row.workflow_id}/execution/{row.execution_id}", encoded=True)


class ConnectionLostError(Exception):
    """The connection went away after the request may have been sent."""


async def send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a PUT again by itself: one turn must be one wire request.

    It does so on exactly these errors; failures to connect pass unchanged, as nothing was sent.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLostError(type(error).__name__) from None


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read the body, at most one byte more than `MAX_BODY`; the connection of a longer one is closed."""
    content = response.content
    body = await content.read(MAX_BODY + 1)
    while len(body) <= MAX_BODY and not content.at_eof():
        body += await content.read(MAX_BODY + 1 - len(body))
    if len(body) > MAX_BODY:
        response.close()
    return body


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
        case aiohttp.ClientResponseError():
            return Reply(None, "protocol_error", "the answer is not HTTP")
        case ConnectionLostError():
            return Reply(None, "connection_lost", f"connection lost: {error}")
        case _:
            return Reply(None, "connection_lost", f"connection lost: {type(error).__name__}")


def reason_of(error: OSError) -> str:
    """Return what the system says of an error; the event loops word it each in their own way."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
