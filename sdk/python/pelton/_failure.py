"""Why a message was not handled."""

from __future__ import annotations

import math
from datetime import timedelta


class Retry(Exception):
    """Worth another try: something the handler depends on is down.

    `after` is the shortest wait, in seconds or as a `timedelta`. Without it, and where its own wait is longer,
    the pipeline's retry policy decides. When the attempts are used up the message is a dead letter.
    """

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after.total_seconds() if isinstance(after, timedelta) else after
        if self.after is not None and not 0 <= self.after < math.inf:
            raise ValueError(f"after must be a number of seconds from 0 on, not {after!r}")

    @property
    def after_ms(self) -> int | None:
        """The wait in milliseconds, rounded up."""
        return None if self.after is None else min(math.ceil(self.after * 1000), 2**64 - 1)


class Reject(Exception):
    """Will never succeed: malformed, or refers to what does not exist. A dead letter at once."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
