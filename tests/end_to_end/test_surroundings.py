"""What surrounds the program: names, folders, streams and limits of which no error of ours may come."""

import json
import os
import resource
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bulksync.errors import BulksyncError, StorageError, UsageError
from bulksync.options.files import check_files
from bulksync.options.models import RunOptions
from bulksync.text import name_of, quoted, without_passwords
from tests.support.program import command, environment, write_rows
from tests.support.servers import program

LATIN = os.fsdecode(b"caf\xe9.csv")
NOBODY = 65534
UNKNOWN = 987_654


def as_user(number: int) -> str:
    """Return the shell command that runs another as that user; skips where only root may, or setpriv is missing."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    alone = f"{program('setpriv', 'util-linux')} --reuid={number} --regid={number} --clear-groups"
    python = [*alone.split(), sys.executable, "-c", "import asyncio, bulksync.cli"]
    if subprocess.run(python, cwd="/", capture_output=True).returncode:
        pytest.skip("this Python stands in a folder that is its user's own")
    return alone


RUN = ("run", "rows.csv", "--sandbox", "--rate", "unlimited")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an input of three rows, the same under a name that is not UTF-8."""
    write_rows(tmp_path / LATIN, range(3))
    write_rows(tmp_path / "rows.csv", range(3))
    return tmp_path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that other users reach too, as pytest's is its user's own, with an input of three rows."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.csv", range(3)).chmod(0o644)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)


def told(
    *arguments: str,
    folder: Path,
    through: str = "exec {}",
    limits: Callable[[], None] | None = None,
    without: tuple[str, ...] = (),
) -> tuple[int, str]:
    """Run the program *through* a shell command; return its exit code and the first line of what it said."""
    left_out = {*without, "PYTHONUNBUFFERED"}  # as nobody sets it who runs the program
    known = {name: value for name, value in environment(folder).items() if name not in left_out}
    done = subprocess.run(
        ["sh", "-c", through.format(shlex.join(command(*arguments)))],
        cwd=folder,
        env=known,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        preexec_fn=limits,
    )
    said = done.stderr.decode()
    assert ("internal error" in said, "Traceback" in said) == (False, False), said
    return done.returncode, said.partition("\n")[0]


# Names


@pytest.mark.fault("D9", "a name that is not UTF-8")
@pytest.mark.parametrize("option", ["--output", "--ledger", "--summary", "--html", "--retry-file", "--metrics-file"])
def test_a_file_name_that_is_not_utf8(option: str, folder: Path) -> None:
    """A file that cannot be named in the ledger and in messages is refused before anything is sent."""
    said = told(*RUN, option, os.fsdecode(b"\xff.csv"), folder=folder)
    assert said == (2, rf"bulksync: {option} \xff.csv: its name, or that of its folder, is not UTF-8")


@pytest.mark.fault("D9", "an input whose name is not UTF-8")
def test_an_input_whose_name_is_not_utf8(folder: Path) -> None:
    """Such an input can be checked; a run refuses it, as the ledger could not keep where it stands."""
    refused = (2, r"bulksync: the input caf\xe9.csv: its name, or that of its folder, is not UTF-8")
    assert told("check", LATIN, folder=folder) == (0, "")
    assert told("check", LATIN, "--json", folder=folder) == (0, "")
    assert told("run", LATIN, "--sandbox", folder=folder) == refused
    assert told("run", LATIN, "--sandbox", "--dry-run", folder=folder) == refused


@pytest.mark.fault("D9", "a folder whose name is not UTF-8")
def test_a_folder_whose_name_is_not_utf8(folder: Path) -> None:
    """The folder counts as well: the ledger keeps whole paths."""
    (folder / "f\udce9").mkdir()
    write_rows(folder / "f\udce9" / "rows.csv", range(3))
    code, said = told(*RUN, folder=folder / "f\udce9")
    assert (code, said) == (2, "bulksync: the input rows.csv: its name, or that of its folder, is not UTF-8")


@pytest.mark.fault("D9", "a JSON message about a name that is not UTF-8")
def test_a_name_that_is_not_utf8_in_json(folder: Path) -> None:
    """What is said in JSON escapes what JSON has no characters for."""
    code, said = told(*RUN, "--log-format", "json", "--config", os.fsdecode(b"no\xff"), folder=folder)
    assert (code, json.loads(said)["error"]) == (2, r"no\xff does not exist")


