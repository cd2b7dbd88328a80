"""`check --show N`: the first requests, exactly as a run sends them; and none is sent."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bulksync import __version__
from tests.support.fault_server import serve
from tests.support.program import KEY, WORKFLOW, bulksync, execution, write_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an input of four rows, of which the second is invalid."""
    write_rows(tmp_path / "rows.csv", range(4))
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    lines[2] = lines[2].replace(execution(1), "no")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    return tmp_path


def requests(folder: Path, *flags: object) -> list[dict[str, Any]]:
    """Return the requests that a check shows."""
    done = bulksync("check", "rows.csv", "--json", *flags, folder=folder, variables={"FEATHER_API_KEY": ""})
    found: list[dict[str, Any]] = json.loads(done.stdout).get("requests", [])
    return found


async def test_what_is_shown_is_what_is_sent(folder: Path) -> None:
    """Method, URL, each header and the body are, byte for byte, those that the server then sees; the key is blanked."""
    async with serve() as server:
        flags = ("--base-url", f"{server.url}/prefix")
        shown = await asyncio.to_thread(requests, folder, "--show", 9, *flags)
        assert server.requests == []
        call = ("run", "rows.csv", *flags, "--on-invalid", "skip", "--max-in-flight", 1, "--rate", "unlimited")
        await asyncio.to_thread(lambda: bulksync(*call, folder=folder))
    seen = {seen.path: seen for seen in server.requests}
    assert [(one["row"], one["line"]) for one in shown] == [(1, 2), (3, 4), (4, 5)]
    for one in shown:
        sent = seen.pop(one["url"].removeprefix(server.url))
        headers = {name.lower(): value for name, value in one["headers"].items()}
        assert (one["method"], one["body"].encode()) == (sent.method, sent.body)
        assert headers == {**sent.headers, "x-api-key": "***"}
    assert seen == {}


def test_the_first_ones_as_text(folder: Path) -> None:
    """For people it is a request as it stands in any manual, above what a check always says."""
    done = bulksync("check", "rows.csv", "--show", "1", "--base-url", "sandbox", folder=folder)
    path = f"/api/v1/workflow/{WORKFLOW}/execution/{execution(0)}"
    body = '{"status":"COMPLETED","metadata":{"turn":0,"note":"canary-metadata-5d1f"}}'
    head = (
        f"row 1 (line 2):\nPUT https://sandbox.featherhq.com{path}\nHost: sandbox.featherhq.com\n"
        f"Accept: application/json\nAccept-Encoding: identity\nUser-Agent: bulksync/{__version__}\n"
        f"X-API-Key: ***\nContent-Type: application/json\nContent-Length: {len(body)}"
    )
    assert done.stdout.split("\n\n")[:2] == [head, body]
    assert "rows.csv: 4 rows, 3 valid, 1 invalid" in done.stdout
    assert KEY not in done.stdout + done.stderr


def test_no_more_than_asked_for(folder: Path) -> None:
    """N is at most N; without the option there are none, and a program does not find an empty list."""
    assert [one["row"] for one in requests(folder, "--show", 2)] == [1, 3]
    assert "requests" not in json.loads(bulksync("check", "rows.csv", "--json", folder=folder).stdout)


def test_the_url_is_checked_as_a_run_does(folder: Path) -> None:
    """A URL that a run would refuse is refused here."""
    done = bulksync("check", "rows.csv", "--show", "1", "--base-url", "http://example.com", folder=folder)
    assert (done.code, done.stdout) == (2, "")


def test_a_terminal_obeys_nothing_in_a_body(folder: Path) -> None:
    """A control character of eight bits that JSON lets through is shown by its number; for programs it stays."""
    write_rows(folder / "rows.csv", [1])
    text = (folder / "rows.csv").read_text().replace("canary-metadata-5d1f", "\x9b31m\u202eé")
    (folder / "rows.csv").write_text(text)
    shown = bulksync("check", "rows.csv", "--show", "1", folder=folder).stdout
    assert '"note":"\\u009b31m\\u202eé"}}' in shown
    assert json.loads(requests(folder, "--show", 1)[0]["body"])["metadata"]["note"] == "\x9b31m\u202eé"
