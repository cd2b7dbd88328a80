"""The closing table: counts as columns, paths and commands whole, and nothing that a server says is obeyed."""

import io
from collections.abc import Mapping

from rich.console import Console

from bulksync.console.table import closing_table

PARTS: list[tuple[str, str | Mapping[str, int]]] = [
    ("input", "rows.csv, 1,200 rows"),
    ("outcomes", {"updated": 1_150, "rejected": 50}),
    ("dispositions", {"NO_ANSWER": 1_000, "[red]DNC[/red]\x1b[2J": 150}),
    ("error", "50 rows, first row 7 (line 9): http_422: [bold]no[/bold]"),
    ("next", "run it again: bulksync run " + "x" * 80),
]


def shown(width: int, *, colours: bool = False) -> str:
    """Return the table as a terminal of that width gets it."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=True, color_system="standard" if colours else None, markup=False
    )
    for part in closing_table(PARTS):
        console.print(part, soft_wrap=True)
    return file.getvalue()


def test_a_table() -> None:
    """Each count with its share, numbers below each other; a long command is one line, to be copied."""
    assert shown(80).splitlines() == [
        "input         rows.csv, 1,200 rows",
        "outcomes      updated                   1,150  95 %",
        "              rejected                     50   4 %",
        "dispositions  NO_ANSWER                 1,000  86 %",
        "              [red]DNC[/red]              150  13 %",
        "error         50 rows, first row 7 (line 9): http_422: [bold]no[/bold]",
        f"next          run it again: bulksync run {'x' * 80}",
    ]


def test_colours() -> None:
    """An outcome has its colour, and the server's words have none."""
    assert "\x1b[32mupdated" in shown(80, colours=True)
    assert "\x1b[31mDNC" not in shown(80, colours=True)
