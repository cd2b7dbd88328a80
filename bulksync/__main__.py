"""The program's start: `python -m bulksync` is `bulksync`."""

import sys

from bulksync import __version__
from bulksync.sender.signals import ASKING, defer


def main() -> None:
    """Answer `--version` at once, as scripts ask it often; all else is the command line's."""
    defer(ASKING)  # before the imports that take a quarter of a second
    if sys.argv[1:] == ["--version"]:
        print(__version__)
        return
    from bulksync.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
