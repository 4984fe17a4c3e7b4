"""Takes orders: JSON in, checked, then charged at a payment gateway."""

from pelton import Message, Reject, Retry, handler


@handler
def handle(message: Message) -> None:
    order = message.json()  # not JSON: rejected, a dead letter
    if order["amount_cents"] < 0:
        raise Reject(f"order {order['id']}: the amount is negative")
    charge(order, message)
    print(f"order {order['id']} taken")  # a log line of this message


def charge(order: dict, message: Message) -> None:
    """Stands in for `pelton.http.post(...)`, which `uses = ["http"]` in handler.toml gives. Pelton adds an idempotency
    key to it, so that no charge is taken twice; `pelton.testing` answers it in tests."""
    if order.get("gateway_down") and message.attempt < 3:
        raise Retry(f"order {order['id']}: the payment gateway is down", after=0.05)
