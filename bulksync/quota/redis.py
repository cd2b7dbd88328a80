"""A rate that the processes of many hosts share: its state is a hash in a Redis, and one script is the only writer.

The clock is Redis' own. What a lease waits is counted from when the answer has come, so that no host's clock matters,
and an answer that comes later than others is not used: where it lingered is not known.

The seat keeps one run from being sent twice at once: who has lost it, to the same job on another host or while it was
stopped, gets no turn any more. It is kept for a minute by every lease, and given back at the end.
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
"""Number of the state's format; another one is refused, as two formats would be two rates."""

PATIENCE = 2.0
"""Seconds that a connection, or an answer, may take."""

UNUSUAL = 0.01
"""Seconds more than the quickest of the last answers from which on an answer is too old to be used."""

OF_OTHERS = "nothing is to be done; where the other process has crashed, run the same command again in a minute"

ASKED_AGAIN = 0.25
"""Seconds until a seat that another process has is asked for again."""


class RedisStation:
    """A station in a Redis."""

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
        self._keys = [f"bulksync:quota:{{{name}}}", f"bulksync:seat:{{{name}}}:{seat.run}"]  # in one slot of a cluster
        self._holder = seat.holder
        self._now = now
        self._rate = 1.0
        self._took: deque[float] = deque(maxlen=16)

    async def lease(self, count: int, rate: float) -> Answer:
        """Reserve turns; those of an answer that came too late are lost, and others are asked for."""
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
        """Let nobody start for so long."""
        try:
            await self._say("lower" if lower else "hold", seconds)
        except RedisError as error:
            return Away(reason_of(error))
        return None

    async def enter(self, rate: float, wait: float) -> None:
        """Take the seat, for which to *wait* at most so long; UsageError where this Redis does not do for a station.

        LockedError where another process has the seat.
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
        """Give the seat back and go; a Redis that is away gives it to others by itself, a minute later."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(PATIENCE):
            with suppress(RedisError):  # the seat runs out by itself
                await self._say("leave", 0)
            await self._redis.aclose()

    async def _say(self, what: str, number: float) -> list[str]:
        arguments: list[str | int] = [FORMAT, what, repr(number), repr(self._rate), self._holder, ""]
        return cast("list[str]", await self._script(self._keys, arguments))


def answer_of(said: list[str], now: float) -> Answer:
    """Return what the script said *now*, in times of this process."""
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
    """Return why a Redis cannot be used, on one line and without what it was asked."""
    if isinstance(error, NoAnswerError):
        return "no answer"
    if isinstance(error, BusyLoadingError):
        return "it is loading its data"
    cause = error.__context__
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else clean(str(error), 120)


def refusal(error: RedisError, name: str) -> UsageError:
    """Return what to say of a Redis that cannot be used at the start of a run."""
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
    """Return the URL of a Redis as it is shown: without user, password and parameters."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or 6379}{parts.path if parts.path.strip('/') else '/0'}"


@asynccontextmanager
async def redis_station(
    url: str, name: str, seat: Seat, *, rate: float, wait: float
) -> AsyncGenerator[RedisStation, None]:
    """Yield the station of this name in a Redis, with the seat of a run taken; UsageError, LockedError."""
    station = RedisStation(url, name, seat)
    try:
        await station.enter(rate, wait)
        yield station
    finally:
        await station.leave()
