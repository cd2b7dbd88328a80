"""Where the time of a run went, and what would make it shorter."""

import math
from collections.abc import Mapping
from typing import Any

from bulksync.options.values import parse_rate, show_rate
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


def advice(summary: Mapping[str, Any]) -> str:
    """Say in a sentence where a run's time went, and what to do about it; empty where it took none to speak of."""
    shares = {cause: share for cause, share in summary["timeWent"].items() if share >= WORTH_SAYING}
    if not shares or summary["elapsedSeconds"] < TOO_SHORT:
        return ""
    ranked = sorted(shares, key=lambda cause: -shares[cause])
    head = ", ".join(f"{int(shares[cause] * 100)} % {CAUSES[cause]}" for cause in ranked)
    say = {"rate": of_rate, "server": of_server, "hold": of_holds, "retry": of_retries}[ranked[0]]
    return f"{head}{say(summary)}"


def of_rate(summary: Mapping[str, Any]) -> str:
    """Say how long it would take at a higher rate; not where the server found this one too high."""
    rate = float(str(parse_rate(summary["rate"])))
    if (refused := refusals(summary)) or summary["pauses"]:
        return f"; {refused or counted(summary['pauses'], 'pause')}, so a higher --rate would not help"
    if math.isinf(rate):
        return ""
    elapsed, share = summary["elapsedSeconds"], summary["timeWent"]["rate"]
    faster = elapsed * (1 - share + share / FASTER)
    needed = math.ceil(rate * FASTER * milliseconds(summary) / 1000)
    more = f", with --max-in-flight {needed}," if needed > summary["maxInFlight"] else ""
    return f"; at {show_rate(rate * FASTER)}{more} this takes {spell(faster)} instead of {spell(elapsed)}"


def refusals(summary: Mapping[str, Any]) -> str:
    """Say how many answers may have been refused for their rate; empty where none were."""
    found = {"429": summary["throttled"], "503": summary.get("unavailable", 0)}
    return " and ".join(
        f"{counted(count, 'answer was', 'answers were')} {status}" for status, count in found.items() if count
    )


def of_server(summary: Mapping[str, Any]) -> str:
    """Say what bounds a run that waits for answers: requests in flight where they are all used, else rows in line."""
    width, latency = summary["maxInFlight"], milliseconds(summary)
    most = width * 1000 / latency
    if (summary["achievedRate"] or 0.0) >= most * FULL:
        bound = f"{width:,} in flight at p50 {latency} ms cannot exceed {most:,.0f}/s"
        return f": {bound}; raise --max-in-flight"
    return f": answers took p50 {latency} ms, and fewer than {width:,} requests could be in flight"


def of_holds(summary: Mapping[str, Any]) -> str:
    """Say what held everyone."""
    held = f": {counted(summary['pauses'], 'pause')} of {spell(summary['pausedSeconds'])} in all"
    if refused := refusals(summary):
        return f"{held}; {refused}, lower --rate"
    return f"{held}; the server was unreachable or asked to wait; run it at another time"


def of_retries(summary: Mapping[str, Any]) -> str:
    """Say how often rows were sent again, as those that back off are the usual reason to have none to send."""
    if not summary["retries"]:
        return ": the input and the ledger did not give them faster"
    retries = counted(summary["retries"], "retry", "retries")
    return f": {retries} after errors, each after a pause; -v shows them with their reasons"


def milliseconds(summary: Mapping[str, Any]) -> int:
    """Return the median latency, at least 1 ms."""
    return max(1, summary["latencyMs"]["p50"] or 0)
