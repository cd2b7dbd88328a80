"""`make bench`: everything in one go, peers interleaved, medians and ratios; the tables go to RESULTS.md.

Nothing is installed: a peer that is missing is left out, and the table says what would bring it. Absolute numbers say
little on a shared machine; ratios within one run say more.
"""

import csv
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bulksync import __version__
from tests.benchmarks import shared
from tests.benchmarks.cost import ROOT, Cost, environment, measured, median
from tests.benchmarks.peers import IN_FLIGHT, PEER_LIST, PEERS, bare, ours
from tests.benchmarks.setting import free_port, process, server, write_rows

RESULTS = Path(__file__).parent / "RESULTS.md"
ROUNDS = int(os.environ.get("BULKSYNC_ROUNDS", "5"))
LARGE = int(os.environ.get("BULKSYNC_LARGE", "1000000"))


def section(title: str, header: str, rows: Sequence[str]) -> str:
    """Return a titled table."""
    columns = header.count("|") + 1
    return "\n".join([f"## {title}", "", f"| {header} |", "|" + "---|" * columns, *(f"| {row} |" for row in rows), ""])


def compare_with_peers(url: str, folder: Path) -> str:
    """Measure us, the bare loop and the peers on the same rows, interleaved."""
    rows, small = folder / "rows.csv", 100_000
    costs: dict[str, list[Cost]] = {}
    peers = [peer for peer in PEER_LIST if shutil.which(peer.program)]
    for _ in range(ROUNDS):
        costs.setdefault("bare aiohttp loop", []).append(measured(bare(url, rows), small, folder))
        costs.setdefault("bulksync", []).append(cost_of_ours(url, rows, small))
        for peer in peers:
            costs.setdefault(peer.name, []).append(measured(peer.command(url, rows, peer.rows), peer.rows, folder))
    us = median(costs["bulksync"])
    lines = [
        f"{name} | {cost.rows:,} | {cost.rate:,.0f} | {us.rate / cost.rate:.2f} | {cost.cpu_per_row:,.0f} |"
        f" {us.cpu_per_row / cost.cpu_per_row:.2f} | {cost.peak / 1e6:,.0f}"
        for name, cost in ((name, median(found)) for name, found in costs.items())
    ]
    lines += [f"{peer.name} | not installed: {peer.missing} | | | | |" for peer in PEER_LIST if peer not in peers]
    header = (
        "what | rows | rows/s | bulksync is so many times as fast | CPU µs/row | bulksync's CPU, times this | peak MB"
    )
    return section(f"Against the peers ({ROUNDS} rounds, medians, {IN_FLIGHT} in flight)", header, lines)


def peer_commands() -> str:
    """Return the peers' exact commands, on one row."""
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.csv"
        write_rows(rows, 1)
        calls = [(peer.name, peer.command("URL", rows, 1)) for peer in PEER_LIST]
    lines = [f"- {name}: `{without_folders(' '.join(call), rows.parent)}`" for name, call in calls]
    return "\n".join(["Exact commands:", "", *lines, ""])


def without_folders(call: str, folder: Path) -> str:
    """Return a call without the folders of this machine, which say nothing to others."""
    for path in (folder, Path(PEERS).absolute() / "bin", ROOT):
        call = call.replace(f"{path}/", "")
    return call


def growth(url: str, folder: Path) -> str:
    """Measure whether time and memory per row grow with the input."""
    lines = []
    first: Cost | None = None
    for count in (10_000, 100_000, LARGE):
        rows = folder / f"rows-{count}.csv"
        write_rows(rows, count)
        cost = median([cost_of_ours(url, rows, count) for _ in range(3 if count < LARGE else 1)])
        first = first or cost
        lines.append(
            f"{count:,} | {cost.rate:,.0f} | {cost.cpu_per_row:,.0f} | {cost.peak / 1e6:,.0f} |"
            f" {(cost.wall / count) / (first.wall / first.rows):.2f} | {cost_of_report(rows, count).rate:,.0f}"
        )
        for path in folder.glob(f"rows-{count}.csv*"):
            path.unlink()
    header = "rows | rows/s | CPU µs/row | peak MB | time per row, times the first line's | `report` again, rows/s"
    return section("Growth", header, lines)


def cost_of_ours(url: str, rows: Path, count: int, **options: Any) -> Cost:
    """Measure a run of ours, with a new ledger each time: an old one is read through when it is opened."""
    for path in rows.parent.glob(f"{rows.name}.report*"):
        path.unlink()
    return measured(ours(url, rows, **options), count, rows.parent)


def cost_of_report(rows: Path, count: int) -> Cost:
    """Measure `report` from the ledger of a run, start-up included."""
    again = [sys.executable, "-m", "bulksync", "report", f"{rows}.report.csv.ledger", "-o", "again.csv", "--overwrite"]
    return median([measured(again, count, rows.parent) for _ in range(3)])


