"""Signals: the first lets in-flight requests finish, the second cancels them, the third leaves; one only asks."""

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from bulksync.errors import StoppedError
from bulksync.sandbox.server import Sandbox, Settings, serve
from bulksync.sender.send import Brake
from bulksync.sender.signals import heard
from tests.support.program import execution, rows_of, write_rows
from tests.support.watched import PATIENCE, Running, ran, running

REPORT = "rows.csv.report.csv"
CODES = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}
LOOPS = ("uvloop", "asyncio")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an input of twenty rows."""
    write_rows(tmp_path / "rows.csv", range(1, 21))
    return tmp_path


def call(sandbox: Sandbox, *more: object) -> tuple[object, ...]:
    """Return the arguments of a run against a sandbox, four requests at once."""
    return ("run", "rows.csv", "--base-url", sandbox.url, "--rate", "unlimited", "--max-in-flight", 4, *more)


def told(report: Path) -> Counter[tuple[str, str]]:
    """Count the rows of a report by outcome and error."""
    return Counter((row["outcome"], row["error"]) for row in rows_of(report))


def updates(sandbox: Sandbox) -> list[str]:
    """Return the executions that were updated, in that order."""
    return [arrival.execution_id for arrival in sandbox.applied]


SLOW = Settings(latency=(0.1, 0.1))
"""Each answer takes long enough to send a signal meanwhile."""

LONG = ("--timeout", "10m")
"""Nothing that hangs ends of itself as long as a test has patience."""

PATIENT = (*LONG, "--drain", "10m")
"""Nothing but a second signal ends what is in flight then."""

HANGING = Settings(script={execution(number): ["hang"] for number in (2, 3, 4, 5)})
"""The first row is answered, the next four are not: they take all that may be in flight."""


def test_what_was_ignored_stays_ignored() -> None:
    """A signal that was ignored when the program started is not listened to."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert heard() == [signal.SIGINT, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard() == [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


# Once


@pytest.mark.fault(36, "SIGINT, SIGTERM or SIGHUP once")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", CODES)
async def test_the_first_signal_lets_requests_finish(name: str, loop: str, folder: Path) -> None:
    """In-flight requests finish and are recorded, the rest is unsent, the report whole; a repeat sends the rest."""
    async with serve(SLOW) as sandbox:
        async with running(*call(sandbox), folder=folder, loop=loop) as program:
            await program.until(lambda: len(sandbox.log) >= 3)
            program.process.send_signal(signal.Signals[name])
            done = await program.done()
        again = f"to resume, run the same command: bulksync run rows.csv --base-url {sandbox.url} --rate unlimited"
        assert (done.code, done.stdout) == (CODES[name], "")
        assert (
            f"bulksync: stopping; waiting for requests in flight (Ctrl-C again to cancel them): stopped by {name}\n"
            in done.stderr
        )
        assert done.stderr.endswith(f"bulksync: next: {again} --max-in-flight 4\n")
        rows = rows_of(folder / REPORT)
        assert [row["row"] for row in rows] == [str(number) for number in range(1, 21)]
        sent = {row["executionId"] for row in rows if row["outcome"] == "updated"}
        assert 3 <= len(sent) < 20
        assert sent == set(updates(sandbox))
        assert told(folder / REPORT) == {("updated", ""): len(sent), ("unsent", "interrupted"): 20 - len(sent)}
        assert {row["detail"] for row in rows if row["outcome"] == "unsent"} == {f"stopped by {name}"}
        assert (await ran(*call(sandbox), folder=folder, loop=loop)).code == 0
        assert told(folder / REPORT) == {("updated", ""): 20}
        assert sorted(updates(sandbox)) == [execution(number) for number in range(1, 21)]


