"""The view of the ledger for people: the report, the retry file, the summary, the page, what a terminal shows."""

from bulksync.report.charts import Slices, sliced
from bulksync.report.extras import write_moves, write_retry_file, write_summary
from bulksync.report.file import STDOUT
from bulksync.report.grouping import Group, grouped
from bulksync.report.page import MOST_ROWS, Facts, write_page
from bulksync.report.screen import (
    Part,
    check_json,
    check_lines,
    closing_lines,
    closing_parts,
    diff_lines,
    history_line,
    invalid_line,
    listed,
)
from bulksync.report.table import (
    COLUMNS,
    SEPARATOR,
    View,
    guarded,
    headings,
    is_json,
    write_csv_report,
    write_json_report,
)

__all__ = [
    "COLUMNS",
    "Facts",
    "Group",
    "MOST_ROWS",
    "Part",
    "SEPARATOR",
    "STDOUT",
    "Slices",
    "View",
    "check_json",
    "check_lines",
    "grouped",
    "guarded",
    "headings",
    "is_json",
    "closing_lines",
    "closing_parts",
    "history_line",
    "invalid_line",
    "listed",
    "diff_lines",
    "sliced",
    "write_moves",
    "write_page",
    "write_csv_report",
    "write_json_report",
    "write_retry_file",
    "write_summary",
]
