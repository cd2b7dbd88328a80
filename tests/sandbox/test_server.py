"""The sandbox: an honest peer that answers like the API page, refuses exactly, and misbehaves the same way twice."""

import asyncio
import json
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulksync.sandbox.checks import Refusal, refuse_key, refuse_target, refuse_update, until_free
from bulksync.sandbox.draws import SIZE, Draws
from bulksync.sandbox.execution import DISPOSITIONS, REASONS, STATUSES, Stored, execution, untouched
from bulksync.sandbox.faults import NAMES, Faults, parse_faults, pick
from bulksync.sandbox.server import Arrival, Sandbox, Settings, serve
from bulksync.sandbox.wire import encode
from tests.support.api_page import PAGE

W = "3c90c3cc-0d44-4b50-8888-8dd25736052a"

E1 = "00000000-0000-4000-8000-000000000001"

E2 = "00000000-0000-4000-8000-000000000002"

KEY = "canary-key-0451"

HEADERS = {"X-API-Key": KEY, "Content-Type": "application/json"}


def members(value: Any, path: str = "") -> Iterator[str]:
    """Every member of a JSON value, as a path; the elements of an array share one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from members(inner, f"{path}.{name}")
    if isinstance(value, list):
        for inner in value:
            yield from members(inner, f"{path}[]")


def answered(seed: int, workflow_id: str, execution_id: str, stored: Stored | None = None, era: int = 0) -> Any:
    """The execution as a client reads it."""
    stored = stored or untouched(seed, workflow_id, execution_id)
    return json.loads(encode(execution(seed, workflow_id, execution_id, stored, era)))


def many() -> list[Any]:
    """Executions of many workflows, in every status."""
    return [
        answered(0, Draws("w", n % 20).id(), Draws("e", n).id(), Stored(STATUSES[n % 6], {"firstName": "Ann"}))
        for n in range(600)
    ]


def path(execution_id: str = E1, workflow_id: str = W) -> str:
    """The path of an execution."""
    return f"/api/v1/workflow/{workflow_id}/execution/{execution_id}"


async def send(
    sandbox: Sandbox,
    body: Any,
    execution_id: str = E1,
    *,
    workflow_id: str = W,
    method: str = "PUT",
    headers: dict[str, str] = HEADERS,
) -> tuple[int, Any, dict[str, str]]:
    """One request on a connection of its own, without aiohttp's second try: status, JSON body, headers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(*sandbox.url.removeprefix("http://").split(":"))
    head = f"{method} {path(execution_id, workflow_id)} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    try:
        answer = await reader.read()
    finally:
        writer.close()
    if not answer:
        raise EOFError("closed without a word")
    top, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    found = dict(line.split(": ", 1) for line in lines)
    if len(content) < int(found.get("Content-Length", 0)):
        raise asyncio.IncompleteReadError(content, int(found["Content-Length"]))
    body = json.loads(content) if found.get("Content-Type", "").startswith("application/json") else content.decode()
    return int(status.split()[1]), body, found


async def inspect(sandbox: Sandbox, what: str) -> tuple[int, Any]:
    """What `/_sandbox/` says, asked without a key."""
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/_sandbox/{what}") as answer:
        return answer.status, await answer.json()


def settled(sandbox: Sandbox) -> list[tuple[str, int | str, bool]]:
    """The log in short: execution, answer, whether it was applied."""
    return [(arrival.execution_id, arrival.answer, arrival.applied) for arrival in sandbox.log]


def test_every_field_of_the_page() -> None:
    """A 200 has the members of the API page, and no others."""
    seen = {member for body in many() for member in members(body)}
    assert seen == set(members(PAGE)) - {".metadata.lastName"}


def test_every_answer_has_the_outer_fields() -> None:
    """Members may be null, never missing; only a call has an agentCall."""
    step, call = PAGE["stepExecutions"][0], PAGE["stepExecutions"][0]["agentCall"]
    for body in many():
        assert list(body) == list(PAGE)
        for mine in body["stepExecutions"]:
            assert list(mine) == list(step)
            assert (mine["agentCall"] and list(mine["agentCall"])) == (list(call) if mine["type"] == "CALL" else None)


