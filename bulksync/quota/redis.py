"""A rate shared by processes on many hosts: its state is a Redis hash, and a single script is its only writer.

The clock is that of Redis. The wait of a lease is counted from the arrival of the answer, so that no host's clock
matters; an answer that arrives later than usual is not used, as it is unknown where the delay was.

The seat keeps one run from being sent twice at once: a process that has lost it, to the same job on another host or
while it was stopped, gets no more turns. Every lease renews it for a minute, and it is released at the end.
"""

import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import cast
from urllib.parse import urlsplit

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import TimeoutError as NoAnswerError

from bulksync.errors import LockedError, UsageError
from bulksync.quota.seat import Seat
from bulksync.quota.station import Answer, Away, Held, Lease, Taken
from bulksync.text import clean

SCRIPT = files("bulksync.quota").joinpath("station.lua").read_text()

FORMAT = 1
"""Version of the state's format; any other is rejected, as two formats would mean two rates."""

PATIENCE = 2.0
"""Timeout in seconds for a connection, or an answer."""

UNUSUAL = 0.01
"""Seconds beyond the fastest of the last answers after which an answer is too old to be used."""

OF_OTHERS = "nothing is to be done; where the other process has crashed, run the same command again in a minute"

ASKED_AGAIN = 0.25
"""Seconds between attempts to get a seat that another process holds."""


class RedisStation:
    """A station in Redis."""

    def __init__(self, url: str, name: str, seat: Seat, now: Callable[[], float] = time.monotonic) -> None:
        self.name = shown(url)
        self._redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._script = self._redis.register_script(SCRIPT)
        self._keys = [f"bulksync:quota:{{{name}}}", f"bulksync:seat:{{{name}}}:{seat.run}"]  # same cluster slot
        self._holder = seat.holder
        self._now = now
        self._rate = 1.0
        self._took: deque[float] = deque(maxlen=16)

    async def lease(self, count: int, rate: float) -> Answer:
        """Reserve turns; those of an answer that arrived too late are lost, and new ones are requested."""
        self._rate = rate
        while True:
            asked = self._now()
            try:
                said = await self._say("lease", count)
            except RedisError as error:
                return Away(reason_of(error))
            now = self._now()
            usual = min(self._took, default=now - asked)
            self._took.append(now - asked)
            if now - asked <= usual + UNUSUAL or not count:
                return answer_of(said, now)

    async def hold(self, seconds: float, *, lower: bool) -> Away | None:
        """Pause all requests for *seconds*."""
        try:
            await self._say("lower" if lower else "hold", seconds)
        except RedisError as error:
            return Away(reason_of(error))
        return None

    async def enter(self, rate: float, wait: float) -> None:
        """Take the seat, waiting at most *wait* seconds; raises UsageError if this Redis is unsuitable for a station.

        Raises LockedError if another process has the seat.
        """
        self._rate = rate
        until = self._now() + wait
        while True:
            try:
                what, left, *_ = await self._say("enter", 0)
            except RedisError as error:
                raise refusal(error, self.name) from None
            if what == "format":
                raise UsageError(
                    f"the quota {self.name} is kept in the format of another version of bulksync",
                    "install the same version everywhere",
                )
            if what != "taken":
                return
            if self._now() >= until:
                raise LockedError(
                    f"another process sends this input (its seat at {self.name} is kept for {float(left):.0f}s more)",
                    OF_OTHERS,
                )
            await anyio.sleep(min(ASKED_AGAIN, max(0.0, until - self._now())))

    async def leave(self) -> None:
        """Release the seat and disconnect; if Redis is unreachable, the seat expires by itself a minute later."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(PATIENCE):
            with suppress(RedisError):  # the seat expires by itself
                await self._say("leave", 0)
            await self._redis.aclose()

    async def _say(self, what: str, number: float) -> list[str]:
        arguments: list[str | int] = [FORMAT, what, repr(number), repr(self._rate), self._holder, ""]
        return cast("list[str]", await self._script(self._keys, arguments))


def answer_of(said: list[str], now: float) -> Answer:
    """Return the script's answer, converted at *now* to times of this process."""
    what, wait, rate, mark = said[0], *map(float, said[1:])
    match what:
        case "lease":
            return Lease(now + wait, rate, mark)
        case "held":
            return Held(now + wait)
        case "taken":
            return Taken()
    return Away("it is kept in the format of another version of bulksync")


def reason_of(error: RedisError) -> str:
    """Return why Redis cannot be used, on one line and without the command sent to it."""
    if isinstance(error, NoAnswerError):
        return "no answer"
    if isinstance(error, BusyLoadingError):
        return "it is loading its data"
    cause = error.__context__
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else clean(str(error), 120)


def refusal(error: RedisError, name: str) -> UsageError:
    """Return the error for a Redis that cannot be used at the start of a run."""
    if isinstance(error, AuthenticationError):
        return UsageError(f"the quota {name} refuses user or password", "check those in BULKSYNC_QUOTA")
    if isinstance(error, ReadOnlyError):
        return UsageError(f"the quota {name} is a read-only replica", "name the primary")
    if isinstance(error, ResponseError) and not isinstance(error, NoConnectionError):
        return UsageError(
            f"the quota {name} refuses the script: {reason_of(error)}",
            "allow this user EVALSHA, SCRIPT, TIME, INFO, GET, SET, HMGET, HSET and PEXPIRE on bulksync:*",
        )
    return UsageError(
        f"the quota {name} cannot be reached: {reason_of(error)}", "start Redis, or use --quota host", again=False
    )


def shown(url: str) -> str:
    """Return the URL of a Redis for display: without user, password and parameters."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or 6379}{parts.path if parts.path.strip('/') else '/0'}"


@asynccontextmanager
async def redis_station(
    url: str, name: str, seat: Seat, *, rate: float, wait: float
) -> AsyncGenerator[RedisStation, None]:
    """Yield the station *name* in Redis, with the seat of a run taken; raises UsageError or LockedError."""
    station = RedisStation(url, name, seat)
    try:
        await station.enter(rate, wait)
        yield station
    finally:
        await station.leave()
