"""Night after night an export of the same executions: only what changed is sent, also after a night that was killed."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.support.program import Done, bulksync, execution, rows_of, started, write_rows
from tests.support.sandboxes import api, arrivals

ROWS = 300

LEDGER = "nights.ledger"


@dataclass
class Nights:
    """A folder, an API that remembers, and what the export says of each execution."""

    folder: Path
    url: str
    says: list[int]

    def export(self, night: int) -> None:
        """Write the export; a column that is not sent makes each night another file."""
        path = write_rows(self.folder / "export.csv", range(ROWS), turns=self.says)
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([f"{head},exported", *(f"{line},night {night}" for line in lines)]) + "\n")

    def call(self, *more: object) -> tuple[object, ...]:
        """Return the arguments of the nightly job."""
        common = ("--base-url", self.url, "--rate", "unlimited", "--ledger", LEDGER, "--summary", "summary.json")
        return ("run", "export.csv", *common, "--only-changed", *more)

    def night(self, number: int, *more: object) -> Done:
        """Export, run the job to its end, and check that its report is sound."""
        self.export(number)
        done = bulksync(*self.call(*more), folder=self.folder)
        assert bulksync("verify", "export.csv", "export.csv.report.csv", folder=self.folder).code == 0
        return done

    def outcomes(self) -> Counter[str]:
        """Return how many lines of the report have which outcome."""
        return Counter(line["outcome"] for line in rows_of(self.folder / "export.csv.report.csv"))

    def summary(self) -> dict[str, object]:
        """Return the summary of the last night."""
        found: dict[str, object] = orjson.loads((self.folder / "summary.json").read_bytes())
        return found

    def holds(self) -> dict[str, int]:
        """Return what the server holds of each execution."""
        return dict(arrivals(self.folder))

    def exported(self) -> dict[str, int]:
        """Return what the export says of each execution."""
        return {execution(number): turn for number, turn in enumerate(self.says)}


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """An export that was never sent, and an API."""
    with api(tmp_path, "--latency", "5ms") as url:
        yield Nights(tmp_path, url, [0] * ROWS)


def test_only_what_changed_is_sent(nights: Nights) -> None:
    """The second night sends three of three hundred rows, and says of the others that they are unchanged."""
    assert (nights.night(1).code, nights.outcomes(), nights.holds()) == (0, {"updated": ROWS}, nights.exported())
    for number in (7, 70, 299):
        nights.says[number] = 1
    done = nights.night(2, "--retry-file", "again.csv")
    assert (done.code, nights.outcomes()) == (0, {"updated": 3, "unchanged": ROWS - 3})
    assert f"bulksync: export.csv: {ROWS} rows, unchanged {ROWS - 3}, updated 3" in done.stderr.splitlines()
    assert (len(arrivals(nights.folder)), nights.holds()) == (ROWS + 3, nights.exported())
    assert (nights.summary()["requests"], nights.summary()["moved"]) == (3, [])
    assert (nights.folder / "again.csv").read_text() == "workflowId,executionId,status,metadata,exported\n"
    unchanged = rows_of(nights.folder / "export.csv.report.csv")[0]
    cells = ("httpStatus", "attempts", "disposition", "firstSentAt", "dispositionCertain", "orderRisk", "error")
    assert [unchanged[name] for name in cells] == ["", "0", "", "", "", "", ""]
    _, second = bulksync("history", LEDGER, folder=nights.folder).stdout.splitlines()
    assert second.endswith(f"exit 0  {ROWS} rows: unchanged {ROWS - 3}, updated 3  export.csv to {nights.url}")


def test_a_night_without_changes_sends_nothing(nights: Nights) -> None:
    """Where nothing changed there is no request, and the run ends well."""
    nights.night(1)
    done = nights.night(2)
    assert (done.code, nights.outcomes(), len(arrivals(nights.folder))) == (0, {"unchanged": ROWS}, ROWS)


def test_a_killed_night_is_made_good(nights: Nights) -> None:
    """What a killed night may have sent is sent by the next one, whatever its export says by then."""
    nights.night(1)
    nights.says[:100] = [1] * 100
    nights.export(2)
    with started(*nights.call("--max-in-flight", 4), folder=nights.folder) as process:
        while len(arrivals(nights.folder)) < ROWS + 20:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.kill()
    # The export is back at what was acknowledged in the first night: to trust that would be wrong.
    nights.says[:100] = [0] * 100
    sent_before = len(arrivals(nights.folder))
    assert nights.night(3).code == 0
    assert nights.holds() == nights.exported()
    assert nights.outcomes()["unchanged"] >= ROWS - 100
    assert nights.outcomes()["updated"] == len(arrivals(nights.folder)) - sent_before >= 20
    history = bulksync("history", LEDGER, folder=nights.folder).stdout.splitlines()
    assert [line.split("  ")[2] for line in history] == ["exit 0", "killed", "exit 0"]


def test_the_same_night_again_goes_on_where_it_was_killed(nights: Nights) -> None:
    """The same export again continues the killed night, without --only-changed in the first call too."""
    nights.night(1)
    nights.says[:100] = [1] * 100
    nights.export(2)
    without = [word for word in nights.call("--limit", 150) if word != "--only-changed"]
    assert bulksync(*without, folder=nights.folder).code == 10
    assert bulksync(*nights.call(), folder=nights.folder).code == 0
    assert (nights.outcomes(), nights.holds()) == ({"updated": 150, "unchanged": 150}, nights.exported())


@contextmanager
def in_another_mood(nights: Nights) -> Iterator[None]:
    """Have the same address answer with other dispositions."""
    port = nights.url.rpartition(":")[2]
    arguments = ("sandbox", "--port", port, "--rate", "unlimited", "--seed", 1)
    with started(*arguments, folder=nights.folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield


def test_what_moved_since_an_earlier_night(tmp_path: Path) -> None:
    """Summary, last lines and `report --diff` of a night tell what moved since an earlier one, of the rows sent."""
    with api(tmp_path) as url:
        nights = Nights(tmp_path, url, [0] * ROWS)
        nights.night(1)
        first = {line["executionId"]: line["disposition"] for line in rows_of(tmp_path / "export.csv.report.csv")}
        nights.night(2)
    nights.says[:50] = [1] * 50
    with in_another_mood(nights):
        done = nights.night(3)
    second = {line["executionId"]: line["disposition"] for line in rows_of(tmp_path / "export.csv.report.csv")[:50]}
    wanted = [(key, first[key], word) for key, word in second.items() if first[key] != word]
    counts = Counter((old, new) for _, old, new in wanted)
    diff = bulksync("report", LEDGER, "--diff", folder=tmp_path)
    (tmp_path / "moved.csv").write_text(diff.stdout)
    assert [(line["executionId"], line["from"], line["to"]) for line in rows_of(tmp_path / "moved.csv")] == wanted
    moved = nights.summary()["moved"]
    assert isinstance(moved, list)
    assert {(one["from"], one["to"]): one["count"] for one in moved}.items() <= counts.items()
    assert len(wanted) > 20
    (said,) = [line for line in done.stderr.splitlines() if "moved" in line]
    assert said.startswith(f"bulksync: moved: {moved[0]['from'] or 'none'} → {moved[0]['to'] or 'none'} ")
    assert " 50 executions compared with the last earlier answer: dispositions moved: " in diff.stderr