async def test_draining_has_an_end(folder: Path) -> None:
    """After --drain, and not before, what is still in flight is cancelled, and unknown."""
    async with serve(HANGING) as sandbox, running(*call(sandbox, "--drain", "300ms", *LONG), folder=folder) as program:
        await program.until(lambda: len(sandbox.log) == 5)
        started = time.monotonic()
        program.process.terminate()
        done = await program.done()
        assert time.monotonic() - started >= 0.3
    assert done.code == 143
    assert told(folder / REPORT) == {
        ("updated", ""): 1,
        ("unknown", "interrupted"): 4,
        ("unsent", "interrupted"): 15,
    }


# Twice, and thrice


async def said_to_stop(program: Running) -> None:
    """Wait until the first signal was heard."""
    assert program.process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while b"stopping" not in (line := await program.process.stderr.readline()):
            assert line, "it ended before"


@pytest.mark.fault(37, "second signal")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", CODES)
async def test_the_second_signal_cancels_requests(name: str, loop: str, folder: Path) -> None:
    """What is in flight is unknown, and the report is there long before it could be answered."""
    async with serve(HANGING) as sandbox, running(*call(sandbox, *PATIENT), folder=folder, loop=loop) as program:
        await program.until(lambda: len(sandbox.log) == 5)
        program.process.send_signal(signal.Signals[name])
        await said_to_stop(program)  # two at once could be one signal
        program.process.send_signal(signal.Signals[name])
        done = await program.done()
    assert done.code == CODES[name]
    rows = rows_of(folder / REPORT)
    assert told(folder / REPORT) == {
        ("updated", ""): 1,
        ("unknown", "interrupted"): 4,
        ("unsent", "interrupted"): 15,
    }
    unknown = [row for row in rows if row["outcome"] == "unknown"]
    assert {(row["dispositionCertain"], row["attempts"], row["detail"]) for row in unknown} == {
        ("false", "1", "stopped while its request was in flight")
    }


async def test_the_second_signal_may_be_another_one(folder: Path) -> None:
    """Any second signal insists; the exit code is the first one's."""
    async with serve(HANGING) as sandbox, running(*call(sandbox, *PATIENT), folder=folder) as program:
        await program.until(lambda: len(sandbox.log) == 5)
        program.process.send_signal(signal.SIGTERM)
        await said_to_stop(program)
        program.process.send_signal(signal.SIGINT)
        assert (await program.done()).code == 143


@pytest.mark.parametrize("stderr", ["", " 2>&-"])
async def test_three_signals_end_the_program_whatever_it_does(stderr: str, folder: Path) -> None:
    """However many signals come at once, the program is gone at once, and a repeat finds every row."""
    async with serve(HANGING) as sandbox:
        async with running(*call(sandbox, *PATIENT), folder=folder, through="exec {}" + stderr) as program:
            await program.until(lambda: len(sandbox.log) == 5)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                program.process.send_signal(number)
            done = await program.done()
        assert done.code in CODES.values()
        assert (await ran(*call(sandbox), folder=folder)).code == 0
    assert told(folder / REPORT) == {("updated", ""): 20}


# Ignored


@pytest.mark.fault(38, "nohup and hangup")
async def test_nohup(folder: Path) -> None:
    """A signal that was ignored from the start changes nothing."""
    ignoring = "trap '' HUP; exec {}"
    async with serve(SLOW) as sandbox, running(*call(sandbox), folder=folder, through=ignoring) as program:
        await program.until(lambda: len(sandbox.log) >= 3)
        program.process.send_signal(signal.SIGHUP)
        done = await program.done()
    assert (done.code, told(folder / REPORT)) == (0, {("updated", ""): 20})


# Before the first request


