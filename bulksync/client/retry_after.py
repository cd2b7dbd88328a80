"""How long a server asks us to wait, in the various ways in which servers express it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import hdrs

RESETS = ("X-RateLimit-Reset", "X-Rate-Limit-Reset", "RateLimit-Reset")
REMAINING = ("X-RateLimit-Remaining", "X-Rate-Limit-Remaining", "RateLimit-Remaining")
"""Headers for when a quota resets and how much of it is left; APIs do not agree on the names."""

LONGEST_WAIT = 366 * 86_400
"""Maximum plausible wait in seconds; a reset further away is some other kind of number."""

EPOCH = 1e9
EPOCH_MILLISECONDS = 1e11
"""From here on a reset is a Unix time: in seconds (2001 to 5138), or in milliseconds (from 1973 on)."""

NUMBER = re.compile(r"[0-9]{1,13}(\.[0-9]{1,9})?")
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def asked_wait(headers: Mapping[str, str], page: Any) -> float | None:
    """Return for how many seconds the server asks us to wait; None if it gives no usable value.

    Retry-After (RFC 9110 §10.2.3) takes precedence over the quota's reset, and that over `retry_after` in the body's
    *page*. Dates are compared with the server's own Date, so that our clock does not matter.
    """
    now = http_date(headers.get(hdrs.DATE, "")) or datetime.now(UTC)
    for wait in (retry_after(headers, now), quota_reset(headers), reset(headers, now.timestamp())):
        if wait is not None:
            return wait
    return body_wait(page)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read Retry-After: seconds, or a date."""
    value = headers.get(hdrs.RETRY_AFTER, "").strip()
    if SECONDS.fullmatch(value):
        return float(value)
    until = http_date(value)
    return None if until is None else max(0.0, (until - now).total_seconds())


def quota_reset(headers: Mapping[str, str]) -> float | None:
    """Read when the exhausted quotas reset: `RateLimit: "a";r=0;t=30, "b";r=5;t=1`.

    Source: draft-ietf-httpapi-ratelimit-headers-10 §4; before revision 8 it was `limit=10, remaining=0, reset=30`.
    """
    value = headers.get("RateLimit", "")
    if re.search(r"\breset=", value):
        value = value.replace("remaining=", "r=").replace("reset=", "t=").replace(",", ";")
    waits = [wait_of(quota) for quota in value.split(",")]
    return max((wait for wait in waits if wait is not None), default=None)


def wait_of(quota: str) -> float | None:
    """Return the seconds until a quota resets; None if it is not exhausted."""
    said = dict(re.findall(r"(?:^|;)\s*([rt])=([0-9]{1,9})(?=\s*(?:;|$))", quota))
    is_used_up = int(said.get("r", 0)) == 0
    return plausible(float(said["t"])) if "t" in said and is_used_up else None


def reset(headers: Mapping[str, str], now: float) -> float | None:
    """Read the common headers of an exhausted quota: seconds from now, or a Unix time."""
    if any(headers.get(name, "0").strip() not in ("0", "0.0") for name in REMAINING):
        return None
    said = next((headers[name].strip() for name in RESETS if name in headers), "")
    if not NUMBER.fullmatch(said):
        return None
    return plausible(seconds_until(float(said), now))


def seconds_until(number: float, now: float) -> float:
    """Convert the value of a reset header to seconds from *now*, a Unix time."""
    if number < EPOCH:
        return number
    at = number / 1000 if number >= EPOCH_MILLISECONDS else number
    return max(0.0, at - now)


def plausible(seconds: float) -> float | None:
    """Return the wait if a quota may plausibly ask for it, else None."""
    return seconds if seconds <= LONGEST_WAIT else None


def http_date(value: str) -> datetime | None:
    """Parse an HTTP-date (RFC 9110 §5.6.7); None if it is not one."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def body_wait(page: Any) -> float | None:
    """Return `retry_after` of an error body, in seconds; None if there is none."""
    value = page.get("retry_after") if isinstance(page, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return float(value)
