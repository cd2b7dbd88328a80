"""`--notify URL`: whoever is asked for hears how a run ended, and has no say in it."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bulksync.errors import UsageError
from bulksync.options.target import check_notify
from tests.support.fault_server import Behaviour, answer, close, hang, serve
from tests.support.program import KEY, PASSWORD, Done, bulksync, write_rows

TAKEN = answer(200, b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an input of three rows."""
    write_rows(tmp_path / "rows.csv", range(3))
    return tmp_path


def names(folder: Path) -> list[str]:
    """Return what stands in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def run(folder: Path, url: str, *flags: object, **variables: str) -> Done:
    """Run the input against a sandbox, and have its end told to a URL."""
    call = ("run", "rows.csv", "--sandbox", "--rate", "unlimited", "--notify", url, *flags)
    return await asyncio.to_thread(lambda: bulksync(*call, folder=folder, variables=variables))


async def told(folder: Path, *behaviours: Behaviour, flags: tuple[object, ...] = ()) -> tuple[Done, list[Any]]:
    """Run the input, and return what a server got that behaves so at each notification."""
    async with serve(*behaviours) as server:
        done = await run(folder, f"{server.url}/hook?token=canary", *flags)
    return done, [(seen.method, seen.path, json.loads(seen.body)) for seen in server.requests]


async def test_the_summary_is_posted(folder: Path) -> None:
    """What is posted, once, is the summary; the run says nothing of it."""
    done, seen = await told(folder, TAKEN, flags=("--summary", "summary.json", "--quiet"))
    summary = json.loads((folder / "summary.json").read_text())
    assert (done, seen) == (Done(0, "", ""), [("POST", "/hook?token=canary", summary)])


@pytest.mark.parametrize(
    ("behaviours", "attempts", "reason"),
    [
        ((answer(503, b""), TAKEN), 2, ""),
        ((close, answer(429, b""), TAKEN), 3, ""),
        ((answer(500, b""),) * 3, 3, "the answer is 500 Internal Server Error"),
        ((close,) * 3, 3, "the server closed the connection before a request was sent"),
        ((answer(404, b""),), 1, "the answer is 404 Not Found"),
        ((answer(302, b"", {"Location": "/elsewhere"}),), 1, "the answer is 302 Found"),
        ((hang,) * 3, 3, "no connection in time"),
    ],
    ids=["503", "closed, 429", "500", "closed", "404", "redirect", "hangs"],
)
async def test_it_is_tried_three_times(
    behaviours: tuple[Behaviour, ...], attempts: int, reason: str, folder: Path
) -> None:
    """What may pass is tried twice more, what is refused is not; the exit code stays, and a line says what failed."""
    done, seen = await told(folder, *behaviours, flags=("--quiet",))
    said = f" (--notify) did not take the summary: {reason}\n" if reason else ""
    assert (done.code, len(seen), done.stderr.endswith(said)) == (0, attempts, True)
    assert ("canary" in done.stderr, bool(done.stderr)) == (False, bool(reason))


@pytest.mark.parametrize(
    ("flags", "code", "what"),
    [
        (("--limit", 1), 10, ""),
        (("--allow-status", "PAUSED"), 7, "not sent: the input has invalid rows"),
        (("--output", "rows.csv.report.csv/x"), 8, "the ledger "),
        (("--delimiter", ";"), 7, "rows.csv, line 1: "),
    ],
    ids=["limit", "invalid rows", "no ledger", "no input"],
)
async def test_whatever_the_end(flags: tuple[object, ...], code: int, what: str, folder: Path) -> None:
    """Each ending is told, one that came to no report too, in the words of a summary: why, and what to do next."""
    (folder / "rows.csv.report.csv").touch()
    done, seen = await told(folder, TAKEN, flags=("--overwrite", *flags))
    [(method, _, summary)] = seen
    assert (done.code, method, summary["exitCode"], summary["input"]) == (code, "POST", code, "rows.csv")
    assert summary["stopped"].startswith(what)
    assert summary["nextStep"]


async def test_no_secret_is_posted(folder: Path) -> None:
    """Neither the key nor a password in the repeated command stands in what is posted, or in what is said."""
    async with serve(TAKEN, answer(404, b"")) as server:
        url = server.url.replace("http://", f"http://user:{PASSWORD}@")
        flags = ("--limit", "1", "--api-key-command", f"echo {KEY}")
        dones = [await run(folder, url, *flags), await run(folder, url, *flags)]
    assert [done.code for done in dones] == [10, 10]
    texts = [seen.body.decode() for seen in server.requests] + [done.stdout + done.stderr for done in dones]
    assert [(KEY in text, PASSWORD in text) for text in texts] == [(False, False)] * 4
    assert all("authorization" in {name.lower() for name in seen.headers} for seen in server.requests)


async def test_nobody_there(folder: Path) -> None:
    """A port that nobody listens at changes nothing; JSON says it as an event."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = await run(folder, f"http://127.0.0.1:{port}/hook", "--log-format", "json")
    [event] = [json.loads(line) for line in done.stderr.splitlines() if "not notified" in line]
    assert (done.code, event["url"], event["level"]) == (0, f"http://127.0.0.1:{port}", "error")
    assert event["reason"] == "no connection: Connection refused"


async def test_a_dry_run_tells_nobody(folder: Path) -> None:
    """A dry run does everything but the network."""
    assert (await told(folder, flags=("--dry-run",)))[1] == []


@pytest.mark.parametrize(
    ("url", "allow_http", "message"),
    [
        ("https://user:secret@hooks.example/a?b=c#d", False, None),
        ("http://127.0.0.1:9/x", False, None),
        ("http://[::1]:9/x", False, None),
        ("http://hooks.example/x", True, None),
        ("http://user:secret@hooks.example/secret", False, "--notify would post to hooks.example in clear text"),
        ("hooks.example/secret", False, "--notify is not a URL"),
        ("ftp://hooks.example/secret", True, "--notify is not a URL"),
        ("https:///secret", False, "--notify is not a URL"),
        ("https://hooks.example:port/secret", False, "--notify is not a URL"),
        ("https://hooks.example/a secret", False, "--notify is not a URL"),
    ],
)
def test_where_to(url: str, allow_http: bool, message: str | None) -> None:
    """https, or http to this host or where it is allowed; the message does not repeat a URL, which may be secret."""
    if message is None:
        check_notify(url, allow_http=allow_http)
        return
    with pytest.raises(UsageError) as caught:
        check_notify(url, allow_http=allow_http)
    assert (caught.value.what, "secret" in caught.value.next_step) == (message, False)


async def test_a_wrong_url_is_a_wrong_call(folder: Path) -> None:
    """It is refused before anything is done."""
    done = await run(folder, "http://hooks.example/secret")
    assert (done.code, "secret" in done.stderr, names(folder)) == (2, False, ["rows.csv"])