def worst_second(times: Sequence[float]) -> int:
    """Return the most events in any second."""
    worst = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= 1.0:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def dispatched(report: Path) -> list[float]:
    """Return when each row was sent, in order, from the report."""
    with report.open(newline="") as file:
        return sorted(datetime.fromisoformat(row["firstSentAt"]).timestamp() for row in csv.DictReader(file))


def fidelity(folder: Path) -> str:
    """Measure how exactly the quota is filled, against a strict limiter in a process of its own."""
    lines = []
    for rate, count in ((10, 150), (100, 1_500), (1_000, 10_000), (5_000, 30_000)):
        rows, log, port = folder / "paced.csv", folder / "arrivals", free_port()
        write_rows(rows, count)
        sink = [sys.executable, "-m", "tests.benchmarks.sink", str(port), "600", str(rate), str(log)]
        with process(sink, port):
            url = f"http://127.0.0.1:{port}"
            cost_of_ours(url, rows, count, rate=f"{rate}/s")
        arrivals = [float(line) for line in log.read_text().split()]
        sent = dispatched(folder / "paced.csv.report.csv")
        used = (count - 1) / (arrivals[-1] - arrivals[0]) / rate
        lines.append(
            f"{rate:,}/s | {count:,} | {worst_second(sent):,} | {worst_second(arrivals):,} | {used:.1%} |"
            f" {len(arrivals) - count}"
        )
    header = "quota | rows | worst second at dispatch | worst second at the server | utilisation | answered 429"
    return section("Rate fidelity", header, lines)


def alone(url: str, folder: Path) -> float:
    """Return by how many microseconds a row takes us longer than the bare loop, one in flight, start-up left out."""
    spent = []
    for count in (500, 3_500):
        rows = folder / f"alone-{count}.csv"
        write_rows(rows, count)
        spent.append(
            cost_of_ours(url, rows, count, in_flight=1).wall - measured(bare(url, rows, 1), count, folder).wall
        )
    return (spent[1] - spent[0]) / 3_000 * 1e6


def overhead(url: str, folder: Path) -> str:
    """Measure what pacing costs, what a row waits for us, and the steps before and after sending."""
    lines = []
    for loop in ("uvloop", "asyncio"):
        paced = [sys.executable, "-m", "tests.benchmarks.paced", loop]
        done = subprocess.run(paced, env=environment(), cwd=ROOT, capture_output=True, check=True)
        lines.append(f"limiter and dispatcher at 1,000/s, {loop} | {float(done.stdout):.1%} of a core")
    added = statistics.median(alone(url, folder) for _ in range(5))
    lines.append(f"added to a row's latency by bulksync, one in flight, against the bare loop | {added:.0f} µs")
    one = folder / "one.csv"
    rows, program = folder / "rows.csv", [sys.executable, "-m", "bulksync"]
    check = median([measured([*program, "check", str(rows)], 100_000, folder) for _ in range(3)])
    lines.append(f"`check` | {check.rate:,.0f} rows/s")
    lines.append(f"`report` | {cost_of_report(rows, 100_000).rate:,.0f} rows/s")
    version = median([measured([*program, "--version"], 1, folder) for _ in range(7)])
    lines.append(f"`--version` | {version.wall:.3f} s")
    write_rows(one, 1)
    sandbox = [*program, "run", str(one), "--sandbox", "--restart", "--overwrite"]
    lines.append(f"1-row run with `--sandbox` | {median([measured(sandbox, 1, folder) for _ in range(5)]).wall:.2f} s")
    return section("Around a run", "what | figure", lines)


def machine(sink: str) -> str:
    """Describe where and with what this was measured."""
    names = ("aiohttp", "uvloop", "pydantic", "orjson", "aiolimiter")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    processors = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()]
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench`: bulksync {__version__}, Python"
        f" {platform.python_version()}, {libraries}; {os.cpu_count()} cores ({processors[4]}), {platform.system()}"
        f" {platform.machine()}; server: {sink}, on the same machine. Machines are noisy: look at the ratios.\n"
    )


def main() -> None:
    """Measure everything, print it, and write RESULTS.md."""
    with tempfile.TemporaryDirectory(prefix="bulksync-bench-") as name:
        folder = Path(name)
        write_rows(folder / "rows.csv", 100_000)
        with server(folder) as (url, sink):
            parts = ["# Benchmarks", "", machine(sink), shown(compare_with_peers(url, folder)), peer_commands()]
            parts += [shown(overhead(url, folder)), shown(growth(url, folder))]
        parts.append(shown(fidelity(folder)))
        together, leases = shared.tables(folder, (10, 100, 1_000, 5_000))
        parts.append(shown(section("Several runs on one quota", shared.HEADER, together)))
        parts.append(shown(section("What a lease costs", "quota | CPU µs | µs", leases)))
    RESULTS.write_text("\n".join(parts))


def shown(table: str) -> str:
    """Print a table as soon as it is measured, and return it."""
    print(table, flush=True)
    return table


if __name__ == "__main__":
    main()
