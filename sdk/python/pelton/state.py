"""Key-value state. In handler.toml: `uses = ["state"]`.

    orders = pelton.state.increment("orders")
    total = pelton.state.store("totals").get_json("customer-1", 0)

What is written commits with the message, and on anything but a return it never was. Messages that run side by side and
touch the same keys have the effect of some order, one after the other: read, decide and write as if alone. Only lists of
keys are not held to that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ._effects import EffectError, doer


@dataclass(frozen=True)
class Store:
    """A store of the pipeline's. Whether it grants it shows at the first use."""

    name: str

    def get(self, key: str) -> bytes | None:
        """The value of a key, if there is one. Sees what this message has written."""
        return doer("state").get(self.name, key)

    def get_json(self, key: str, default: Any = None) -> Any:
        """The value of a key, from JSON; `default` where there is none."""
        value = self.get(key)
        if value is None:
            return default
        try:
            return json.loads(value)
        except ValueError as error:
            raise EffectError("value", f"what is at `{key}` is not valid JSON: {error}") from None

    def set(self, key: str, value: bytes | str) -> None:
        """Gives a key a value."""
        doer("state").set(self.name, key, value.encode() if isinstance(value, str) else bytes(value))

    def set_json(self, key: str, value: Any) -> None:
        """Gives a key a value, as JSON."""
        self.set(key, json.dumps(value))

    def delete(self, key: str) -> None:
        """Removes a key. It need not be there."""
        doer("state").delete(self.name, key)

    def increment(self, key: str, by: int = 1) -> int:
        """Adds to a number, 0 where there is none; what it is then. The value is its decimal text."""
        return doer("state").increment(self.name, key, by)

    def compare_and_set(self, key: str, expected: bytes | str | None, value: bytes | str) -> bool:
        """Gives a key a value if it has the one that is expected, None being no value; whether it had."""
        # Nobody writes between the two: the commit finds out, and the message runs again.
        is_expected = self.get(key) == (expected.encode() if isinstance(expected, str) else expected)
        if is_expected:
            self.set(key, value)
        return is_expected

    def list(self) -> list[str]:
        """All keys, in no order that is promised."""
        return doer("state").list(self.name)


def store(name: str) -> Store:
    """The store of this name. The functions below use the one called `default`."""
    return Store(name)


_default = Store("default")
get = _default.get
get_json = _default.get_json
set = _default.set  # noqa: A001
set_json = _default.set_json
delete = _default.delete
increment = _default.increment
compare_and_set = _default.compare_and_set
list = _default.list  # noqa: A001
