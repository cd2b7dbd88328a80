"""Storage that fails: no row is lost, none is taken for done, and a message says how to go on."""

import asyncio
import os
import re
import resource
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bulksync.commands.target import SPARE_FILES, at_once
from bulksync.sandbox.server import Sandbox, Settings, serve
from tests.support.program import KEY, WORKFLOW, execution, rows_of, write_rows
from tests.support.watched import PATIENCE, ran, running

REPORT = "rows.csv.report.csv"
LEDGER = f"{REPORT}.ledger"
ROWS = 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an input."""
    write_rows(tmp_path / "rows.csv", range(ROWS))
    return tmp_path


def call(sandbox: Sandbox, *more: object) -> tuple[object, ...]:
    """Return the arguments of a run against a sandbox."""
    return ("run", "rows.csv", "--base-url", sandbox.url, "--rate", "unlimited", *more)


def told(folder: Path) -> Counter[tuple[str, str]]:
    """Count the rows of the report by outcome and error."""
    return Counter((row["outcome"], row["error"]) for row in rows_of(folder / REPORT))


def updates(sandbox: Sandbox) -> Counter[str]:
    """Count the updates of each execution."""
    return Counter(arrival.execution_id for arrival in sandbox.applied)


def whole(ledger: Path) -> bool:
    """Whether SQLite finds nothing wrong with a ledger."""
    with closing(sqlite3.connect(ledger)) as db:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def next_of(stderr: str) -> str:
    """Return what a message says to do next."""
    (found,) = re.findall("^bulksync: next: (.*)$", stderr, re.MULTILINE)
    return str(found)


# No space


@pytest.mark.fault(40, "no space for the ledger")
@pytest.mark.parametrize("blocks", [1, 8, 60, 120, 200, 280, 340, 400, 460])
async def test_no_space_for_the_ledger(blocks: int, folder: Path) -> None:
    """Wherever the ledger's writes begin to fail for good: exit 8, the ledger whole, and a repeat misses no row."""
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox), folder=folder, through=f"ulimit -f {blocks}; exec {{}}")
        assert (done.code, done.stdout) == (8, "")
        assert f"the ledger {LEDGER} cannot be read or written" in done.stderr
        assert "Traceback" not in done.stderr
        assert next_of(done.stderr).endswith(f": bulksync {' '.join(str(word) for word in call(sandbox))}")
        assert whole(folder / LEDGER)
        before = updates(sandbox)
        rendered = await ran("report", LEDGER, folder=folder)
        if rendered.code == 0:
            updated = {row["executionId"] for row in rows_of(folder / REPORT) if row["outcome"] == "updated"}
            assert len(rows_of(folder / REPORT)) == ROWS
            assert updated <= set(before)
        else:
            assert (rendered.code, before) == (2, Counter())
        assert (await ran(*call(sandbox), folder=folder)).code == 0
        assert set(updates(sandbox)) == {execution(number) for number in range(ROWS)}
    assert told(folder) == {("updated", ""): ROWS}


@pytest.mark.fault(40, "no space for the ledger")
async def test_no_space_for_the_ledger_for_a_while(folder: Path) -> None:
    """One failed commit stops the run; what was answered is recorded once there is space, and reported."""
    async with serve(Settings(latency=(0.2, 0.4))) as sandbox:
        async with running(*call(sandbox, "--max-in-flight", 4), folder=folder) as program:
            await program.until(lambda: len(sandbox.log) >= 6)
            pid = program.process.pid
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            assert program.process.stderr is not None
            async with asyncio.timeout(PATIENCE):
                while b"stopping" not in (said := await program.process.stderr.readline()):
                    pass
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            done = await program.done()
        sent = updates(sandbox)
    assert (
        said.decode() == "bulksync: stopping; waiting for requests in flight (Ctrl-C again to cancel them): "
        "the ledger cannot be written\n"
    )
    assert done.code == 8
    assert next_of(done.stderr).startswith("free space, then run it again: bulksync run rows.csv")
    assert told(folder) == {("updated", ""): len(sent), ("unsent", "aborted_storage"): ROWS - len(sent)}


