"""The program against servers and proxies that we did not write: nginx and tinyproxy, from Debian.

Where one is missing its tests skip, and fail where the variable CI is `true`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.program import KEY, Done, bulksync, execution, rows_of, started, write_rows
from tests.support.servers import ANSWER, certificate, free_port, nginx, tinyproxy

REPORT = "rows.csv.report.csv"
LIMITED = "limit_req_zone $server_port zone=api:64k rate=100r/s;"
LIMIT = "limit_req zone=api burst=2 nodelay;"
"""What 100/s, evenly spaced, means to nginx.

nginx counts in a leaking bucket of 1 + burst requests. Ours lets through at most 1.2 + 97.8 t in any t seconds (see
`pacing.bucket`: 0.2 make up for late wake-ups), so that without a burst nginx refuses now and then, with an excess of
0.2 or 0.3. A burst of n forgives n - 0.2 requests of jitter on the way, 10 ms each: 8 ms with 1, 18 ms with 2. The
contract asks servers to forgive 10 ms, so 2 is the smallest honest one; no smaller share of the rate would do instead.
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as nginx logged it."""

    status: str
    limited: str
    connection: str
    path: str


def arrivals(log: Path) -> list[Arrival]:
    """Return the requests in an access log, in its order."""
    return [Arrival(*line.split()) for line in log.read_text().splitlines()]


def path_of(number: int) -> str:
    """Return the path that updates a made-up execution."""
    return f"/api/v1/workflow/11111111-1111-4111-8111-111111111111/execution/{execution(number)}"


def outcomes(folder: Path) -> list[tuple[str, str, str]]:
    """Return outcome, error and attempts of each row of the report."""
    return [(row["outcome"], row["error"], row["attempts"]) for row in rows_of(folder / REPORT)]


def run(folder: Path, target: str, *arguments: object, **variables: str) -> Done:
    """Send the rows of a folder to a target, at full speed unless told otherwise."""
    rate = () if "--rate" in arguments else ("--rate", "unlimited")
    return bulksync("run", "rows.csv", "--base-url", target, *rate, *arguments, folder=folder, variables=variables)


def summary_of(folder: Path) -> dict[str, object]:
    """Return the summary that a run wrote."""
    summary: dict[str, object] = json.loads((folder / "summary.json").read_text())
    return summary


# nginx as a strict limiter


def test_a_strict_limiter_has_nothing_to_refuse_at_its_quota(tmp_path: Path) -> None:
    """At 100/s, nginx's `limit_req` of 100/s lets every request through."""
    write_rows(tmp_path / "rows.csv", range(300))
    port = free_port()
    with nginx(tmp_path, port, outside=LIMITED, inside=LIMIT + ANSWER) as log:
        done = run(tmp_path, f"http://127.0.0.1:{port}", "--rate", "100/s")
        seen = [(arrival.status, arrival.limited, arrival.path) for arrival in arrivals(log)]
    assert done.code == 0, done.stderr
    assert sorted(seen) == [("200", "PASSED", path_of(number)) for number in range(300)]


def test_twice_the_quota_is_held_and_still_loses_nothing(tmp_path: Path) -> None:
    """At twice what nginx lets through, the run is refused now and then, waits, slows down, and updates every row."""
    write_rows(tmp_path / "rows.csv", range(300))
    port = free_port()
    with nginx(tmp_path, port, outside=LIMITED, inside=LIMIT + ANSWER) as log:
        done = run(tmp_path, f"http://127.0.0.1:{port}", "--rate", "200/s", "--summary", "summary.json")
        seen = arrivals(log)
    summary = summary_of(tmp_path)
    refused = sum(arrival.status == "429" for arrival in seen)
    assert done.code == 0, done.stderr
    assert sorted(arrival.path for arrival in seen if arrival.status == "200") == [path_of(n) for n in range(300)]
    assert (summary["outcomes"], summary["requests"], summary["retries"], summary["throttled"]) == (
        {"updated": 300},
        len(seen),
        refused,
        refused,
    )
    assert (refused > 0, summary["pauses"] != 0) == (True, True)
    assert "waiting" in done.stderr
    assert refused < 30, "a hold is for everyone: a storm of refusals is what it prevents"


# nginx in front: TLS, connections it closes, and nobody behind it


@contextmanager
def tls_front(folder: Path, *, host: str = "localhost", more: str = "") -> Iterator[tuple[str, Path, Path]]:
    """Serve the API's page with TLS, and yield its URL, the certificate (of *host*) and the access log."""
    public, private = certificate(folder, host)
    port = free_port()
    inside = f"ssl_certificate {public}; ssl_certificate_key {private}; {more} {ANSWER}"
    with nginx(folder, port, listen="ssl", inside=inside) as log:
        yield f"https://localhost:{port}", public, log


