"""The command line: what it understands, what it says, and what it exits with."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bulksync import __version__
from bulksync.options.models import RunOptions
from tests.support.program import CANARY, WORKFLOW, Done, bulksync, execution, rows_of, started, write_rows

REPORT = "rows.csv.report.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an input of five rows."""
    write_rows(tmp_path / "rows.csv", range(5))
    return tmp_path


def run(folder: Path, *arguments: object, loop: str = "uvloop", variables: dict[str, str] | None = None) -> Done:
    """Run the input against a sandbox at full speed."""
    rate = () if "--rate" in arguments else ("--rate", "unlimited")
    return bulksync("run", "rows.csv", "--sandbox", *rate, *arguments, folder=folder, loop=loop, variables=variables)


def outcomes(folder: Path, report: str = REPORT) -> list[str]:
    """Return the outcomes of a report in its order."""
    return [row["outcome"] for row in rows_of(folder / report)]


def test_version(tmp_path: Path) -> None:
    """`--version` prints the version and nothing else."""
    assert bulksync("--version", folder=tmp_path) == Done(0, f"{__version__}\n", "")


@pytest.mark.parametrize("command", ["", "run", "check", "report", "sandbox"])
def test_help(command: str, tmp_path: Path) -> None:
    """Every command has a help that names it and says in a sentence what it does."""
    done = bulksync(*command.split(), "--help", folder=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: bulksync {command or 'COMMAND'}")


def test_help_shows_every_option(tmp_path: Path) -> None:
    """Each option of the model stands in the help, and each with a text."""
    shown = bulksync("run", "--help", folder=tmp_path).stdout
    flags = {"--" + name.replace("_", "-") for name in RunOptions.model_fields}
    assert {flag for flag in flags if flag not in shown} == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "run: INPUT is missing"),
        (["check", "rows.csv", "--nope"], "check has no option --nope"),
        (["run", "rows.csv", "--base-url", "http://example.com"], "would send the API key in clear text"),
        (["run", "rows.csv", "--base-url", "https://u:p@example.com"], "must have no user"),
        (
            ["run", "rows.csv", "--base-url", "http://127.0.0.1:9", "--proxy", "http://proxy.example:3128"],
            "--proxy would carry the API key in clear text to another host",
        ),
        (["run", "rows.csv", "-o", "rows.csv", "--sandbox"], "--output rows.csv is the input too"),
        (["run", "-", "--sandbox"], "stdin has no extension to tell its format by"),
        (["run", "rows.csv", "--config", "nope.toml"], "nope.toml does not exist"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_calls(arguments: list[str], message: str, folder: Path) -> None:
    """A wrong call says in a line what is wrong with it, does nothing, and exits 2."""
    done = bulksync(*arguments, folder=folder)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[-1].startswith("bulksync: next: ")
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]


def test_no_key(folder: Path) -> None:
    """Without a key nothing is sent or made, and the message says where a key may stand."""
    done = bulksync("run", "rows.csv", folder=folder, variables={"FEATHER_API_KEY": ""})
    assert (done.code, [path.name for path in folder.iterdir()]) == (2, ["rows.csv"])


def test_missing_input_leaves_nothing(tmp_path: Path) -> None:
    """An input that is not there exits 7, and no ledger is made for it."""
    done = bulksync("run", "nope.csv", "--sandbox", folder=tmp_path)
    assert (done.code, list(tmp_path.iterdir())) == (7, [])
    assert done.stderr == (
        "bulksync: cannot read nope.csv: No such file or directory\n"
        "bulksync: next: check the path and its permissions\n"
    )


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_run_on_both_loops(loop: str, folder: Path) -> None:
    """A run updates every row and reports each in input order, on either event loop."""
    done = run(folder, loop=loop)
    report = rows_of(folder / REPORT)
    assert done.code == 0, done.stderr
    assert [(row["row"], row["line"], row["workflowId"], row["executionId"], row["outcome"]) for row in report] == [
        (str(number + 1), str(number + 2), WORKFLOW, execution(number), "updated") for number in range(5)
    ]


def test_flags_before_variables_before_file(folder: Path) -> None:
    """A flag wins over a variable, and a variable over the configuration file."""
    config = folder / "config.toml"
    config.write_text('limit = 1\noutput = "from-file.csv"\nmax-in-flight = 7\n')
    config.chmod(0o600)
    done = run(folder, "--config", config, "--limit", "3", variables={"BULKSYNC_LIMIT": "2"})
    assert (done.code, outcomes(folder, "from-file.csv").count("updated")) == (10, 3)
    (folder / "from-file.csv.ledger").unlink()
    done = run(folder, "--config", config, "--overwrite", variables={"BULKSYNC_LIMIT": "2"})
    assert (done.code, outcomes(folder, "from-file.csv").count("updated")) == (10, 2)
    done = run(folder, "--config", config, "--restart")
    assert (done.code, outcomes(folder, "from-file.csv").count("updated")) == (10, 1)


