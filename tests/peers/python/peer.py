"""One Python client as a peer of the wire tests; the protocol is in tests/peers/README.md.

Called as `peer.py CLIENT ROLE --option value ...`, where CLIENT names a module beside this file.
"""

import argparse
import base64
import importlib
import json
import logging
import sys
import threading

_speaking = threading.Lock()


class Unsupported(Exception):
    """The client library has no way to carry out this order."""


class Refused(Exception):
    """The broker answered with a Kafka error code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def say(line):
    """Write one JSON line to the test; callbacks of several threads may speak."""
    text = json.dumps(line, separators=(",", ":"))
    with _speaking:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say_record(member, partition, offset, timestamp, key, value, headers):
    body = {"m": member, "p": partition, "o": offset, "ts": timestamp, "k": encode(key), "v": encode(value)}
    body["h"] = [[name, encode(content)] for name, content in headers or []]
    say({"record": body})


def encode(content):
    return None if content is None else base64.b64encode(content).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


class Order:
    """One record to be sent."""

    def __init__(self, line):
        fields = json.loads(line)
        self.number = fields["i"]
        self.partition = fields["p"]
        self.timestamp = fields["ts"]
        self.key = decode(fields["k"])
        self.value = decode(fields["v"])
        self.headers = [(name, decode(content)) for name, content in fields["h"]]


def acked(number, partition, offset):
    # Libraries have no offset for what was there already, long ago.
    say({"acked": {"i": number, "p": partition, "o": -1 if offset is None else offset}})


def failed(number, why):
    say({"failed": {"i": number, "why": str(why)}})


def end_of_input():
    """An event that is set when the test closes our standard input."""
    ended = threading.Event()

    def watch():
        for _ in sys.stdin:
            pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    return ended


def run_members(count, member):
    """Run `member(number, ended)` in threads until the end of input; a failure ends the peer."""
    ended = end_of_input()
    failures = []

    def guarded(number):
        try:
            member(number, ended)
        except BaseException as failure:
            failures.append(failure)
            logging.exception("member %d", number)
            ended.set()

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def answer_orders(answer):
    """Answer administrative orders, one per input line, with `answer(op, order)`."""
    for line in sys.stdin:
        order = json.loads(line)
        try:
            say({"reply": answer(order["op"], order) or {}})
        except Unsupported:
            say({"unsupported": order["op"]})
        except Refused as refusal:
            say({"error": {"code": refusal.code, "text": str(refusal)}})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("client")
    parser.add_argument("role", choices=["produce", "fetch", "group", "admin"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic")
    parser.add_argument("--group")
    parser.add_argument("--codec", default="none")
    parser.add_argument("--acks", default="all")
    parser.add_argument("--idempotent", default="true", type=lambda text: text == "true")
    parser.add_argument("--tail", default="false", type=lambda text: text == "true")
    parser.add_argument("--from", dest="from_ms", type=int)
    parser.add_argument("--rack")
    # How long librdkafka waits before it asks again; its own pauses are 100 to 500 ms.
    parser.add_argument("--retry-ms", dest="retry_ms", type=int)
    parser.add_argument("--members", default=1, type=int)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    client = importlib.import_module(options.client)
    name, version = client.IDENTITY
    say({"ready": {"client": name, "version": version}})
    getattr(client, options.role)(options)
    say({"done": True})


if __name__ == "__main__":
    # The client modules import this one by name: they must get this very instance.
    sys.modules["peer"] = sys.modules["__main__"]
    main()
