"""Takes orders out of a stock: both are tables of one database, and so is the record that an order was processed. All of
it is committed together, once, or nothing of it.

The database says what cannot be: a constraint keeps the stock from falling below nothing. Such an order is rejected with
words, and leaves nothing behind.
"""

from pelton import EffectError, Message, Reject, handler, sql

shop = sql("shop")

# What the database says of an order itself will not change.
REFUSALS = {
    "stock_not_negative": "order {id}: there are no {units} {item}",
    "units_positive": "order {id}: {units} {item} is no order",
    "orders_pkey": "order {id} was taken before",
}


@handler
def handle(message: Message) -> None:
    order = message.json()  # not JSON: rejected
    try:
        id, customer, item, units = (order[name] for name in ("id", "customer", "item", "units"))
    except (KeyError, TypeError) as missing:
        raise Reject(f"this is no order: {missing} is missing") from None
    try:
        total = take(id, item, units)
        insert = "insert into orders (id, customer, item, units, total) values ($1, $2, $3, $4, $5)"
        shop.execute(insert, id, customer, item, units, total)
    except EffectError as error:
        if error.constraint not in REFUSALS:
            raise  # all else may pass: a retry
        raise Reject(REFUSALS[error.constraint].format(id=id, units=units, item=item)) from None
    # Its result is not needed: it is sent along with the commit.
    shop.stage(
        "insert into customers as c (name, spent) values ($1, $2)"
        " on conflict (name) do update set spent = c.spent + excluded.spent",
        customer,
        total,
    )
    print(f"order {id}: {units} {item} for {customer}, {total}")


def take(id: int, item: str, units: int) -> str:
    """Takes what is ordered out of the stock: what it costs, as the database writes it."""
    update = "update stock set units = units - $2 where item = $1 returning price * $2 as total"
    taken = shop.query(update, item, units).first()
    if taken is None:
        raise Reject(f"order {id}: there is no item {item}")
    return taken["total"]
