"""Values for the HTML page, with harm in them."""

from dataclasses import replace
from typing import Any

from bulksync.ledger.line import NotDone
from bulksync.report.charts import Slices
from bulksync.report.grouping import Group
from bulksync.report.page import Facts
from bulksync.report.schema import Summary
from tests.support.program import WORKFLOW, execution

NOON = 1_700_000_000 // 86_400 * 86_400 + 43_200


VALUES: dict[str, Any] = {
    "run": "20231114T120000Z-ab12", "input": "rows.csv", "target": "https://api.invalid", "rows": 6,
    "started": "2023-11-14T12:00:00.000Z", "ended": "2023-11-14T12:00:05.000Z",
    "outcomes": {"updated": 3, "rejected": 2, "unsent": 1},
    "httpStatuses": {"200": 3, "404": 2}, "dispositions": {"VOICEMAIL": 2}, "errors": {"http_404": 2, "interrupted": 1},
    "requests": 7, "retries": 2, "throttled": 1, "pauses": 1, "pausedSeconds": 1.0, "rate": "10/s",
    "achievedRate": 2.0, "latencyMs": {"p50": 11, "p95": 13, "p99": 13},
    "timeWent": {"rate": 0.75, "hold": 0.25, "server": 0.0, "retry": 0.0}, "elapsedSeconds": 4.0,
    "stopped": "stopped by SIGINT", "exitCode": 130,
    "nextStep": "to resume, run the same command: bulksync run rows.csv",
}  # fmt: skip
"""The summary of a run that was stopped before its last row, as JSON has it."""

SUMMARY = Summary.model_validate(VALUES)

ROWS = (
    NotDone(2, 3, WORKFLOW, execution(2), "COMPLETED", "rejected", 404, 1, "http_404", "no execution 2"),
    NotDone(5, 6, WORKFLOW, execution(5), "", "rejected", 404, 3, "http_404", "no execution 5"),
    NotDone(6, 7, WORKFLOW, execution(6), "PAUSED", "unsent", None, 0, "interrupted", "stopped by SIGINT"),
)

FACTS = Facts(
    report="rows.csv.report.csv",
    ledger="rows.csv.report.csv.ledger",
    steps={"VOICEMAIL": 2, "SENT": 1},
    latencies=[(10, 3), (13, 2)],
    slices=Slices(NOON, 1.0, {"acknowledged": [1, 2], "throttled": [1, 0], "other": [2, 0]}),
    errors=[Group("http_404", "no execution …", 2, 2, 3), Group("interrupted", "stopped by SIGINT", 1, 6, 7)],
    rows=ROWS,
)

HARM = """</script></style></title><script>alert(1)</script><img src=x onerror="alert('2')" style='x'>&lt;{{ 7*7 }}"""


def summary_with(**changes: object) -> Summary:
    """Return the summary with other values."""
    return Summary.model_validate(VALUES | changes)


def harmed(text: str) -> tuple[Summary, Facts]:
    """Return a run in which everything that others may write is *text*."""
    words = ("run", "input", "target", "stopped", "nextStep", "advice")
    moved = [{"from": text, "to": text, "count": 1}]
    summary = summary_with(**dict.fromkeys(words, text), dispositions={text: 3}, moved=moved)
    row = NotDone(1, 2, text, text, text, "rejected", 404, 1, text, text)
    group = Group(text, text, 1, 1, 2)
    facts = replace(FACTS, report=text, ledger=text, steps={text: 1}, errors=[group], rows=[row, *ROWS])
    return summary, facts
