"""How far a run is, in one line, every so often."""

from collections.abc import Callable

import anyio

from bulksync.tally import Tally


def progress_line(tally: Tally, *, total: int, in_flight: int, rate: str, elapsed: float, waiting: str) -> str:
    """Say how many of *total* rows are done, how fast, how long the rest takes, and what the run waits for."""
    speed = tally.done / elapsed if elapsed > 0 else 0.0
    parts = [f"{tally.done:,} of {total:,} rows ({percent(tally.done, total)})", f"{speed:,.1f}/s of {rate}"]
    parts.append(f"{in_flight:,} in flight")
    if 0 < tally.done < total:
        parts.append(f"{spell(elapsed * (total - tally.done) / tally.done)} to go")
    parts.append(", ".join(f"{outcome} {count:,}" for outcome, count in tally.outcomes.most_common()))
    return "; ".join(part for part in (", ".join(part for part in parts if part), waiting) if part)


def percent(part: int, whole: int) -> str:
    """Write a share so that 100 % means all."""
    return f"{int(part * 100 / whole)} %" if whole else "100 %"


def spell(seconds: float) -> str:
    """Write a duration for people: 9.5s, 12m30s, 27h46m."""
    if round(seconds) < 60:
        return f"{seconds:.1f}s" if round(seconds, 1) < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


async def say_every(seconds: float, line: Callable[[], str], say: Callable[[str], None]) -> None:
    """Say how far the run is every *seconds*, until cancelled; never where that is 0."""
    while seconds > 0:
        await anyio.sleep(seconds)
        say(line())
