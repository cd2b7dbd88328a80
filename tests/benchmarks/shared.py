"""Several real runs on one quota, and what a lease costs: `python -m tests.benchmarks.shared [RATE …]`.

One server, in this process, writes down when requests arrive. Together and shares are of the time in which all runs
send; the fullest second forgives 10 ms.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bulksync.quota.host import HostStation
from bulksync.quota.redis import RedisStation
from bulksync.quota.seat import Seat
from bulksync.quota.station import Station
from tests.benchmarks.cost import ROOT, environment
from tests.support.program import write_rows
from tests.support.recorder import SECOND, Conversation, most_in_a_second
from tests.support.recorder import Station as Recording
from tests.support.servers import free_port, redis

SECONDS = float(os.environ.get("BULKSYNC_SECONDS", "5"))
LEASES = 2_000

HEADER = "quota | runs | rate | fullest second | together | shares | CPU of all runs, s"


@dataclass(frozen=True, slots=True)
class Measured:
    """What the server saw of some runs."""

    worst: int
    together: float
    shares: list[float]
    cpu: float


@asynccontextmanager
async def recording() -> AsyncIterator[Recording]:
    """Serve without a distance, and write down what arrives."""
    station = Recording([])
    server = await asyncio.get_running_loop().create_server(lambda: Conversation(station), "127.0.0.1", 0)
    station.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield station


async def runs_of(quota: str, runs: int, rate: int, folder: Path) -> Measured:
    """Let some runs send for a while, and return what the server saw."""
    each = [range(run * 1_000_000, run * 1_000_000 + int(rate * SECONDS / runs)) for run in range(runs)]
    async with recording() as station:
        calls = []
        for number, rows in enumerate(each):
            own = folder / f"{quota[:5]}-{runs}-{rate}-{number}"
            own.mkdir()
            write_rows(own / "rows.csv", rows, turns=rows)
            spent = [sys.executable, "-m", "tests.benchmarks.spent", str(own / "spent.json")]
            call = [sys.executable, "-m", "bulksync", "run", str(own / "rows.csv"), "--base-url", station.url]
            options = ["--rate", f"{rate}/s", "--quota", quota, "--max-in-flight", "64", "--quiet"]
            calls.append([*spent, *call, *options])
        variables = environment() | {"XDG_STATE_HOME": str(folder / "state"), "FEATHER_API_KEY": "a-key-for-nobody"}
        started = [await asyncio.create_subprocess_exec(*call, env=variables, cwd=ROOT) for call in calls]
        codes = [await process.wait() for process in started]
    assert codes == [0] * runs, codes
    spans = [sorted(request.at for request in station.requests if request.row in rows) for rows in each]
    since, until = max(span[0] for span in spans), min(span[-1] for span in spans)
    counts = [sum(since <= at <= until for at in span) for span in spans]
    seconds = max(1e-9, (until - since) / SECOND)
    mean = statistics.mean(counts)
    cpu = sum(spent_in(folder / f"{quota[:5]}-{runs}-{rate}-{number}") for number in range(runs))
    return Measured(
        most_in_a_second(station.times), (sum(counts) - 1) / seconds, [count / mean for count in counts], cpu
    )


def spent_in(folder: Path) -> float:
    """Return the CPU seconds that a run has spent."""
    cpu: float = json.loads((folder / "spent.json").read_text())["cpu"]
    return cpu


async def cost_of(station: Station) -> tuple[float, float]:
    """Return how many microseconds of this process, and of time, a lease takes."""
    await station.lease(1, 1e6)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(LEASES):
        await station.lease(1, 1e6)
    return (time.process_time() - cpu) / LEASES * 1e6, (time.perf_counter() - wall) / LEASES * 1e6


async def costs(folder: Path, url: str) -> list[str]:
    """Measure a lease of each kind."""
    host = HostStation(folder / "a-lease")
    lines = ["host | {:.1f} | {:.1f}".format(*await cost_of(host))]
    host.close()
    if url:
        far = RedisStation(url, "a-lease", Seat("seat", "holder"))
        lines.append("redis | {:.1f} | {:.1f}".format(*await cost_of(far)))
        await far._redis.aclose()
    return lines


def line(quota: str, runs: int, rate: int, found: Measured) -> str:
    """Return a line of the table."""
    shares = " : ".join(f"{share:.2f}" for share in found.shares)
    return f"{quota} | {runs} | {rate:,}/s | {found.worst:,} | {found.together / rate:.1%} | {shares} | {found.cpu:.2f}"


def tables(folder: Path, rates: Sequence[int]) -> tuple[list[str], list[str]]:
    """Measure runs by quota, number and rate, and the leases; Redis is left out where it is not installed."""
    port = free_port()
    is_there = shutil.which("redis-server") is not None
    url = f"redis://127.0.0.1:{port}" if is_there else ""
    lines = []
    with redis(folder, port) if is_there else nullcontext():
        kinds = [("own", 1), ("host", 1), ("host", 2), ("host", 3), *([("redis", 2), ("redis", 3)] if url else [])]
        for rate, (quota, runs) in product(rates, kinds):
            found = asyncio.run(runs_of(url if quota == "redis" else quota, runs, rate, folder))
            lines.append(line(quota, runs, rate, found))
            print(lines[-1], flush=True)
        return lines, asyncio.run(costs(folder, url))


def main(rates: Sequence[int]) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bulksync-bench-") as name:
        print(HEADER)
        _, leases = tables(Path(name), rates)
        print("a lease | CPU µs | µs", *leases, sep="\n")


if __name__ == "__main__":
    main([int(rate) for rate in sys.argv[1:]] or [10, 100, 1_000])