def test_dispositions_vary() -> None:
    """Every disposition and every reason comes up, null as well, and steps differ in number and type."""
    bodies = many()
    steps = [step for body in bodies for step in body["stepExecutions"]]
    calls = [step["agentCall"] for step in steps if step["agentCall"]]
    assert {body["disposition"] for body in bodies} == {*DISPOSITIONS, None}
    assert {call["callEndedReason"] for call in calls} == {*REASONS, None}
    assert {len(body["stepExecutions"]) for body in bodies} == {1, 2, 3}
    assert {step["type"] for step in steps} == {"CALL", "TEXT"}


def test_the_story_holds_together() -> None:
    """An execution's disposition and times are those of its steps that happened, which stand in order."""
    for body in many():
        done = [step for step in body["stepExecutions"] if step["disposition"]]
        ended = body["status"] in ("COMPLETED", "FAILED", "CANCELLED")
        assert body["disposition"] == (done[-1]["disposition"] if done else None)
        assert body["startedAt"] == (done[0]["startedAt"] if done else None)
        assert body["completedAt"] == (done[-1]["completedAt"] if done and ended else None)
        assert [step["order"] for step in body["stepExecutions"]] == list(range(1, 1 + len(body["stepExecutions"])))
        assert done == body["stepExecutions"][: len(done)]
        assert not any(step["disposition"] in step["finishOn"] for step in done[:-1])


def test_a_workflow_has_one_definition() -> None:
    """Executions of one workflow share its definition, and differ in their own ids."""
    one, two = answered(0, W, E1), answered(0, W, E2)
    assert one["definition"] == two["definition"]
    assert one["customerLeadId"] != two["customerLeadId"]


def test_the_same_seed_and_ids_give_the_same_answer() -> None:
    """Nothing but seed, ids and updates decides an answer, in this process or another."""
    assert answered(7, W, E1) == answered(7, W, E1)
    assert answered(7, W, E1) != answered(8, W, E1)
    assert (Draws(0, W, E1).id(), Draws(0, W, E1).below(1000)) == ("d77f79ae-538a-45f4-a5aa-ebfc18f5110d", 662)


