"""Does what the header `do` of its messages says, good or bad."""

import os
import time

from pelton import Message, Reject, Retry, handler


@handler
def handle(message: Message) -> None:
    do = message.header("do")
    if do == "retry":
        raise Retry(f"asked to retry at attempt {message.attempt}", after=0.25)
    if do == "reject":
        raise Reject("asked to reject")
    if do == "uncaught":
        raise ValueError("a plain error")
    if do == "loop":
        while True:
            pass
    if do == "sleep":
        time.sleep(3600)
    if do == "memory":
        taken = []
        while True:
            taken.append(b"x" * (1 << 20))
    if do == "deep":
        print(deep(1))
    if do == "flood":
        for _ in range(2000):
            print("flood " * 20)
    if do == "print":
        print("printed")
    if do == "files":
        print("denied:", not readable("/etc/passwd") and "HOME" not in os.environ)
    if do == "echo":
        echo(message)


def deep(depth: int) -> int:
    return deep(depth + 1) + depth


def readable(path: str) -> bool:
    try:
        with open(path) as file:
            return bool(file.read())
    except OSError:
        return False


def echo(message: Message) -> None:
    for header in message.headers:
        print(f"header {header.name}={header.value.decode()}")
    key = "none" if message.key is None else f'"{message.key.decode()}"'
    rest = int.from_bytes(message.body, "big") % 4294967291
    print(f"id {message.id}, key {key}, attempt {message.attempt}, body {len(message.body)} {rest}")
