"""Who does what a handler asks for beside its answer: the host in a component, in a test what `testing` puts here."""

from __future__ import annotations

import sys
from typing import Any

EFFECTS = ("http", "config", "state", "outbox", "sql")

DENIED = ("not-granted", "unknown-target", "unknown-database", "HTTP-request-denied", "destination-IP-prohibited")

# By the words of `uses` in handler.toml.
doers: dict[str, Any] = {}


class EffectError(Exception):
    """Why an effect did not happen: `code` for programs, the text for people.

    Not caught it is a retry. The code is one of `not-granted`, `unknown-target`, `unknown-database`, `refused`, `limit`,
    `too-large`, `unavailable`, `status` (of `raise_for_status`), `value`; for SQL the database's own, as `23505`, with
    `constraint` and `detail` where it says them; and for HTTP the names that `wasi:http` has: `connection-timeout`,
    `connection-refused`, `HTTP-request-denied`, `destination-IP-prohibited`, `HTTP-response-body-size` and so on.
    """

    def __init__(self, code: str, text: str = "", *, constraint: str | None = None, detail: str | None = None) -> None:
        super().__init__(f"{text} ({code})" if text else code)
        self.code = code
        self.text = text
        self.constraint = constraint
        self.detail = detail

    @property
    def is_timeout(self) -> bool:
        """Time ran out: connecting, before the answer began, or within it."""
        return self.code.endswith("timeout")

    @property
    def is_denied(self) -> bool:
        """Nothing but another configuration makes it succeed."""
        return self.code in DENIED


def doer(effect: str) -> Any:
    """Who does it, or an error that says what is missing."""
    found = doers.get(effect)
    if found is not None:
        return found
    if sys.platform == "wasi":
        said = f'this component was built without it: add `uses = ["{effect}"]` to handler.toml, and build it again'
    else:
        said = "there is no Pelton here: in a test, wrap the call in `with pelton.testing.effects() as effects:`"
    raise EffectError("unavailable", f"{effect}: {said}")
