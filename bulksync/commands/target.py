"""Open the API or the built-in sandbox, limit the requests in flight to the open files, and share the rate."""

import math
import os
import resource
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from pydantic import SecretStr

from bulksync.client.connection import Client, connect
from bulksync.errors import UsageError
from bulksync.model import Tell
from bulksync.options.models import RunOptions
from bulksync.quota.host import HostStation, state_folder
from bulksync.quota.seat import Seat, name_for
from bulksync.quota.station import Station

SPARE_FILES = 64
"""Files open besides connections: the input, the ledger, the report, the event loop's own."""


def fitted(options: RunOptions, tell: Tell) -> RunOptions:
    """Return the options with requests in flight limited to the connections that this process may open."""
    asked, (files, _) = options.max_in_flight, resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = asked if files == resource.RLIM_INFINITY else at_once(asked, files)
    if allowed == asked:
        return options
    tell("few files", asked=asked, allowed=allowed, files=files)
    return options.model_copy(update={"max_in_flight": allowed})


def at_once(asked: int, open_files: int) -> int:
    """Return how many of the *asked* requests may be in flight, given the limit on open files."""
    return max(1, min(asked, open_files - SPARE_FILES))


@asynccontextmanager
async def connected(target: str, key: SecretStr, options: RunOptions) -> AsyncGenerator[Client, None]:
    """Yield a client for the API at *target*, or for a sandbox private to this run."""
    async with (
        sandbox_or(target, options) as url,
        connect(
            url,
            key,
            max_in_flight=options.max_in_flight,
            timeout=options.timeout,
            connect_timeout=options.connect_timeout,
            keepalive=options.keepalive,
            proxy=options.proxy,
            max_answer=options.max_answer,
            ca_file=options.ca_file,
            client_cert=options.client_cert,
            client_key=options.client_key,
        ) as client,
    ):
        yield client


@asynccontextmanager
async def sandbox_or(target: str, options: RunOptions) -> AsyncGenerator[str, None]:
    """Yield the URL to send to."""
    if not options.sandbox:
        yield target
        return
    # Only here, as a real run needs no server.
    from bulksync.commands.sandbox import strict
    from bulksync.sandbox.server import Settings, serve

    async with serve(Settings(**strict(options.rate))) as sandbox:
        yield sandbox.url


@asynccontextmanager
async def sharing(
    options: RunOptions, target: str, key: SecretStr, seat: Seat, tell: Tell
) -> AsyncGenerator[Station | None, None]:
    """Yield the station that a run leases its turns from; None if it does not share its rate.

    Raises UsageError if the requested quota cannot be used, LockedError if another process has the seat.
    """
    is_alone = options.quota is None and options.sandbox  # nothing else can send to this run's sandbox
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
    if find_spec("redis") is None:
        raise UsageError("redis-py is not installed", "pip install 'bulksync[redis]'")
    from bulksync.quota.redis import redis_station  # only here, as it takes 0.1 s to import (measured)

    name = name_for(target, key.get_secret_value(), options.quota_name)
    async with redis_station(options.quota or "", name, seat, rate=options.rate, wait=options.lock_wait) as shared:
        tell("sharing", quota=shared.name)
        yield shared


def host_station(options: RunOptions, target: str, key: SecretStr, tell: Tell) -> HostStation | None:
    """Open the station of this host. Raises UsageError if it was requested and cannot be opened."""
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
