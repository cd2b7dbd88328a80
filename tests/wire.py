"""The quota as the server sees it: `python -m tests.wire` sends over TLS from afar and prints what arrived when.

    case      rate  rows  exit  most in a second  utilisation  verdict

At 1,000 a second the 10 ms that are forgiven are ten requests: that case needs a host with nothing else to do.

Held are all answers at once, in mid-run; stopped is the program itself, by SIGSTOP. Of these runs only the most
arrivals in any second count, as they cannot use the rate meanwhile.
"""

import asyncio
import gc
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.fault_server import authority
from tests.support.program import write_rows
from tests.support.recorder import SECOND, Station, held, most_in_a_second, recording, utilisation
from tests.support.watched import Running, running

START = int(0.5 * SECOND)
"""In which the first request shows that there is access, and the others open their connections: two round trips."""

RTT = 0.1
HELD = 3.5
STOPPED = 3.0

LEAST = 0.95
"""The share of the rate that a run must use which nothing holds up."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run: its *rate* in requests a second, for how many *seconds*, and when answers are held or it is stopped."""

    name: str
    rate: int
    seconds: float
    held_at: float | None = None
    stopped_at: float | None = None
    width: int = 256

    @property
    def rows(self) -> int:
        """How many rows the run sends."""
        return int(self.rate * self.seconds)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server saw of a run, and the exit code."""

    case: Case
    code: int
    arrivals: int
    most: int
    used: float

    @property
    def keeps_the_quota(self) -> bool:
        """Whether no second saw more than the rate."""
        return self.most <= self.case.rate

    @property
    def uses_the_quota(self) -> bool:
        """Whether it sent as fast as it might, as far as nothing held it up."""
        is_held_up = self.case.held_at is not None or self.case.stopped_at is not None
        return is_held_up or self.used >= LEAST


CASES = (
    Case("steady", 10, 12.0),
    Case("steady", 100, 10.0),
    Case("steady", 1_000, 10.0),
    Case("held", 10, 12.0, held_at=4.0),
    Case("held", 100, 10.0, held_at=4.0),
    Case("held", 1_000, 10.0, held_at=4.0),
    Case("stopped", 10, 12.0, stopped_at=4.0),
    Case("stopped", 100, 10.0, stopped_at=4.0),
    Case("stopped", 1_000, 10.0, stopped_at=4.0),
)


async def seen(case: Case, folder: Path) -> Seen:
    """Make a run in an empty folder, and return what the server saw of it."""
    write_rows(folder / "rows.csv", range(case.rows))
    trusted = authority(folder / "authority")
    rules = [] if case.held_at is None else [held(case.held_at, HELD)]
    async with recording(*rules, rtt=RTT, tls=trusted.tls()) as api:
        options = ("--ca-file", trusted.certificate, "--rate", f"{case.rate}/s", "--max-in-flight", case.width, "-q")
        async with running("run", "rows.csv", "--base-url", api.url, *options, folder=folder) as program:
            if case.stopped_at is not None:
                await stop_for_a_while(program, api, case.stopped_at)
            done = await program.done(within=4 * case.seconds + 30)
        print(done.stderr, end="", file=sys.stderr)
        times = api.times
        settled = [time for time in times if time >= times[0] + START]
        return Seen(case, done.code, len(times), most_in_a_second(times), utilisation(settled, case.rate))


async def stop_for_a_while(program: Running, api: Station, at: float) -> None:
    """Stop the program for a while, from seconds after the first arrival on."""
    await program.until(lambda: bool(api.requests) and api.requests[-1].since >= at)
    os.kill(program.process.pid, signal.SIGSTOP)
    await asyncio.sleep(STOPPED)
    os.kill(program.process.pid, signal.SIGCONT)


def line(found: Seen) -> str:
    """Write what was seen of a run."""
    case = found.case
    verdict = "ok" if found.keeps_the_quota and found.uses_the_quota and found.code == 0 else "NOT OK"
    numbers = f"{case.rate:>6} {case.rows:>6} {found.code:>5} {found.most:>17,} {found.used:>11.1%}"
    return f"{case.name:<8} {numbers}  {verdict}"


async def table() -> bool:
    """Make all runs and print a line for each; return whether all are as they should be."""
    print(f"{'case':<8} {'rate':>6} {'rows':>6} {'exit':>5} {'most in a second':>17} {'utilisation':>12} verdict")
    gc.disable()  # a pause of the recorder would look like a burst of the program
    good = True
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="wire-") as folder:
            said = line(await seen(case, Path(folder)))
        print(said, flush=True)
        good = good and said.endswith("  ok")
    return good


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        sys.exit(0 if asyncio.run(table()) else 1)
    sys.exit(0 if uvloop.run(table()) else 1)