def test_draws_do_not_run_dry_in_silence() -> None:
    """More draws than a name has are an error, not zeros."""
    draws = Draws("name")
    for _ in range(SIZE // 16):
        draws.id()
    with pytest.raises(IndexError, match="more than 512 bytes drawn"):
        draws.share()


async def test_what_was_never_updated_is_known_or_not_as_told() -> None:
    """A GET answers for every execution, or with 404 for those that no update has reached."""
    for only_seen, statuses in ((False, [200, 200]), (True, [404, 200])):
        async with serve(Settings(only_seen=only_seen)) as sandbox:
            first = await send(sandbox, b"", method="GET")
            await send(sandbox, {"status": "RUNNING"})
            assert [first[0], (await send(sandbox, b"", method="GET"))[0]] == statuses


async def test_metadata_is_replaced_where_told_so() -> None:
    """An update with metadata leaves nothing of the old one; one without leaves it alone."""
    async with serve(Settings(replaces_metadata=True)) as sandbox:
        await send(sandbox, {"metadata": {"crm": 1}})
        await send(sandbox, {"status": "PAUSED"})
        assert sandbox.executions == {(W, E1): Stored("PAUSED", {"crm": 1})}


def test_dispositions_drift() -> None:
    """In another era the calls of executions ended otherwise; their status and metadata stay."""
    stored = untouched(0, W, E1)
    eras = [answered(0, W, E1, replace(stored, status="COMPLETED"), era) for era in range(4)]
    assert len({str(one["stepExecutions"]) for one in eras}) == 4
    assert {(one["status"], str(one["metadata"])) for one in eras} == {("COMPLETED", str(stored.metadata))}


async def test_reads_fail_as_updates_do() -> None:
    """What befalls a GET is scripted, or drawn, as for a PUT; it applies nothing."""
    async with serve(Settings(script={E1: ["server_error", "oversized"]})) as sandbox:
        first, second = [(await send(sandbox, b"", method="GET"))[0] for _ in range(2)]
    assert (first, second, sandbox.applied) == (500, 200, [])


async def test_an_update_sets_status_and_merges_metadata() -> None:
    """Status replaces, metadata is merged, what is not given stays, and GET answers what PUT answered."""
    async with serve(Settings()) as sandbox:
        _, first, _ = await send(sandbox, {"status": "RUNNING", "metadata": {"firstName": "Ann", "crm": [1]}})
        _, second, _ = await send(sandbox, {"metadata": {"crm": 2}})
        got = await send(sandbox, b"", method="GET")
    before = untouched(0, W, E1).metadata
    assert first == answered(0, W, E1, Stored("RUNNING", {**before, "firstName": "Ann", "crm": [1]}))
    assert second == answered(0, W, E1, Stored("RUNNING", {**before, "firstName": "Ann", "crm": 2}))
    assert got[:2] == (200, second)
    assert sandbox.executions == {(W, E1): Stored("RUNNING", second["metadata"])}


async def test_ids_are_one_in_either_case() -> None:
    """An id in capitals is the same execution, answered in lower case."""
    execution_id = "ABCDEFAB-0000-4000-8000-000000000001"
    async with serve(Settings()) as sandbox:
        _, body, _ = await send(sandbox, {"status": "PAUSED"}, execution_id, workflow_id=W.upper())
    assert (body["workflowId"], body["id"]) == (W, execution_id.lower())
    assert list(sandbox.executions) == [(W, execution_id.lower())]


@pytest.mark.parametrize(
    ("given", "key", "refusal"),
    [
        ("any", None, None),
        ("right", "right", None),
        (None, None, Refusal(401, "missing API key")),
        ("", "right", Refusal(401, "missing API key")),
        ("wrong", "right", Refusal(401, "invalid API key")),
    ],
)
def test_key(given: str | None, key: str | None, refusal: Refusal | None) -> None:
    """A key must be given, and be the right one where there is a right one."""
    assert refuse_key(given, key) == refusal


@pytest.mark.parametrize(
    ("target", "method", "refusal"),
    [
        (path(), "PUT", None),
        (path(E1.upper()), "GET", None),
        (path(), "DELETE", Refusal(405, "use GET or PUT")),
        ("/api/v1/workflow", "PUT", Refusal(404, "no such path")),
        (path() + "/", "PUT", Refusal(404, "no such path")),
        ("/" + path(), "PUT", Refusal(404, "no such path")),
        (path(workflow_id="w"), "PUT", Refusal(422, "workflowId must be a UUID")),
        (path(E1 + "0"), "PUT", Refusal(422, "executionId must be a UUID")),
        (path(E1.replace("-", "")), "PUT", Refusal(422, "executionId must be a UUID")),
        (path("%2e%2e"), "PUT", Refusal(422, "executionId must be a UUID")),
        (path(E1[:-1] + "٣"), "PUT", Refusal(422, "executionId must be a UUID")),
    ],
)
def test_target(target: str, method: str, refusal: Refusal | None) -> None:
    """One path, two methods, and ids of 8-4-4-4-12 ASCII hex."""
    assert refuse_target(target, method) == refusal


NEITHER = Refusal(422, "body must hold status, metadata or both, and nothing else")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"status": "CREATED", "metadata": {}}, None),
        ({"metadata": {}}, None),
        ({"status": "ON_HOLD_2"}, None),
        (None, Refusal(400, "body must be a JSON object")),
        ([], Refusal(400, "body must be a JSON object")),
        ({}, NEITHER),
        ({"status": "CREATED", "row": 1}, NEITHER),
        ({"status": None}, Refusal(422, "status must be a word such as COMPLETED")),
        ({"status": "created"}, Refusal(422, "status must be a word such as COMPLETED")),
        ({"status": "A" * 65}, Refusal(422, "status must be a word such as COMPLETED")),
        ({"metadata": None}, Refusal(422, "metadata must be an object")),
        ({"metadata": "{}"}, Refusal(422, "metadata must be an object")),
    ],
)
def test_update(body: Any, refusal: Refusal | None) -> None:
    """A body is an object with status, metadata or both, of their types, and nothing else."""
    assert refuse_update("application/json", body) == refusal


