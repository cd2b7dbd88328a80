"""One-line progress messages: periodic and on request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from bulksync.sender.tally import Tally
from bulksync.text import spell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """A run's progress at this moment: its counts out of *total* rows, after some seconds of sending.

    *total* is None for a stream. *rate* is the quota as users write it; *waiting* says what all requests are
    waiting for, empty if nothing.
    """

    tally: Tally
    total: int | None
    in_flight: int
    rate: str
    elapsed: float
    waiting: str = ""


@dataclass(slots=True)
class Doing:
    """Tracks what a *run* (its name, once it has one) is doing: a look, or text while it is not sending.

    *last* is the look at the end of sending.
    """

    look: Callable[[], Look | str] = lambda: "starting"
    run: str | None = None
    last: Look | None = None

    def keep(self) -> None:
        """Keep the last look before the run moves on from sending."""
        look = self.look()
        self.last = None if isinstance(look, str) else look

    def said(self) -> dict[str, Any]:
        """Return the activity as one line, `text`, and as numbers if there are any."""
        look = self.look()
        return {"text": look} if isinstance(look, str) else {"text": progress_line(look), **numbers(look)}


def since(what: str, now: Callable[[], float]) -> Callable[[], str]:
    """Return a function that says how long *what* has been going on."""
    began = now()
    return lambda: f"{what}, for {spell(now() - began)}"


def progress_line(look: Look) -> str:
    """Return how many rows are done, how fast, the time left, and what the run is waiting for."""
    tally, total = look.tally, look.total
    speed = tally.done / look.elapsed if look.elapsed > 0 else 0.0
    whole = "rows" if total is None else f"of {total:,} rows ({percent(tally.done, total)})"
    share = f"{tally.done:,} {whole}"
    parts = [share, f"{speed:,.1f}/s of {look.rate}"]
    parts.append(f"{look.in_flight:,} in flight")
    if total is not None and 0 < tally.done < total:
        parts.append(f"{spell(look.elapsed * (total - tally.done) / tally.done)} to go")
    parts.append(", ".join(f"{outcome} {count:,}" for outcome, count in tally.outcomes.most_common()))
    return "; ".join(part for part in (", ".join(part for part in parts if part), look.waiting) if part)


def numbers(look: Look) -> dict[str, Any]:
    """Return the progress for programs; *rate* is in rows per second, null is what is not known yet."""
    done, total = look.tally.done, look.total
    return {
        "done": done,
        "total": total,
        "rate": round(done / look.elapsed, 2) if look.elapsed > 0 else 0.0,
        "quota": look.rate,
        "inFlight": look.in_flight,
        "elapsedSeconds": round(look.elapsed, 1),
        "etaSeconds": round(look.elapsed * (total - done) / done, 1) if done and total is not None else None,
        "outcomes": dict(look.tally.outcomes),
        "waiting": look.waiting,
    }


def percent(part: int, whole: int) -> str:
    """Format a share so that only the whole is 100 %."""
    return f"{int(part * 100 / whole)} %" if whole else "100 %"


async def say_every(seconds: float, line: Callable[[], T], say: Callable[[T], None]) -> None:
    """Report progress every *seconds* until cancelled; never if that is 0."""
    while seconds > 0:
        await anyio.sleep(seconds)
        say(line())
