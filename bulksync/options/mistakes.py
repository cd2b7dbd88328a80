"""Says what is wrong with a command line, a variable or a configuration, in our own words."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from cyclopts import Argument, CycloptsError, Token
from cyclopts.exceptions import (
    CoercionError,
    CombinedShortOptionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from pydantic import ValidationError

from bulksync.errors import UsageError

REASONS = {
    "int_parsing": "{input!r} is not a whole number",
    "int_from_float": "{input!r} is not a whole number",
    "float_parsing": "{input!r} is not a number",
    "bool_parsing": "{input!r} is neither true nor false",
    "greater_than": "must be more than {gt}, not {input}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
    "literal_error": "must be {expected}, not {input!r}",
    "extra_forbidden": "there is no such option",
}
"""What pydantic finds wrong with a value, by its type of error; other types have a text of our own, or TYPES."""

TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
}
"""What a value must be that has the wrong type altogether."""


def wrong_call(error: CycloptsError, commands: Iterable[str], called: str) -> UsageError:
    """Return our error for a wrong command line, with the help of the command that was *called*, if any."""
    helping = f"bulksync {called} --help" if called else "bulksync --help"
    return UsageError(what_is_wrong(error, commands, called), f"see: {helping}")


def what_is_wrong(error: CycloptsError, commands: Iterable[str], called: str) -> str:
    """Say what is wrong with a command line."""
    match error:
        case UnknownCommandError(unused_tokens=[word, *_]) if word.startswith("-"):
            return f"there is no option {word}"
        case UnknownCommandError(unused_tokens=[word, *_]):
            return f"there is no command {word!r}{nearest(word, commands)}"
        case UnknownOptionError(token=token):
            word = token.keyword or token.value
            return f"{called or 'bulksync'} has no option {word}{nearest(word, names_of(error.argument_collection))}"
        case UnusedCliTokensError(unused_tokens=words):
            return f"{called} takes no further argument: {' '.join(words or [])}"
        case MissingArgumentError(argument=Argument() as argument):
            return f"{called or 'bulksync'}: {missing(error, argument)}"
        case RepeatArgumentError(token=token):
            return f"{token.keyword} is given more than once"
        case CombinedShortOptionError():
            return "an option that takes a value cannot stand among short ones: write it by itself"
        case CoercionError(token=Token() as token):
            return f"{place_of(token, error.argument)}: {conversion(token, error.target_type)}"
    if isinstance(error.__cause__, ValidationError):
        return wrong_options(error.__cause__, written_as(error.argument))
    return f"the command line of {called or 'bulksync'} cannot be read"


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether the known word that is most like a wrong one was meant."""
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def names_of(arguments: Iterable[Argument]) -> list[str]:
    """Return the names of options, but not the negative ones."""
    return [name for argument in arguments for name in argument.names if not name.startswith("--no-")]


def missing(error: MissingArgumentError, argument: Argument) -> str:
    """Say which value is missing."""
    name = error.keyword or next((token.keyword for token in argument.tokens if token.keyword), argument.name)
    return f"{name} needs a value" if name.startswith("-") else f"{name} is missing"


def conversion(token: Token, wanted: object) -> str:
    """Say what a word ought to be that could not be converted."""
    if wanted is bool:
        return f"{token.value!r} is neither true nor false"
    if choices := [str(choice) for choice in get_args(wanted)]:
        return f"must be {' or '.join(filter(None, (', '.join(choices[:-1]), choices[-1])))}, not {token.value!r}"
    return f"{token.value!r} cannot be read"


def place_of(token: Token, argument: Argument | None) -> str:
    """Say where a value stands: the option as it was written, a variable, or a file and the name in it."""
    name = (token.keyword or (argument.name if argument else "")).strip("[]")
    return name if token.source in ("", "cli", "env") else f"{token.source}: {name}"


def written_as(argument: Argument | None) -> Callable[[str], str]:
    """Return what tells, for the name of a field, where its value stands."""
    given = [child for child in (argument.children if argument else ()) if child.tokens]
    places = {str(child.keys[0]): place_of(child.tokens[0], child) for child in given}
    return lambda field: places.get(field) or as_flag(field)


def as_flag(field: str) -> str:
    """Return the flag of an option."""
    return "--" + field.replace("_", "-")


def wrong_options(error: ValidationError, written: Callable[[str], str] = as_flag) -> str:
    """Say in one line which options are wrong, and why; *written* turns an option's name into what the caller wrote."""
    said = []
    for problem in error.errors(include_url=False):
        option = f"{written(str(problem['loc'][0]))}: " if problem["loc"] else ""
        said.append(option + reason(problem))
    return "; ".join(said)


def reason(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with a value."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in TYPES:
        return f"must be {TYPES[kind]}"
    return REASONS.get(kind, "{input!r} cannot be used").format(input=problem["input"], **context)