def listens(status: str, number: signal.Signals = signal.SIGTERM) -> bool:
    """Whether a process whose /proc status this is has begun to listen to a signal (proc(5), SigCgt)."""
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("name", CODES)
async def test_a_signal_while_the_input_is_validated(name: str, tmp_path: Path) -> None:
    """Nothing is sent, no run is left, and a later call begins with the whole input."""
    write_rows(tmp_path / "rows.csv", range(100_000))
    async with serve(SLOW) as sandbox, running(*call(sandbox), folder=tmp_path) as program:
        status = Path(f"/proc/{program.process.pid}/status")
        await program.until(lambda: listens(status.read_text()))
        program.process.send_signal(signal.Signals[name])
        done = await program.done()
        assert (done.code, sandbox.log) == (CODES[name], [])
        command = f"bulksync run rows.csv --base-url {sandbox.url} --rate unlimited --max-in-flight 4"
    assert done.stderr == (
        "bulksync: stopped before the first request; nothing was sent\n"
        f"bulksync: next: to resume, run the same command: {command}\n"
    )
    assert not (tmp_path / REPORT).exists()
    write_rows(tmp_path / "rows.csv", [1])
    async with serve(Settings()) as sandbox:
        assert (await ran(*call(sandbox), folder=tmp_path)).code == 0
        assert len(sandbox.log) == 1


async def test_validation_that_ends_itself_for_a_signal() -> None:
    """Whether the signal reaches the reading thread or the one who waits for it first makes no difference."""
    brake = Brake()

    def validate() -> None:
        brake.drain_on_signal(signal.SIGINT)
        raise InterruptedError

    with pytest.raises(StoppedError) as caught, brake.before_sending():
        validate()
    assert caught.value.exit_code == 130


@pytest.mark.fault(51, "stdin stalls")
@pytest.mark.parametrize("name", CODES)
async def test_a_signal_while_stdin_stalls(name: str, tmp_path: Path) -> None:
    """A signal ends the waiting for stdin, and leaves no part of it behind."""
    arguments = ("run", "-", "--format", "csv", "--sandbox", "-o", "r.csv")
    async with running(*arguments, folder=tmp_path, is_fed=True) as program:
        assert program.process.stdin is not None
        program.process.stdin.write(b"workflowId,executionId,status\n")
        await program.until(lambda: any(tmp_path.glob("*.part")))
        program.process.send_signal(signal.Signals[name])
        async with asyncio.timeout(PATIENCE):
            await program.process.wait()
        assert program.process.returncode == CODES[name]
    assert os.listdir(tmp_path) == ["r.csv.ledger"]


async def test_stdin_that_stalls_and_goes_on(tmp_path: Path) -> None:
    """A pause in stdin is only a pause."""
    text = write_rows(tmp_path / "rows.csv", range(3)).read_bytes()
    async with running("run", "-", "--format", "csv", "--sandbox", folder=tmp_path, is_fed=True) as program:
        assert program.process.stdin is not None
        program.process.stdin.write(text[:100])
        await program.until(lambda: any(tmp_path.glob("*.part")))
        program.process.stdin.write(text[100:])
        program.process.stdin.close()
        assert (await program.done()).code == 0
    assert told(tmp_path / "stdin.report.csv") == {("updated", ""): 3}


# Asking


def masked(text: str) -> str:
    """Return what is said without numbers."""
    return re.sub(r"\d[\d.]*", "N", text)


@pytest.mark.parametrize("loop", LOOPS)
async def test_asking_how_far_a_run_is(loop: str, folder: Path) -> None:
    """SIGUSR1 is answered at once in one line, each time and with --quiet too, and changes nothing else."""
    async with serve(SLOW) as sandbox, running(*call(sandbox, "--quiet"), folder=folder, loop=loop) as program:
        await program.until(lambda: len(sandbox.log) >= 5)
        assert program.process.stderr is not None
        for _ in range(2):
            program.process.send_signal(signal.SIGUSR1)
            line = (await program.process.stderr.readline()).decode()
            expected = "bulksync: N of N rows (N %), N/s of unlimited, N in flight, Ns to go, updated N\n"
            assert masked(line) == expected
        done = await program.done()
    assert (done.code, done.stderr, told(folder / REPORT)) == (0, "", {("updated", ""): 20})


