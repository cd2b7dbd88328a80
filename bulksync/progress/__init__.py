"""How far a run is: a few live lines on a terminal, one line now and then elsewhere, and one for who asks.

What needs rich stands in modules of its own, `frame`, `table` and `terminal`, to be imported where there is a terminal.
"""

from bulksync.progress.line import Doing, Look, percent, progress_line, say_every, since

__all__ = ["Doing", "Look", "percent", "progress_line", "say_every", "since"]
