"""How far a run is, in one line: every so often, and when somebody asks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from bulksync.sender.tally import Tally
from bulksync.text import spell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """How far a run is at this moment: what it has counted, of *total* rows, after so many seconds of sending.

    *total* is None where the rows are a stream.
    *rate* is the quota as people write it, *waiting* what everyone waits for, empty where nobody does.
    """

    tally: Tally
    total: int | None
    in_flight: int
    rate: str
    elapsed: float
    waiting: str = ""


@dataclass(slots=True)
class Doing:
    """Owns the answer to what a *run* (its name, once it has one) is doing: a look, or words where it does not send.

    *last* is the look at the end of sending.
    """

    look: Callable[[], Look | str] = lambda: "starting"
    run: str | None = None
    last: Look | None = None

    def keep(self) -> None:
        """Keep the last look before the run does something else than to send."""
        look = self.look()
        self.last = None if isinstance(look, str) else look

    def said(self) -> dict[str, Any]:
        """Say it in one line, the `text`, and in numbers where there are any."""
        look = self.look()
        return {"text": look} if isinstance(look, str) else {"text": progress_line(look), **numbers(look)}


def since(what: str, now: Callable[[], float]) -> Callable[[], str]:
    """Return what says for how long something has been done."""
    began = now()
    return lambda: f"{what}, for {spell(now() - began)}"


def progress_line(look: Look) -> str:
    """Say how many rows are done, how fast, how long the rest takes, and what the run waits for."""
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
    """Return how far a run is, for programs; *rate* is in rows per second, null is what cannot be told yet."""
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
    """Write a share so that 100 % means all."""
    return f"{int(part * 100 / whole)} %" if whole else "100 %"


async def say_every(seconds: float, line: Callable[[], T], say: Callable[[T], None]) -> None:
    """Say how far the run is every *seconds*, until cancelled; never where that is 0."""
    while seconds > 0:
        await anyio.sleep(seconds)
        say(line())
