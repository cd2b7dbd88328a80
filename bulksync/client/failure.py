"""Describes why an attempt got no answer; the text is ours, as an exception's own can contain headers."""

import os
from http import HTTPStatus

import aiohttp
from aiohttp.http import HttpProcessingError

from bulksync.client.pool import SpokeFirstError
from bulksync.client.response import MAX_DETAIL
from bulksync.client.tls import alert_of, alert_text
from bulksync.model import Reply
from bulksync.text import clean

FINAL = frozenset({*range(300, 500), 501, 505, 511} - {407, 408, 425, 429})
"""Statuses with which a proxy refuses permanently; others ask to retry, or report a problem of the proxy."""


def unsent(error: Exception, proxy: str | None, *, has_cert: bool) -> Reply:
    """Return the reply for a failed connection; *proxy* is its host and port, *has_cert* if we have a certificate."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Reply(None, "tls_verify_failed", clean(f"certificate: {error.certificate_error}", MAX_DETAIL))
        case aiohttp.ClientConnectorSSLError():
            return Reply(None, "tls_failed", tls_detail(error.os_error, has_cert=has_cert))
        case aiohttp.ConnectionTimeoutError() | TimeoutError():
            return Reply(None, "connect_timeout", "no connection in time")
        case SpokeFirstError():
            return Reply(None, "protocol_error", "the server speaks before it is asked", stranger=True)
        case _ if alert_of(error):
            return Reply(None, "tls_failed", tls_detail(error, has_cert=has_cert))
        case _ if proxy is not None:
            return unsent_by_proxy(error, proxy)
        case aiohttp.ClientConnectorDNSError():
            return Reply(None, "dns_failed", f"no address for {error.host}")
        case aiohttp.ClientConnectorError():
            return Reply(None, "connect_failed", f"no connection: {reason_of(error.os_error)}")
        case _:
            return Reply(None, "connect_failed", "the server closed the connection before a request was sent")


def unsent_by_proxy(error: Exception, proxy: str) -> Reply:
    """Return the reply for a connection that failed at a proxy; a status in `FINAL` is a permanent refusal."""
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            # Treated as a refusal by the API itself, not as an outage: asking the proxy again would not help.
            return Reply(407, "http_407", "the proxy asks for a user and a password")
        case aiohttp.ClientHttpProxyError() if error.status in FINAL:
            detail = f"the proxy {proxy} refused the connection: it answered {named(error.status)}"
            return Reply(error.status, "proxy_failed", detail)
        case aiohttp.ClientHttpProxyError():
            return Reply(None, "proxy_failed", f"the proxy {proxy} answered {named(error.status)}")
        case aiohttp.ClientProxyConnectionError():
            return Reply(None, "proxy_failed", f"no connection to the proxy {proxy}: {reason_of(error.os_error)}")
        case aiohttp.ClientConnectorDNSError():
            return Reply(None, "proxy_failed", f"no address for the proxy {proxy}")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return Reply(None, "proxy_failed", f"the answer of the proxy {proxy} is not HTTP")
        case aiohttp.ClientConnectorError():
            return Reply(
                None, "connect_failed", f"no connection through the proxy {proxy}: {reason_of(error.os_error)}"
            )
        case _:
            return Reply(None, "proxy_failed", f"the proxy {proxy} closed the connection")


def unanswered(error: Exception, *, is_new: bool, has_cert: bool) -> Reply:
    """Return the reply for a request without a usable answer; *is_new* if it was the first on its connection."""
    match error:
        case TimeoutError():
            return Reply(None, "request_timeout", "no complete answer in time")
        case aiohttp.ClientPayloadError():
            return Reply(None, "response_truncated", "the answer ended early")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return Reply(None, "protocol_error", "the answer is not HTTP", stranger=True)
        case _ if (alert := alert_of(error)) and (is_new or "CERTIFICATE" in alert):
            # With TLS 1.3, a rejected client certificate is reported only after the client considers the handshake
            # done.
            return Reply(None, "tls_failed", tls_detail(error, has_cert=has_cert))
        case _:
            return Reply(None, "connection_lost", f"connection lost: {type(error).__name__}")


def tls_detail(error: BaseException, *, has_cert: bool) -> str:
    """Describe a TLS failure."""
    alert = alert_of(error)
    return clean(alert_text(alert, has_cert=has_cert) if alert else f"TLS: {error}", MAX_DETAIL)


def named(status: int) -> str:
    """Return a status with its standard name; the proxy's own reason phrase could be anything."""
    return f"{status} {HTTPStatus(status).phrase}" if status in HTTPStatus._value2member_map_ else str(status)


def reason_of(error: OSError) -> str:
    """Return the operating system's text for an error; the event loops word it differently."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