async def test_asking_before_the_first_request(tmp_path: Path) -> None:
    """While the input is read the answer says so, and reading goes on."""
    write_rows(tmp_path / "rows.csv", range(100_000))
    async with serve(SLOW) as sandbox, running(*call(sandbox), folder=tmp_path) as program:
        status = Path(f"/proc/{program.process.pid}/status")
        await program.until(lambda: listens(status.read_text(), signal.SIGUSR1))
        assert program.process.stderr is not None
        said = "opening the ledger"
        while "opening the ledger" in said:
            program.process.send_signal(signal.SIGUSR1)
            said = (await program.process.stderr.readline()).decode()
        assert masked(said) == "bulksync: reading rows.csv, nothing is sent yet, for Ns\n"
        program.process.terminate()
        assert ((await program.done()).code, sandbox.log) == (143, [])


def ignores(status: str, number: signal.Signals) -> bool:
    """Whether a process whose /proc status this is ignores a signal (proc(5), SigIgn)."""
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:")).split()[1]
    return bool(int(ignored, 16) >> (number - 1) & 1)


@pytest.mark.fault("D10", "SIGUSR1 while the program starts")
@pytest.mark.parametrize("command", ["run", "check"])
async def test_asking_before_there_is_something_to_say(command: str, folder: Path) -> None:
    """From its first instruction to its last a program that is asked all the time goes on, and ends as ever."""
    arguments: dict[str, tuple[object, ...]] = {"run": ("run", "rows.csv", "--sandbox"), "check": ("check", "rows.csv")}
    asked = 0
    async with running(*arguments[command], folder=folder, through="exec {} 2>said") as program:
        status = Path(f"/proc/{program.process.pid}/status")
        await program.until(lambda: ignores(status.read_text(), signal.SIGUSR1))
        while program.process.returncode is None:
            with suppress(ProcessLookupError):  # it has ended, and asyncio is about to hear of it
                os.kill(program.process.pid, signal.SIGUSR1)  # `send_signal` would take its exit code from asyncio
            asked += 1
            await asyncio.sleep(0.003)
        done = await program.done()
    assert (done.code, asked > 20) == (0, True)


@pytest.mark.fault("D10", "SIGUSR1 at any moment of the start")
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5])
async def test_asking_once_while_the_program_starts(delay: float, folder: Path) -> None:
    """One signal at any moment of the start changes nothing."""
    async with running("run", "rows.csv", "--sandbox", "-q", folder=folder, through="exec {} 2>said") as program:
        status = Path(f"/proc/{program.process.pid}/status")
        await program.until(lambda: ignores(status.read_text(), signal.SIGUSR1))
        await asyncio.sleep(delay)
        program.process.send_signal(signal.SIGUSR1)
        assert (await program.done()).code == 0
    assert told(folder / REPORT) == {("updated", ""): 20}


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
async def test_other_signals_end_the_program_while_it_starts(name: str, folder: Path) -> None:
    """A signal that ends programs ends this one too before it listens."""
    async with running("run", "rows.csv", "--sandbox", folder=folder) as program:
        status = Path(f"/proc/{program.process.pid}/status")
        await program.until(lambda: ignores(status.read_text(), signal.SIGUSR1))
        program.process.send_signal(signal.Signals[name])
        assert (await program.done()).code == -signal.Signals[name]
    assert not (folder / REPORT).exists()


async def test_asking_where_that_is_ignored(folder: Path) -> None:
    """Whoever started the program with SIGUSR1 ignored hears nothing."""
    ignoring = "trap '' USR1; exec {}"
    async with serve(SLOW) as sandbox, running(*call(sandbox, "-q"), folder=folder, through=ignoring) as program:
        await program.until(lambda: len(sandbox.log) >= 3)
        program.process.send_signal(signal.SIGUSR1)
        done = await program.done()
    assert (done.code, done.stderr, told(folder / REPORT)) == (0, "", {("updated", ""): 20})


