"""The program's start: `python -m bulksync` is `bulksync`."""

import os
import sys

from bulksync import __version__
from bulksync.sender.signals import ASKING, defer

UNSUPPORTED = "bulksync: Windows is not supported: run it in WSL, where it is the same as on Linux"
"""There is nothing there that locks a ledger as fcntl does."""


def main() -> None:
    """Answer `--version` at once, as scripts ask it often; all else is the command line's."""
    if os.name == "nt":
        print(UNSUPPORTED, file=sys.stderr)
        sys.exit(2)
    defer(ASKING)  # before the imports that take a quarter of a second
    if sys.argv[1:] == ["--version"]:
        print(__version__)
        return
    from bulksync.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
