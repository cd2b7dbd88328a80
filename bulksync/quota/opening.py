"""Decides who shares a run's rate, and under which name."""

import math
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from pydantic import SecretStr

from bulksync.errors import UsageError
from bulksync.log import Tell
from bulksync.options import RunOptions
from bulksync.quota.host import HostStation, state_folder
from bulksync.quota.station import Station


@dataclass(frozen=True, slots=True)
class Seat:
    """What one process at a time may send, and who that is: the same ledger is the same holder, also after a kill."""

    run: str
    holder: str


def seat_for(target: str, digest: str, ledger: Path | None) -> Seat:
    """Return the seat of a run against *target*, of the input with this digest, that is recorded in *ledger*.

    The ledger's lock keeps a second process from it; one in memory, or at the same place but made anew, is another.
    """
    run = blake2b(f"{target} {digest}".encode(), digest_size=16).hexdigest()
    if ledger is None:
        return Seat(run, uuid4().hex)
    file = ledger.stat()
    place = f"{socket.gethostname()} {file.st_dev} {file.st_ino}"
    return Seat(run, blake2b(place.encode(), digest_size=16).hexdigest())


def name_for(target: str, key: str, quota_name: str | None, place: str = "") -> str:
    """Return the name of a quota: of a key at a target, or, where a *quota_name* joins several, of that.

    The key goes into it by a digest of a digest; *place* tells hosts apart that share the folder of the file.
    """
    if quota_name is not None:
        return blake2b(f"{place} name {quota_name}".encode(), digest_size=16).hexdigest()
    secret = blake2b(key.encode(), digest_size=32).digest()
    return blake2b(f"{place} {target}".encode(), key=secret, digest_size=16).hexdigest()


def password_of(quota: str | None) -> str:
    """Return the password in the URL of a quota; empty where there is none."""
    return unquote(urlsplit(quota or "").password or "")


@asynccontextmanager
async def open_station(
    options: RunOptions, target: str, key: SecretStr, seat: Seat, tell: Tell
) -> AsyncGenerator[Station | None, None]:
    """Yield the station that the turns of a run are leased from; None where it keeps its rate for itself.

    UsageError where what was asked for cannot be used, LockedError where another process has the seat.
    """
    is_alone = options.quota is None and options.sandbox  # nobody else can know the sandbox of this run
    if math.isinf(options.rate) or options.quota == "own" or is_alone:
        yield None
        return
    target = f"{target} {os.getpid()}" if options.sandbox else target
    if options.quota in (None, "host"):
        station = host_station(options, target, key, tell)
        try:
            yield station
        finally:
            if station is not None:
                station.close()
        return
    need_redis()
    from bulksync.quota.redis import redis_station  # only here, as it takes 0.1 s to import (measured)

    name = name_for(target, key.get_secret_value(), options.quota_name)
    async with redis_station(
        options.quota or "", name, seat.run, seat.holder, rate=options.rate, wait=options.lock_wait
    ) as shared:
        tell("sharing", quota=shared.name)
        yield shared


def host_station(options: RunOptions, target: str, key: SecretStr, tell: Tell) -> HostStation | None:
    """Open the station of this host; UsageError where it was asked for and cannot be opened."""
    name = name_for(target, key.get_secret_value(), options.quota_name, socket.gethostname())
    try:
        station = HostStation(state_folder(os.environ) / name)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        if options.quota is None:
            tell("not sharing", reason=reason)
            return None
        raise UsageError(
            f"the quota file cannot be used: {reason}", "set XDG_STATE_HOME to a private folder, or use --quota own"
        ) from None
    tell("sharing", quota=station.name)
    return station


def need_redis() -> None:
    """Raise UsageError where the library for Redis is not installed."""
    if find_spec("redis") is None:
        raise UsageError("redis-py is not installed", "pip install 'bulksync[redis]'")
