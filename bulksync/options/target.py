"""Check the URL that a run sends to and the proxy, so that they cannot leak the key or mislead."""

import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

from bulksync.errors import UsageError
from bulksync.options.models import RunOptions

BASE_URLS = {"prod": "https://prod.featherhq.com", "sandbox": "https://sandbox.featherhq.com"}
"""The API's two base URLs by name; source: shared notes on the API page and on Feather's own n8n node."""

HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+(?:%\w+)?")
"""A host name or address; anything else could mean one host to us and another to the client."""


def target_of(base_url: str, *, allow_http: bool) -> str:
    """Return the API's base URL without a trailing slash. Raises UsageError if it could leak the key or mislead.

    https only, http for this host or with *allow_http*; no user, query or fragment.
    """
    url = BASE_URLS.get(base_url, base_url).rstrip("/")
    if any(mark in url for mark in "@?#") or ".." in unquote(url):
        raise UsageError("--base-url must have no user, query, fragment or `..`", "write https://HOST")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--base-url {base_url!r} is not a URL: {error}", "write https://HOST") from None
    is_plain = HOST.fullmatch(host or "") and re.fullmatch(r"[\x21-\x7e]+", url)
    if parts.scheme not in ("https", "http") or not host or not is_plain:
        raise UsageError(f"--base-url {base_url!r} is not a URL", "write prod, sandbox or https://HOST")
    if parts.scheme == "http" and not (allow_http or _is_loopback(host)):
        raise UsageError(
            f"--base-url {url} would send the API key in clear text", "write https://, or add --allow-http"
        )
    return f"{parts.scheme}://{authority_of(parts)}{parts.path}".rstrip("/")


def authority_of(parts: SplitResult) -> str:
    """Return the normalized host and port of a URL: in lower case, without the default port."""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_default = parts.port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{host}" if is_default else f"{host}:{parts.port}"


def target_for(options: RunOptions) -> str:
    """Return the URL that a run sends to. Raises UsageError if it could leak the key or mislead."""
    if options.sandbox:
        return "sandbox"
    target = target_of(options.base_url, allow_http=options.allow_http)
    if options.proxy is not None:
        check_proxy(target, options.proxy, allow_http=options.allow_http)
    return target


def check_notify(url: str, *, allow_http: bool) -> None:
    """Raise UsageError if a summary cannot be posted to *url*, or would be sent in clear text.

    The message does not repeat the URL: the path of a webhook is its password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise UsageError("--notify is not a URL", "write https://HOST/PATH")
    if parts.scheme == "http" and not (allow_http or _is_loopback(host)):
        raise UsageError(f"--notify would post to {host} in clear text", "write https://, or add --allow-http")


def place_of(url: str) -> str:
    """Return the parts of a URL that are safe to show when its path and user are secret: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{authority_of(parts)}"


def check_proxy(target: str, proxy: str, *, allow_http: bool) -> None:
    """Raise UsageError if *proxy* is not a URL, or would see the API key in clear text for a plain http *target*."""
    host = proxy_host(proxy)
    if allow_http or not target.startswith("http://"):
        return
    if not _is_loopback(host):
        raise UsageError(
            "--proxy would carry the API key in clear text to another host",
            "use an https:// target, or add --allow-http",
        )


def proxy_host(proxy: str) -> str:
    """Return the host of a proxy. Raises UsageError, without repeating the URL, as it may contain a password."""
    try:
        parts = urlsplit(proxy)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search(r"\s", proxy):
        raise UsageError(
            "--proxy is not the URL of an HTTP proxy",
            "write http://HOST:PORT; in a user or password before the host, %2F for / and %40 for @",
        )
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
