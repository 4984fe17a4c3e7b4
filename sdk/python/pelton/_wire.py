"""The way between the effects' modules and the interfaces of the host. Imported in a component only."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from componentize_py_types import Err, Ok

from . import _effects
from ._effects import EffectError
from .http import Headers, Response
from .sql import Rows

# What one write of a stream takes at most, by the standard.
WRITE = 4096
# What is asked for at a time.
READ = 64 << 10


def install() -> None:
    """Takes what the component was built with: the bindings of anything else are not there."""
    for word, doer in {"http": Http, "config": Config, "state": State, "outbox": Outbox, "sql": Sql}.items():
        try:
            _effects.doers[word] = doer()
        except ModuleNotFoundError:
            pass


def imported(name: str) -> Any:
    return import_module(f"wit_world.imports.{name}")


class Http:
    def __init__(self) -> None:
        self.types, self.handler = imported("http_types"), imported("outgoing_handler")
        self.streams = imported("streams")

    def send(self, request: Any) -> Any:
        try:
            future = self._started(request)
            with future:
                with future.subscribe() as ready:
                    ready.block()
                answer = future.get()
            # The outer result says that it was not taken before.
            if not isinstance(answer, Ok):
                raise EffectError("internal-error", f"{request}: the answer was taken already")
            if not isinstance(answer.value, Ok):
                raise Err(answer.value.value)
            with answer.value.value as incoming:
                with incoming.headers() as fields:
                    headers = Headers(fields.entries())
                return Response(incoming.status(), headers, self._read(incoming), request)
        except Err as error:
            raise self._failed(request, error.value) from None

    def _started(self, request: Any) -> Any:
        outgoing = self._outgoing(request)
        body = None if request.body is None else outgoing.body()
        options = None
        if request.timeout is not None:
            options = self.types.RequestOptions()
            nanoseconds = min(max(int(request.timeout * 1e9), 1), 2**64 - 1)
            options.set_connect_timeout(nanoseconds)
            options.set_first_byte_timeout(nanoseconds)
            options.set_between_bytes_timeout(nanoseconds)
        future = self.handler.handle(outgoing, options)
        if body is not None:
            self._write(body, request.body)
        return future

    def _outgoing(self, request: Any) -> Any:
        found = re.match(r"(?i)(https?)://([^/?#]*)([^#]*)", request.url)
        if not found:
            raise EffectError("refused", f"{request}: this is no http(s) URL")
        scheme, authority, path = found.groups()
        pairs = list(request.headers)
        if request.body is not None and not any(name.lower() == "content-length" for name, _ in pairs):
            pairs.append(("content-length", str(len(request.body)).encode()))
        try:
            outgoing = self.types.OutgoingRequest(self.types.Fields.from_list(pairs))
        except Err as error:
            forbidden = isinstance(error.value, self.types.HeaderError_Forbidden)
            said = "one of its headers is the host's to set" if forbidden else "one of its headers is none"
            raise EffectError("refused", f"{request}: {said}") from None
        name = f"Method_{request.method.capitalize()}"
        method = getattr(self.types, name, None)
        outgoing.set_method(method() if method else self.types.Method_Other(request.method))
        outgoing.set_scheme(self.types.Scheme_Https() if scheme.lower() == "https" else self.types.Scheme_Http())
        outgoing.set_authority(authority)
        outgoing.set_path_with_query(path if path.startswith("/") else f"/{path}")
        return outgoing

    def _write(self, body: Any, content: bytes) -> None:
        # Why the server did not take all of it, the answer says.
        try:
            with body.write() as stream:
                for at in range(0, len(content), WRITE):
                    stream.blocking_write_and_flush(content[at : at + WRITE])
            self.types.OutgoingBody.finish(body, None)
        except Err:
            pass

    def _read(self, incoming: Any) -> bytes:
        pieces = []
        with incoming.consume() as content, content.stream() as stream:
            while True:
                try:
                    pieces.append(stream.blocking_read(READ))
                except Err as error:
                    if isinstance(error.value, self.streams.StreamError_Closed):
                        return b"".join(pieces)
                    with error.value.value as failed:
                        code = self.types.http_error_code(failed)
                        raise Err(code or self.types.ErrorCode_InternalError(failed.to_debug_string())) from None

    def _failed(self, request: Any, code: Any) -> EffectError:
        if code is None:
            return EffectError("refused", f"{request}: its method, host or path is none")
        # `ErrorCode_HttpRequestDenied` is `HTTP-request-denied` in the standard.
        words = re.findall(r"[A-Z][a-z]*", type(code).__name__.partition("_")[2])
        name = "-".join(w.upper() if w in ("Http", "Dns", "Tls", "Ip", "Uri") else w.lower() for w in words)
        said = getattr(code, "value", None)
        return EffectError(name, f"{request}: {said}" if isinstance(said, str) else str(request))


class Config:
    def __init__(self) -> None:
        self.wire = imported("config_store")

    def get(self, name: str) -> str | None:
        return self._asked(self.wire.get, name)

    def all(self) -> list[tuple[str, str]]:
        return self._asked(self.wire.get_all)

    def _asked(self, ask: Any, *given: Any) -> Any:
        try:
            return ask(*given)
        except Err as error:
            raise EffectError("unavailable", error.value.value) from None


class State:
    def __init__(self) -> None:
        self.wire, self.atomics = imported("keyvalue_store"), imported("atomics")

    def get(self, store: str, key: str) -> bytes | None:
        return self._with(store, lambda bucket: bucket.get(key))

    def set(self, store: str, key: str, value: bytes) -> None:
        self._with(store, lambda bucket: bucket.set(key, value))

    def delete(self, store: str, key: str) -> None:
        self._with(store, lambda bucket: bucket.delete(key))

    def increment(self, store: str, key: str, by: int) -> int:
        return self._with(store, lambda bucket: self.atomics.increment(bucket, key, by))

    def list(self, store: str) -> list[str]:
        def pages(bucket: Any) -> list[str]:
            keys, cursor = [], None
            while True:
                page = bucket.list_keys(cursor)
                keys += page.keys
                cursor = page.cursor
                if cursor is None:
                    return keys

        return self._with(store, pages)

    def _with(self, store: str, act: Any) -> Any:
        try:
            with self.wire.open(store) as bucket:
                return act(bucket)
        except Err as error:
            if isinstance(error.value, self.wire.Error_Other):
                raise EffectError("refused", error.value.value) from None
            said = f"the pipeline grants no store `{store}`: add it to its grants.state"
            raise EffectError("not-granted", said) from None


class Outbox:
    def __init__(self) -> None:
        self.wire = imported("outbox")

    def send(self, message: Any) -> str:
        headers = [self.wire.Header(name, value) for name, value in message.headers]
        outgoing = self.wire.Outgoing(message.key, headers, message.body, message.delay_ms, message.topic)
        try:
            return self.wire.send(message.target, outgoing)
        except Err as error:
            codes = {self.wire.Error_UnknownTarget: "unknown-target", self.wire.Error_Limit: "limit"}
            raise EffectError(codes.get(type(error.value), "refused"), error.value.value) from None


class Sql:
    def __init__(self) -> None:
        self.wire = imported("sql")
        wire = self.wire
        self.cases = {bool: wire.Value_Boolean, int: wire.Value_Integer, float: wire.Value_Float, str: wire.Value_Text}

    def query(self, statement: Any) -> Rows:
        rows = self._asked(self.wire.query, statement)
        # A null has no value.
        values = [[getattr(value, "value", None) for value in row] for row in rows.rows]
        return Rows([c.name for c in rows.columns], [c.type_name for c in rows.columns], values, rows.affected)

    def execute(self, statement: Any) -> int:
        return self._asked(self.wire.execute, statement)

    def stage(self, statement: Any) -> None:
        self._asked(self.wire.stage, statement)

    def _asked(self, ask: Any, statement: Any) -> Any:
        try:
            return ask(statement.database, statement.text, [self._value(one) for one in statement.parameters])
        except Err as error:
            raise self._failed(error.value) from None

    def _value(self, value: Any) -> Any:
        if value is None:
            return self.wire.Value_Null()
        return self.cases.get(type(value), self.wire.Value_Bytes)(value)

    def _failed(self, error: Any) -> EffectError:
        wire, said = self.wire, error.value
        if isinstance(error, wire.Error_Database):
            return EffectError(said.code, said.message, constraint=said.constraint, detail=said.detail)
        if isinstance(error, wire.Error_TooLarge):
            return EffectError("too-large", f"the result has more than {said} rows or bytes: ask for less")
        codes = {wire.Error_UnknownDatabase: "unknown-database", wire.Error_Unavailable: "unavailable"}
        return EffectError(codes.get(type(error), "refused"), said)
