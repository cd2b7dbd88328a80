"""The API that a run sends to, or an emulation of its own, and how many requests at once it can take."""

import resource
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from bulksync.client.connection import connect
from bulksync.model import Put, Tell
from bulksync.options.models import RunOptions

SPARE_FILES = 64
"""Files that are open besides connections: the input, the ledger, the report, the event loop's own."""


def fitted(options: RunOptions, tell: Tell) -> RunOptions:
    """Return the options with no more requests at once than this process may open connections."""
    asked, (files, _) = options.max_in_flight, resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = asked if files == resource.RLIM_INFINITY else at_once(asked, files)
    if allowed == asked:
        return options
    tell("few files", asked=asked, allowed=allowed, files=files)
    return options.model_copy(update={"max_in_flight": allowed})


def at_once(asked: int, open_files: int) -> int:
    """Return how many requests may be in flight, of those *asked* for, where the process may open so many files."""
    return max(1, min(asked, open_files - SPARE_FILES))


@asynccontextmanager
async def connected(target: str, key: SecretStr, options: RunOptions) -> AsyncGenerator[Put, None]:
    """Yield what puts one row: to the API at *target*, or to a sandbox of this run's own."""
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
        ) as put,
    ):
        yield put


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
