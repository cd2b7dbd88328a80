"""Explain where a run's time went, and what would make it faster."""

import math

from bulksync.options.values import show_rate
from bulksync.report.schema import Measured
from bulksync.text import counted, spell

CAUSES = {
    "rate": "limited by --rate",
    "server": "limited by response time",
    "hold": "paused by the server",
    "retry": "waiting on retries or input",
}
"""What kept the next request from starting, in words."""

WORTH_SAYING = 0.1
"""Minimum share of the time for a cause to be named."""

TOO_SHORT = 1.0
"""Seconds below which a run's time only reflects its start and end."""

FASTER = 2.5
"""The higher rate used for comparison, as a multiple of the current one."""

FULL = 0.5
"""Share of the throughput possible with the requests in flight, above which they are the bottleneck."""


def advice(measured: Measured) -> str:
    """Return a sentence on where a run's time went and what to do about it; empty if it took next to no time."""
    shares = {cause: share for cause, share in measured.time_went if share >= WORTH_SAYING}
    if not shares or measured.elapsed_seconds < TOO_SHORT:
        return ""
    ranked = sorted(shares, key=lambda cause: -shares[cause])
    head = ", ".join(f"{int(shares[cause] * 100)} % {CAUSES[cause]}" for cause in ranked)
    say = {"rate": of_rate, "server": of_server, "hold": of_holds, "retry": of_retries}[ranked[0]]
    return f"{head}{say(measured)}"


def of_rate(measured: Measured) -> str:
    """Return how long the run would take at a higher rate; empty if the server rejected this one as too high."""
    if (refused := refusals(measured)) or measured.pauses:
        return f"; {refused or counted(measured.pauses, 'pause')}, so a higher --rate would not help"
    if (rate := measured.rate) is None:
        return ""
    elapsed, share = measured.elapsed_seconds, measured.time_went.rate
    faster = elapsed * (1 - share + share / FASTER)
    needed = math.ceil(rate * FASTER * milliseconds(measured) / 1000)
    more = f", with --max-in-flight {needed}," if needed > measured.max_in_flight else ""
    return f"; at {show_rate(rate * FASTER)}{more} this takes {spell(faster)} instead of {spell(elapsed)}"


def refusals(measured: Measured) -> str:
    """Return how many answers may have been rejections for the rate; empty if there were none."""
    found = {"429": measured.throttled, "503": measured.unavailable}
    return " and ".join(
        f"{counted(count, 'answer was', 'answers were')} {status}" for status, count in found.items() if count
    )


def of_server(measured: Measured) -> str:
    """Return what limits a run that waits for answers: the requests in flight if all are used, else the rows."""
    width, latency = measured.max_in_flight, milliseconds(measured)
    most = width * 1000 / latency
    if (measured.achieved_rate or 0.0) >= most * FULL:
        bound = f"{width:,} in flight at p50 {latency} ms cannot exceed {most:,.0f}/s"
        return f": {bound}; raise --max-in-flight"
    return f": answers took p50 {latency} ms, and fewer than {width:,} requests could be in flight"


def of_holds(measured: Measured) -> str:
    """Return what paused all requests."""
    held = f": {counted(measured.pauses, 'pause')} of {spell(measured.paused_seconds)} in all"
    if refused := refusals(measured):
        return f"{held}; {refused}, lower --rate"
    return f"{held}; the server was unreachable or asked to wait; run it at another time"


def of_retries(measured: Measured) -> str:
    """Return how often rows were retried: rows backing off are the usual reason for having none to send."""
    if not measured.retries:
        return ": the input and the ledger did not give them faster"
    retries = counted(measured.retries, "retry", "retries")
    return f": {retries} after errors, each after a pause; -v shows them with their reasons"


def milliseconds(measured: Measured) -> int:
    """Return the median latency, at least 1 ms."""
    return max(1, measured.latency_ms.p50 or 0)
