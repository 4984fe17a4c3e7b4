"""Effects in a handler's own tests, which run natively: what a test gives, and what came of it.

    from pelton import Message, testing

    with testing.effects(config={"region": "eu"}) as effects:
        effects.http("POST", "https://api.example/charges", status=201)
        handle(Message(body=b'{"id": 7}'))
    assert effects.requests[0].json() == {"id": 7}
    assert effects.state["charges"] == b"1"
    assert effects.sent[0].target == "receipts"

A database is answered by statements:

    effects.sql("select stock from items", rows=[{"stock": 3}])
    effects.sql("update items", error="23514", constraint="stock_not_negative")
    ...
    assert effects.statements[0].parameters == (7,)
"""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from . import _effects
from ._effects import EffectError
from .http import Headers, Request, Response
from .outbox import Outgoing
from .sql import Rows, Statement


class Effects:
    """What a test gives its handler, and afterwards what the handler did."""

    def __init__(self, config: Mapping[str, str], state: Mapping[str, bytes | str]) -> None:
        self.config = dict(config)
        """Names and values."""
        self.stores: dict[str, dict[str, bytes]] = {"default": {key: _bytes(value) for key, value in state.items()}}
        """Each store's keys and values."""
        self.requests: list[Request] = []
        """The requests that were sent, in their order."""
        self.sent: list[Outgoing] = []
        """The messages that were sent, in their order."""
        self.statements: list[Statement] = []
        """The statements that were run for a result, in their order."""
        self.staged: list[Statement] = []
        """The statements that were staged, in their order."""
        self._answers: list[tuple[str, str, Any]] = []
        self._replies: list[tuple[str, Any]] = []

    @property
    def state(self) -> dict[str, bytes]:
        """The store `default`."""
        return self.stores["default"]

    def http(
        self,
        method: str,
        url: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        json: Any = None,
        error: str | None = None,
    ) -> None:
        """Answers one request of this method and URL; several for the same are used in their order.

        With `error` it fails: `"connection-timeout"`, or another code of `EffectError`.
        """
        body = _bytes(body) if json is None else _json.dumps(json).encode()
        answer = EffectError(error, f"{method} {url}") if error else (status, dict(headers or {}), body)
        self._answers.append((method, url, answer))

    def sql(
        self,
        statement: str,
        *,
        rows: Iterable[Mapping[str, Any]] = (),
        affected: int | None = None,
        error: str | None = None,
        text: str = "",
        constraint: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Answers one statement that has this text in it, whatever the spaces; several for the same are used in their
        order.

        With `error` it fails: with the database's code, as `"23514"`, or another of `EffectError`.
        """
        found = [dict(row) for row in rows]
        columns = list(found[0]) if found else []
        answer: Any = Rows(columns, ["test"] * len(columns), [list(row.values()) for row in found], len(found))
        answer.affected = len(found) if affected is None else affected
        if error:
            answer = EffectError(error, text or statement, constraint=constraint, detail=detail)
        self._replies.append((_words(statement), answer))


class _Http:
    def __init__(self, effects: Effects) -> None:
        self.effects = effects

    def send(self, request: Request) -> Response:
        self.effects.requests.append(request)
        for at, (method, url, answer) in enumerate(self.effects._answers):
            if (method, url) == (request.method, request.url):
                del self.effects._answers[at]
                if isinstance(answer, EffectError):
                    raise answer
                status, headers, body = answer
                return Response(status, Headers([(k, _bytes(v)) for k, v in headers.items()]), body, request)
        raise EffectError("HTTP-request-denied", f"the test has no answer for {request.method} {request.url}")


class _Config:
    def __init__(self, effects: Effects) -> None:
        self.get = effects.config.get
        self.all = effects.config.items


class _State:
    def __init__(self, effects: Effects) -> None:
        self.effects = effects

    def _store(self, name: str) -> dict[str, bytes]:
        return self.effects.stores.setdefault(name, {})

    def get(self, store: str, key: str) -> bytes | None:
        return self._store(store).get(key)

    def set(self, store: str, key: str, value: bytes) -> None:
        self._store(store)[key] = value

    def delete(self, store: str, key: str) -> None:
        self._store(store).pop(key, None)

    def increment(self, store: str, key: str, by: int) -> int:
        try:
            total = int(self._store(store).get(key, b"0")) + by
        except ValueError:
            raise EffectError("refused", f"what is at `{key}` is no number to add to") from None
        self._store(store)[key] = str(total).encode()
        return total

    def list(self, store: str) -> list[str]:
        return sorted(self._store(store))


class _Outbox:
    def __init__(self, effects: Effects) -> None:
        self.effects = effects

    def send(self, message: Outgoing) -> str:
        self.effects.sent.append(message)
        return f"test-{len(self.effects.sent)}"


# After these the transaction stands.
_STANDS = ("refused", "too-large", "unknown-database")


class _Sql:
    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.is_over = False

    def query(self, statement: Statement) -> Rows:
        self.effects.statements.append(statement)
        if self.is_over:
            raise EffectError("25P02", "a statement has failed before: the transaction is over")
        text = _words(statement.text)
        for at, (part, answer) in enumerate(self.effects._replies):
            if part in text:
                del self.effects._replies[at]
                if isinstance(answer, EffectError):
                    self.is_over = answer.code not in _STANDS
                    raise answer
                return answer
        raise EffectError("refused", f"the test has no answer for `{text}`")

    def execute(self, statement: Statement) -> int:
        return self.query(statement).affected

    def stage(self, statement: Statement) -> None:
        self.effects.staged.append(statement)


@contextmanager
def effects(*, config: Mapping[str, str] | None = None, state: Mapping[str, bytes | str] | None = None) -> Iterator[Effects]:
    """While it lasts, handlers have these effects. `state` is what the store `default` has at first."""
    made = Effects(config or {}, state or {})
    before = dict(_effects.doers)
    _effects.doers.update(
        http=_Http(made), config=_Config(made), state=_State(made), outbox=_Outbox(made), sql=_Sql(made)
    )
    try:
        yield made
    finally:
        _effects.doers.clear()
        _effects.doers.update(before)


def _words(statement: str) -> str:
    """A statement with one space wherever it has some."""
    return " ".join(statement.split())


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
