"""Entry point: `python -m bulksync` is `bulksync`."""

import os
import sys

from bulksync import __version__
from bulksync.sender.signals import ASKING, defer

UNSUPPORTED = "bulksync: Windows is not supported: run it in WSL, where it is the same as on Linux"
"""Windows has no equivalent of the fcntl lock on the ledger."""


def main() -> None:
    """Print `--version` at once, as scripts call it often; leave everything else to the command line."""
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