def test_certificates_of_one_s_own(tmp_path: Path) -> None:
    """With `--ca-file` a certificate of one's own is trusted; nginx's limits on connections do no harm."""
    write_rows(tmp_path / "rows.csv", range(200))
    with tls_front(tmp_path, more="keepalive_requests 20; keepalive_timeout 1s;") as (url, public, log):
        done = run(tmp_path, url, "--ca-file", public, "--max-in-flight", "4")
        seen = arrivals(log)
    assert done.code == 0, done.stderr
    assert outcomes(tmp_path) == [("updated", "", "1")] * 200
    assert sorted(arrival.path for arrival in seen) == [path_of(number) for number in range(200)]
    assert len({arrival.connection for arrival in seen}) >= 10


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """Without `--ca-file` the run stops at once, and nothing is sent."""
    write_rows(tmp_path / "rows.csv", range(5))
    with tls_front(tmp_path) as (url, _, log):
        done = run(tmp_path, url)
        assert arrivals(log) == []
    assert done.code == 5, done.stderr
    assert outcomes(tmp_path) == [("unsent", "tls_verify_failed", "0")] + [("unsent", "aborted_access", "0")] * 4


def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    """A trusted certificate that names another host stops the run at once, and nothing is sent."""
    write_rows(tmp_path / "rows.csv", range(1))
    with tls_front(tmp_path, host="elsewhere.example") as (url, public, log):
        done = run(tmp_path, url, "--ca-file", public)
        assert arrivals(log) == []
    assert done.code == 5, done.stderr
    assert outcomes(tmp_path) == [("unsent", "tls_verify_failed", "0")]


def test_idle_connections_that_the_server_closes(tmp_path: Path) -> None:
    """A connection that nginx closed while it was idle costs no attempt: the next request opens another."""
    write_rows(tmp_path / "rows.csv", range(3))
    port = free_port()
    with nginx(tmp_path, port, inside="keepalive_timeout 1s;" + ANSWER) as log:
        done = run(tmp_path, f"http://127.0.0.1:{port}", "--rate", "40/m")
        seen = arrivals(log)
    assert done.code == 0, done.stderr
    assert outcomes(tmp_path) == [("updated", "", "1")] * 3
    assert [arrival.path for arrival in seen] == [path_of(number) for number in range(3)]
    assert len({arrival.connection for arrival in seen}) == 3


def test_a_gateway_with_nobody_behind_it(tmp_path: Path) -> None:
    """502s of a gateway are ridden out for `--max-outage`; then the run stops, to be repeated later."""
    write_rows(tmp_path / "rows.csv", range(40))
    port = free_port()
    inside = f"location / {{ proxy_pass http://127.0.0.1:{free_port()}; }}"
    with nginx(tmp_path, port, inside=inside) as log:
        done = run(tmp_path, f"http://127.0.0.1:{port}", "--max-outage", "2s", "--summary", "summary.json")
        seen = arrivals(log)
    summary = summary_of(tmp_path)
    assert done.code == 6, done.stderr
    assert {arrival.status for arrival in seen} == {"502"}
    assert summary["requests"] == len(seen) < 20
    assert {(outcome, error) for outcome, error, _ in outcomes(tmp_path)} == {
        ("unknown", "http_502"),
        ("unsent", "aborted_outage"),
    }
    assert (
        f"bulksync: next: run it again later: bulksync run rows.csv --base-url http://127.0.0.1:{port}" in done.stderr
    )


def test_a_gateway_whose_server_comes_back(tmp_path: Path) -> None:
    """Rows that met a gateway's 502s are updated once its server is there again."""
    write_rows(tmp_path / "rows.csv", range(40))
    port, behind = free_port(), free_port()
    inside = f"location / {{ proxy_pass http://127.0.0.1:{behind}; }}"
    arguments = ("run", "rows.csv", "--base-url", f"http://127.0.0.1:{port}", "--rate", "unlimited", "-v")
    sandbox = ("sandbox", "--port", behind, "--rate", "unlimited")
    with nginx(tmp_path, port, inside=inside) as log, started(*arguments, folder=tmp_path) as process:
        assert process.stderr is not None
        while b"http_502" not in process.stderr.readline():
            assert process.poll() is None
        with started(*sandbox, folder=tmp_path):
            _, said = process.communicate(timeout=60)
        statuses = [arrival.status for arrival in arrivals(log)]
    assert process.returncode == 0, said
    assert {outcome for outcome, _, _ in outcomes(tmp_path)} == {"updated"}
    assert (statuses.count("200"), set(statuses)) == (40, {"200", "502"})


# tinyproxy on the way


def proxied(log: Path, method: str) -> int:
    """Count the requests of a method in the proxy's log."""
    return log.read_text().count(f": {method} ")