def test_configuration_of_the_user(folder: Path) -> None:
    """`$XDG_CONFIG_HOME/bulksync/config.toml` is read, one in the working directory is not."""
    home = folder / "home"
    (home / "bulksync").mkdir(parents=True)
    (home / "bulksync" / "config.toml").write_text("limit = 2\n")
    (folder / "config.toml").write_text("limit = 1\n")
    (folder / "bulksync.toml").write_text("limit = 1\n")
    assert run(folder, variables={"XDG_CONFIG_HOME": str(home)}).code == 10
    assert outcomes(folder).count("updated") == 2


def test_quiet_says_nothing_when_all_is_well(folder: Path) -> None:
    """`--quiet` prints nothing on success, and everything needed when not."""
    assert run(folder, "--quiet") == Done(0, "", "")
    limited = run(folder, "--quiet", "--restart", "--limit", "1")
    assert limited.code == 10
    assert limited.stderr.splitlines()[-1] == (
        "bulksync: next: to resume, run the same command: "
        "bulksync run rows.csv --sandbox --rate unlimited --quiet --limit 1"
    )


def test_json_log(folder: Path) -> None:
    """With `--log-format json` what happens while it runs is one JSON object a line."""
    done = run(folder, "--log-format", "json", "-vv")
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["event"] for event in events] == ["planned", "columns", "sending", *["attempt"] * 5, "ended"]
    assert {event["row"] for event in events[3:8]} == {1, 2, 3, 4, 5}
    assert (events[2]["rows"], events[-1]["outcomes"], len(events)) == (
        5,
        {"updated": 5},
        len(done.stderr.splitlines()),
    )


def test_more_detail_at_each_level(folder: Path) -> None:
    """Each -v says something more of a run that goes well: what is to be done, then every attempt."""
    said = [run(folder, "-o", f"{flags}.csv", *flags.split()).stderr.splitlines() for flags in ("", "-v", "-vv")]
    plain, more, all_of_it = said
    assert (len(more) > len(plain), len(all_of_it) - len(more)) == (True, 5)
    assert [line for line in more if line.startswith("bulksync: 5 of 5 rows to send, 0 invalid, after ")]


def test_progress_for_programs(folder: Path) -> None:
    """With JSON the lines of --stats carry numbers."""
    done = run(folder, "--log-format", "json", "--stats", "10ms", "--rate", "20/s")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    progress = [event for event in events if event["event"] == "progress"]
    assert progress
    for event in progress:
        assert (type(event["done"]), event["total"], type(event["inFlight"])) == (int, 5, int)
        assert {type(event[name]) for name in ("rate", "elapsedSeconds")} == {float}
        assert type(event["etaSeconds"]) in (float, type(None))
    assert [event["etaSeconds"] for event in events if event["event"] == "sending"] == [0.25]


def json_events(done: Done) -> list[dict[str, Any]]:
    """Return what was said, every line of it as JSON, without the time, which is in UTC."""
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(event.pop("time").endswith("Z") for event in events)
    return events


def test_every_event_of_a_run_names_it(folder: Path) -> None:
    """Every line carries the run's id, and those of an attempt the row, the execution and which attempt it was."""
    nobody = ("--base-url", "http://127.0.0.1:9", "--max-outage", "100ms", "--log-format", "json", "-vv")
    done = bulksync("run", "rows.csv", *nobody, folder=folder)
    events = json_events(done)
    name = events[-1]["run"]
    assert {event["run"] for event in events} == {name}
    attempt, retry = (next(event for event in events if event["event"] == kind) for kind in ("attempt", "retry"))
    where = {"row": 1, "line": 2, "workflowId": WORKFLOW, "executionId": execution(0), "attempt": 1, "run": name}
    why = {"level": "debug", "reason": "connect_failed"}
    assert attempt == where | why | {"event": "attempt", "duration": attempt["duration"]}
    assert retry == where | why | {"event": "retry", "wait": retry["wait"]}
    assert (attempt["duration"] > 0, 0 < retry["wait"] <= 0.5) == (True, True)
    assert CANARY not in done.stderr


def test_an_error_is_json_too(folder: Path) -> None:
    """What ends a run before it has a report is one line of the same form."""
    done = bulksync("run", "rows.csv", "--api-key-file", "missing", "--log-format", "json", folder=folder)
    said = {"error": "missing cannot be read: No such file or directory", "nextStep": "check --api-key-file"}
    assert (done.code, json_events(done)) == (2, [{"event": "failed", "level": "error", "exitCode": 2, **said}])


