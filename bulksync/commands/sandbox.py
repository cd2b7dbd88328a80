"""`bulksync sandbox`: serve the sandbox until a signal stops it."""

import math
from collections.abc import Callable
from typing import TypedDict

import anyio

from bulksync.errors import UsageError
from bulksync.options.models import SandboxOptions
from bulksync.sandbox.faults import parse_faults
from bulksync.sandbox.server import Settings, serve
from bulksync.sender.signals import heard


async def serve_sandbox(options: SandboxOptions, ready: Callable[[str], None]) -> None:
    """Serve on a port of this host, and call *ready* with the URL. Raises UsageError if that is not possible."""
    with anyio.open_signal_receiver(*heard()) as signals:
        try:
            settings = sandbox_settings(options)
            async with serve(settings, port=options.port) as sandbox:
                ready(sandbox.url)
                await anext(aiter(signals))
        except ValueError as error:
            raise UsageError(f"the sandbox cannot do that: {error}", "see: bulksync sandbox --help") from None
        except OSError as error:
            raise UsageError(
                f"port {options.port} cannot be served: {error.strerror}", "choose another --port"
            ) from None


def sandbox_settings(options: SandboxOptions) -> Settings:
    """Return the options as sandbox settings. Raises ValueError if they are inconsistent."""
    return Settings(
        key=options.key,
        **strict(options.rate),
        latency=(options.latency, max(options.latency, options.latency_max)),
        seed=options.seed,
        faults=parse_faults(options.faults),
        unknown_rate=options.unknown_rate,
        only_seen=options.only_seen,
        replaces_metadata=options.replaces_metadata,
        drift=options.drift,
        log_file=options.log_file,
    )


class Quota(TypedDict):
    """A rate in the sandbox's terms."""

    rate: int | None
    window: float


def strict(rate: float) -> Quota:
    """Return a rate as a whole number of requests per window of seconds; no limit if it is unlimited."""
    if math.isinf(rate):
        return {"rate": None, "window": 1.0}
    return {"rate": math.ceil(rate), "window": 1.0} if rate >= 1 else {"rate": 1, "window": 1 / rate}
