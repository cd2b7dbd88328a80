"""The recipes in `samples/`: they pass their tools' checks where there are any, and what they call is run."""

import asyncio
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from configparser import RawConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from bulksync.cli import app
from bulksync.options.models import RunOptions
from bulksync.sandbox.server import Sandbox, Settings, serve
from tests.support import fault_server as faults
from tests.support.endings import STOPS, ending
from tests.support.program import KEY, Done, environment, rows_of, write_rows
from tests.support.sandboxes import api
from tests.support.servers import program

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
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


@pytest.mark.parametrize(("said", "updates"), [("undo", 16), ("", 8)])
def test_the_migration_can_be_undone(said: str, updates: int, folder: Path) -> None:
    """The script checks, fetches, sends and verifies, and puts everything back only when told so."""
    with api(folder) as url:
        path = f"{Path(OURS).parent}:{os.environ['PATH']}"
        variables = environment(
            folder, PATH=path, BULKSYNC_BASE_URL=url, BULKSYNC_RATE="unlimited", BULKSYNC_QUIET="true"
        )
        done = subprocess.run(
            ["sh", SAMPLES / "migration.sh", "export.csv"],
            cwd=folder, env=variables, input=f"{said}\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "log").read_bytes().count(b'"PUT"') == updates


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


# What others start: who tries again, and who calls a person

AGAIN = {4, 6, 10}
FINAL = sorted((CODES | {1, 5, 6, 7, 8, 10, 12}) - AGAIN - {0})
"""Exit codes that need a person, or that a signal left."""


def pretended(folder: Path, *codes: int) -> dict[str, str]:
    """Put a `bulksync` into the PATH that ends with each of these codes in its turn, and a `sleep` that does not wait.

    What it was called with stands in the file `calls`.
    """
    programs = folder / "bin"
    programs.mkdir()
    (folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    scripts = {
        "bulksync": 'echo "$@" >> calls; echo "said $(head -n 1 codes)" >&2; code=$(head -n 1 codes)\n'
        "sed -i 1d codes; exit $code",
        "sleep": 'echo "slept $1" >> calls',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    return bare(folder, PATH=f"{programs}:/usr/bin:/bin")


def calls(folder: Path) -> list[str]:
    """Return what a pretended program was called with."""
    return (folder / "calls").read_text().splitlines()


def understood(call: list[str]) -> Path:
    """Return the input of a call of `bulksync run`; CycloptsError where it is none."""
    command, bound, _ = app.parse_args(call, exit_on_error=False, print_error=False)
    assert command.__name__ == "run"
    return Path(bound.args[0])


# Airflow


class Again(Exception):  # noqa: N818  stands for Airflow's
    """What Airflow takes for a failure that another try may mend."""


class Final(Again):
    """What Airflow takes for a failure that no try mends."""


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The DAG's module, loaded with what it takes of Airflow; what it asks of Airflow stands in `asked`."""
    asked: dict[str, Any] = {}

    def decorator(name: str) -> Callable[..., Any]:
        def take(**options: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
            asked[name] = options
            return lambda function: function if name == "dag" else lambda: asked.update(send=function)

        return take

    modules: dict[str, dict[str, Any]] = {
        "airflow": {},
        "airflow.exceptions": {"AirflowException": Again, "AirflowFailException": Final},
        "airflow.sdk": {"dag": decorator("dag"), "task": decorator("task")},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return {**runpy.run_path(str(SAMPLES / "airflow_dag.py")), "asked": asked}


def test_airflow_tries_again_what_mends_itself(dag: dict[str, Any]) -> None:
    """4, 6 and 10 are failures that Airflow repeats, all others but 0 such that it does not."""

    def raised(code: int) -> type[Exception] | None:
        try:
            dag["raise_for"](code)
        except Again as error:
            return type(error)
        return None

    codes = sorted({0, *AGAIN, *FINAL})
    assert {code: raised(code) for code in codes} == {
        code: None if not code else Again if code in AGAIN else Final for code in codes
    }


def test_airflow_runs_what_there_is(dag: dict[str, Any]) -> None:
    """The task's call is one that exists, one run at a time, each try after a while."""
    assert understood(["run", dag["EXPORT"], *dag["OPTIONS"]]) == Path("/srv/feather/export.csv")
    asked = dag["asked"]
    assert (asked["dag"]["max_active_runs"], asked["dag"]["catchup"]) == (1, False)
    assert asked["task"]["retries"] >= 3
    assert asked["task"]["retry_delay"].total_seconds() >= 60


@pytest.mark.parametrize(("code", "ends"), [(0, None), (4, Again), (3, Final), (-9, Final)])
def test_the_task_ends_as_the_program_does(
    code: int, ends: type[Exception] | None, dag: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task calls the program and maps how it ended, a kill too."""
    seen: list[list[str]] = []

    def run(call: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        seen.append(call)
        return subprocess.CompletedProcess(call, code)

    monkeypatch.setattr(subprocess, "run", run)
    if ends is None:
        dag["asked"]["send"]()
    else:
        with pytest.raises(Again) as caught:
            dag["asked"]["send"]()
        assert type(caught.value) is ends
    assert [call[:3] for call in seen] == [[BULKSYNC, "run", "/srv/feather/export.csv"]]


# GitHub Actions


def workflow() -> dict[str, Any]:
    """Return the workflow's only job."""
    text: dict[str, Any] = yaml.safe_load((SAMPLES / "github-actions.yml").read_text())
    (job,) = text["jobs"].values()
    found: dict[str, Any] = job
    return found


def sending_step() -> dict[str, Any]:
    """Return the step that sends."""
    (step,) = (step for step in workflow()["steps"] if "bulksync run" in step.get("run", ""))
    return dict(step)


@pytest.mark.parametrize(
    ("codes", "left"),
    [
        ((0,), 0),
        ((4, 6, 10, 0), 0),
        ((10, 3), 3),
        ((6, 6, 6, 6, 6, 0), 6),
        *(((code,), code) for code in FINAL),
    ],
)
async def test_a_workflow_tries_again_what_mends_itself(codes: tuple[int, ...], left: int, folder: Path) -> None:
    """4, 6 and 10 are tried again, five times in all; every other code ends the step at once, as what it is."""
    script = sending_step()["run"]
    done = await ran(["/bin/bash", "-e", "-o", "pipefail", "-c", script], folder, pretended(folder, *codes))
    sent = [call for call in calls(folder) if not call.startswith("slept")]
    assert (done.code, len(sent)) == (left, min(len(codes), 5))
    assert understood(sent[0].split()) == Path("export.csv")


def test_a_workflow_keeps_the_ledger() -> None:
    """The ledger is brought back before and kept after, whatever came of it; one run at a time; the key is a secret."""
    steps = workflow()["steps"]
    kinds = [step.get("uses", step.get("name", "run")).split("@")[0] for step in steps]
    restore, send, save = (
        kinds.index("actions/cache/restore"),
        steps.index(sending_step()),
        kinds.index("actions/cache/save"),
    )
    assert restore < send < save
    assert steps[restore]["with"]["path"] == steps[save]["with"]["path"] == "export.csv.report.csv*"
    assert steps[save]["if"] == "always()"
    assert sending_step()["env"] == {"FEATHER_API_KEY": "${{ secrets.FEATHER_API_KEY }}"}
    whole = yaml.safe_load((SAMPLES / "github-actions.yml").read_text())
    assert (whole["concurrency"]["cancel-in-progress"], whole["permissions"]) == (False, {"contents": "read"})


# Kubernetes


def cron_job() -> dict[str, Any]:
    """Return the job that the CronJob makes."""
    text = yaml.safe_load((SAMPLES / "kubernetes-cronjob.yaml").read_text())
    assert (text["apiVersion"], text["kind"], text["spec"]["concurrencyPolicy"]) == ("batch/v1", "CronJob", "Forbid")
    spec: dict[str, Any] = text["spec"]["jobTemplate"]["spec"]
    return spec


def test_kubernetes_tries_again_what_mends_itself() -> None:
    """Exit codes that need a person fail the job at once; all others make another pod, as often as it is allowed."""
    job = cron_job()
    (rule,) = (rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob")
    (container,) = job["template"]["spec"]["containers"]
    assert rule["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [code for code in FINAL if code < 128],
    }
    assert job["template"]["spec"]["restartPolicy"] == "Never", "which a podFailurePolicy needs"
    assert job["backoffLimit"] >= 3


async def test_the_pod_does_its_work(folder: Path) -> None:
    """What the container is called with sends every row from its folder, with the key in a variable."""
    (container,) = cron_job()["template"]["spec"]["containers"]
    (variable,) = container["env"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert (variable["name"], container["workingDir"] in mounts) == ("FEATHER_API_KEY", True)
    async with serve(Settings(key=KEY)) as sandbox:
        call = [OURS, *container["args"], "--base-url", sandbox.url]
        done = await ran(call, folder, bare(folder, FEATHER_API_KEY=KEY))
    assert done.code == 0, done.stderr
    assert [row["outcome"] for row in rows_of(folder / "export.csv.report.csv")] == ["updated"] * 8


def test_kubernetes_waits_longer_than_we_drain() -> None:
    """A pod that is stopped has time for its requests in flight and its report."""
    assert cron_job()["template"]["spec"]["terminationGracePeriodSeconds"] >= RunOptions().drain + 30


# healthchecks


@pytest.mark.parametrize(
    ("codes", "left"), [((0,), 0), ((4, 10, 0), 0), ((6,) * 5, 6), ((3,), 3), ((10, 12), 12), ((143,), 143)]
)
async def test_the_ping_says_how_it_ended(codes: tuple[int, ...], left: int, folder: Path) -> None:
    """The start is told, and once the exit code with what was said last; the script ends with it too."""
    program("curl")
    variables = pretended(folder, *codes)
    async with faults.serve(then=faults.answer(200, b"OK")) as server:
        script = str(SAMPLES / "healthchecks.sh")
        done = await ran([script, "export.csv"], folder, variables | {"PING": f"{server.url}/uuid"})
        seen = [(request.method, request.path, request.body.decode()) for request in server.requests]
    said = f"said {codes[-1]}\n"
    assert (done.code, done.stderr, seen) == (
        left,
        said,
        [("POST", "/uuid/start", ""), ("POST", f"/uuid/{left}", said)],
    )
    assert understood(calls(folder)[0].split()) == Path("export.csv")


async def test_a_ping_that_fails_changes_nothing(folder: Path) -> None:
    """Where nobody takes the ping the rows are sent all the same."""
    variables = pretended(folder, 0) | {"PING": "http://127.0.0.1:9"}
    done = await ran([str(SAMPLES / "healthchecks.sh"), "export.csv"], folder, variables)
    assert (done.code, len(calls(folder))) == (0, 1)


# Docker


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each with its arguments."""
    lines = [line for line in (SAMPLES / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_the_image_is_built_of_what_there_is(tmp_path: Path) -> None:
    """What is copied is enough to build the package, with the newcomer's files in it; nothing else is copied."""
    for name, what in instructions():
        if name == "COPY" and not what.startswith("--from"):
            *sources, target = what.split()
            for source in sources:
                place = tmp_path / target.strip("/")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(exist_ok=True)
                    shutil.copy(ROOT / source, place)
    (run,) = (what for name, what in instructions() if name == "RUN" and "pip" in what)
    assert run == "python -m venv /opt/bulksync && /opt/bulksync/bin/pip install --no-cache-dir /src"
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path / "src", check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as packed:
        assert packed.read("bulksync/commands/starter/rows.csv") == (SAMPLES / "executions.csv").read_bytes()
        assert packed.read("bulksync/commands/starter/config.toml") == (SAMPLES / "config.toml").read_bytes()
        assert {"bulksync/py.typed", "bulksync/report/page.html", "bulksync/cli.py"} <= set(packed.namelist())
        (scripts,) = (name for name in packed.namelist() if name.endswith("entry_points.txt"))
        assert "bulksync = bulksync.__main__:main" in packed.read(scripts).decode()


def test_the_image_runs_the_program_as_nobody_special() -> None:
    """The last stage has the program in its PATH, starts it as another user than root, in the folder of the volume."""
    names = [name for name, _ in instructions()]
    last = dict(instructions()[len(names) - 1 - names[::-1].index("FROM") :])
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["bulksync"]', '["--help"]')
    assert last["ENV"] == 'PATH="/opt/bulksync/bin:$PATH"'
    assert (last["USER"], last["WORKDIR"], last["COPY"]) == (
        "10001",
        "/data",
        "--from=build /opt/bulksync /opt/bulksync",
    )
    version = re.fullmatch(r"python:(3\.\d+)-slim(?: AS build)?", last["FROM"])
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in (ROOT / "pyproject.toml").read_text()
    assert len({what.split()[0] for name, what in instructions() if name == "FROM"}) == 1
