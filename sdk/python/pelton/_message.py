"""What a handler is given."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ._failure import Reject


class Header(NamedTuple):
    """One header, as the producer wrote it. Names may repeat and values may be any bytes."""

    name: str
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Message:
    """One receipt of one message. In a test, give what matters and leave out the rest:

    Message(body=b'{"id": 7}', attempt=2)
    """

    body: bytes = b""
    """The bytes that were published."""
    id: str = "test-1"
    """The broker's own identity of the message; the same on every redelivery."""
    key: bytes | None = None
    """The ordering key, if the broker has one."""
    headers: list[Header] = field(default_factory=list)
    """In the producer's order. See `header` for the first of a name."""
    attempt: int = 1
    """How often a handler has been started on this message, this time included."""
    idempotency_key: str = "test-1"
    """The same on every attempt, redelivery and replay. Hand it to the services you call."""
    pipeline: str = "test"
    """The pipeline that delivers it, as named in the configuration."""
    origin: str = "test"
    """Where it was published: topic, queue, stream or list."""
    published_at_ms: int | None = None
    """When it was published, in milliseconds since the Unix epoch, if the broker says so."""
    replayed: bool = False
    """True when an operator replays it."""
    tombstone: bool = False
    """True when the broker has no value at all for it (a Kafka record whose value is null)."""

    def json(self) -> Any:
        """The body as JSON. Raises `Reject`, with the place, when it is none: it would be none next time too."""
        if not self.body:
            raise Reject("the body is empty, JSON was expected")
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Reject(f"the body is not valid JSON: {error}") from None

    def text(self) -> str:
        """The body as text. Raises `Reject` when it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise Reject(f"the body is not UTF-8 text: bad byte at offset {error.start}") from None

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first header of this name whose value is text. Upper and lower case differ, as for brokers."""
        value = self.header_bytes(name)
        try:
            return default if value is None else value.decode()
        except UnicodeDecodeError:
            return default

    @property
    def traceparent(self) -> str | None:
        """Where the message stands in a trace, as W3C writes it: `00-TRACE-SPAN-FLAGS`. Where traces are recorded
        that is the span that this handler runs in. HTTP requests and messages of the outbox have it already."""
        found = [value for name, value in self.headers if name.lower() == "traceparent"]
        return found[-1].decode("ascii", "replace") if found else None

    def header_bytes(self, name: str) -> bytes | None:
        """The value of the first header of this name. All of them are in `headers`."""
        return next((value for found, value in self.headers if found == name), None)
