"""The closing summary on a terminal: aligned, in color, with every path and command on one unbroken line."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bulksync.console.live import COLOURS, WORD
from bulksync.console.progress import percent
from bulksync.text import clean

LABEL = 12
"""Width of the label column."""

STYLES = {"stopped": "yellow", "error": "red", "note": "yellow", "next": "bold"}


def closing_table(parts: Iterable[tuple[str, str | Mapping[str, int]]]) -> Iterator[RenderableType]:
    """Yield the closing summary, each part with its label: counts as columns, texts as lines to copy whole."""
    for label, what in parts:
        if isinstance(what, str):
            yield Text.assemble((f"{label:<{LABEL}}  ", "dim"), (what, STYLES.get(label, "")))
        else:
            yield columns(label, what)


def columns(label: str, counts: Mapping[str, int]) -> Table:
    """Return words with their counts and shares, one per line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=LABEL, style="dim")
    table.add_column(min_width=20)
    table.add_column(justify="right", min_width=9)
    table.add_column(justify="right", style="dim")
    total = sum(counts.values())
    for number, (word, count) in enumerate(counts.items()):
        shown = Text(clean(word, WORD), COLOURS.get(word, ""))
        table.add_row("" if number else label, shown, f"{count:,}", percent(count, total))
    return table
