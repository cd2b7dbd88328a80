"""The recorder itself: what it writes down, how its rules answer, and how far away it is."""

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.program import WORKFLOW, execution
from tests.support.recorder import (
    HANG,
    RESET,
    SECOND,
    Answer,
    Request,
    Rule,
    always,
    answer,
    for_seconds,
    from_arrival,
    held,
    html,
    limited,
    recording,
    until_told,
    when,
)

PATH = f"/api/v1/workflow/{WORKFLOW}/execution/{execution(7)}"


def put(turn: int, key: str = "k") -> bytes:
    """Return a request as the program sends it."""
    body = json.dumps({"status": "COMPLETED", "metadata": {"turn": turn}}).encode()
    return f"PUT {PATH} HTTP/1.1\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def arrival(number: int, at: float = 0.0) -> Request:
    """Return the arrival with a number, seconds after the first one."""
    return Request(number, int(at * SECOND), at, 1, "PUT", PATH, {"x-api-key": "k"}, b"{}")


async def said(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Read one answer: its status and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
    return int(head.split()[1]), (await reader.readexactly(length)).decode()


def port_of(url: str) -> int:
    """Return the port of a URL."""
    return int(url.rpartition(":")[2])


async def test_what_is_acknowledged_and_written_down() -> None:
    """A request without a rule is acknowledged with its own ids and status, and written down whole."""
    async with recording() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(api.url))
        whole = put(3) + put(4)
        for byte in range(0, len(whole), 50):  # in pieces, and two behind one another
            writer.write(whole[byte : byte + 50])
            await writer.drain()
        answers = [await said(reader), await said(reader)]
        writer.close()
    page = json.dumps({"id": execution(7), "workflowId": WORKFLOW, "status": "COMPLETED"})
    assert answers == [(200, page)] * 2
    assert [(one.number, one.row, one.key, one.path, one.connection) for one in api.requests] == [
        (0, 3, "k", PATH, 1),
        (1, 4, "k", PATH, 1),
    ]
    assert (api.acknowledged, api.times == sorted(api.times)) == ({3: 1, 4: 1}, True)


def test_the_first_rule_that_answers_counts() -> None:
    """Rules are asked in order, about anything that a request holds."""
    rules = [when(lambda request: request.number == 2, html(403)), from_arrival(1, always(answer(500)))]
    found = [[rule(arrival(number)) for rule in rules] for number in range(3)]
    assert found == [[None, None], [None, answer(500)], [html(403), answer(500)]]


def test_rules_of_time() -> None:
    """An outage lasts from an arrival on; held answers all come at the same moment; a limit lets every so many by."""
    outage, hold, limit = for_seconds(1, 2.0, answer(502)), held(1.0, 3.0), limited(10, answer(503))
    times = (0.0, 1.0, 2.9, 3.1, 5.0)
    arrivals = [arrival(number, at) for number, at in enumerate(times)]
    assert [outage(one) for one in arrivals] == [None, answer(502), answer(502), None, None]
    waits = [0.0 if (found := hold(one)) is None else found.wait for one in arrivals]
    assert waits == pytest.approx([0, 3.0, 1.1, 0.9, 0])
    quick = [limit(arrival(number, 1 + number / 20)) for number in range(5)]
    assert quick == [None, answer(503), None, answer(503), None]


def test_an_outage_that_ends_when_enough_were_told() -> None:
    """It begins with an arrival's number; who is told twice counts once."""
    rule = until_told(1, 2, answer(502))
    arrivals = [
        replace(arrival(number), path=f"/workflow/{WORKFLOW}/execution/{execution(of)}")
        for number, of in enumerate((0, 1, 1, 2, 3))
    ]
    assert [rule(one) for one in arrivals] == [None, answer(502), answer(502), answer(502), None]


@pytest.mark.parametrize("rule", [always(RESET), always(HANG), always(Answer(headers=(("Connection", "close"),)))])
async def test_answers_that_are_none(rule: Rule) -> None:
    """A connection can be reset, left without an answer, or closed behind its answer."""
    async with recording(rule) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(api.url))
        writer.write(put(0))
        if rule(arrival(0)) == HANG:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.05)
        else:
            assert (await reader.read()).startswith(b"" if rule(arrival(0)) == RESET else b"HTTP/1.1 200")
        writer.close()
    assert (len(api.requests), len(api.in_flight)) == (1, int(rule(arrival(0)) == HANG))


async def test_the_distance() -> None:
    """What is sent arrives half a round trip later, in its order, and so does the answer."""
    async with recording(rtt=0.2) as api:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(api.url))
        sent = loop.time()
        for turn in range(3):
            writer.write(put(turn))
            await asyncio.sleep(0.01)
        bodies = [await said(reader) for _ in range(3)]
        came = loop.time()
        writer.close()
    assert ([one.row for one in api.requests], len(bodies)) == ([0, 1, 2], 3)
    assert came - sent >= 0.2
    assert api.requests[0].at / SECOND - sent >= 0.1


async def test_the_recorder_as_a_program() -> None:
    """As a program it serves until a signal, and prints its arrivals."""
    call = (sys.executable, "-m", "tests.support.recorder", "--rtt", "0.01")
    process = await asyncio.create_subprocess_exec(
        *call, cwd=Path(__file__).parent.parent.parent, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of((await process.stdout.readline()).decode()))
    writer.write(put(0))
    status, _ = await said(reader)
    process.send_signal(signal.SIGTERM)
    lines = (await process.communicate())[0].splitlines()
    writer.close()
    assert (status, [json.loads(line)["path"] for line in lines], process.returncode) == (200, [PATH], 0)
