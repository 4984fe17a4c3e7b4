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
    """Stands in for a call to a gateway. Hand it `message.idempotency_key`, so that no charge is taken twice."""
    if order.get("gateway_down") and message.attempt < 3:
        raise Retry(f"order {order['id']}: the payment gateway is down", after=0.05)
