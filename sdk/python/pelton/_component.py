"""The way between a handler and the contract in wit/. Imported in a component only."""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from collections.abc import Callable

from componentize_py_types import Err, Ok
from wit_world.imports import types as wire

from . import _handler, _wire
from ._failure import Reject, Retry
from ._message import Header, Message

# Bytes of a traceback that an operator is shown; the host keeps 4096.
ROOM = 3800
# Where the folders of the build are while the component is made.
MOUNTED = re.compile(r"^/\d+/")


def find(decorator: str) -> Callable:
    """The user's function. Runs while the component is made, so what it raises is a build error."""
    _wire.install()
    import handler as _  # noqa: F401  the user's module: importing it notes the function

    wrong = _handler.misses(decorator)
    if wrong:
        raise RuntimeError(wrong)
    _keep_sources()
    return _handler.noted[decorator]


def _keep_sources() -> None:
    """A component has no files: the lines that tracebacks show are read while it is made."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if MOUNTED.match(path) and path.endswith(".py") and "/site-packages/" not in path:
            lines = linecache.getlines(path)
            # Without a time of change it is never compared with the file.
            linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


def message(given: wire.Message) -> Message:
    headers = [Header(header.name, header.value) for header in given.headers]
    return Message(**{**vars(given), "headers": headers})


def failure(error: BaseException) -> wire.Failure:
    """What the runtime is told. An error that the handler did not mean is a retry with its traceback."""
    if isinstance(error, Reject):
        return wire.Failure_Reject(error.reason)
    if isinstance(error, Retry):
        return wire.Failure_Retry(wire.Retry(error.reason, error.after_ms))
    return wire.Failure_Retry(wire.Retry(uncaught(error), None))


def uncaught(error: BaseException) -> str:
    """The error's own words first, then where it came from, so that what is cut off is the oldest frame's text."""
    words = "".join(traceback.format_exception_only(error)).strip()
    # The first frame is this package's call of the handler.
    trace = error.__traceback__ and error.__traceback__.tb_next
    frames = traceback.extract_tb(trace)
    own = [traceback.FrameSummary(MOUNTED.sub("", f.filename), f.lineno, f.name, line=f.line) for f in frames]
    text = "\n".join([f"uncaught {words}", *traceback.format_list(own)]).rstrip()
    return text if len(text) <= ROOM else f"{text[: ROOM // 2]}\n...\n{text[-ROOM // 2 :]}"


def handle(function: Callable, given: wire.Message) -> None:
    try:
        function(message(given))
    except BaseException as error:  # noqa: BLE001  a trap would cost the instance, and the traceback
        raise Err(failure(error)) from None


def handle_batch(function: Callable, given: list[wire.Message]) -> list:
    try:
        return results(function([message(one) for one in given]), len(given))
    except BaseException as error:  # noqa: BLE001
        if len(given) == 1:
            return [Err(failure(error))]
    # One of them is to blame: alone, it is found.
    return [result for one in given for result in handle_batch(function, [one])]


def results(answers: list | None, count: int) -> list:
    if answers is None:
        return [Ok(None)] * count
    answers = list(answers)
    if len(answers) != count:
        raise TypeError(f"the batch handler returned {len(answers)} results for {count} messages")
    for answer in answers:
        if answer is not None and not isinstance(answer, BaseException):
            raise TypeError(f"the batch handler returned {answer!r}: a result is None, a Retry or a Reject")
    return [Ok(None) if answer is None else Err(failure(answer)) for answer in answers]
