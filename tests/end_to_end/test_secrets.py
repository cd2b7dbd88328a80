"""The API key and the metadata stay where they belong; `conftest.py` looks into what all other tests leave."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr

from bulksync.client.key import read_key
from bulksync.commands.job import Job
from bulksync.options.files import Files
from bulksync.options.models import RunOptions, SandboxOptions
from tests.support.leaks import leaks
from tests.support.program import (
    CANARY,
    KEY,
    PASSWORD,
    Done,
    bulksync,
    environment,
    execution,
    rows_of,
    started,
    write_rows,
)

REPORT = "rows.csv.report.csv"
INPUTS = ("rows.csv", "rows.jsonl", "key")
FULL_SPEED = ("--rate", "unlimited")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an input of five rows, each with the canary in its metadata."""
    write_rows(tmp_path / "rows.csv", range(5))
    return tmp_path


# A server that repeats what it hears

ACKNOWLEDGED: dict[str, object] = {
    "status": KEY,
    "disposition": f"by {KEY}",
    "startedAt": KEY,
    "completedAt": KEY,
    "stepExecutions": [
        {"id": KEY, "type": KEY, "order": 1, "status": KEY, "disposition": KEY, "agentCall": {"callEndedReason": KEY}}
    ],
}
ANSWERS: dict[str, tuple[int, dict[str, object]]] = {
    execution(0): (200, ACKNOWLEDGED),
    execution(1): (400, {"message": f"your key is {KEY}"}),
    execution(2): (422, {"code": KEY, "message": {"key": [KEY], "more": "x" * 120 + KEY * 9}}),
    execution(3): (503, {"error": "Bearer " + "".join(f"\\u{ord(letter):04x}" for letter in KEY), "retry_after": 0}),
    execution(4): (302, {"message": KEY}),
}


class Parrot(BaseHTTPRequestHandler):
    """Says the key wherever the program may look."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """Answer as the execution of the path has it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        workflow, _, execution_id = self.path.split("/")[-3:]
        code, page = ANSWERS[execution_id]
        body = json.dumps({"id": execution_id, "workflowId": workflow, **page}).replace("\\\\u", "\\u").encode()
        self.send_response(code, KEY)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", f"application/json; key={KEY}")
        self.send_header("Location", f"https://{KEY}.example/{KEY}?key={KEY}")
        self.send_header("Set-Cookie", f"key={KEY}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the class above
        """Say nothing."""


@contextmanager
def parrot() -> Iterator[str]:
    """Serve the parrot, and yield its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def everything(folder: Path, done: Done) -> str:
    """Return all that a run said and wrote; its inputs are not its own words."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in INPUTS]
    return done.stdout + done.stderr + "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("report", [REPORT, "rows.csv.report.jsonl"])
def test_a_server_that_repeats_the_key(style: str, report: str, folder: Path) -> None:
    """A key that the server says again, in any header or member, is in nothing that the run says or writes."""
    files = ("-o", report, "--summary", "summary.json", "--retry-file", "retry.csv")
    with parrot() as url:
        options = ("--base-url", url, *FULL_SPEED, "--log-format", style, "-vv", "--max-attempts", "2")
        done = bulksync("run", "rows.csv", *options, *files, folder=folder)
    said = everything(folder, done)
    assert done.code == 5, done.stderr
    assert KEY not in said
    assert "***" in done.stdout + (folder / report).read_text()
    assert leaks(folder) == []


def test_what_stands_in_the_place_of_the_key(folder: Path) -> None:
    """Words around a repeated key are shown, the key as ***, cut off or not."""
    with parrot() as url:
        bulksync("run", "rows.csv", "--base-url", url, *FULL_SPEED, "--max-attempts", "2", folder=folder)
    shown = ("returnedStatus", "disposition", "stepDispositions", "detail")
    report = [tuple(row[name] for name in shown) for row in rows_of(folder / REPORT)]
    assert [cells[:3] for cells in report] == [("***", "by ***", "***"), *[("", "", "")] * 4]
    assert [cells[3] for cells in report] == [
        "",
        "your key is ***",
        '***: {"key":["***"],"more":"' + "x" * 120 + "***…",
        "Bearer ***",
        "answered 302, to https://***.example",
    ]


# What a command holds

FILES = ("--summary", "summary.json", "--html", "page.html", "--retry-file", "retry.csv", "--metrics-file", "m.prom")
PROXIES = (
    f"http://user:{PASSWORD}@127.0.0.1:9",
    f"HTTP://user:{PASSWORD}%40@127.0.0.1:9",
    f"http://{PASSWORD}@127.0.0.1:9",
)


def without_proxy(folder: Path, *arguments: object, **variables: str) -> Done:
    """Run through a proxy that nobody serves, until that is given up."""
    options = ("--base-url", "https://127.0.0.1:9", "--max-outage", "100ms", *FILES)
    return bulksync("run", "rows.csv", *options, *arguments, folder=folder, variables=variables)


@pytest.mark.fault("D8", "a proxy's password in the repeated command")
@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("proxy", PROXIES, ids=["password", "escaped", "user alone"])
def test_a_password_in_the_command(proxy: str, style: str, folder: Path) -> None:
    """The command that a run repeats, in messages and files, has *** where a URL has its password."""
    done = without_proxy(folder, f"--proxy={proxy}", "-vv", "--log-format", style)
    said = everything(folder, done)
    assert done.code in (5, 6), done.stderr
    assert (PASSWORD in said, "***@127.0.0.1:9" in done.stderr) == (False, True)
    assert "***@127.0.0.1:9" in json.loads((folder / "summary.json").read_text())["nextStep"]


@pytest.mark.fault("D8", "a proxy's password from elsewhere")
def test_a_password_from_a_variable_or_a_file(folder: Path) -> None:
    """A proxy that a variable or the configuration names is used and not said."""
    config = folder / "config.key"
    config.write_text(f'proxy = "{PROXIES[0]}"\n')
    config.chmod(0o600)
    runs = [without_proxy(folder, "-vv", BULKSYNC_PROXY=PROXIES[0]), without_proxy(folder, "--config", config)]
    config.unlink()
    assert [done.code in (5, 6) for done in runs] == [True, True]
    assert [PASSWORD in everything(folder, done) for done in runs] == [False, False]


@pytest.mark.fault("D8", "a password in a wrong call")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--proxy", f"user:{PASSWORD}@127.0.0.1:9"),
        ("--proxy", f"http://user:{PASSWORD}@127.0.0.1:99999"),
        ("--proxy", f"http://user:{PASSWORD}/@127.0.0.1:9"),
        ("--proxy", f"socks5://user:{PASSWORD}@127.0.0.1:9"),
        ("--proxy", f"http://user:{PASSWORD}@"),
        ("--prox", f"http://user:{PASSWORD}@127.0.0.1:9"),
        ("--rate", f"http://user:{PASSWORD}@127.0.0.1:9"),
        ("--config", f"http://user:{PASSWORD}@127.0.0.1:9"),
        ("--base-url", f"https://user:{PASSWORD}@127.0.0.1:9"),
        (f"http://user:{PASSWORD}@127.0.0.1:9/rows.csv",),
    ],
    ids=lambda arguments: arguments[0] if len(arguments) > 1 else "input",
)
def test_a_password_in_a_call_that_is_wrong(arguments: tuple[str, ...], folder: Path) -> None:
    """A call that is refused is not repeated with the password that it holds, however the URL is wrong."""
    done = bulksync("run", "rows.csv", "--dry-run", *arguments, folder=folder)
    assert (done.code, PASSWORD in done.stdout + done.stderr) == (2, False), done.stderr


