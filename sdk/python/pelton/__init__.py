"""Write a Pelton message handler in Python: one function, compiled to a WebAssembly component.

    from pelton import Message, Reject, Retry, handler

    @handler
    def handle(message: Message) -> None:
        order = message.json()
        if order["amount_cents"] < 0:
            raise Reject("the amount is negative")

Returning settles the message. `Retry` asks for another try, `Reject` makes a dead letter at once, and any
other exception is a retry with its traceback. What is printed becomes log lines with the message's id.

`http`, `config`, `state`, `outbox` and `sql` are what a handler may do beside its answer, where handler.toml says so in
`uses` and its pipeline grants it. `pelton.testing` stands in for them in tests.

It is plain Python and imports nothing of the runtime, so handlers are tested like any function.
"""

from . import config, http, outbox, state
from ._effects import EffectError
from ._failure import Reject, Retry
from ._handler import batch_handler, handler
from ._message import Header, Message
from .sql import sql

__all__ = [
    "EffectError",
    "Header",
    "Message",
    "Reject",
    "Retry",
    "batch_handler",
    "config",
    "handler",
    "http",
    "outbox",
    "sql",
    "state",
]