def test_content_type() -> None:
    """A body must be declared as JSON."""
    assert refuse_update("text/plain", {"metadata": {}}) == Refusal(415, "Content-Type must be application/json")


@pytest.mark.parametrize(
    ("headers", "body", "method", "status", "code"),
    [
        ({}, {"metadata": {}}, "PUT", 401, "UNAUTHORIZED"),
        ({**HEADERS, "X-API-Key": "wrong"}, {"metadata": {}}, "PUT", 401, "UNAUTHORIZED"),
        (HEADERS, b"{", "PUT", 400, "BAD_REQUEST"),
        (HEADERS, b'{"metadata": {"x": NaN}}', "PUT", 400, "BAD_REQUEST"),
        (HEADERS, {}, "PUT", 422, "UNPROCESSABLE_ENTITY"),
        (HEADERS, b"", "DELETE", 405, "METHOD_NOT_ALLOWED"),
        ({"X-API-Key": KEY}, {"metadata": {}}, "PUT", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (HEADERS, b'"' + b"x" * 2**20 + b'"', "PUT", 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_refusals_on_the_wire(headers: dict[str, str], body: Any, method: str, status: int, code: str) -> None:
    """A refusal has the API page's error body, changes nothing, and is logged."""
    async with serve(Settings(key=KEY)) as sandbox:
        answer = await send(sandbox, body, method=method, headers=headers)
    message = answer[1].pop("message")
    assert answer[:2] == (status, {"status": status, "code": code, "success": False})
    assert isinstance(message, str)
    assert answer[2].get("Allow") == ("GET, PUT" if status == 405 else None)
    assert (settled(sandbox), sandbox.executions) == ([(E1, status, False)], {})


async def test_unknown_executions() -> None:
    """Ids that the sandbox is told not to know get 404, workflows as well as executions."""
    async with serve(Settings(unknown=frozenset({E1}))) as sandbox:
        assert [(await send(sandbox, {"metadata": {}}, one))[0] for one in (E1, E2)] == [404, 200]
    async with serve(Settings(unknown=frozenset({W}))) as sandbox:
        assert [(await send(sandbox, {"metadata": {}}, one))[0] for one in (E1, E2)] == [404, 404]


async def test_unknown_rate_repeats() -> None:
    """The executions that a rate makes unknown are the same every time."""
    ids = [Draws(n).id() for n in range(40)]
    runs = []
    for _ in range(2):
        async with serve(Settings(unknown_rate=0.3)) as sandbox:
            runs.append([(await send(sandbox, {"metadata": {}}, one))[0] for one in ids])
    assert runs[0] == runs[1]
    assert 4 <= runs[0].count(404) <= 20


@pytest.mark.parametrize(
    ("taken", "now", "rate", "window", "wait"),
    [
        ([], 0.0, 1, 1.0, 0.0),
        ([0.0], 0.0, 2, 1.0, 0.0),
        ([0.0, 0.0], 0.0, 2, 1.0, 0.99),
        ([0.0, 0.5], 0.98, 2, 1.0, 0.01),
        ([0.0, 0.5], 0.99, 2, 1.0, 0.0),
        ([0.0, 0.5], 5.0, 2, 1.0, 0.0),
        ([0.0, 0.5, 0.9], 1.0, 2, 1.0, 0.49),
        ([0.0, 10.0], 20.0, 2, 60.0, 39.99),
    ],
)
def test_until_free(taken: list[float], now: float, rate: int, window: float, wait: float) -> None:
    """A request waits until fewer than *rate* lie within the window behind it, less 10 ms."""
    assert until_free(taken, now, rate, window) == pytest.approx(wait, abs=1e-9)


async def test_too_many_requests() -> None:
    """Over the rate, 429 says when to come back in header and body, and is not applied."""
    async with serve(Settings(rate=2, window=600)) as sandbox:
        answers = [await send(sandbox, {"metadata": {}}) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[2][2]["Retry-After"] == "600"
    assert answers[2][1] == {
        "status": 429,
        "message": "rate limit exceeded",
        "code": "RATE_LIMITED",
        "success": False,
        "retry_after": 600,
    }
    assert settled(sandbox) == [(E1, 200, True), (E1, 200, True), (E1, 429, False)]


async def test_retry_after_in_a_window_of_a_second() -> None:
    """In a window of one second a 429 always says one second."""
    async with serve(Settings(rate=1)) as sandbox:
        answers = await asyncio.gather(*(send(sandbox, {"metadata": {}}) for _ in range(5)))
    assert {headers.get("Retry-After") for status, _, headers in answers if status == 429} == {"1"}


async def test_what_counts_for_the_rate() -> None:
    """Requests without a key and those to `/_sandbox/` take nothing of the rate."""
    async with serve(Settings(rate=1, window=600)) as sandbox:
        await send(sandbox, {"metadata": {}}, headers={})
        assert await inspect(sandbox, "health") == (200, {"status": "ok"})
        assert [(await send(sandbox, {"metadata": {}}))[0] for _ in range(2)] == [200, 429]


async def misbehave(fault: str | int, **options: Any) -> tuple[Any, Sandbox]:
    """What a client gets when *fault* befalls its request: the answer, or the error."""
    async with serve(Settings(script={E1: [fault]}, **options)) as sandbox:
        try:
            async with asyncio.timeout(0.1 if fault == "hang" else 10):
                return await send(sandbox, {"status": "PAUSED"}), sandbox
        except (OSError, EOFError, ValueError) as error:
            return error, sandbox


@pytest.mark.parametrize(("fault", "status"), [("server_error", 500), ("unavailable", 503), (409, 409), (418, 418)])
async def test_error_faults(fault: str | int, status: int) -> None:
    """A fault that is a status answers with it, without Retry-After, and applies nothing."""
    answer, sandbox = await misbehave(fault)
    assert (answer[0], answer[1]["status"], answer[2].get("Retry-After")) == (status, status, None)
    assert settled(sandbox) == [(E1, fault, False)]


async def test_unavailable_retry_after() -> None:
    """503 can say when to come back."""
    answer, sandbox = await misbehave("unavailable_retry_after")
    assert (answer[0], answer[2]["Retry-After"], answer[1]["retry_after"]) == (503, "1", 1)
    assert settled(sandbox) == [(E1, "unavailable_retry_after", False)]


@pytest.mark.parametrize(("fault", "applied"), [("reset_before", False), ("reset_after", True)])
async def test_resets(fault: str, applied: bool) -> None:
    """The connection is reset, before the update is applied or after."""
    error, sandbox = await misbehave(fault)
    assert isinstance(error, ConnectionResetError)
    assert settled(sandbox) == [(E1, fault, applied)]
    assert list(sandbox.executions) == ([(W, E1)] if applied else [])


async def test_hang() -> None:
    """Nothing comes, and nothing is applied."""
    error, sandbox = await misbehave("hang")
    assert isinstance(error, TimeoutError)
    assert settled(sandbox) == [(E1, "hang", False)]


async def test_closing_does_not_wait_for_clients() -> None:
    """Closing ends the requests that hang, whose clients are still there, at once."""
    async with asyncio.timeout(5):
        async with serve(Settings(script={E1: ["hang"]})) as sandbox:
            waiting = asyncio.create_task(send(sandbox, {"metadata": {}}))
            while not sandbox.log:
                await inspect(sandbox, "health")
        with pytest.raises(EOFError, match="closed without a word"):
            await waiting


async def test_hang_is_bounded() -> None:
    """A request that hangs is given up in the end: the connection closes without a word."""
    error, sandbox = await misbehave("hang", hang=0.01)
    assert (type(error), settled(sandbox)) == (EOFError, [(E1, "hang", False)])


async def test_truncated() -> None:
    """The headers promise more than comes, and the update is applied."""
    error, sandbox = await misbehave("truncated")
    whole = encode(execution(0, W, E1, sandbox.executions[W, E1]))
    assert isinstance(error, asyncio.IncompleteReadError)
    assert (error.partial, error.expected) == (whole[: len(whole) // 2], len(whole))
    assert settled(sandbox) == [(E1, "truncated", True)]


async def test_not_json() -> None:
    """A 200 can be a page for people, as a proxy's is; nothing is applied."""
    answer, sandbox = await misbehave("not_json")
    assert (answer[0], answer[2]["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert settled(sandbox) == [(E1, "not_json", False)]


async def test_redirect() -> None:
    """A redirect names the same path at another origin; nothing is applied."""
    answer, sandbox = await misbehave("redirect", redirect_to="http://other.invalid")
    assert (answer[0], answer[2]["Location"]) == (307, f"http://other.invalid{path()}")
    assert settled(sandbox) == [(E1, "redirect", False)]


async def test_wrong_id() -> None:
    """A 200 can name another execution; ours is not updated."""
    answer, sandbox = await misbehave("wrong_id")
    assert answer[0] == 200
    assert answer[1]["id"] != E1
    assert settled(sandbox) == [(E1, "wrong_id", False)]


async def test_oversized() -> None:
    """A 200 can be true and over 64 KiB."""
    answer, sandbox = await misbehave("oversized")
    assert (answer[0], answer[1]["id"], int(answer[2]["Content-Length"]) > 65_536) == (200, E1, True)
    assert settled(sandbox) == [(E1, "oversized", True)]


async def test_late_apply() -> None:
    """An update without an answer can be applied after the one that was sent later, and wins."""
    async with serve(Settings(script={E1: ["late_apply"]}, late=0.05)) as sandbox:
        with pytest.raises(EOFError):
            await send(sandbox, {"status": "RUNNING"})
        await send(sandbox, {"status": "COMPLETED"})
        async with asyncio.timeout(10):
            while len(sandbox.log) < 2:
                await inspect(sandbox, "health")
    assert [(arrival.number, arrival.answer) for arrival in sandbox.applied] == [(2, 200), (1, "late_apply")]
    assert sandbox.executions[W, E1].status == "RUNNING"


async def test_closing_forgets_what_is_late() -> None:
    """What was to be applied after the end is not, and the log says so."""
    error, sandbox = await misbehave("late_apply", late=60)
    assert (type(error), settled(sandbox)) == (EOFError, [(E1, "client_left", False)])


async def test_a_client_that_leaves_before_the_update_is_applied() -> None:
    """An update whose client leaves early enough is not applied, and the log says so."""
    async with serve(Settings(latency=(60, 60))) as sandbox:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send(sandbox, {"metadata": {}}), 0.05)
    assert settled(sandbox) == [(E1, "client_left", False)]


async def test_a_script_runs_out() -> None:
    """A script says what befalls the first requests of an execution, `*` of all others; then all is well."""
    script: dict[str, list[str | int]] = {E1: ["server_error", "ok", 403], "*": ["unavailable"]}
    async with serve(Settings(script=script, faults=Faults(redirect=1))) as sandbox:
        statuses = [(await send(sandbox, {"metadata": {}}, one))[0] for one in (E1, E1, E1, E1, E2, E2)]
    assert statuses == [500, 200, 403, 200, 503, 200]


async def test_faults_do_not_depend_on_the_order_of_arrival() -> None:
    """Seed, ids and how many updates an execution had decide its fault; a 429 is none of them."""
    ids = [Draws(n).id() for n in range(12)]
    faults = Faults(server_error=0.3, unavailable=0.2, not_json=0.2)

    async def run(order: list[str], rate: int | None) -> dict[str, list[int | str]]:
        async with serve(Settings(seed=3, faults=faults, rate=rate, window=600)) as sandbox:
            await asyncio.gather(*(send(sandbox, {"metadata": {}}, key) for key in order))
        answers: dict[str, list[int | str]] = {key: [] for key in ids}
        for arrival in sandbox.log:
            if arrival.answer != 429:
                answers[arrival.execution_id].append(arrival.answer)
        return answers

    one, two, three = await run(ids * 3, None), await run((ids * 3)[::-1], None), await run(ids * 3, 20)
    assert one == two
    assert all(three[key] == one[key][: len(three[key])] for key in ids)
    assert {answer for answers in one.values() for answer in answers} == {
        200,
        "server_error",
        "unavailable",
        "not_json",
    }


def test_pick_follows_the_rates() -> None:
    """Every fault gets its share, and the rest is well."""
    faults = Faults(server_error=0.25, late_apply=0.5)
    picked = Counter(pick(faults, n / 1000) for n in range(1000))
    assert picked == {"server_error": 250, "late_apply": 500, "ok": 250}


def test_parse_faults() -> None:
    """Faults are written as names and rates."""
    assert parse_faults("reset_after=0.05, server_error=.1") == Faults(reset_after=0.05, server_error=0.1)
    assert parse_faults(" ") == Faults()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("typo=1", f"unknown fault 'typo'; known are {', '.join(NAMES)}"),
        ("hang=0.1,", f"unknown fault ''; known are {', '.join(NAMES)}"),
        ("hang", "fault hang: '' is not a number between 0 and 1; write hang=0.05"),
        ("hang=x", "fault hang: 'x' is not a number between 0 and 1; write hang=0.05"),
        ("hang=1.5", "fault hang: 1.5 is not between 0 and 1"),
        ("hang=nan", "fault hang: nan is not between 0 and 1"),
        ("hang=0.1,hang=0.2", "fault hang is given twice"),
        ("hang=0.6,redirect=0.6", "the faults add up to 1.2, which is more than 1"),
    ],
)
def test_parse_faults_says_what_is_wrong(text: str, message: str) -> None:
    """A fault that makes no sense is named, with what would."""
    with pytest.raises(ValueError, match="fault") as caught:
        parse_faults(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "rate 0: must be at least 1; 30 a minute are rate 30, window 60"),
        ({"latency": (2, 1)}, "latency (2, 1): must be the shortest and the longest time in seconds"),
        ({"script": {E1: ["typo"]}}, f"unknown fault 'typo'; known are {', '.join(NAMES)}"),
    ],
)
def test_settings_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    """Settings that make no sense are refused before anything is served."""
    with pytest.raises(ValueError, match=r"must|unknown") as caught:
        Settings(**options)
    assert str(caught.value) == message


async def test_log_is_the_same_everywhere(tmp_path: Path) -> None:
    """The log in memory, at `/_sandbox/log` and in the file (its owner's alone) is one, and holds no key."""
    file = tmp_path / "sandbox.jsonl"
    async with serve(Settings(key=KEY, script={E1: ["reset_after"]}, log_file=file)) as sandbox:
        with pytest.raises(ConnectionResetError):
            await send(sandbox, {"status": "PAUSED", "metadata": {"a": 1}})
        await send(sandbox, {"metadata": {}}, E2, headers={**HEADERS, "X-API-Key": "wrong"})
        served = await inspect(sandbox, "log")
        lines = file.read_text()
    assert [json.loads(line) for line in lines.splitlines()] == served[1]["arrivals"]
    one, two = sandbox.log
    update = {"status": "PAUSED", "metadata": {"a": 1}}
    assert sandbox.log == [
        Arrival(1, one.monotonic, one.wall, "PUT", W, E1, update, "reset_after", True),
        Arrival(2, two.monotonic, two.wall, "PUT", W, E2, {"metadata": {}}, 401, False),
    ]
    assert served == (200, {"arrivals": [asdict(one), asdict(two)]})
    assert KEY not in lines + repr(sandbox.log) + repr(sandbox.settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_log_file_is_appended_to(tmp_path: Path) -> None:
    """A second sandbox adds to the log of the first."""
    file = tmp_path / "sandbox.jsonl"
    for _ in range(2):
        async with serve(Settings(log_file=file, keep_log=False)) as sandbox:
            await send(sandbox, {"metadata": {}})
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [1, 1]


async def test_light_mode() -> None:
    """Without a log the answers are the same, and nothing is kept of a request but the execution."""
    async with serve(Settings(keep_log=False)) as sandbox:
        status, body, _ = await send(sandbox, {"status": "PAUSED"})
        assert await inspect(sandbox, "log") == (200, {"arrivals": []})
    assert (status, body) == (200, answered(0, W, E1, Stored("PAUSED", untouched(0, W, E1).metadata)))


async def test_other_pages_of_the_sandbox() -> None:
    """Under `/_sandbox/` there is nothing else."""
    async with serve(Settings()) as sandbox:
        assert (await inspect(sandbox, "state"))[0] == 404
