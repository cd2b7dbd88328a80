"""The call of the program in words, as messages repeat it: quoted for a shell, and without secrets."""

from bulksync.console.log import blanked
from bulksync.text import quoted


def command_line(arguments: list[str]) -> str:
    """Return a call of the program as a shell command, with secrets redacted."""
    return " ".join(["bulksync", *(quoted(blanked(argument)) for argument in arguments)])


def repeated_command(arguments: list[str]) -> str:
    """Return the command that resumes this run: the same one, without restarting."""
    return command_line([token for token in arguments if token not in ("--resend", "--restart")])


def changed_command(arguments: list[str], option: str, value: str) -> str:
    """Return the same command with another value for an option."""
    kept = [
        token
        for before, token in zip(["", *arguments], arguments, strict=False)
        if option not in (before, token, token.partition("=")[0])
    ]
    return command_line([*kept, option, value])