def test_a_quiet_run_in_json_tells_what_went_wrong(folder: Path) -> None:
    """`--quiet` says nothing where all is well, and the whole ending where it is not."""
    quiet = ("--log-format", "json", "--quiet")
    assert [event["event"] for event in json_events(run(folder, *quiet, "--limit", "2"))] == ["ended"]
    assert run(folder, *quiet) == Done(0, "", "")


@pytest.mark.parametrize(
    ("arguments", "variables", "failure"),
    [
        (["run", "rows.csv", "--wrong", "--log-format", "json"], {}, (2, "run has no option --wrong")),
        (
            ["run", "nope.csv", "--sandbox", "--log-format=json"],
            {},
            (7, "cannot read nope.csv: No such file or directory"),
        ),
        (["history", "nope"], {"BULKSYNC_LOG_FORMAT": "json"}, (2, "there is no ledger nope")),
    ],
    ids=["wrong call", "no input", "by variable"],
)
def test_failures_as_json(
    arguments: list[str], variables: dict[str, str], failure: tuple[int, str], folder: Path
) -> None:
    """With `--log-format json` what keeps a run from its report is one JSON object too, with the next step."""
    done = bulksync(*arguments, folder=folder, variables=variables)
    said = json.loads(done.stderr)
    assert (done.code, done.stdout) == (failure[0], "")
    assert set(said) == {"event", "level", "time", "error", "nextStep", "exitCode"}
    assert (said["event"], said["level"], said["exitCode"], said["error"]) == ("failed", "error", *failure)
    assert said["nextStep"]


def test_dry_run_does_nothing(folder: Path) -> None:
    """`--dry-run` validates, says what would be sent, and leaves no file behind."""
    done = run(folder, "-n")
    assert (done.code, [path.name for path in folder.iterdir()]) == (0, ["rows.csv"])
    assert done.stdout.splitlines()[0] == "rows.csv: 5 rows, 5 valid, 0 invalid"
    said = run(folder, "-n", "--only-changed").stderr.splitlines()
    assert said == [
        "bulksync: dry run: nothing is sent to sandbox",
        "bulksync: what --only-changed would leave out is recorded in the ledger, which a dry run does not read",
    ]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ((), 7, ["bulksync: dry run: nothing is sent to sandbox"]),
        (
            ("--on-invalid", "skip"),
            0,
            ["bulksync: dry run: nothing is sent to sandbox", "bulksync: invalid rows that the run would leave out: 1"],
        ),
    ],
    ids=["abort", "skip"],
)
def test_dry_run_of_invalid_rows(more: tuple[str, ...], code: int, said: list[str], folder: Path) -> None:
    """It exits with 7 where the run would refuse them; where the run would go on, with 0, and says what is left out."""
    with (folder / "rows.csv").open("a") as file:
        file.write(f"no,{execution(9)},COMPLETED,\n")
    done = run(folder, "-n", *more)
    assert (done.code, done.stderr.splitlines()) == (code, said)
    assert done.stdout.splitlines()[:2] == [
        "row 6 (line 7): id_invalid: workflowId 'no' is not a valid ID (8-4-4-4-12 hex digits)",
        "rows.csv: 6 rows, 5 valid, 1 invalid",
    ]


def test_report_to_stdout(folder: Path) -> None:
    """`-o -` writes the report to stdout and nothing else there; the ledger stands where it would without."""
    done = run(folder, "-o", "-")
    assert (done.code, len(done.stdout.splitlines()), done.stdout[:9]) == (0, 6, "row,line,")
    assert sorted(path.name for path in folder.iterdir()) == ["rows.csv", f"{REPORT}.ledger"]


def test_stdin(folder: Path) -> None:
    """`-` reads stdin through a private spool that is gone when its run is done; messages call it stdin."""
    data = (folder / "rows.csv").read_bytes()
    arguments = ("run", "-", "--format", "csv", "--sandbox", "--rate", "unlimited")
    done = bulksync(*arguments, "--limit", "2", folder=folder, stdin=data)
    assert done.code == 10, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "rows.csv",
        "stdin.report.csv",
        "stdin.report.csv.ledger",
        "stdin.report.csv.ledger.stdin",
    ]
    assert (folder / "stdin.report.csv.ledger.stdin").stat().st_mode & 0o777 == 0o600
    done = bulksync(*arguments, folder=folder, stdin=data)
    assert (done.code, outcomes(folder, "stdin.report.csv")) == (0, ["updated"] * 5)
    assert not (folder / "stdin.report.csv.ledger.stdin").exists()
    assert "bulksync: stdin: 5 rows, updated 5" in done.stderr


def test_stdin_to_check(folder: Path) -> None:
    """`check -` reads stdin too."""
    done = bulksync("check", "-", "--format", "csv", folder=folder, stdin=(folder / "rows.csv").read_bytes())
    assert (done.code, done.stdout.splitlines()[0]) == (0, "stdin: 5 rows, 5 valid, 0 invalid")


