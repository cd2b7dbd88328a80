"""Where the time of a run went, and what would make it shorter."""

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
"""Share of the time from which on a cause is named."""

TOO_SHORT = 1.0
"""Seconds below which a run's time tells of its start and end only."""

FASTER = 2.5
"""Times the rate that a faster run is imagined with."""

FULL = 0.5
"""Share of what so many requests in flight can bring, from which on it is they that bound the run."""


def advice(measured: Measured) -> str:
    """Say in a sentence where a run's time went, and what to do about it; empty where it took none to speak of."""
    shares = {cause: share for cause, share in measured.time_went if share >= WORTH_SAYING}
    if not shares or measured.elapsed_seconds < TOO_SHORT:
        return ""
    ranked = sorted(shares, key=lambda cause: -shares[cause])
    head = ", ".join(f"{int(shares[cause] * 100)} % {CAUSES[cause]}" for cause in ranked)
    say = {"rate": of_rate, "server": of_server, "hold": of_holds, "retry": of_retries}[ranked[0]]
    return f"{head}{say(measured)}"


def of_rate(measured: Measured) -> str:
    """Say how long it would take at a higher rate; not where the server found this one too high."""
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
    """Say how many answers may have been refused for their rate; empty where none were."""
    found = {"429": measured.throttled, "503": measured.unavailable}
    return " and ".join(
        f"{counted(count, 'answer was', 'answers were')} {status}" for status, count in found.items() if count
    )


def of_server(measured: Measured) -> str:
    """Say what bounds a run that waits for answers: requests in flight where they are all used, else rows in line."""
    width, latency = measured.max_in_flight, milliseconds(measured)
    most = width * 1000 / latency
    if (measured.achieved_rate or 0.0) >= most * FULL:
        bound = f"{width:,} in flight at p50 {latency} ms cannot exceed {most:,.0f}/s"
        return f": {bound}; raise --max-in-flight"
    return f": answers took p50 {latency} ms, and fewer than {width:,} requests could be in flight"


def of_holds(measured: Measured) -> str:
    """Say what held everyone."""
    held = f": {counted(measured.pauses, 'pause')} of {spell(measured.paused_seconds)} in all"
    if refused := refusals(measured):
        return f"{held}; {refused}, lower --rate"
    return f"{held}; the server was unreachable or asked to wait; run it at another time"


def of_retries(measured: Measured) -> str:
    """Say how often rows were sent again, as those that back off are the usual reason to have none to send."""
    if not measured.retries:
        return ": the input and the ledger did not give them faster"
    retries = counted(measured.retries, "retry", "retries")
    return f": {retries} after errors, each after a pause; -v shows them with their reasons"


def milliseconds(measured: Measured) -> int:
    """Return the median latency, at least 1 ms."""
    return max(1, measured.latency_ms.p50 or 0)
