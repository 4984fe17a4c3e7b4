"""The decorators. They note the function and leave it as it is, so that tests call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ._message import Message

Handler = Callable[[Message], None]
BatchHandler = Callable[[list[Message]], "Sequence[Exception | None] | None"]
Function = TypeVar("Function", bound=Callable)

# What the component looks up: at most one of the two.
noted: dict[str, Callable] = {}


def handler(function: Handler) -> Handler:
    """Marks the function that handles one message at a time."""
    return _note("@handler", function)


def batch_handler(function: BatchHandler) -> BatchHandler:
    """Marks the function that handles many messages at a time.

    It returns one result for each message, in order: None, or a `Retry` or `Reject` (not raised). Returning None
    says that all are done. When it raises anything, each message is given to it again, alone.
    """
    return _note("@batch_handler", function)


def _note(decorator: str, function: Function) -> Function:
    if noted and noted.get(decorator) is not function:
        other, marked = next(iter(noted.items()))
        raise TypeError(f"{other} is on `{marked.__name__}` already: a component has one handler, not {decorator} too")
    noted[decorator] = function
    return function


def misses(decorator: str) -> str | None:
    """Why handler.py is no handler of this form, if it is none."""
    if decorator in noted:
        return None
    other = "".join(noted)
    hint = "add or remove --batch in handler.toml" if other else f"put {decorator} on the function that handles"
    has = f"it has {other}" if other else "no function is marked"
    return f"handler.py has no {decorator} function: {has}; {hint}"
