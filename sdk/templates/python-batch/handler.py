"""Stores orders, many at a time: one write for all of them, instead of one for each."""

from pelton import Message, Reject, Retry, batch_handler


@batch_handler
def handle(messages: list[Message]) -> list[Exception | None]:
    results: list[Exception | None] = []
    orders = []
    for message in messages:
        try:
            orders.append(check(message))
            results.append(None)
        except (Reject, Retry) as failure:
            results.append(failure)  # this message alone
    store(orders)
    return results


def check(message: Message) -> dict:
    order = message.json()
    if order["amount_cents"] < 0:
        raise Reject(f"order {order['id']}: the amount is negative")
    return order


def store(orders: list[dict]) -> None:
    """Stands in for a bulk insert."""
    print(f"stored {len(orders)} orders")
