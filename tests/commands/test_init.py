"""`bulksync init`: files that work as they stand, and nothing overwritten."""

import os
import shlex
from pathlib import Path

import pytest

from bulksync.commands.init import NAMES, begin
from bulksync.errors import UsageError
from tests.support.program import KEY, bulksync

SAMPLES = Path(__file__).parent.parent.parent / "samples"
PROGRAM = Path("/opt/bulksync/bin/bulksync")


def test_what_is_written(tmp_path: Path) -> None:
    """The sample and the configuration are those of samples/, all for this user alone."""
    paths = begin(tmp_path / "new" / "demo", PROGRAM)
    assert [path.relative_to(tmp_path / "new" / "demo") for path in paths] == [Path(name) for name in NAMES]
    assert paths[0].read_bytes() == (SAMPLES / "executions.csv").read_bytes()
    assert paths[1].read_bytes() == (SAMPLES / "config.toml").read_bytes()
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}


def test_the_first_steps(tmp_path: Path) -> None:
    """The command that is named next sends the sample to an emulated API, with the configuration that was written."""
    done = bulksync("init", "demo", folder=tmp_path)
    said, step = done.stderr.splitlines()
    assert (done.code, done.stdout) == (0, "")
    assert said.startswith("bulksync: written: demo/rows.csv (a sample), demo/config.toml")
    assert step == "bulksync: next: bulksync run demo/rows.csv --sandbox"
    flags = ("--config", "demo/config.toml", "--rate", "unlimited", "--quiet")
    assert bulksync(*shlex.split(step)[3:], *flags, folder=tmp_path).code == 0


def test_the_line_for_cron_is_a_call_that_exists(tmp_path: Path) -> None:
    """It begins in the folder, whatever its name, and its options are understood: a first night goes well."""
    folder = tmp_path / "our folder, 100%"
    *_, crontab = begin(folder, PROGRAM)
    (folder / "feather-key").write_text(KEY)
    (folder / "feather-key").chmod(0o600)
    (line,) = (line for line in crontab.read_text().splitlines() if not line.startswith("#"))
    command = line.split(maxsplit=5)[5].replace("\\%", "%")
    change, place, stop, program, *arguments = shlex.split(command)
    assert (change, place, stop, program) == ("cd", str(folder), "&&", str(PROGRAM))
    done = bulksync(*arguments, "--sandbox", "--rate", "unlimited", folder=folder)
    assert (done.code, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "link to nothing"])
def test_nothing_is_overwritten(kind: str, name: str, tmp_path: Path) -> None:
    """Where one of the files is there, none is written: exit 2, and the file is named."""
    if kind == "file":
        (tmp_path / name).write_text("theirs")
    else:
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError) as caught:
        begin(tmp_path, PROGRAM)
    assert caught.value.what == f"there already, and left as it is: {tmp_path / name}"
    assert os.listdir(tmp_path) == [name]
    if kind == "file":
        assert (tmp_path / name).read_text() == "theirs"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is a wrong call."""
    (tmp_path / "demo").touch()
    done = bulksync("init", "demo", folder=tmp_path)
    assert (done.code, done.stderr.splitlines()[0]) == (2, "bulksync: demo is not a folder")


def test_here(tmp_path: Path) -> None:
    """Without a folder it is the one that one stands in."""
    assert bulksync("init", folder=tmp_path).code == 0
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)
    assert bulksync("init", folder=tmp_path).code == 2
