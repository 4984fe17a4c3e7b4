"""Requests over HTTP, to what the pipeline grants. In handler.toml: `uses = ["http"]`.

    answer = pelton.http.post("https://api.example/charges", json={"cents": 100}, timeout=5)
    answer.raise_for_status()
"""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from ._effects import EffectError, doer
from ._message import Message

# By this header the host is told which message a request belongs to. It takes it out.
MESSAGE = "pelton-message"

Pairs = Iterable[tuple[str, "str | bytes"]]


@dataclass(frozen=True)
class Request:
    """What is sent. Tests look at it."""

    method: str
    url: str
    headers: list[tuple[str, bytes]]
    body: bytes | None = None
    timeout: float | None = None

    def header(self, name: str) -> str | None:
        """The first header of this name, whatever its case."""
        return _first(self.headers, name)

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.body or b"null")

    def __str__(self) -> str:
        # Without the query and the password, where secrets may stand.
        url = urlsplit(self.url)
        return f"{self.method} {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


class Headers(Mapping[str, str]):
    """Headers of an answer. Names are found whatever their case; values of one name are joined by a comma."""

    def __init__(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        self.pairs = list(pairs)

    def __getitem__(self, name: str) -> str:
        found = [value.decode("latin-1") for is_, value in self.pairs if is_.lower() == name.lower()]
        if not found:
            raise KeyError(name)
        return ", ".join(found)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


@dataclass(frozen=True)
class Response:
    """An answer, whatever its status."""

    status: int
    headers: Headers
    body: bytes
    request: Request

    @property
    def ok(self) -> bool:
        """The status is one of 200 to 299."""
        return 200 <= self.status < 300

    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises `EffectError` when it is none."""
        try:
            return _json.loads(self.body)
        except ValueError as error:
            raise EffectError("answer", f"{self.request}: the answer is not valid JSON: {error}") from None

    def raise_for_status(self) -> Response:
        """The answer itself; raises `EffectError` for a status other than 200 to 299."""
        if not self.ok:
            said = self.text()[:200]
            raise EffectError("status", f"{self.request}: {self.status}" + (f": {said}" if said else ""))
        return self


def request(
    method: str,
    url: str,
    *,
    params: Mapping[str, Any] | None = None,
    data: bytes | str | Mapping[str, Any] | None = None,
    json: Any = None,
    headers: Mapping[str, str | bytes] | Pairs | None = None,
    timeout: float | timedelta | None = None,
    message: Message | None = None,
) -> Response:
    """Sends a request and reads the whole answer. A status like 404 or 500 is an answer, too.

    `data` is the body, or a form's fields; `json` is written as JSON. `timeout`, in seconds, bounds connecting and each
    wait for the answer; the pipeline's own limits hold besides. `message` is the one that it is sent for, in a batch
    handler: without it a request of a batch has no idempotency key. Raises `EffectError` when there is no answer.
    """
    pairs = [(name, _bytes(value)) for name, value in (headers.items() if isinstance(headers, Mapping) else headers or ())]
    body = None
    if json is not None:
        body, kind = _json.dumps(json).encode(), "application/json"
    elif isinstance(data, Mapping):
        body, kind = urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    elif data is not None:
        body, kind = _bytes(data), None
    if body is not None and kind and _first(pairs, "content-type") is None:
        pairs.append(("content-type", kind.encode()))
    if message is not None:
        pairs.append((MESSAGE, message.idempotency_key.encode()))
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return doer("http").send(Request(method.upper(), url, pairs, body, seconds))


def get(url: str, **given: Any) -> Response:
    """A `GET`. See `request`."""
    return request("GET", url, **given)


def head(url: str, **given: Any) -> Response:
    """A `HEAD`. See `request`."""
    return request("HEAD", url, **given)


def post(url: str, **given: Any) -> Response:
    """A `POST`. See `request`."""
    return request("POST", url, **given)


def put(url: str, **given: Any) -> Response:
    """A `PUT`. See `request`."""
    return request("PUT", url, **given)


def patch(url: str, **given: Any) -> Response:
    """A `PATCH`. See `request`."""
    return request("PATCH", url, **given)


def delete(url: str, **given: Any) -> Response:
    """A `DELETE`. See `request`."""
    return request("DELETE", url, **given)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _first(pairs: Iterable[tuple[str, bytes]], name: str) -> str | None:
    return next((value.decode("latin-1") for is_, value in pairs if is_.lower() == name.lower()), None)