@pytest.mark.fault(41, "no space for the report")
async def test_no_space_for_the_report(tmp_path: Path) -> None:
    """A report that cannot be written is exit 8, leaves no part of it, and can be had later, as can the exit code."""
    note = "x" * 5_000
    lines = [f"{WORKFLOW},{execution(number)},COMPLETED,{note}\n" for number in range(300)]
    (tmp_path / "rows.csv").write_text("workflowId,executionId,status,note\n" + "".join(lines))
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox), folder=tmp_path, through="ulimit -f 2000; exec {}")
        assert (done.code, done.stderr.count("Traceback")) == (8, 0)
        assert f"bulksync: the report {REPORT} cannot be written: File too large\n" in done.stderr
        assert f"bulksync report {LEDGER}" in next_of(done.stderr)
        assert f"bulksync {' '.join(str(word) for word in call(sandbox))}" in next_of(done.stderr)
        assert sorted(os.listdir(tmp_path)) == ["rows.csv", LEDGER]
        assert (await ran("report", LEDGER, folder=tmp_path)).code == 0
        assert told(tmp_path) == {("updated", ""): 300}
        first = (tmp_path / REPORT).read_bytes()
        assert (await ran(*call(sandbox), folder=tmp_path)).code == 0
        assert (tmp_path / REPORT).read_bytes() == first
        assert sum(updates(sandbox).values()) == 300


@pytest.mark.fault(41, "no space for the report")
async def test_no_space_behind_stdout(folder: Path) -> None:
    """A report that stdout did not take is exit 8."""
    done = await ran(
        "run", "rows.csv", "--sandbox", "--rate", "unlimited", "-o", "-", folder=folder, through="exec {} >/dev/full"
    )
    assert done.code == 8
    assert "bulksync: the report - cannot be written: No space left on device\n" in done.stderr


# No place


@pytest.mark.fault(42, "a folder that cannot be written to")
@pytest.mark.parametrize("ledger", ["/proc/rows.ledger", "rows.csv/x.ledger", "no/x.ledger", "/dev/full", "."])
async def test_no_place_for_the_ledger(ledger: str, folder: Path) -> None:
    """A ledger that cannot be there is exit 8 before any request."""
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox, "--ledger", ledger), folder=folder)
        assert (done.code, sandbox.log) == (8, [])
    assert "Traceback" not in done.stderr
    assert os.listdir(folder) == ["rows.csv"]


@pytest.mark.fault(42, "a folder that cannot be written to")
@pytest.mark.skipif(os.getuid() == 0, reason="permissions do not bind root")
async def test_a_folder_that_is_read_only(folder: Path) -> None:
    """A folder without write permission is exit 8 before any request."""
    async with serve(Settings()) as sandbox:
        os.chmod(folder, 0o500)
        try:
            done = await ran(*call(sandbox), folder=folder)
        finally:
            os.chmod(folder, 0o700)
        assert (done.code, sandbox.log) == (8, [])


async def test_a_folder_for_the_report_that_is_not_there(folder: Path) -> None:
    """A report that has no folder is a wrong call, found before any request."""
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox, "-o", "no/r.csv", "--ledger", "x.ledger"), folder=folder)
        assert (done.code, sandbox.log) == (2, [])


