"""Messages that a handler sends. In handler.toml: `uses = ["outbox"]`.

    id = pelton.outbox.send("receipts", json={"order": 7}, key="customer-1")

They commit with the message at hand, and go out after that; on anything but a return they never were.
"""

from __future__ import annotations

import json as _json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ._effects import doer
from ._message import Header


@dataclass(frozen=True)
class Outgoing:
    """A message that is sent. Tests look at it."""

    target: str
    body: bytes
    key: bytes | None = None
    headers: list[Header] = field(default_factory=list)
    delay_ms: int | None = None
    topic: str | None = None

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.body)


def send(
    target: str,
    body: bytes | str = b"",
    *,
    json: Any = None,
    key: bytes | str | None = None,
    headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]] | None = None,
    delay: float | timedelta | None = None,
    topic: str | None = None,
) -> str:
    """Sends a message to a target, by the name that the pipeline's configuration gives it. The id that it will have:
    the same each time the message at hand is handled.

    `json` is written as JSON, instead of `body`. Messages of one `key` keep their order. `delay`, in seconds, has it
    delivered no sooner than that after the commit. `topic` is for a target that leaves it to the handler. Raises
    `EffectError`: there is no such target, it cannot carry the message, or this message has sent as much as one may.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError(f"delay must be a number of seconds from 0 on, not {delay!r}")
    outgoing = Outgoing(
        target,
        _bytes(body) if json is None else _json.dumps(json).encode(),
        None if key is None else _bytes(key),
        [Header(name, _bytes(value)) for name, value in pairs],
        None if seconds is None else min(math.ceil(seconds * 1000), 2**64 - 1),
        topic,
    )
    return doer("outbox").send(outgoing)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