async def test_asking_in_json(folder: Path) -> None:
    """With a log for programs the answer is an event."""
    async with (
        serve(SLOW) as sandbox,
        running(*call(sandbox, "-q", "--log-format", "json"), folder=folder) as program,
    ):
        await program.until(lambda: len(sandbox.log) >= 5)
        program.process.send_signal(signal.SIGUSR1)
        done = await program.done()
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(event["event"], event["level"]) for event in events] == [("asked", "info")]
    assert events[0]["text"].startswith(f"{events[0]['text'].split()[0]} of 20 rows (")


# Streams that others close


@pytest.mark.fault(39, "stderr or stdout closed")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("shell", ["exec {} >&-", "exec {} 2>&-", "exec {} >&- 2>&-", "exec {} <&- >&- 2>&-"])
async def test_closed_streams_change_nothing(shell: str, loop: str, folder: Path) -> None:
    """Without stdout, stderr or stdin every row is sent and reported, and the exit code is the same."""
    async with serve(Settings()) as sandbox:
        done = await ran(*call(sandbox, "--stats", "10ms"), folder=folder, through=shell, loop=loop)
    assert (done.code, told(folder / REPORT)) == (0, {("updated", ""): 20})


@pytest.mark.fault(39, "stderr or stdout closed")
async def test_a_reader_of_stderr_who_leaves_changes_nothing(folder: Path) -> None:
    """A pipe at stderr that is closed while the program speaks is no reason to stop."""
    shell = "{{ {}; echo $? >code; }} 2>&1 | true"
    async with serve(SLOW) as sandbox:
        await ran(*call(sandbox, "--stats", "10ms", "-vv"), folder=folder, through=shell)
    assert ((folder / "code").read_text(), told(folder / REPORT)) == ("0\n", {("updated", ""): 20})


async def test_a_reader_of_the_report_who_has_seen_enough(folder: Path) -> None:
    """A report at stdout may be cut off by who reads it; nothing is said about that."""
    write_rows(folder / "rows.csv", range(2000))
    shell = "{{ {}; echo $? >code; }} | head -n 1"
    done = await ran(
        "run", "rows.csv", "--sandbox", "--rate", "unlimited", "-q", "-o", "-", folder=folder, through=shell
    )
    assert ((folder / "code").read_text(), done.stderr) == ("0\n", "")
    assert done.stdout.startswith("row,line,workflowId")
    assert done.stdout.count("\n") == 1


# Other reasons to stop


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_run_that_is_out_of_time(loop: str, folder: Path) -> None:
    """After --max-duration nothing new is sent, what is in flight finishes, and the exit code says to go on."""
    async with serve(SLOW) as sandbox:
        done = await ran(*call(sandbox, "--max-duration", "500ms"), folder=folder, loop=loop)
        sent = len(updates(sandbox))
        assert (done.code, told(folder / REPORT)) == (
            10,
            {("updated", ""): sent, ("unsent", "deadline_exceeded"): 20 - sent},
        )
        assert 1 < sent < 20
        assert "stopped: --max-duration 0.5s was reached\n" in done.stderr


async def test_a_few_rows_at_a_time(folder: Path) -> None:
    """With --limit a run sends so many rows, and repeats send the others until all are done."""
    async with serve(Settings()) as sandbox:
        codes, sent = [], []
        for _ in range(4):
            codes.append((await ran(*call(sandbox, "--limit", 8), folder=folder)).code)
            sent.append(len(updates(sandbox)))
    assert (codes, sent) == ([10, 10, 0, 0], [8, 16, 20, 20])


async def test_a_limit_that_is_just_enough(folder: Path) -> None:
    """A limit of as many rows as there are is none."""
    async with serve(Settings()) as sandbox:
        assert (await ran(*call(sandbox, "--limit", 20), folder=folder)).code == 0