def flipped(ledger: Path) -> None:
    """Overwrite the middle of every page but the first."""
    data = bytearray(ledger.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"?" * 64
    ledger.write_bytes(data)


def newer(ledger: Path) -> None:
    """Make it a ledger of a later format."""
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.fault(43, "ledger corrupted, or of a newer format")
@pytest.mark.parametrize("harm", [flipped, newer], ids=lambda harm: harm.__name__)
async def test_a_ledger_that_is_not_whole(harm: Callable[[Path], None], folder: Path) -> None:
    """It is refused by every command, exit 8, kept as it is, and nothing is sent."""
    async with serve(Settings()) as sandbox:
        assert (await ran(*call(sandbox), folder=folder)).code == 0
        harm(folder / LEDGER)
        before = (folder / LEDGER).read_bytes()
        for command in (call(sandbox), call(sandbox, "--resend"), ("report", LEDGER)):
            done = await ran(*command, folder=folder)
            assert (done.code, "it was left as it is" in done.stderr) == (8, True)
        assert ((folder / LEDGER).read_bytes(), len(sandbox.log)) == (before, ROWS)


# The input changes

LONG = 2_000


def long_input(path: Path) -> None:
    """Write rows of which nobody reads the second thousand before the first is on its way."""
    metadata = '"{""note"": ""' + "x" * 2_000 + '""}"'
    lines = [f"{WORKFLOW},{execution(number)},COMPLETED,{metadata}\n" for number in range(LONG)]
    path.write_text("workflowId,executionId,status,metadata\n" + "".join(lines))


def edited(path: Path) -> None:
    """Change one row near the end in its place."""
    with path.open("r+b") as file:
        file.seek(-1_000, os.SEEK_END)
        file.write(b"changed")


def truncated(path: Path) -> None:
    """Cut the input near its end, between two rows."""
    last = path.read_bytes().splitlines(keepends=True)[-1]
    os.truncate(path, path.stat().st_size - len(last))


def appended(path: Path) -> None:
    """Add a row."""
    with path.open("a") as file:
        file.write(f"{WORKFLOW},{execution(LONG)},COMPLETED,\n")


@pytest.mark.fault(46, "input appended or edited during the run")
@pytest.mark.parametrize(("harm", "count"), [(edited, 1_000), (truncated, 1_000), (appended, LONG)])
async def test_an_input_that_changes_meanwhile(harm: Callable[[Path], None], count: int, tmp_path: Path) -> None:
    """A changed row is not sent, nor is any behind it: exit 7, the rest unsent, and what was sent is reported."""
    long_input(tmp_path / "rows.csv")
    async with serve(Settings(latency=(0.002, 0.004))) as sandbox:
        async with running(*call(sandbox, "--max-in-flight", 4), folder=tmp_path) as program:
            await program.until(lambda: len(sandbox.log) > 0)
            harm(tmp_path / "rows.csv")
            done = await program.done()
        sent = updates(sandbox)
    assert done.code == 7
    assert "rows.csv changed after it was validated" in done.stderr
    assert "the report lacks the input's other columns" in done.stderr
    rows = set(sent)  # on a busy machine one may be sent again
    assert rows == {execution(number) for number in range(len(rows))}
    assert count - 4 * 4 <= len(rows) <= count  # what waited for its turn stays unsent too
    assert told(tmp_path) == Counter({("updated", ""): len(rows), ("unsent", "input_changed"): LONG - len(rows)})


async def test_a_changed_input_whose_name_is_no_word(tmp_path: Path) -> None:
    """The reason in the report is text for people, and each line has its cells, whatever the input is called."""
    name = "ro\x1fws\x1b[31m.csv"
    long_input(tmp_path / name)
    async with serve(Settings(latency=(0.002, 0.004))) as sandbox:
        arguments = [name if word == "rows.csv" else word for word in call(sandbox, "--max-in-flight", 4)]
        async with running(*arguments, folder=tmp_path) as program:
            await program.until(lambda: len(sandbox.log) > 0)
            edited(tmp_path / name)
            done = await program.done()
    assert done.code == 7
    unsent = [row for row in rows_of(tmp_path / f"{name}.report.csv") if row["outcome"] == "unsent"]
    assert {row["error"] for row in unsent} == {"input_changed"}
    assert all(row["detail"].startswith("ro ws.csv changed after it was validated") for row in unsent)


@pytest.mark.fault(47, "input deleted during the run")
async def test_an_input_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    """An open file stays readable, so that the run goes on; what the report cannot show any more is said."""
    long_input(tmp_path / "rows.csv")
    async with serve(Settings(latency=(0.002, 0.004))) as sandbox:
        async with running(*call(sandbox, "--max-in-flight", 8), folder=tmp_path) as program:
            await program.until(lambda: len(sandbox.log) > 0)
            (tmp_path / "rows.csv").unlink()
            done = await program.done()
        assert len(updates(sandbox)) == LONG
    assert (done.code, told(tmp_path)) == (0, {("updated", ""): LONG})
    assert "No such file or directory; the report lacks the input's other columns\n" in done.stderr


# Two at once


@pytest.mark.fault(44, "two overlapping cron runs")
async def test_a_second_run_on_the_same_ledger(folder: Path) -> None:
    """It ends with 9 while the first runs on, sends nothing, and does not disturb it; a reader ends the same way."""
    async with serve(Settings(latency=(5.0, 5.0))) as sandbox:
        async with running(*call(sandbox, "--max-in-flight", 8), folder=folder) as program:
            await program.until(lambda: len(sandbox.log) > 0)
            for command in (call(sandbox), ("report", LEDGER)):
                second = await ran(*command, folder=folder)
                assert second.code == 9
                assert second.stderr.startswith(f"bulksync: another run holds the ledger {LEDGER}\n")
            assert program.process.returncode is None
            sandbox.settings = replace(sandbox.settings, latency=(0.0, 0.0))  # the first has been slow for long enough
            assert (await program.done()).code == 0
        assert updates(sandbox) == Counter(execution(number) for number in range(ROWS))
    assert told(folder) == {("updated", ""): ROWS}


@pytest.mark.fault(44, "two overlapping cron runs")
async def test_waiting_for_the_first_run(folder: Path) -> None:
    """With --lock-wait the second run comes after the first, and finds everything done."""
    async with serve(Settings(latency=(0.02, 0.02))) as sandbox:
        async with running(*call(sandbox, "--max-in-flight", 8), folder=folder) as program:
            await program.until(lambda: len(sandbox.log) > 0)
            second = await ran(*call(sandbox, "--lock-wait", "30s"), folder=folder)
            first = await program.done()
        assert (first.code, second.code, len(sandbox.log)) == (0, 0, ROWS)
    assert "bulksync: all rows done by run " in second.stderr


# Other people's files


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
async def test_a_report_of_somebody_else(more: tuple[str, ...], folder: Path) -> None:
    """A file that the ledger did not write is replaced only with --overwrite; without, nothing is sent."""
    (folder / REPORT).write_text("somebody's\n")
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox, *more), folder=folder)
        if more:
            assert (done.code, told(folder)) == (0, {("updated", ""): ROWS})
        else:
            assert (done.code, sandbox.log, (folder / REPORT).read_text()) == (2, [], "somebody's\n")
            assert next_of(done.stderr).startswith("move it away, or add --overwrite; with another --output ")