def test_repeat_sends_what_is_left(folder: Path) -> None:
    """The same command again goes on, and says so when nothing is left."""
    assert run(folder, "--limit", "2").code == 10
    assert outcomes(folder) == ["updated", "updated", "unsent", "unsent", "unsent"]
    done = run(folder)
    assert (done.code, outcomes(folder)) == (0, ["updated"] * 5)
    assert "sent: 3 requests" in done.stderr
    before = (folder / REPORT).read_bytes()
    again = run(folder)
    assert again.code == 0
    assert "all rows done by run" in again.stderr.splitlines()[0]
    assert "sent: " not in again.stderr
    assert (folder / REPORT).read_bytes() == before


def test_a_repeat_says_how_rejected_rows_are_sent_again(folder: Path) -> None:
    """Where nothing is left but rejected rows, the option that sends only them is named."""
    with started("sandbox", "--port", 0, "--rate", "unlimited", "--unknown-rate", "0.3", folder=folder) as api:
        assert api.stdout is not None
        call = ("run", "rows.csv", "--base-url", api.stdout.readline().decode().strip())
        assert bulksync(*call, folder=folder).code == 3
        said = bulksync(*call, folder=folder).stderr.splitlines()[0]
    assert said.endswith("; --resend sends again, --retry-rejected only the rejected ones")


def test_allowed_statuses(folder: Path) -> None:
    """`--allow-status` refuses rows with any other status."""
    assert run(folder, "--allow-status", "CREATED,PAUSED").code == 7
    assert {row["error"] for row in rows_of(folder / REPORT)} == {"status_invalid"}
    assert run(folder, "--allow-status", "CREATED,COMPLETED").code == 0


def test_statuses_that_no_page_names_are_counted(folder: Path) -> None:
    """A status of the server's own is sent, with a warning that counts it."""
    write_rows(folder / "rows.csv", range(2), status="ARCHIVED")
    done = run(folder)
    assert (done.code, outcomes(folder)) == (0, ["updated", "updated"])
    assert "unknown statuses (will be sent anyway): ARCHIVED 2" in done.stderr


def test_summary(folder: Path) -> None:
    """`--summary` writes what the run came to, as JSON."""
    run(folder, "--summary", "summary.json")
    summary = json.loads((folder / "summary.json").read_text())
    measured = {
        "run", "started", "ended", "achievedRate", "latencyMs", "timeWent", "timeBreakdown", "elapsedSeconds",
        "dispositions", "timeline",
    }  # fmt: skip
    assert {name: value for name, value in summary.items() if name not in measured} == {
        "input": "rows.csv",
        "target": "sandbox",
        "rows": 5,
        "outcomes": {"updated": 5},
        "httpStatuses": {"200": 5},
        "moved": [],
        "errors": {},
        "requests": 5,
        "retries": 0,
        "throttled": 0,
        "unavailable": 0,
        "pauses": 0,
        "pausedSeconds": 0.0,
        "rate": "unlimited",
        "maxInFlight": 32,
        "advice": "",
        "stopped": "",
        "exitCode": 0,
        "nextStep": "",
        "version": __version__,
        "schemaVersion": 1,
    }
    assert measured <= set(summary)
    assert summary["timeBreakdown"] == summary["timeWent"]
    assert math.isclose(sum(summary["timeWent"].values()), 1.0, abs_tol=0.01)


def test_check_as_json(tmp_path: Path) -> None:
    """`check --json` says the same for programs, every error with row and line."""
    broken = Path(__file__).parent.parent / "samples" / "broken.csv"
    done = bulksync("check", broken, "--json", folder=tmp_path)
    found = json.loads(done.stdout)
    assert (done.code, found["rows"], found["valid"], found["invalid"], len(found["errors"])) == (7, 18, 4, 14, 14)
    assert found["errors"][2] == {
        "row": 4,
        "line": 5,
        "error": "field_missing",
        "detail": "executionId is empty or missing",
    }


def test_samples_are_what_they_say(tmp_path: Path) -> None:
    """Every sample is valid, but for the one that shows each kind of bad row."""
    samples = Path(__file__).parent.parent / "samples"
    for name in ("executions.csv", "executions.jsonl", "excel-semicolon.csv"):
        done = bulksync("check", samples / name, folder=tmp_path)
        assert (done.code, " 0 invalid" in done.stdout) == (0, True)
    done = bulksync("check", samples / "broken.csv", folder=tmp_path)
    assert (done.code, done.stderr) == (7, "")
    assert {line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("row ")} == {
        "csv_malformed",
        "duplicate_member",
        "encoding_invalid",
        "field_count_mismatch",
        "field_missing",
        "id_invalid",
        "metadata_invalid",
        "status_invalid",
    }
