"""`bulksync completion`: what it prints completes in real shells, as typed by a person."""

import os
import pty
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.program import bulksync, environment

ASKED = [
    (["ru"], ["run"]),
    (["run", "--max-at"], ["--max-attempts"]),
    (["run", "--format", ""], ["csv", "tsv", "jsonl", "xlsx"]),
    (["run", "row"], ["rows.csv"]),
    (["run", "rows.csv", "--output", "row"], ["rows.csv"]),
    (["history", "rows."], ["rows.csv"]),
    (["completion", "z"], ["zsh"]),
]
"""The words typed so far, and what they may become."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file to be found."""
    (tmp_path / "rows.csv").touch()
    return tmp_path


def needs(shell: str) -> pytest.MarkDecorator:
    """Skip a test where its shell is not installed."""
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


def script(shell: str, folder: Path, name: str) -> Path:
    """Write the script for a shell; it says nothing else."""
    done = bulksync("completion", shell, folder=folder)
    assert (done.code, done.stderr) == (0, "")
    path = folder / name
    path.write_text(done.stdout)
    return path


def output(*command: str, folder: Path) -> list[str]:
    """Return the lines that a shell prints."""
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@needs("bash")
@pytest.mark.parametrize(("words", "found"), ASKED, ids=lambda value: " ".join(value))
def test_bash(words: list[str], found: list[str], folder: Path) -> None:
    """Bash completes commands, options, choices and files."""
    ask = """
        source "$1"; shift
        set -- bulksync "$@"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$(complete -p bulksync | sed 's/.*-F //; s/ .*//')"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = script("bash", folder, "completion.bash")
    assert output("bash", "--norc", "-c", ask, "bash", str(path), *words, folder=folder) == found


@needs("fish")
@pytest.mark.parametrize(("words", "found"), ASKED, ids=lambda value: " ".join(value))
def test_fish(words: list[str], found: list[str], folder: Path) -> None:
    """Fish does, too, and says what each is for."""
    path = script("fish", folder, "completion.fish")
    ask = "source $argv[1]; complete -C $argv[2]"
    lines = output("fish", "--no-config", "-c", ask, str(path), " ".join(["bulksync", *words]), folder=folder)
    assert sorted(line.split("\t")[0] for line in lines) == sorted(found)


@needs("zsh")
@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("bulksync chec", "bulksync check "),
        ("bulksync run --max-at", "bulksync run --max-attempts "),
        ("bulksync run row", "bulksync run rows.csv "),
        ("bulksync run --format j", "bulksync run --format jsonl "),
    ],
)
def test_zsh(typed: str, becomes: str, folder: Path) -> None:
    """Zsh completes on a terminal, from the file that the help names."""
    script("zsh", folder, "_cyclopts_bulksync")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execlpe("zsh", "zsh", "-f", "-i", {**environment(folder), "TERM": "dumb"})  # noqa: S606  it is the shell
    try:
        # Quotes, so that what is echoed while it is typed is not taken for the answer.
        os.write(terminal, b"fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; PS1=; echo RE''ADY\n")
        assert b"READY\r\n" in seen(terminal, b"READY\r\n")
        os.write(terminal, typed.encode() + b"\t")
        assert becomes.encode() in seen(terminal, becomes.encode())
    finally:
        os.close(terminal)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def seen(terminal: int, wanted: bytes) -> bytes:
    """Return what a terminal shows, up to what is wanted or to ten silent seconds."""
    shown = b""
    while wanted not in shown and select.select([terminal], [], [], 10)[0]:
        shown += os.read(terminal, 4096)
    return shown