@pytest.mark.fault("D8", "the key in the repeated command")
@pytest.mark.parametrize("command", [f"echo {KEY}", f"sh -c 'printf %s {KEY}'"], ids=["echo", "quoted"])
def test_a_key_in_the_command(command: str, folder: Path) -> None:
    """A key that stands in --api-key-command itself is blanked where the command is repeated."""
    options = ("--base-url", "http://127.0.0.1:9", "--max-outage", "100ms", *FILES)
    other = {"FEATHER_API_KEY": "not-this-one"}
    done = bulksync("run", "rows.csv", *options, "--api-key-command", command, folder=folder, variables=other)
    assert (done.code, KEY in everything(folder, done), "***" in done.stderr) == (6, False, True), done.stderr


def test_a_key_where_none_belongs(folder: Path) -> None:
    """A key that somebody gives as an argument is not said again."""
    wrong: tuple[tuple[str, ...], ...] = ((KEY,), ("rows.csv", "--api-key", KEY), ("rows.csv", KEY), ("--rate", KEY))
    said = [bulksync("run", *arguments, folder=folder) for arguments in wrong]
    assert [(done.code, KEY in done.stderr) for done in said] == [(7, False), *[(2, False)] * 3]  # no such file


# Metadata


@pytest.mark.parametrize("arguments", [(), ("--log-format", "json")], ids=["text", "json"])
def test_metadata_stays_in_the_input(arguments: tuple[str, ...], folder: Path) -> None:
    """Metadata is sent and kept nowhere else, but for the retry file, which is the input's rows."""
    files = ("--summary", "summary.json", "--retry-file", "retry.csv", "--limit", "3")
    done = bulksync("run", "rows.csv", "--sandbox", *FULL_SPEED, "-vv", *arguments, *files, folder=folder)
    retry = folder / "retry.csv"
    assert (done.code, retry.read_text().count(CANARY)) == (10, 2)
    retry.unlink()
    assert CANARY not in everything(folder, done)


