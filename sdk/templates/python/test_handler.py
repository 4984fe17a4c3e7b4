"""The handler is a plain function: these run without Pelton, with `python3 -m unittest`."""

import json
import unittest

from handler import handle
from pelton import Message, Reject, Retry


def order(attempt: int = 1, **parts) -> Message:
    return Message(body=json.dumps({"id": 7, "amount_cents": 1250} | parts).encode(), attempt=attempt)


class Handler(unittest.TestCase):
    def test_an_order_is_taken(self):
        handle(order())

    def test_a_negative_amount_is_rejected(self):
        with self.assertRaisesRegex(Reject, "order 7: the amount is negative"):
            handle(order(amount_cents=-1))

    def test_the_gateway_is_waited_for(self):
        with self.assertRaises(Retry) as raised:
            handle(order(gateway_down=True))
        self.assertEqual(raised.exception.after_ms, 50)
        handle(order(gateway_down=True, attempt=3))


if __name__ == "__main__":
    unittest.main()
