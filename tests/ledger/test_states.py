"""States are whole lines on the disk: nothing is torn, nothing is overwritten, and nothing of others is touched."""

import asyncio
from pathlib import Path

import orjson
import pytest

from bulksync.errors import StorageError
from bulksync.ledger.states import COLUMNS, States, cells_of, state_line
from bulksync.model import Execution, Row, Step
from tests.support.program import WORKFLOW, execution

STEPS = [Step("s1", "CALL", 1, "COMPLETED", "DNC", "DNC"), Step("s2", "TEXT", 2, "PENDING", "", "")]


def row(number: int) -> Row:
    """Return the row of a made-up execution."""
    return Row(number, number + 1, WORKFLOW, execution(number), None, b"{}")


def line(number: int, metadata: str = "{}") -> bytes:
    """Return the state of a made-up execution."""
    said = Execution("PAUSED", "DNC", "then", "", STEPS, metadata)
    return state_line(row(number), said, status=200, at="now")


def test_a_line_has_the_contracts_columns() -> None:
    """Each has its place, and metadata stands there as the server wrote it."""
    metadata = '{"a": 1.10, "b" : 12345678901234567890123}'
    cells = cells_of(line(1, metadata).decode())
    assert tuple(cells) == COLUMNS
    assert (cells["metadata"], cells["stepDispositions"], cells["fetchedAt"]) == (metadata, ["DNC", ""], "now")


def test_an_execution_without_metadata() -> None:
    """What the server does not say is null, so that a run of the file leaves it alone."""
    assert orjson.loads(line(1, ""))["metadata"] is None


async def test_what_is_saved_is_there_again(tmp_path: Path) -> None:
    """Each line is on the disk, whole, when saving it returns, in whatever order they came; the file is private."""
    states = States(tmp_path / "states")

    async def save(number: int) -> None:
        await states.save(row(number).key, line(number))
        assert line(number) in (tmp_path / "states").read_bytes().splitlines()

    await asyncio.gather(*map(save, range(200)))
    states.close()
    again = States(tmp_path / "states")
    assert {number for number in range(201) if row(number).key in again} == set(range(200))
    assert again.line(row(7).key) == line(7).decode() + "\n"
    assert again.line(row(999).key) is None
    assert (tmp_path / "states").stat().st_mode & 0o777 == 0o600
    again.close()


@pytest.mark.parametrize("cut", [1, 5, 100])
async def test_a_torn_line_is_cut_off(cut: int, tmp_path: Path) -> None:
    """What a power cut left of a line is forgotten; the lines before it are not, and the next one is whole."""
    path = tmp_path / "states"
    path.write_bytes(line(1) + b"\n" + line(2)[:-cut])
    states = States(path)
    assert (row(1).key in states, row(2).key in states) == (True, False)
    await states.save(row(2).key, line(2))
    states.close()
    assert path.read_bytes() == line(1) + b"\n" + line(2) + b"\n"


async def test_the_first_state_counts(tmp_path: Path) -> None:
    """What was saved first is what was there before; a later line takes nothing from it."""
    states = States(tmp_path / "states")
    for metadata in ('{"a": 1}', '{"a": 2}'):
        await states.save(row(1).key, line(1, metadata))
    found = [states.line(row(1).key)]
    states.close()
    again = States(tmp_path / "states")
    found.append(again.line(row(1).key))
    again.close()
    assert found == [line(1, '{"a": 1}').decode() + "\n"] * 2


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"[]\n", b'{"a": 1}\n', b"\xff\xfe\n"])
def test_a_file_of_somebody_elses_is_left_alone(content: bytes, tmp_path: Path) -> None:
    """What holds no states is refused, and not changed by a byte."""
    path = tmp_path / "states"
    path.write_bytes(content)
    with pytest.raises(StorageError):
        States(path)
    assert path.read_bytes() == content


async def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    """Where a line cannot be written nobody goes on as if it were."""
    states = States(tmp_path / "states")
    states.close()
    with pytest.raises(StorageError, match="cannot be read or written"):
        await states.save(row(1).key, line(1))
    assert row(1).key not in states