async def test_a_report_that_is_a_link(folder: Path) -> None:
    """A link in the report's place is refused, whatever it points to."""
    (folder / "theirs").write_text("theirs")
    (folder / REPORT).symlink_to(folder / "theirs")
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox, "--overwrite"), folder=folder)
        assert (done.code, sandbox.log, (folder / "theirs").read_text()) == (2, [], "theirs")


async def test_no_artefact_holds_the_key_or_metadata(folder: Path) -> None:
    """Neither the key nor what a row sends is in any file that a run leaves or in anything it says."""
    (folder / "rows.csv").write_text((folder / "rows.csv").read_text().replace("turn", "canary-metadata"))
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox, "-vv", "--summary", "s.json"), folder=folder)
    assert done.code == 0
    made = sorted({*os.listdir(folder)} - {"rows.csv"})
    assert made == [REPORT, LEDGER, "s.json"]
    for path in (folder / name for name in made):
        text = path.read_text(errors="replace")
        assert (KEY in text, "canary-metadata" in text, path.stat().st_mode & 0o777) == (False, False, 0o600), path
    assert KEY not in done.stderr
    assert "canary-metadata" not in done.stderr


# Few files


def test_requests_at_once_leave_files_for_the_rest() -> None:
    """As many as asked for, as there are open files to spare, and always one."""
    found = {files: at_once(100, files) for files in (0, 48, SPARE_FILES, SPARE_FILES + 2, 164, 1024)}
    assert found == {0: 1, 48: 1, 64: 1, 66: 2, 164: 100, 1024: 100}


@pytest.mark.fault(54, "few open files")
@pytest.mark.parametrize(("files", "allowed"), [(48, 1), (100, 36)])
async def test_few_open_files(files: int, allowed: int, folder: Path) -> None:
    """Where few files may be open there are fewer requests at once, which is said, and every row is sent."""
    async with serve(Settings()) as sandbox:
        asked = call(sandbox, "--max-in-flight", 100)
        done = await ran(*asked, folder=folder, through=f"ulimit -n {files}; exec {{}}")
    assert (done.code, told(folder)) == (0, {("updated", ""): ROWS})
    assert f"bulksync: {allowed} concurrent requests, not the 100 asked for: ulimit -n is {files}\n" in done.stderr


@pytest.mark.fault(55, "clock step")
@pytest.mark.skip(reason="the wall clock of this host cannot be stepped; the dispatcher's tests step theirs")
def test_a_clock_that_is_stepped() -> None:
    """Nothing but reported times depends on the time of day."""
