"""How each tool is called: a function takes the URL, the file of rows and how many of them, and returns a command."""

import csv
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

IN_FLIGHT = 64
PEERS = os.environ.get("BULKSYNC_PEERS", ".bench")
"""A virtual environment with minet and httpx: `python3 -m venv .bench && .bench/bin/pip install minet httpx`."""


def ours(url: str, rows: Path, *more: str, in_flight: int = IN_FLIGHT, rate: str = "unlimited") -> list[str]:
    """Return a run with every guarantee on."""
    options = ["--rate", rate, "--max-in-flight", str(in_flight), "--restart", "--overwrite", "--quiet"]
    return [sys.executable, "-m", "bulksync", "run", str(rows), "--base-url", url, *options, *more]


def bare(url: str, rows: Path, in_flight: int = IN_FLIGHT) -> list[str]:
    """Return the bare loop."""
    return [sys.executable, "-m", "tests.benchmarks.bare", url, str(rows), str(in_flight)]


def read(rows: Path, limit: int) -> list[dict[str, str]]:
    """Return the first rows of an input."""
    with rows.open(newline="") as file:
        return [row for row, _ in zip(csv.DictReader(file), range(limit), strict=False)]


def path_of(row: dict[str, str]) -> str:
    """Return the path that updates a row."""
    return f"/api/v1/workflow/{row['workflowId']}/execution/{row['executionId']}"


def body_of(row: dict[str, str]) -> str:
    """Return the JSON to send for a row."""
    return f'{{"status":"{row["status"]}","metadata":{row["metadata"]}}}'


def curl_parallel(url: str, rows: Path, limit: int) -> list[str]:
    """Return `curl --parallel` with a configuration file made for the rows."""
    config = rows.parent / "curl.conf"
    blocks = [
        f'url = "{url}{path_of(row)}"\nrequest = PUT\nheader = "X-API-Key: key"\n'
        f'header = "Content-Type: application/json"\ndata = {quoted(body_of(row))}\noutput = "answers/{number}"\n'
        for number, row in enumerate(read(rows, limit))
    ]
    (rows.parent / "answers").mkdir(exist_ok=True)
    config.write_text("next\n".join(blocks))
    return [
        "curl",
        "--silent",
        "--parallel",
        "--parallel-immediate",
        "--parallel-max",
        str(IN_FLIGHT),
        "-K",
        str(config),
    ]


def quoted(text: str) -> str:
    """Quote a value for curl's configuration file."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def minet_fetch(url: str, rows: Path, limit: int) -> list[str]:
    """Return `minet fetch`; it has no bodies, so that it sends bare PUTs."""
    urls = rows.parent / "urls.csv"
    urls.write_text("url\n" + "".join(f"{url}{path_of(row)}\n" for row in read(rows, limit)))
    options = ["-X", "PUT", "--throttle", "0", "--domain-parallelism", str(IN_FLIGHT), "-t", str(IN_FLIGHT), "--silent"]
    return [
        f"{Path(PEERS).absolute()}/bin/minet",
        "fetch",
        "url",
        "-i",
        str(urls),
        *options,
        "-o",
        "minet.csv",
        "-O",
        "minet",
    ]


def gnu_parallel(url: str, rows: Path, limit: int) -> list[str]:
    """Return GNU parallel starting a curl for each row."""
    table = rows.parent / "parallel.tsv"
    table.write_text("".join(f"{url}{path_of(row)}\t{body_of(row)}\n" for row in read(rows, limit)))
    curl = "curl --silent -o /dev/null -X PUT -H 'X-API-Key: key' -H 'Content-Type: application/json' -d {2} {1}"
    return ["parallel", "-j", str(IN_FLIGHT), "--colsep", "\\t", curl, "::::", str(table)]


def httpx_script(url: str, rows: Path, limit: int) -> list[str]:
    """Return the script that the web teaches."""
    with (rows.parent / "httpx.csv").open("w", newline="") as file:
        kept = read(rows, limit)
        writer = csv.DictWriter(file, kept[0])
        writer.writeheader()
        writer.writerows(kept)
    script = str(Path(__file__).with_name("httpx_script.py"))
    return [f"{Path(PEERS).absolute()}/bin/python", script, url, str(rows.parent / "httpx.csv"), str(IN_FLIGHT)]


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool that a user would pick: how to call it, on how many rows, and what brings it where it is missing."""

    name: str
    command: Callable[[str, Path, int], list[str]]
    rows: int
    program: str
    missing: str


PEER_LIST = (
    Peer("curl --parallel", curl_parallel, 20_000, "curl", "Debian's curl"),
    Peer("minet fetch", minet_fetch, 2_000, f"{PEERS}/bin/minet", f"pip install minet, in {PEERS}"),
    Peer("GNU parallel + curl", gnu_parallel, 400, "parallel", "Debian's parallel"),
    Peer("asyncio + httpx script", httpx_script, 5_000, f"{PEERS}/bin/httpx", f"pip install httpx, in {PEERS}"),
)
