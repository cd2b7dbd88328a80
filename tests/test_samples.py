"""The recipes in `samples/`: cron's line and systemd's units pass their tools' checks, and what they call is run."""

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from configparser import RawConfigParser
from pathlib import Path

import pytest

from bulksync.options.models import RunOptions
from bulksync.sandbox.server import Sandbox, Settings, serve
from tests.support.endings import STOPS, ending
from tests.support.program import KEY, Done, rows_of, write_rows
from tests.support.servers import program

SAMPLES = Path(__file__).parent.parent / "samples"
CRONTAB = (SAMPLES / "crontab").read_text()
BULKSYNC = "/opt/bulksync/bin/bulksync"
COLLECTED = "/var/lib/prometheus/node-exporter"
OURS = str(Path(sys.executable).with_name("bulksync"))

CODES = {0, 2, 3, 4, 9, 11, *STOPS}
"""The contract's exit codes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home folder with an export of eight rows, and a key of its own."""
    write_rows(tmp_path / "export.csv", range(8))
    (tmp_path / "feather.key").write_text(f"{KEY}\n")
    (tmp_path / "feather.key").chmod(0o600)
    return tmp_path


def bare(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables that cron gives to a job, in a locale of ASCII: not those of whoever runs the tests."""
    paths = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "feather", "LC_ALL": "C"}
    return paths | more


async def ran(arguments: list[str], folder: Path, variables: dict[str, str]) -> Done:
    """Run a job as cron and systemd do: no terminal, nothing on stdin, few variables, files for the user alone."""
    done = await asyncio.to_thread(
        subprocess.run,
        arguments,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        umask=0o077,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


# cron


def cron_command() -> str:
    """Return the command of the crontab's only job: what stands behind five fields of time."""
    (line,) = (line for line in CRONTAB.splitlines() if line and line[0] in "*0123456789@")
    assert "%" not in line, "cron makes a line end of it"
    return line.split(maxsplit=5)[5]


async def by_cron(folder: Path, sandbox: Sandbox, changed: Mapping[str, str] | None = None) -> Done:
    """Run the crontab's job in *folder* against a sandbox, its durations *changed*."""
    places = {"/srv/feather": folder, BULKSYNC: OURS, "/etc/bulksync/feather-key": "feather.key", COLLECTED: folder}
    command = cron_command()
    for old, new in {**places, **(changed or {})}.items():
        assert old in command
        command = command.replace(old, str(new))
    return await ran(["/bin/sh", "-c", f"{command} --base-url {sandbox.url}"], folder, bare(folder))


async def test_cron_mails_nothing_when_all_is_well(folder: Path) -> None:
    """A night that goes well prints no byte, sends every row, and says in the metrics that it did."""
    async with serve(Settings(key=KEY)) as sandbox:
        assert await by_cron(folder, sandbox) == Done(0, "", "")
        assert await by_cron(folder, sandbox) == Done(0, "", "")
    assert [row["outcome"] for row in rows_of(folder / "export.csv.report.csv")] == ["updated"] * 8
    assert ending(folder / "bulksync.prom") == (0, True, True)


async def test_cron_mails_what_went_wrong(folder: Path) -> None:
    """A night that does not says how many rows of which outcome, for which reason, where to look, and what to do."""
    async with serve(Settings(key=KEY, unknown_rate=0.5)) as sandbox:
        done = await by_cron(folder, sandbox)
    outcomes = [row["outcome"] for row in rows_of(folder / "export.csv.report.csv")]
    updated, rejected = outcomes.count("updated"), outcomes.count("rejected")
    lines = done.stderr.splitlines()
    assert (done.code, done.stdout, updated + rejected, rejected > 0) == (3, "", 8, True)
    assert f"updated {updated}" in lines[0]
    assert f"rejected {rejected}" in lines[0]
    assert f"bulksync: errors: http_404 {rejected}" in lines
    assert "bulksync: report: export.csv.report.csv" in lines
    assert lines[-1].startswith("bulksync: next: get the rejected and invalid rows as a file: bulksync report ")
    assert ending(folder / "bulksync.prom") == (3, False, False)


async def test_a_night_is_over_and_the_next_one_goes_on(folder: Path) -> None:
    """What --max-duration leaves is sent by the same line on the next night, each row once."""
    async with serve(Settings(key=KEY)) as sandbox:
        first = await by_cron(folder, sandbox, {"--max-duration 4h": "--max-duration 250ms"})
        left = [row["outcome"] for row in rows_of(folder / "export.csv.report.csv")].count("unsent")
        second = await by_cron(folder, sandbox)
        sent = [arrival.execution_id for arrival in sandbox.log]
    assert (first.code, second) == (10, Done(0, "", ""))
    assert first.stderr.splitlines()[-1].startswith("bulksync: next: to resume, run the same command: bulksync run ")
    assert 0 < left < 8
    assert len(sent) == len(set(sent)) == 8


async def test_a_second_copy_waits(folder: Path) -> None:
    """Two copies of the line at once send every row once, and both end well."""
    async with serve(Settings(key=KEY)) as sandbox:
        both = await asyncio.gather(by_cron(folder, sandbox), by_cron(folder, sandbox))
        sent = [arrival.execution_id for arrival in sandbox.log]
    assert list(both) == [Done(0, "", "")] * 2
    assert len(sent) == len(set(sent)) == 8


async def test_a_second_copy_that_may_not_wait_says_so(folder: Path) -> None:
    """When the wait is over the second copy ends with 9, and says who is in its way."""
    async with serve(Settings(key=KEY)) as sandbox:
        slowly = {"--rate 10/s": "--rate 4/s", "--lock-wait 10m": "--lock-wait 10ms"}
        both = await asyncio.gather(*(by_cron(folder, sandbox, slowly) for _ in range(2)))
    waited, went = sorted(both, key=lambda done: -done.code)
    assert (went, waited.code, waited.stdout) == (Done(0, "", ""), 9, "")
    assert waited.stderr.splitlines()[0] == "bulksync: another run holds the ledger export.csv.report.csv.ledger"


@pytest.mark.parametrize("encoding", [None, "ascii"], ids=["C", "ascii"])
async def test_a_locale_of_ascii_is_no_trouble(folder: Path, encoding: str | None) -> None:
    """In cron's locale names and messages beyond ASCII are said all the same, and nothing crashes over them."""
    variables = bare(folder) | ({"PYTHONIOENCODING": encoding} if encoding else {})
    write_rows(folder / "Übersicht & März.csv", [])
    with (folder / "Übersicht & März.csv").open("a") as file:
        file.write("nö,…,COMPLETED,\n")
    for command in ("check", "run"):
        arguments = [OURS, command, "Übersicht & März.csv", *(("--sandbox",) if command == "run" else ())]
        done = await ran(arguments, folder, variables)
        assert (done.code, "Traceback" in done.stderr, "internal" in done.stderr) == (7, False, False)
        assert "row 1 (line 2): id_invalid" in done.stdout + done.stderr


# systemd


def unit(name: str) -> RawConfigParser:
    """Return a unit's settings; of one that stands there several times the last."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # its own documented use: names keep their case
    parser.read_string((SAMPLES / name).read_text())
    return parser


def verdict(folder: Path, *, spoiled: tuple[str, str] = ("", "")) -> Done:
    """Return what systemd says of the units, the program in them being ours, and some words *spoiled*."""
    for name in ("bulksync.service", "bulksync.timer"):
        (folder / name).write_text((SAMPLES / name).read_text().replace(BULKSYNC, OURS).replace(*spoiled))
    call = [program("systemd-analyze"), "verify", "--man=no", *map(str, sorted(folder.glob("bulksync.*")))]
    done = subprocess.run(call, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """Both units load, every setting is known, and what they call is there."""
    assert verdict(tmp_path) == Done(0, "", "")


@pytest.mark.parametrize(
    "spoiled",
    [
        ("Restart=on-failure", "RestartForceExitStatus=4 6 10"),  # which systemd 252 refuses for Type=oneshot
        ("TimeoutStopSec", "TimeoutStopSeconds"),
        (OURS, "/opt/missing/bulksync"),
        ("OnCalendar=*-*-* 01", "OnCalendar=*-*-* 25"),
    ],
    ids=["refused", "unknown", "missing", "no time"],
)
def test_systemd_would_find_it(tmp_path: Path, spoiled: tuple[str, str]) -> None:
    """The check above sees a setting that is refused, unknown or wrong, and a program that is not there."""
    assert verdict(tmp_path, spoiled=spoiled) != Done(0, "", "")


@pytest.mark.parametrize("mode", [0o400, 0o440], ids=["owned by the user", "by an access list"])
async def test_the_service_does_its_work(folder: Path, mode: int) -> None:
    """What the unit starts reads the credential as systemd leaves it, sends every row, and leaves metrics for all."""
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "feather-key").write_bytes((folder / "feather.key").read_bytes())
    (credentials / "feather-key").chmod(mode)
    command = unit("bulksync.service")["Service"]["ExecStart"]
    for old, new in {BULKSYNC: OURS, "%d": credentials, COLLECTED: folder}.items():
        assert old in command
        command = command.replace(old, str(new))
    variables = bare(folder, CREDENTIALS_DIRECTORY=str(credentials), STATE_DIRECTORY=str(folder))
    async with serve(Settings(key=KEY)) as sandbox:
        done = await ran([*shlex.split(command), "--base-url", sandbox.url], folder, variables)
    assert (done.code, done.stdout) == (0, "")
    assert [row["outcome"] for row in rows_of(folder / "export.csv.report.csv")] == ["updated"] * 8
    assert (folder / "bulksync.prom").stat().st_mode & 0o777 == 0o644


def test_every_exit_code_has_its_place_in_the_unit() -> None:
    """Each code is a success, or needs a person, or is tried again; and only those two are that mend themselves."""
    service = unit("bulksync.service")["Service"]
    success = {int(code) for code in service["SuccessExitStatus"].split()} | {0}
    person = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert success & person == set()
    assert CODES - success - person == {4, 6}
    assert success | person <= CODES


def test_systemd_waits_longer_than_we_drain() -> None:
    """A service that is stopped has time for its requests in flight and its report."""
    assert float(unit("bulksync.service")["Service"]["TimeoutStopSec"]) >= RunOptions().drain + 30


def test_what_the_unit_writes_it_may_write() -> None:
    """The folder of the metrics is let through where all else is read-only; a host without one is no obstacle."""
    service = unit("bulksync.service")["Service"]
    assert f"-{COLLECTED}" in service["ReadWritePaths"].split()
    assert f"--metrics-file {COLLECTED}/" in service["ExecStart"]
    assert os.path.commonpath([COLLECTED, "/var/lib/prometheus"]) == "/var/lib/prometheus"
