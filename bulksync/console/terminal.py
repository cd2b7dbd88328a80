"""The terminal behind stderr: live lines at the bottom, and messages above them."""

import os
import select
import sys
from collections.abc import Callable, Iterable

import anyio
from rich.console import Console, RenderableType
from rich.text import Text

from bulksync.console.live import Lately, frame
from bulksync.console.progress import Doing, Look

NARROW = 60
"""Minimum width in columns for a table."""

INTERVAL = 0.25
"""Seconds between redraws."""

STOPPED = 0.5
"""A gap between redraws this long, in seconds, means that Ctrl-Z stopped us and the shell wrote below."""


class Terminal:
    """Owns the last lines of a terminal.

    The cursor rests below them and is never hidden, so that nothing needs cleaning up however the process ends.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        plain = None if os.environ.get("NO_COLOR") else "auto"
        self._console = Console(file=sys.stderr, color_system=plain, markup=False, highlight=False, emoji=False)  # type: ignore[arg-type]  # a str where rich wants its literals
        self._write = write
        self._lately = Lately()
        self._live = ""
        self._widths: list[int] = []

    def say(self, text: str) -> None:
        """Write a line above the live ones."""
        self._write(f"{self._erasing()}{text}\n{self._live}")

    def show(self, look: Look | str) -> None:
        """Redraw the live lines unless nobody can see them: after Ctrl-S, or when we are in the background."""
        if is_in_background():
            self.forget()
        elif takes_more():
            self._draw(self._lines(look))

    def print(self, what: Iterable[RenderableType]) -> None:
        """Print text and tables in place of the live lines."""
        self.clear()
        with self._console.capture() as written:
            for one in what:
                self._console.print(one, soft_wrap=isinstance(one, Text))
        self._write(written.get())

    def clear(self) -> None:
        """Erase the live lines."""
        self._write(self._erasing())
        self.forget()

    def forget(self) -> None:
        """Give up the live lines, as something else was written below them."""
        self._live, self._widths = "", []

    @property
    def is_wide(self) -> bool:
        """Whether there is room for a table."""
        return self.width >= NARROW

    @property
    def width(self) -> int:
        """The current number of columns."""
        return self._console.width

    def _lines(self, look: Look | str) -> list[Text]:
        if isinstance(look, str):
            line = Text(look)
            line.truncate(self.width, overflow="ellipsis")
            return [line]
        return frame(look, *self._lately.speeds(look), self.width)

    def _draw(self, lines: Iterable[Text]) -> None:
        lines = list(lines)[: height() - 1]
        with self._console.capture() as drawn:
            for line in lines:
                self._console.print(line, no_wrap=True, overflow="crop")
        erasing = self._erasing()
        self._live, self._widths = drawn.get(), [line.cell_len for line in lines]
        self._write(erasing + self._live)

    def _erasing(self) -> str:
        """Return the escape codes that move to the first live line and clear from there (ECMA-48 §8.3.22, 8.3.39)."""
        height = rows_taken(self._widths, self.width)
        return f"\r\x1b[{height}A\x1b[J" if height else ""


async def show_live(doing: Doing, terminal: Terminal) -> None:
    """Show live progress, redrawn a few times per second, until cancelled; then erase it."""
    try:
        while True:
            before = anyio.current_time()
            await anyio.sleep(INTERVAL)
            if anyio.current_time() - before > STOPPED:
                terminal.forget()
            terminal.show(doing.look())
    finally:
        terminal.clear()


def height() -> int:
    """Return the terminal's number of lines, 24 if it does not know.

    The terminal itself is asked: LINES may describe another one, as readline exports it to every program it starts.
    """
    try:
        return os.get_terminal_size(2).lines or 24
    except OSError:
        return 24


def rows_taken(widths: Iterable[int], width: int) -> int:
    """Return how many rows lines of these *widths* take; a terminal made narrower wraps them again."""
    return sum(max(1, -(-line // width)) for line in widths)


def is_in_background() -> bool:
    """Return whether another job is in the foreground: our drawing would be mixed with its output."""
    try:
        return os.tcgetpgrp(2) != os.getpgrp()
    except OSError:  # not our controlling terminal
        return False


def takes_more() -> bool:
    """Return whether stderr can be written to without blocking."""
    return bool(select.select([], [2], [], 0)[1])
