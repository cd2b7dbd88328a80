"""The summary as a value: its JSON goes in and out unchanged, whichever bulksync wrote it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from bulksync.model import Reply
from bulksync.report.schema import Latency, Measured, Summary
from bulksync.report.summary import measured
from bulksync.sender.tally import Tally
from tests.support.pages import VALUES, summary_with

LATER = {
    "moved": [{"from": "DNC", "to": "", "count": 2}], "advice": "97 % rate-bound", "unavailable": 1, "maxInFlight": 32,
    "timeBreakdown": VALUES["timeWent"], "version": "0.2.0", "schemaVersion": 1,
    "timeline": {
        "from": "2023-11-14T12:00:00.250Z", "sliceSeconds": 2.0, "acknowledged": [1, 2], "throttled": [0, 1],
        "other": [0, 0],
    },
}  # fmt: skip
"""Keys that the first summaries did not have."""


@pytest.mark.parametrize("more", [{}, *({name: value} for name, value in LATER.items()), LATER])
def test_json_goes_in_and_out_unchanged(more: dict[str, Any]) -> None:
    """No key is lost, changed or invented; what an earlier bulksync did not write is left out again."""
    assert Summary.model_validate(VALUES | more).as_json() == VALUES | more


def test_what_a_later_bulksync_writes_is_passed_over() -> None:
    """A key that is not known is no error."""
    assert Summary.model_validate(VALUES | {"later": {"a": 1}}) == Summary.model_validate(VALUES)


def test_numbers_are_numbers_inside() -> None:
    """Rates are requests per second, and times are times."""
    summary = summary_with(**LATER, rate="600/m", latencyMs={"p50": 11})
    assert (summary.rate, summary.latency_ms) == (10.0, Latency(p50=11))
    assert summary.started == datetime(2023, 11, 14, 12, tzinfo=UTC)
    assert summary.timeline
    assert summary.timeline.start == datetime(2023, 11, 14, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(("rate", "text"), [(10.0, "10/s"), (0.5, "30/m"), (float("inf"), "unlimited")])
def test_a_rate_is_written_as_people_write_it(rate: float, text: str) -> None:
    """JSON has the text of `--rate`; without a limit there is no number."""
    found = measured(Tally(), rate)
    assert found.rate == (None if text == "unlimited" else rate)
    dumped = found.model_dump(mode="json", by_alias=True)
    assert (dumped["rate"], Measured.model_validate(dumped)) == (text, found)


def test_what_was_measured_goes_in_and_out_unchanged() -> None:
    """Times lose no millisecond on their way through JSON."""
    tally = Tally(32)
    for number in range(50):
        tally.count(Reply(200, ""), sent=1_700_000_000.123 + number / 7, duration=0.1, is_retry=False)
    dumped = measured(tally, 10.0).model_dump(mode="json", by_alias=True)
    assert dumped["timeline"]["from"] == "2023-11-14T22:13:20.123Z"
    assert Measured.model_validate(dumped).model_dump(mode="json", by_alias=True) == dumped


def test_a_summary_cannot_be_changed() -> None:
    """It is what a run came to."""
    with pytest.raises(ValidationError, match="frozen"):
        summary_with().rows = 7