def test_proxy_to_a_tls_target(tmp_path: Path) -> None:
    """With `--proxy` the target is reached through CONNECT; the proxy sees neither path nor key."""
    write_rows(tmp_path / "rows.csv", range(20))
    port = free_port()
    with tls_front(tmp_path) as (url, public, log), tinyproxy(tmp_path, port) as proxy_log:
        done = run(tmp_path, url, "--ca-file", public, "--proxy", f"http://127.0.0.1:{port}", "--max-in-flight", "2")
        seen = sorted(arrival.path for arrival in arrivals(log))
        connections = len({arrival.connection for arrival in arrivals(log)})
    assert done.code == 0, done.stderr
    assert outcomes(tmp_path) == [("updated", "", "1")] * 20
    assert seen == [path_of(number) for number in range(20)]
    assert (proxied(proxy_log, "CONNECT"), proxied(proxy_log, "PUT")) == (connections, 0)
    assert [word for word in (KEY, "execution") if word in proxy_log.read_text()] == []


def test_proxy_to_a_plain_target(tmp_path: Path) -> None:
    """With `--proxy` a plain target of this host is reached through the proxy too, one request for each row."""
    write_rows(tmp_path / "rows.csv", range(20))
    target, port = free_port(), free_port()
    with nginx(tmp_path, target) as log, tinyproxy(tmp_path, port) as proxy_log:
        done = run(tmp_path, f"http://127.0.0.1:{target}", "--proxy", f"http://127.0.0.1:{port}")
        seen = sorted(arrival.path for arrival in arrivals(log))
    assert done.code == 0, done.stderr
    assert outcomes(tmp_path) == [("updated", "", "1")] * 20
    assert (seen, proxied(proxy_log, "PUT")) == ([path_of(number) for number in range(20)], 20)


def test_proxy_variables_are_not_read(tmp_path: Path) -> None:
    """Without `--proxy` no proxy is used, whatever the environment says."""
    write_rows(tmp_path / "rows.csv", range(5))
    port = free_port()
    with tls_front(tmp_path) as (url, public, _), tinyproxy(tmp_path, port) as proxy_log:
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        done = run(tmp_path, url, "--ca-file", public, **dict.fromkeys(names, f"http://127.0.0.1:{port}"))
        assert (proxied(proxy_log, "CONNECT"), proxied(proxy_log, "PUT")) == (0, 0)
    assert (done.code, outcomes(tmp_path)) == (0, [("updated", "", "1")] * 5)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_down(scheme: str, tmp_path: Path) -> None:
    """A proxy that does not answer is an outage: no row is charged, and the run stops after `--max-outage`."""
    write_rows(tmp_path / "rows.csv", range(5))
    proxy = f"http://127.0.0.1:{free_port()}"
    done = run(tmp_path, f"{scheme}://localhost:{free_port()}", "--proxy", proxy, "--max-outage", "1s")
    assert done.code == 6, done.stderr
    waited = {("unsent", "proxy_failed", "0"), ("unsent", "aborted_outage", "0")}
    assert ("unsent", "proxy_failed", "0") in outcomes(tmp_path)
    assert {*outcomes(tmp_path)} <= waited


AUTHORIZED = "BasicAuth clerk proxy-word-19"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password(scheme: str, tmp_path: Path) -> None:
    """A proxy's 407 stops the run at once, as asking again would not help; the server sees nothing."""
    write_rows(tmp_path / "rows.csv", range(5))
    port = free_port()
    with tls_front(tmp_path) as (url, public, log), tinyproxy(tmp_path, port, more=AUTHORIZED) as proxy_log:
        target = url if scheme == "https" else f"http://localhost:{free_port()}"
        done = run(tmp_path, target, "--ca-file", public, "--proxy", f"http://127.0.0.1:{port}")
        assert arrivals(log) == []
        assert proxied(proxy_log, "CONNECT") + proxied(proxy_log, "PUT") == 1
    assert done.code == 5, done.stderr
    assert outcomes(tmp_path) == [("failed", "http_407", "1")] + [("unsent", "aborted_access", "0")] * 4


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_password_for_the_proxy(scheme: str, tmp_path: Path) -> None:
    """User and password in the proxy's URL open the way."""
    write_rows(tmp_path / "rows.csv", range(5))
    target, port = free_port(), free_port()
    with tls_front(tmp_path) as (url, public, _), tinyproxy(tmp_path, port, more=AUTHORIZED):
        (tmp_path / "plain").mkdir()
        with nginx(tmp_path / "plain", target):
            proxy = f"http://clerk:proxy-word-19@127.0.0.1:{port}"
            address = url if scheme == "https" else f"http://127.0.0.1:{target}"
            done = run(tmp_path, address, "--ca-file", public, BULKSYNC_PROXY=proxy)
    assert (done.code, outcomes(tmp_path)) == (0, [("updated", "", "1")] * 5)
    assert "proxy-word-19" not in done.stderr + (tmp_path / REPORT).read_text()
    assert b"proxy-word-19" not in (tmp_path / f"{REPORT}.ledger").read_bytes()
