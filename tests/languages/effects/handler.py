"""Every effect, as the test of effects wants it."""

import pelton
from pelton import EffectError, Message, Reject, handler


@handler
def handle(message: Message) -> None:
    order = message.json()
    if "receipt" in order:
        print(f"receipt {order['receipt']} of {message.key.decode()}, {message.header('kind')}")
        return
    url = pelton.config.require("gateway") + order["path"]
    try:
        answer = pelton.http.post(url, json=order, headers={"x-order": str(order["id"])}, timeout=2, message=message)
    except EffectError as error:
        raise Reject(str(error))
    answer.raise_for_status()
    count = pelton.state.increment("count")
    if pelton.state.compare_and_set("first", None, str(order["id"])):
        print("the first")
    pelton.state.delete("gone")
    total = pelton.state.store("totals").get_json("all", 0) + order["cents"]
    pelton.state.store("totals").set_json("all", total)
    print(f"{answer.status} {len(answer.body)} {count} {','.join(sorted(pelton.state.list()))}")
    pelton.outbox.send("receipts", json={"receipt": order["id"]}, key="k", headers={"kind": "r"}, delay=0.001)
    if order.get("nowhere"):
        pelton.outbox.send("nowhere", b"")
