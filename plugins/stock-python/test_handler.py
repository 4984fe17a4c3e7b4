import json
import unittest

from handler import handle
from pelton import EffectError, Message, Reject, testing

ORDER = {"id": 7, "customer": "ada", "item": "tea", "units": 2}


def order(**changed) -> Message:
    return Message(body=json.dumps(ORDER | changed).encode())


class Orders(unittest.TestCase):
    def test_an_order_is_taken_out_of_the_stock_and_written_down(self):
        with testing.effects() as effects:
            effects.sql("update stock", rows=[{"total": "9.00"}])
            effects.sql("insert into orders", affected=1)
            handle(order())
        self.assertEqual(effects.statements[0].parameters, ("tea", 2))
        self.assertEqual(effects.statements[1].parameters, (7, "ada", "tea", 2, "9.00"))
        self.assertEqual(effects.staged[0].parameters, ("ada", "9.00"))

    def test_what_the_stock_does_not_have_is_rejected(self):
        with testing.effects() as effects:
            effects.sql("update stock", error="23514", constraint="stock_not_negative")
            with self.assertRaisesRegex(Reject, "order 7: there are no 2 tea"):
                handle(order())
        with testing.effects() as effects:
            effects.sql("update stock")
            with self.assertRaisesRegex(Reject, "there is no item tea"):
                handle(order())

    def test_an_order_is_taken_once(self):
        with testing.effects() as effects:
            effects.sql("update stock", rows=[{"total": "9.00"}])
            effects.sql("insert into orders", error="23505", constraint="orders_pkey")
            with self.assertRaisesRegex(Reject, "order 7 was taken before"):
                handle(order())
        self.assertEqual(effects.staged, [])

    def test_what_may_pass_is_tried_again(self):
        with testing.effects() as effects:
            effects.sql("update stock", error="57014", text="canceling statement due to statement timeout")
            with self.assertRaises(EffectError):
                handle(order())

    def test_what_is_no_order_is_rejected(self):
        for body in (b"no JSON", b"[]", b'{"id": 7}'):
            with testing.effects() as effects, self.assertRaises(Reject):
                handle(Message(body=body))
            self.assertEqual(effects.statements, [])


if __name__ == "__main__":
    unittest.main()
