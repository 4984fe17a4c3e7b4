"""The handler is a plain function: these run without Pelton, with `python3 -m unittest`."""

import unittest

from handler import handle
from pelton import Message, Reject


class Handler(unittest.TestCase):
    def test_a_bad_order_is_rejected_alone(self):
        good = Message(body=b'{"id": 1, "amount_cents": 100}')
        bad = Message(body=b'{"id": 2, "amount_cents": -1}')
        results = handle([good, bad, good])
        self.assertEqual([type(result) for result in results], [type(None), Reject, type(None)])


if __name__ == "__main__":
    unittest.main()
