"""Explain what is wrong with a command line, a variable or a configuration, in our own words."""

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
"""Text for pydantic's errors by type; all others have a text of their own, or one in TYPES."""

TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
}
"""What a value of an entirely wrong type should have been."""


def wrong_call(error: CycloptsError, commands: Iterable[str], called: str) -> UsageError:
    """Return our error for an invalid command line, with the help of the command that was *called*, if any."""
    helping = f"bulksync {called} --help" if called else "bulksync --help"
    return UsageError(what_is_wrong(error, commands, called), f"see: {helping}")


def what_is_wrong(error: CycloptsError, commands: Iterable[str], called: str) -> str:
    """Return what is wrong with a command line."""
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
    """Return a question whether the most similar known word was meant."""
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def names_of(arguments: Iterable[Argument]) -> list[str]:
    """Return the names of options, without the negative ones."""
    return [name for argument in arguments for name in argument.names if not name.startswith("--no-")]


def missing(error: MissingArgumentError, argument: Argument) -> str:
    """Return which value is missing."""
    name = error.keyword or next((token.keyword for token in argument.tokens if token.keyword), argument.name)
    return f"{name} needs a value" if name.startswith("-") else f"{name} is missing"


def conversion(token: Token, wanted: object) -> str:
    """Return what a value that could not be converted should have been."""
    if wanted is bool:
        return f"{token.value!r} is neither true nor false"
    if choices := [str(choice) for choice in get_args(wanted)]:
        return f"must be {' or '.join(filter(None, (', '.join(choices[:-1]), choices[-1])))}, not {token.value!r}"
    return f"{token.value!r} cannot be read"


def place_of(token: Token, argument: Argument | None) -> str:
    """Return where a value was given: the option as written, a variable, or a file and the name in it."""
    name = (token.keyword or (argument.name if argument else "")).strip("[]")
    return name if token.source in ("", "cli", "env") else f"{token.source}: {name}"


def written_as(argument: Argument | None) -> Callable[[str], str]:
    """Return a function that says where the value of a field was given."""
    given = [child for child in (argument.children if argument else ()) if child.tokens]
    places = {str(child.keys[0]): place_of(child.tokens[0], child) for child in given}
    return lambda field: places.get(field) or as_flag(field)


def as_flag(field: str) -> str:
    """Return the flag of an option."""
    return "--" + field.replace("_", "-")


def wrong_options(error: ValidationError, written: Callable[[str], str] = as_flag) -> str:
    """Return one line on which options are invalid, and why; *written* maps an option to what the caller wrote."""
    said = []
    for problem in error.errors(include_url=False):
        option = f"{written(str(problem['loc'][0]))}: " if problem["loc"] else ""
        said.append(option + reason(problem))
    return "; ".join(said)


def reason(problem: Mapping[str, Any]) -> str:
    """Return what is wrong with a value."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in TYPES:
        return f"must be {TYPES[kind]}"
    return REASONS.get(kind, "{input!r} cannot be used").format(input=problem["input"], **context)
