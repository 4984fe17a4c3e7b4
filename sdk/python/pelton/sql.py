"""SQL in the transaction that completes the message. In handler.toml: `uses = ["sql"]`.

    shop = pelton.sql("shop")
    for row in shop.query("select item, stock from items where id = $1", 7):
        print(row["item"], row["stock"])
    changed = shop.execute("update items set stock = stock - $2 where id = $1", 7, 2)
    shop.stage("insert into log (item, note) values ($1, $2)", 7, "sold")

The transaction begins with the first statement and is Pelton's: it commits when the handler returns, together with the
record that says that the message was processed. When the handler raises, nothing of it was ever done.

`$1` and those that follow stand for the parameters: None, bool, int, float, str, bytes, and Decimal, date, time,
datetime and UUID, which are sent as text. Text binds to any type, in the database's own form: "12.50" to a numeric,
"{a,b}" to an array. What comes back is None, bool, int, float, bytes, and text for all other types: a numeric is
"12.50", so that no digit is lost (`Decimal(row["price"])`).

When a statement fails, `EffectError` has the database's code and, if it is one, the constraint that does not hold:

    try:
        shop.execute("update items set stock = stock - $2 where id = $1", 7, 2)
    except pelton.EffectError as error:
        if error.constraint != "stock_not_negative":
            raise
        raise pelton.Reject("sold out") from None

The transaction is over then: the handler may say why, and returning would be a retry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from ._effects import EffectError, doer

Value = None | bool | int | float | str | bytes


class Row(Mapping[str, Value]):
    """One row: `row["stock"]` by name, or `row[0]` by place."""

    def __init__(self, columns: Sequence[str], values: Sequence[Value]) -> None:
        self._columns, self._values = columns, values

    def __getitem__(self, column: str | int) -> Value:
        if isinstance(column, int):
            return self._values[column]
        try:
            return self._values[self._columns.index(column)]
        except ValueError:
            raise KeyError(f"there is no column {column!r}: they are {', '.join(self._columns)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._columns))

    def __len__(self) -> int:
        return len(dict.fromkeys(self._columns))

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self._columns, self._values))})"

    def values(self) -> tuple[Value, ...]:  # type: ignore[override]
        """All values, in the order of the columns: `item, stock = row.values()`."""
        return tuple(self._values)


class Rows(Sequence[Row]):
    """The rows of a query, in their order. `one()` is the only one, `first()` the first or None."""

    def __init__(self, columns: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Value]], affected: int) -> None:
        self.columns = list(columns)
        """The names of the columns."""
        self.types = list(types)
        """Their types, as the database calls them."""
        self.affected = affected
        """How many rows the statement changed, or gave."""
        self._rows = [Row(self.columns, row) for row in rows]

    def __getitem__(self, place: Any) -> Any:
        return self._rows[place]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Rows({self._rows!r})"

    def first(self) -> Row | None:
        """The first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """The only row. Raises `EffectError` where there is none, or more."""
        if len(self._rows) != 1:
            raise EffectError("value", f"one row was expected, there are {len(self._rows)}")
        return self._rows[0]


@dataclass(frozen=True)
class Statement:
    """A statement with its parameters. Tests look at it."""

    database: str
    text: str
    parameters: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Database:
    """A database of the pipeline's. Whether it grants it shows at the first use."""

    name: str

    def query(self, statement: str, *parameters: Any) -> Rows:
        """Runs a statement, and gives its rows. Raises `EffectError` when it fails."""
        return doer("sql").query(self._statement(statement, parameters))

    def execute(self, statement: str, *parameters: Any) -> int:
        """Runs a statement, and gives how many rows it changed. Raises `EffectError` when it fails."""
        return doer("sql").execute(self._statement(statement, parameters))

    def stage(self, statement: str, *parameters: Any) -> None:
        """Sends a statement and does not wait for what it gives: it costs no round trip. If it fails, the message fails
        with it when it is to be committed. For statements whose result does not matter."""
        doer("sql").stage(self._statement(statement, parameters))

    def _statement(self, text: str, parameters: Sequence[Any]) -> Statement:
        return Statement(self.name, text, tuple(_value(one, number) for number, one in enumerate(parameters, 1)))


def sql(name: str) -> Database:
    """The database of this name: `pelton.sql("shop")`."""
    return Database(name)


def _value(given: Any, number: int) -> Value:
    # Of what is a kind of these, such as an enumeration, its plain value.
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, str):
        return str.__str__(given)
    if isinstance(given, float):
        return float(given)
    if isinstance(given, int):
        # What 64 bits do not hold is its digits, which bind to a numeric.
        return int(given) if -(2**63) <= given < 2**63 else str(int(given))
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, Decimal | UUID):
        return str(given)
    if isinstance(given, datetime | date | time):
        return given.isoformat()
    kind = type(given).__name__
    raise TypeError(f"${number} is a {kind}: give it as text in the database's own form, such as '{{1,2}}' or json.dumps(...)")