@pytest.mark.parametrize(
    "name", ["a\nb.csv", "a\x1b[31mb.csv", "--x.csv", "-x.csv", "a'b\"c.csv", "é €.csv", "$HOME.csv"]
)
def test_unusual_names_are_names(name: str, folder: Path) -> None:
    """Any other name is as good as any, and the command that is repeated can be pasted."""
    (folder / "rows.csv").rename(folder / name)
    assert told("run", name, "--sandbox", "--rate", "unlimited", "-q", folder=folder) == (0, "")
    pasted = subprocess.run(["bash", "-c", f"printf %s {quoted(name)}"], capture_output=True, check=True).stdout
    assert (os.fsdecode(pasted), quoted(name).isprintable()) == (name, True)


def test_a_name_of_any_bytes_can_be_pasted() -> None:
    """A shell reads what is printed for a name as that very name."""
    pasted = subprocess.run(["bash", "-c", f"printf %s {quoted(LATIN)}"], capture_output=True, check=True).stdout
    assert (pasted, quoted(LATIN), name_of(LATIN)) == (b"caf\xe9.csv", r"$'caf\351.csv'", r"caf\xe9.csv")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://user:pass@host:80/x", "at http://user:***@host:80/x"),
        ("HTTP://user:p@ss@host, http://t@b", "HTTP://user:***@host, http://***@b"),
        ("http:/user:pass@host", "http:/user:***@host"),
        ('{"a":"http://u:p@h","b":"c@d"}', '{"a":"http://u:***@h","b":"c@d"}'),
        ("http://host:80/x mail a@b, ftp://h/@x", "http://host:80/x mail a@b, ftp://h/@x"),
    ],
)
def test_passwords_in_texts(text: str, shown: str) -> None:
    """User and password of a URL are recognized in any text, and nothing else is."""
    assert without_passwords(text) == shown


def test_a_password_with_a_blank_in_a_word() -> None:
    """In a word of a command the password ends where the host begins, whatever it holds."""
    assert quoted("--proxy=http://u:a b/c@d@host") == "'--proxy=http://u:***@host'"


# What is no file


@pytest.mark.fault("D9", "a device, pipe, socket, folder or link in a file's place")
@pytest.mark.parametrize("option", ["output", "summary", "html", "retry_file", "metrics_file", "ledger"])
@pytest.mark.parametrize("kind", ["device", "pipe", "socket", "folder", "loop"])
def test_what_a_rename_must_not_replace(kind: str, option: str, tmp_path: Path) -> None:
    """Only a plain file is replaced: as root, a rename would take /dev/null away from everyone."""
    path = tmp_path / kind
    match kind:
        case "device":
            path = Path("/dev/null")
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(path)
    expected: type[BulksyncError] = StorageError if option == "ledger" and kind != "loop" else UsageError
    with pytest.raises(expected):
        check_files(None, RunOptions.model_validate({option: path}))