def test_metadata_that_is_not_valid_is_not_shown(folder: Path) -> None:
    """Of metadata that is refused, the messages and the report name the fault and not the value."""
    bad = [f'{{"note": "{CANARY}", "note": "{CANARY}"}}', f'{{"note": {CANARY}}}', f'["{CANARY}"]', f'"{CANARY}"']
    (folder / "rows.jsonl").write_text(
        "".join(
            f'{{"workflowId": "{execution(9)}", "executionId": "{execution(n)}", "metadata": {text}}}\n'
            for n, text in enumerate([*bad, *(json.dumps(text) for text in bad)])
        )
    )
    done = bulksync("run", "rows.jsonl", "--sandbox", "-vv", folder=folder)
    checked = bulksync("check", "rows.jsonl", folder=folder)
    assert (done.code, checked.code) == (7, 7)
    assert CANARY not in everything(folder, done) + checked.stdout + checked.stderr


# Faults of ours

BREAK_PUT = """
import aiohttp
async def connect(self, request, traces, times):
    headers = dict(request.headers)
    raise RuntimeError("put is broken")
aiohttp.TCPConnector.connect = connect
"""
BREAK_CONNECTOR = """
import aiohttp
def init(self, **options):
    raise RuntimeError("no connector")
aiohttp.TCPConnector.__init__ = init
"""
"""Break the library below us, as a fault of ours would break: with the key among the variables of the frames above."""


def broken(code: str, folder: Path, *arguments: str) -> Done:
    """Run the program on a broken library."""
    program = f"{code}\nfrom bulksync.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "rows.csv", "--base-url", "http://127.0.0.1:9", *FULL_SPEED, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("arguments", [("-vv",), ("-vv", "--log-format", "json"), ()], ids=["text", "json", "terse"])
@pytest.mark.parametrize("code", [BREAK_PUT, BREAK_CONNECTOR], ids=["in a row", "before the rows"])
def test_a_fault_of_ours(code: str, arguments: tuple[str, ...], folder: Path) -> None:
    """The trace of an internal error tells where it was, and no variable's value: one of them is the key."""
    done = broken(code, folder, *arguments)
    assert done.code == 1, done.stderr
    assert "RuntimeError" in done.stderr
    assert KEY not in everything(folder, done)
    assert CANARY not in everything(folder, done)


# Where the key comes from


def refused(folder: Path, *arguments: object, **variables: str) -> tuple[int, str]:
    """Return the exit code of a run that must not start, and its first line."""
    options = ("--base-url", "http://127.0.0.1:9", *arguments)
    done = bulksync("run", "rows.csv", *options, folder=folder, variables=variables)
    assert KEY not in everything(folder, done)
    return done.code, done.stderr.splitlines()[0]


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write a key file."""
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o640, 0o610, 0o602, 0o604])
def test_key_files_that_others_may_use(mode: int, folder: Path) -> None:
    """A key file with any right for the group or the world is refused before anything is sent or made."""
    key_file(folder, KEY, mode)
    assert refused(folder, "--api-key-file", "key") == (2, "bulksync: others may read or write key, so it is not used")
    assert sorted(path.name for path in folder.iterdir()) == ["key", "rows.csv"]


@pytest.mark.parametrize("text", [f"{KEY}\n{KEY}\n", f"export FEATHER_API_KEY={KEY} "])
def test_a_key_file_with_more_than_a_key(text: str, folder: Path) -> None:
    """A key file that is not just a key is refused without a word of it."""
    message = "contains whitespace or invalid characters"
    key_file(folder, text)
    code, said = refused(folder, "--api-key-file", "key")
    assert (code, said) == (2, f"bulksync: the key in key is empty, or {message}")
    code, said = refused(folder, FEATHER_API_KEY=text)
    assert (code, said) == (2, f"bulksync: the key in FEATHER_API_KEY is empty, or {message}")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"echo {KEY}; exit 3", "--api-key-command failed: CalledProcessError"),
        (f"echo {KEY} {KEY}", "the key that --api-key-command printed is empty, or contains whitespace"),
        ("exit 0", "the key that --api-key-command printed is empty, or contains whitespace"),
    ],
    ids=["fails", "prints more", "prints nothing"],
)
def test_a_key_command_that_fails(script: str, reason: str, folder: Path) -> None:
    """A command that fails, or prints what is no key, ends the run without a word of what it printed."""
    command = key_file(folder, f"#!/bin/sh\n{script}\n", 0o700)
    code, said = refused(folder, "--api-key-command", command)
    assert (code, said.startswith(f"bulksync: {reason}")) == (2, True)


def test_a_key_in_the_configuration_is_no_option(folder: Path) -> None:
    """A configuration file with a key in it is refused by the option's name, not its value; so is broken TOML."""
    for text, said in ((f'api-key = "{KEY}"\n', "no such option: api-key"), (f'"api-key" = {KEY}\n', "cannot be read")):
        config = folder / "config.key"
        config.write_text(text)
        config.chmod(0o600)
        done = bulksync("run", "rows.csv", "--config", config, folder=folder)
        assert (done.code, said in done.stderr, KEY in done.stderr) == (2, True, False)


