"""`run --save-before` reads each execution before its first update, so that the run can be undone."""

import asyncio
import os
import random
import signal
from pathlib import Path
from time import sleep
from typing import Any

import orjson
import pytest

from tests.support import fault_server as faults
from tests.support.program import CANARY, bulksync, execution, rows_of, started, write_rows
from tests.support.rates import fullest
from tests.support.sandboxes import api

KILLS = int(os.environ.get("BULKSYNC_KILLS", "6"))
"""How often the run is killed; `BULKSYNC_KILLS=50` is the whole proof, over ten rows for each kill."""

FAULTS = "server_error=0.02,reset_before=0.01,reset_after=0.01,unavailable=0.01"

RUN = ("run", "rows.csv", "--save-before", "before.jsonl")


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Return what the sandbox saw, in the order in which that was settled."""
    text = (folder / "log").read_bytes() if (folder / "log").exists() else b""
    return [orjson.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def held(folder: Path, url: str, name: str) -> list[bytes]:
    """Return what the server holds of each execution of the input, in its own bytes."""
    done = bulksync("fetch", "rows.csv", "--base-url", url, "--rate", "unlimited", "-o", name, folder=folder)
    assert done.code == 0, done.stderr
    lines = (folder / name).read_bytes().splitlines()
    return [line[: line.index(b',"outcome"')] for line in lines]


def test_each_execution_is_read_before_its_first_update(tmp_path: Path) -> None:
    """GET before PUT, once for each execution, and the quota holds over both together."""
    write_rows(tmp_path / "rows.csv", [1, 2, 1, 3, 2, 1])
    with api(tmp_path) as url:
        done = bulksync(*RUN, "--base-url", url, "--rate", "20/s", folder=tmp_path)
    assert (done.code, "takes a turn more" in done.stderr) == (0, True)
    seen = log_of(tmp_path)
    ways = {number: [one["method"] for one in seen if one["execution_id"] == execution(number)] for number in (1, 2, 3)}
    assert ways == {1: ["GET", *["PUT"] * 3], 2: ["GET", *["PUT"] * 2], 3: ["GET", "PUT"]}
    assert fullest([one["monotonic"] for one in seen], 1.0 - 0.01) <= 20
    assert "9 requests" in done.stderr
    assert [row["attempts"] for row in rows_of(tmp_path / "rows.csv.report.csv")] == ["1"] * 6
    assert (tmp_path / "before.jsonl").stat().st_mode & 0o777 == 0o600


async def test_what_cannot_be_read_is_not_updated(tmp_path: Path) -> None:
    """A row whose execution is refused to a GET is never sent, and says why."""
    write_rows(tmp_path / "rows.csv", [1, 2])
    script = (faults.valid, faults.valid, faults.answer(404, b'{"message": "gone"}'))
    async with faults.serve(*script) as server:
        options = ("--base-url", server.url, "--max-in-flight", 1, "--rate", "unlimited")
        done = await asyncio.to_thread(lambda: bulksync(*RUN, *options, folder=tmp_path))
    second = rows_of(tmp_path / "rows.csv.report.csv")[1]
    assert (done.code, [request.method for request in server.requests]) == (3, ["GET", "PUT", "GET"])
    assert (second["outcome"], second["error"]) == ("rejected", "http_404")
    assert second["detail"] == "not updated, as its state could not be read first: gone"


async def test_reading_does_not_show_that_writing_is_allowed(tmp_path: Path) -> None:
    """A key that may only read stops the run with 5; no row is rejected."""
    write_rows(tmp_path / "rows.csv", range(1, 31))

    async def read_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: faults.Request) -> None:
        refuse = faults.answer(403, b'{"message": "read-only key"}')
        await (faults.valid if request.method == "GET" else refuse)(reader, writer, request)

    async with faults.serve(then=read_only) as server:
        options = ("--base-url", server.url, "--rate", "unlimited")
        done = await asyncio.to_thread(lambda: bulksync(*RUN, *options, folder=tmp_path))
    outcomes = {row["outcome"] for row in rows_of(tmp_path / "rows.csv.report.csv")}
    assert (done.code, outcomes) == (5, {"failed", "unsent"})


@pytest.mark.parametrize("moment", ["first", "after some rows"])
def test_states_of_another_moment_are_refused(moment: str, tmp_path: Path) -> None:
    """A file that is there already, and one given only when executions were updated, stop the run before it sends."""
    write_rows(tmp_path / "rows.csv", [1, 2, 3])
    with api(tmp_path) as url:
        if moment == "first":
            (tmp_path / "before.jsonl").write_text("{}\n")
        else:
            bulksync("run", "rows.csv", "--base-url", url, "--limit", 1, folder=tmp_path)
        count = len(log_of(tmp_path))
        codes = [bulksync(*RUN, "--base-url", url, folder=tmp_path).code for _ in range(2)]
        assert (codes, len(log_of(tmp_path))) == ([2, 2], count)


def test_a_later_call_goes_on_with_the_same_file(tmp_path: Path) -> None:
    """What a first call has saved is kept; what it did not get to is saved by the next."""
    write_rows(tmp_path / "rows.csv", [1, 2, 3, 1])
    with api(tmp_path) as url:
        codes = [
            bulksync(*RUN, "--base-url", url, "--rate", "unlimited", *more, folder=tmp_path).code
            for more in (("--limit", 1), ())
        ]
    saved = (tmp_path / "before.jsonl").read_text()
    assert (codes, saved.count("\n"), CANARY in saved) == ([10, 0], 3, False)


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_killed_run_can_be_undone(tmp_path: Path) -> None:
    """After kill -9 at many points, with faults, each execution that was sent has its true state in the file.

    Running the file restores every execution byte for byte.
    """
    luck = random.Random(16)  # noqa: S311  no secret
    write_rows(tmp_path / "rows.csv", [number for number in range(1, 7 * KILLS + 1) for _ in range(1 + number % 2)])
    with api(tmp_path, "--faults", FAULTS, "--replaces-metadata") as url:
        before = held(tmp_path, url, "first.jsonl")
        for _ in range(KILLS):
            seen = len(log_of(tmp_path)) + luck.randrange(1, 25)
            with started(*RUN, "--base-url", url, "--rate", "200/s", folder=tmp_path) as process:
                while len(log_of(tmp_path)) < seen and process.poll() is None:
                    sleep(0.002)
                process.send_signal(signal.SIGKILL)
                process.wait()
            states = [
                line[: line.index(b',"outcome"')] for line in (tmp_path / "before.jsonl").read_bytes().splitlines()
            ]
            updated = {one["execution_id"] for one in log_of(tmp_path) if one["applied"]}
            assert set(states) <= set(before)
            assert updated <= {orjson.loads(state + b"}")["executionId"] for state in states}
        assert bulksync(*RUN, "--base-url", url, "--rate", "unlimited", folder=tmp_path).code == 0
        assert held(tmp_path, url, "between.jsonl") != before
        undone = bulksync("run", "before.jsonl", "--base-url", url, "--rate", "unlimited", folder=tmp_path)
        assert (undone.code, held(tmp_path, url, "after.jsonl")) == (0, before)