def test_a_link_is_not_replaced(tmp_path: Path) -> None:
    """A link such as /dev/stdout is not followed and not replaced; a ledger behind one is found."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(UsageError):
        check_files(None, RunOptions(summary=tmp_path / "link"))
    check_files(None, RunOptions(ledger=tmp_path / "link", summary=tmp_path / "file"))


@pytest.mark.fault("D9", "names that are too long")
def test_names_that_are_too_long(folder: Path) -> None:
    """A name that no file system takes is told as such, whoever finds out."""
    long = "a" * 252 + ".csv"
    ways = (("run", long, "--sandbox"), (*RUN, "--ledger", long), (*RUN, "--summary", long), ("check", long))
    codes = [told(*way, folder=folder)[0] for way in ways]
    assert codes == [7, 8, 8, 7]


# Folders and homes


@pytest.mark.fault("D9", "a deleted working directory")
@pytest.mark.parametrize("arguments", [RUN, ("run", "-", "--format", "csv", "--sandbox")], ids=["file", "stdin"])
def test_a_working_directory_that_was_deleted(arguments: tuple[str, ...], folder: Path) -> None:
    """A relative path in a folder that is gone is told as such."""
    said = told(*arguments, folder=folder, through="mkdir gone && cd gone && rmdir ../gone && exec {}")
    assert said == (2, "bulksync: the working directory does not exist any more")


@pytest.mark.fault("D9", "absolute paths in a deleted working directory")
def test_absolute_paths_need_no_working_directory(folder: Path) -> None:
    """Who names whole paths does not need the folder."""
    call = ("run", str(folder / "rows.csv"), "--sandbox", "-q", "--rate", "unlimited")
    assert told(*call, folder=folder, through="mkdir gone && cd gone && rmdir ../gone && exec {}") == (0, "")


@pytest.mark.fault("D9", "no HOME and no passwd entry")
def test_a_user_without_a_home(open_folder: Path) -> None:
    """A user whom nobody knows has no configuration, and everything else."""
    left_out = ("HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME")
    through = f"exec {as_user(UNKNOWN)} {{}}"
    assert told(*RUN, "-q", folder=open_folder, through=through, without=left_out) == (0, "")


@pytest.mark.fault("D9", "folders and files without permission")
@pytest.mark.parametrize(
    ("mode", "arguments", "code"),
    [
        (0o000, RUN, 7),
        (0o300, RUN, 7),
        (0o555, RUN, 8),
        (0o555, ("check", "rows.csv"), 0),
    ],
)
def test_a_folder_without_permission(mode: int, arguments: tuple[str, ...], code: int, open_folder: Path) -> None:
    """What may not be read is an input error, what may not be written a storage error."""
    inside = open_folder / "inside"
    inside.mkdir()
    (open_folder / "rows.csv").rename(inside / "rows.csv").chmod(0o644 if mode & 0o400 else 0o000)
    os.chown(inside, NOBODY, NOBODY)
    through = f"cd inside && chmod {mode:o} . && exec {as_user(NOBODY)} {{}}"
    assert told(*arguments, folder=open_folder, through=through)[0] == code


# Streams and limits


@pytest.mark.fault("D9", "stdin is closed")
@pytest.mark.parametrize("name", ["run", "check"])
def test_stdin_that_is_closed(name: str, folder: Path) -> None:
    """A stdin that the caller closed is one without rows."""
    more = ("--sandbox",) if name == "run" else ()
    said: list[tuple[int, str]] = []
    for through in ("exec {} <&-", "exec {} </dev/null"):
        place = folder / str(len(said))
        place.mkdir()
        said.append(told(name, "-", "--format", "csv", *more, folder=place, through=through))
    assert said[0] == said[1]


@pytest.mark.fault("D9", "stdout is full")
@pytest.mark.parametrize(
    "arguments", [("check", "rows.csv"), ("--help",), (*RUN, "-o", "-")], ids=["check", "help", "run"]
)
def test_stdout_that_is_full(arguments: tuple[str, ...], folder: Path) -> None:
    """What cannot be printed is a storage error, and nothing else is said to be wrong."""
    code, said = (
        told(*arguments, "-q", folder=folder, through="exec {} >/dev/full")
        if arguments[0] == "run"
        else told(*arguments, folder=folder, through="exec {} >/dev/full")
    )
    assert (code, said.endswith("cannot be written: No space left on device")) == (8, True)


@pytest.mark.fault("D9", "few open files")
@pytest.mark.parametrize(("files", "code"), [(8, 2), (19, 2), (20, 0)])
def test_few_open_files(files: int, code: int, folder: Path) -> None:
    """A limit with which nothing would go is told before anything is done; one file more, and all goes."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    known = {2: f"bulksync: only {files} files may be open at once", 0: "bulksync: sending 3 rows"}
    found, said = told("run", "rows.csv", "--sandbox", "--rate", "unlimited", folder=folder, limits=limits)
    assert found == code
    assert said.startswith(known[code]) or "ulimit -n is" in said


def test_an_umask_that_takes_everything(folder: Path) -> None:
    """Files are the user's own, whatever the umask says."""
    assert told(*RUN, "-q", folder=folder, through="umask 777; exec {}")[0] in ((0,) if os.geteuid() == 0 else (8,))
