"""Where the time of a run went: a sentence that says what to do about it, true of the numbers it is made of."""

from typing import Any

import pytest

from bulksync.report.advice import advice
from bulksync.report.schema import Measured

SUMMARY: dict[str, Any] = {
    "timeWent": {"rate": 0.97, "hold": 0.0, "server": 0.02, "retry": 0.01}, "elapsedSeconds": 1980.0,
    "rate": "10/s", "achievedRate": 9.8, "maxInFlight": 64, "latencyMs": {"p50": 200}, "throttled": 0, "retries": 0,
    "pauses": 0, "pausedSeconds": 0.0,
}  # fmt: skip


def shares(**causes: float) -> dict[str, float]:
    """Return how the time was spent, by cause."""
    return {"rate": 0.0, "hold": 0.0, "server": 0.0, "retry": 0.0} | causes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "97 % limited by --rate; at 25/s this takes 13m48s instead of 33m00s"),
        (
            {"rate": "30/m", "timeWent": shares(rate=0.8, server=0.2)},
            "80 % limited by --rate, 20 % limited by response time; at 1.25/s this takes 17m10s instead of 33m00s",
        ),
        (
            {"maxInFlight": 2},
            "97 % limited by --rate; at 25/s, with --max-in-flight 5, this takes 13m48s instead of 33m00s",
        ),
        ({"throttled": 1_234}, "97 % limited by --rate; 1,234 answers were 429, so a higher --rate would not help"),
        (
            {"throttled": 1, "unavailable": 7},
            "97 % limited by --rate; 1 answer was 429 and 7 answers were 503, so a higher --rate would not help",
        ),
        ({"pauses": 2}, "97 % limited by --rate; 2 pauses, so a higher --rate would not help"),
        (
            {"timeWent": shares(server=0.92, rate=0.08), "achievedRate": 301.5, "rate": "1000/s"},
            "92 % limited by response time: 64 in flight at p50 200 ms cannot exceed 320/s; raise --max-in-flight",
        ),
        (
            {"timeWent": shares(server=1.0), "achievedRate": 4.9},
            "100 % limited by response time: answers took p50 200 ms, and fewer than 64 requests could be in flight",
        ),
        (
            {"timeWent": shares(server=1.0), "achievedRate": None, "latencyMs": {"p50": None}},
            "100 % limited by response time: answers took p50 1 ms, and fewer than 64 requests could be in flight",
        ),
        (
            {"timeWent": shares(hold=0.6, rate=0.4), "pauses": 3, "pausedSeconds": 125.0, "throttled": 17},
            (
                "60 % paused by the server, 40 % limited by --rate: "
                "3 pauses of 2m05s in all; 17 answers were 429, lower --rate"
            ),
        ),
        (
            {"timeWent": shares(hold=0.95), "pauses": 1, "pausedSeconds": 600.0},
            (
                "95 % paused by the server: 1 pause of 10m00s in all; "
                "the server was unreachable or asked to wait; run it at another time"
            ),
        ),
        (
            {"timeWent": shares(retry=0.7, server=0.3), "retries": 120},
            (
                "70 % waiting on retries or input, 30 % limited by response time: "
                "120 retries after errors, each after a pause; "
                "-v shows them with their reasons"
            ),
        ),
        (
            {"timeWent": shares(retry=0.7), "retries": 1},
            (
                "70 % waiting on retries or input: "
                "1 retry after errors, each after a pause; -v shows them with their reasons"
            ),
        ),
        (
            {"timeWent": shares(retry=0.7)},
            "70 % waiting on retries or input: the input and the ledger did not give them faster",
        ),
        ({"rate": "unlimited", "timeWent": shares(rate=0.5)}, "50 % limited by --rate"),
        ({"timeWent": shares(), "elapsedSeconds": 0.0}, ""),
        ({"elapsedSeconds": 0.9}, ""),
    ],
)
def test_says_where_the_time_went(changes: dict[str, Any], sentence: str) -> None:
    """The largest cause comes first and decides what is advised; a run of less than a second has none."""
    assert advice(Measured.model_validate(SUMMARY | changes)) == sentence
