"""SQL, as the test of SQL wants it."""

from decimal import Decimal

from pelton import EffectError, Message, Reject, handler, sql

BIG = 2**60
TEXT = "ä'\"\\ 日本"
NOTE = b"\x00\x01\xff"
VALUES = (
    "select $1::int8 + 1152921504606846976 as big, $2::float8 as part, $3::bool as yes, $4::text as words,"
    " $5::bytea as note, $6::numeric as price, null::int4 as nothing"
)

shop = sql("shop")


@handler
def handle(message: Message) -> None:
    order = message.json()
    id, item, units = order["id"], order["item"], order["units"]
    row = shop.query(VALUES, id, 0.5, True, TEXT, NOTE, Decimal("12.50")).one()
    wanted = (BIG + id, 0.5, True, TEXT, NOTE, "12.50", None)
    if row.values() != wanted or row["big"] != wanted[0] or list(row)[-1] != "nothing":
        raise Reject(f"wanted {wanted}, got {row}")
    try:
        left = shop.query("update stock set units = units - $2 where item = $1 returning units", item, units).one()
    except EffectError as error:
        if error.constraint != "stock_not_negative":
            raise
        raise Reject(f"order {id}: no {units} {item} ({error.code})") from None
    changed = shop.execute("insert into orders (id, item, total) values ($1, $2, $3)", id, item, row["price"])
    if changed != 1:
        raise Reject(f"{changed} rows")
    shop.stage("insert into log (order_id, note) values ($1, $2)", -1 if order.get("lost") else id, NOTE)
    print(f"order {id}: {left['units']} left")
