"""The Python SDK by itself, without a component."""

import unittest
from datetime import date, timedelta
from decimal import Decimal

import pelton
from pelton import EffectError, Header, Message, Reject, Retry, testing


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
        traced = Message(headers=[Header("traceparent", b"a"), Header("TraceParent", b"b")])
        self.assertEqual((message.traceparent, traced.traceparent), (None, "b"))


class Effects(unittest.TestCase):
    def failed(self, act) -> EffectError:
        with self.assertRaises(EffectError) as raised:
            act()
        return raised.exception

    def test_requests_are_answered_in_their_order_and_once(self):
        url = "https://a.example/b"
        with testing.effects() as effects:
            effects.http("POST", url, status=503, body="busy", headers={"Retry-After": "3"})
            effects.http("POST", url, error="connection-timeout")
            effects.http("GET", f"{url}?q=1", json={"id": 1})
            answer = pelton.http.post(url, json={"a": 1}, headers={"x": "y"}, message=Message(idempotency_key="k-7"))
            self.assertEqual((answer.ok, answer.status, answer.headers["retry-after"]), (False, 503, "3"))
            self.assertIn("503: busy", str(self.failed(answer.raise_for_status)))
            self.assertTrue(self.failed(lambda: pelton.http.post(url)).is_timeout)
            self.assertEqual(pelton.http.get(url, params={"q": 1}).raise_for_status().json(), {"id": 1})
            self.assertTrue(self.failed(lambda: pelton.http.get(url)).is_denied)
        first = effects.requests[0]
        self.assertEqual((first.json(), first.header("X"), first.header("pelton-message")), ({"a": 1}, "y", "k-7"))
        self.assertEqual(first.header("content-type"), "application/json")

    def test_an_error_shows_no_query_and_no_password(self):
        with testing.effects() as effects:
            self.failed(lambda: pelton.http.get("https://user:secret@a.example/b?key=secret"))
        self.assertEqual(str(effects.requests[0]), "GET https://a.example/b")

    def test_state_is_kept_by_store_and_key(self):
        with testing.effects(state={"n": "41", "text": "a"}) as effects:
            self.assertEqual((pelton.state.increment("n"), pelton.state.increment("m", -2)), (42, -2))
            self.assertEqual(self.failed(lambda: pelton.state.increment("text")).code, "refused")
            self.assertFalse(pelton.state.compare_and_set("text", "b", "c"))
            self.assertTrue(pelton.state.compare_and_set("text", "a", "c"))
            self.assertTrue(pelton.state.store("totals").compare_and_set("new", None, "1"))
            pelton.state.set_json("json", [1])
            self.assertEqual((pelton.state.get_json("json"), pelton.state.get("none")), ([1], None))
            pelton.state.delete("m")
            self.assertEqual(pelton.state.list(), ["json", "n", "text"])
        self.assertEqual((effects.state["n"], effects.stores["totals"]), (b"42", {"new": b"1"}))

    def test_configuration_and_messages_are_those_of_the_test(self):
        with testing.effects(config={"region": "eu"}) as effects:
            self.assertEqual((pelton.config.get("region"), pelton.config.get("x", "y")), ("eu", "y"))
            self.assertIn("grants.config", str(self.failed(lambda: pelton.config.require("x"))))
            self.assertEqual(pelton.outbox.send("mails", "hello", key="k", headers={"a": "b"}, delay=0.0015), "test-1")
        sent = effects.sent[0]
        self.assertEqual((sent.target, sent.key, sent.headers, sent.delay_ms), ("mails", b"k", [Header("a", b"b")], 2))

    def test_statements_are_answered_by_their_text_once_and_noted(self):
        with testing.effects() as effects:
            effects.sql("select item, stock from items", rows=[{"item": "tea", "stock": 3}, {"item": "nut", "stock": None}])
            effects.sql("insert into orders", affected=1)
            shop = pelton.sql("shop")
            rows = shop.query("select item, stock\n from items where price < $1 and day = $2", Decimal("1.50"), date(2026, 11, 30))
            self.assertEqual([row["item"] for row in rows], ["tea", "nut"])
            self.assertEqual((rows[0][1], rows[0].values(), dict(rows[1])), (3, ("tea", 3), {"item": "nut", "stock": None}))
            self.assertEqual(self.failed(rows.one).text, "one row was expected, there are 2")
            with self.assertRaisesRegex(KeyError, "they are item, stock"):
                rows[0]["price"]
            self.assertEqual(shop.execute("insert into orders values ($1)", 2**63), 1)
            shop.stage("insert into log values ($1)", b"x")
            self.assertEqual(self.failed(lambda: shop.query("select 1")).code, "refused")
            with self.assertRaisesRegex(TypeError, r"\$2 is a list"):
                shop.query("select $1, $2", 1, [])
        self.assertEqual(effects.statements[0].parameters, ("1.50", "2026-11-30"))
        self.assertEqual(effects.statements[1].parameters, (str(2**63),))
        self.assertEqual(effects.staged[0].parameters, (b"x",))

    def test_after_a_failed_statement_the_transaction_is_over(self):
        with testing.effects() as effects:
            effects.sql("update items", error="23514", constraint="stock_not_negative", detail="d")
            effects.sql("select 1", rows=[{"one": 1}])
            failed = self.failed(lambda: pelton.sql("shop").execute("update items set stock = -1"))
            self.assertEqual((failed.code, failed.constraint, failed.detail), ("23514", "stock_not_negative", "d"))
            self.assertEqual(self.failed(lambda: pelton.sql("shop").query("select 1")).code, "25P02")

    def test_after_what_pelton_refuses_the_transaction_stands(self):
        with testing.effects() as effects:
            for code in ("refused", "too-large", "unknown-database"):
                effects.sql(code, error=code)
                self.assertEqual(self.failed(lambda code=code: pelton.sql("shop").query(code)).code, code)
            effects.sql("select 1", rows=[{"one": 1}])
            self.assertEqual(pelton.sql("shop").query("select 1").one()["one"], 1)

    def test_without_effects_the_error_says_what_a_test_needs(self):
        self.assertIn("pelton.testing.effects()", str(self.failed(lambda: pelton.state.get("a"))))


if __name__ == "__main__":
    unittest.main()
