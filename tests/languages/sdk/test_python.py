"""The Python SDK by itself, without a component."""

import unittest
from datetime import timedelta

from pelton import Header, Message, Reject, Retry


class Failures(unittest.TestCase):
    def test_a_wait_is_never_shortened(self):
        waits = {None: None, 0: 0, 0.05: 50, 0.0011: 2, timedelta(minutes=1): 60_000, 1e300: 2**64 - 1}
        for after, ms in waits.items():
            self.assertEqual(Retry("busy", after=after).after_ms, ms, after)

    def test_a_wait_that_is_none_is_refused(self):
        for after in (-1, float("inf"), float("nan")):
            with self.assertRaises(ValueError):
                Retry("busy", after=after)


class Messages(unittest.TestCase):
    def rejected(self, body: bytes, read) -> str:
        with self.assertRaises(Reject) as raised:
            read(Message(body=body))
        return raised.exception.reason

    def test_what_is_no_json_is_rejected_with_its_place(self):
        self.assertEqual(self.rejected(b"", Message.json), "the body is empty, JSON was expected")
        self.assertIn("char 5", self.rejected(b'{"a":}', Message.json))
        self.assertIn("not valid JSON", self.rejected(b"\xff", Message.json))

    def test_what_is_no_text_is_rejected_with_its_place(self):
        self.assertIn("offset 2", self.rejected(b"ab\xff", Message.text))
        self.assertEqual(Message(body="ö".encode()).text(), "ö")

    def test_the_first_header_of_a_name_counts_and_binary_is_no_text(self):
        headers = [Header("t", b"a"), Header("t", b"b"), Header("bin", b"\xff")]
        message = Message(headers=headers)
        self.assertEqual(message.header("t"), "a")
        self.assertEqual((message.header("T"), message.header("bin"), message.header("x", "y")), (None, None, "y"))
        self.assertEqual(message.header_bytes("bin"), b"\xff")


if __name__ == "__main__":
    unittest.main()
