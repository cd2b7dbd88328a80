"""The quota option, which says who shares the rate: `own`, `host`, or the URL of a Redis with a secret password."""

from urllib.parse import parse_qs, unquote, urlsplit


def parse_quota(value: object) -> object:
    """Check that a quota is `own`, `host` or the URL of a Redis. Raises ValueError, without repeating a password."""
    if not isinstance(value, str) or value.strip() in ("own", "host"):
        return value.strip() if isinstance(value, str) else value
    try:
        parts = urlsplit(value.strip())
        is_there = parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
    except ValueError:
        is_there = None
    if not is_there or parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("not a quota: write own, host, redis://HOST, rediss://HOST or unix://PATH")
    if {"username", "password"} & set(parse_qs(parts.query)):
        raise ValueError("write user and password before the host: redis://USER:PASSWORD@HOST")
    return value.strip()


def password_of(quota: str | None) -> str:
    """Return the password in the URL of a quota; empty if there is none."""
    return unquote(urlsplit(quota or "").password or "")
