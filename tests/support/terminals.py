"""A person at a terminal: the program on a real pseudo-terminal, its bytes read by an emulator of one."""

import fcntl
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyte

from tests.support.program import command, environment

NUMBER = re.compile(r"\d(?:[\d.,:]*\d)?(?:m\d+)?s?")

PATIENCE = 30.0
"""Seconds after which nobody waits any longer for something to be seen."""


class Seat:
    """What a person has before them: a screen, a keyboard, a corner of the window to pull at."""

    def __init__(self, master: int, process: subprocess.Popen[bytes], columns: int, lines: int) -> None:
        self.process = process
        self.written = b""
        self._master = master
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """Return what is seen, without empty lines."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    @property
    def shows_cursor(self) -> bool:
        """Whether the cursor can be seen, at the begin of an empty line."""
        cursor = self._screen.cursor
        return not cursor.hidden and cursor.x == 0 and not self._screen.display[cursor.y].strip()

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Look at the screen until it is as wanted, and return what it shows then.

        What is written comes in pieces: a *condition* is of a whole picture, or it is met by half of one.
        """
        end = time.monotonic() + PATIENCE
        while not condition(self.lines):
            assert time.monotonic() < end, self.lines
            assert self._look(), self.lines
        return self.lines

    def until_word(self, *words: str) -> list[str]:
        """Look until all these words stand on the screen."""
        return self.until(lambda lines: all(any(word in line for line in lines) for word in words))

    def done(self) -> int:
        """Look until the program ends, and return its exit code."""
        end = time.monotonic() + PATIENCE
        while self._look():
            assert time.monotonic() < end, self.lines
        return self.process.wait(PATIENCE)

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size; its content is cut, as xterm does it."""
        while select.select([self._master], [], [], 0)[0]:  # what was drawn for the old size is seen in that size
            assert self._look(), self.lines
        resize(self._master, columns, lines)
        os.kill(self.process.pid, signal.SIGWINCH)
        self._screen.resize(lines, columns)

    def _look(self) -> bool:
        """Take in what was written; False once nobody can write any more."""
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # EIO: the last one who had it open has ended
            return False
        self.written += data
        self._stream.feed(data)
        return bool(data)


def resize(number: int, columns: int, lines: int) -> None:
    """Set the size of a terminal."""
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def seated(
    *arguments: object,
    folder: Path,
    columns: int = 120,
    lines: int = 40,
    through: str = "exec {}",
    variables: Mapping[str, str] | None = None,
) -> Iterator[Seat]:
    """Start the program in *folder* on a terminal of its own, *through* a shell command; kill it if it still runs."""
    master, slave = os.openpty()
    resize(master, columns, lines)
    plain = {name: value for name, value in environment(folder).items() if name not in ("COLUMNS", "NO_COLOR")}
    # Whoever leads a session and opens a terminal is controlled by it from then on: so Ctrl-C is a signal.
    sit_down = f"exec 0<>{os.ttyname(slave)} 1>&0 2>&0; "
    process = subprocess.Popen(
        ["sh", "-c", sit_down + through.format(shlex.join(command(*arguments)))],
        cwd=folder,
        env=plain | {"TERM": "xterm-256color"} | dict(variables or {}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Seat(master, process, columns, lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)


def masked(lines: list[str]) -> list[str]:
    """Return lines without what differs from moment to moment: numbers, times, their room, and how far a bar is."""
    return [re.sub(r" {2,}", "  ", re.sub(r"[━─]+", "━", NUMBER.sub("N", line))) for line in lines]