def test_no_option_shows_a_key(tmp_path: Path) -> None:
    """What is printed of the options, the job and the key itself holds no key."""
    key = read_key({"FEATHER_API_KEY": KEY}, None, None)
    files = Files(tmp_path / "o", tmp_path / "l", tmp_path / "s", tmp_path / "states")
    job = Job(Path("rows.csv"), RunOptions(api_key_file=Path("k")), files, "https://example.com", key, "bulksync run")
    shown = (job, key, SecretStr(KEY), SandboxOptions(key=KEY), RunOptions(api_key_file=Path("k")))
    assert [KEY in f"{thing!r} {thing}" for thing in shown] == [False] * 5


# The process


def test_what_others_see_of_the_process(folder: Path) -> None:
    """While a run goes on, the process list shows no key, and a crash would write no memory image."""
    with (
        started("sandbox", "--port", "0", "--latency", "30s", folder=folder) as sandbox,
        started("run", "rows.csv", "--base-url", url_of(sandbox), "-v", folder=folder) as process,
    ):
        assert process.stderr is not None
        assert any(b"sending 5 rows" in line for line in process.stderr)
        listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(process.pid)], capture_output=True, check=True)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        seen = listed.stdout + Path(f"/proc/{process.pid}/cmdline").read_bytes()
        core = next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
    assert (b"rows.csv" in seen, KEY.encode() in seen, core) == (True, False, ["0", "0"])


def url_of(sandbox: subprocess.Popen[bytes]) -> str:
    """Return the URL that a started sandbox prints first."""
    assert sandbox.stdout is not None
    return sandbox.stdout.readline().decode().strip()


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """Ledger, report, retry file, summary and spool are 0600 under umask 0, in a folder open to all."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    rows = write_rows(tmp_path / "rows.csv", range(5)).read_bytes()
    extras = ("--summary", "summary.json", "--retry-file", "retry.csv", "--limit", "2")
    run = (sys.executable, "-m", "bulksync", "run", "-", "--format", "csv", "--sandbox", *FULL_SPEED, *extras)
    script = ["sh", "-c", 'umask 0; exec "$@"', "sh", *run]
    done = subprocess.run(script, cwd=folder, env=environment(folder), input=rows, capture_output=True, timeout=60)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}
    assert done.returncode == 10, done.stderr
    assert modes == dict.fromkeys(
        (
            "stdin.report.csv",
            "stdin.report.csv.ledger",
            "stdin.report.csv.ledger.stdin",
            "summary.json",
            "retry.csv",
        ),
        "0o600",
    )


def test_files_are_private_while_the_run_goes_on(tmp_path: Path) -> None:
    """SQLite's side files are as private as the ledger, from the first moment on."""
    write_rows(tmp_path / "rows.csv", range(5))
    mask = os.umask(0)
    try:
        with (
            started("sandbox", "--port", "0", "--latency", "30s", folder=tmp_path) as sandbox,
            started("run", "rows.csv", "--base-url", url_of(sandbox), folder=tmp_path) as process,
        ):
            assert process.stderr is not None
            assert any(b"sending 5 rows" in line for line in process.stderr)
            modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.glob("*.ledger*")}
    finally:
        os.umask(mask)
    assert modes == {f"{REPORT}.ledger": "0o600", f"{REPORT}.ledger-wal": "0o600"}


def test_the_search_of_all_files_finds_what_it_seeks(tmp_path: Path) -> None:
    """The search that ends the suite finds a key in any file but key files, and metadata where none may be."""
    for name, text in {
        "key": KEY,
        "some.ledger": f"x{CANARY}x",
        "rows.csv": CANARY,
        "rows.csv.report.csv": KEY,
        "empty.report.csv": "",
        "deep": "nothing",
        "page.html": PASSWORD,
    }.items():
        (tmp_path / name).write_text(text)
    report, ledger, page = (tmp_path / name for name in ("rows.csv.report.csv", "some.ledger", "page.html"))
    found = sorted(leaks(tmp_path))
    for path in (report, ledger, page):
        path.unlink()  # else the search that ends the suite finds them too
    assert found == [f"metadata: {ledger}", f"the key: {report}", f"the password: {page}"]
