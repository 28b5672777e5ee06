"""The load of the benchmark: librdkafka doing one job, measured from outside.

The first line of stdin is the job as JSON. The program sets itself up, prints {"ready": {}}, waits
for "go", works, prints {"done": {...}}, waits for "end", cleans up and ends.
"""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# No step of a job takes longer than this many seconds; a broker that hangs is told, not waited for.
PATIENCE = 120


def main():
    job = json.loads(sys.stdin.readline())
    admin = AdminClient({"bootstrap.servers": job["bootstrap"], "log_level": 4})
    if job["create"]:
        create(admin, job)
    work = ROLES[job["role"]](job)
    say({"ready": {}})
    expect("go")
    say({"done": work()})
    expect("end")
    if job["remove"]:
        for future in admin.delete_topics([job["topic"]]).values():
            future.result(PATIENCE)


def say(what):
    print(json.dumps(what), flush=True)


def expect(word):
    line = sys.stdin.readline().strip()
    if line != word:
        sys.exit(f"load.py: heard {line!r} instead of {word!r}")


def create(admin, job):
    start = time.monotonic()
    while len(admin.list_topics(timeout=PATIENCE).brokers) < job["replicas"]:
        if time.monotonic() - start > PATIENCE:
            sys.exit(f"load.py: fewer than {job['replicas']} brokers")
        time.sleep(0.1)
    topic = NewTopic(
        job["topic"],
        num_partitions=job["partitions"],
        replication_factor=job["replicas"],
        config=job["config"],
    )
    for future in admin.create_topics([topic]).values():
        future.result(PATIENCE)


def producer(job, **more):
    return Producer(
        {
            "bootstrap.servers": job["bootstrap"],
            "acks": "all",
            "compression.type": "none",
            "batch.size": job["batch"],
            "batch.num.messages": 1_000_000,
            "linger.ms": job["linger"],
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 262_144,
            "message.max.bytes": 2_000_000,
            # Notices about unserved callbacks at the end are not for the table.
            "log_level": 4,
            **more,
        }
    )


def consumer(job):
    """A reader without a group, and what it shall read: every partition from its start."""
    reader = Consumer(
        {
            "bootstrap.servers": job["bootstrap"],
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # By default it reads nothing for a second whenever it has 64 MB in its queue: then a faster
            # broker is a slower one.
            "fetch.queue.backoff.ms": 10,
        }
    )
    # Asking for the topic makes the connections.
    reader.list_topics(job["topic"], PATIENCE)
    return reader, [TopicPartition(job["topic"], p, 0) for p in range(job["partitions"])]


def values(size):
    """A few different values, so that nothing between here and the disk can be clever."""
    return [bytes((i * 31 + j * 17) % 251 for j in range(size)) for i in range(16)]


def checked(message):
    if message.error():
        raise KafkaException(message.error())
    return message


def produce(job):
    lost = []
    writer = producer(job, **{"delivery.report.only.error": True})
    # Asking for the topic makes the connections.
    writer.list_topics(job["topic"], PATIENCE)
    payloads = values(job["size"])

    def report(error, _message):
        if error:
            lost.append(error)

    def work():
        topic, total = job["topic"], job["records"]
        send, poll = writer.produce, writer.poll
        start = time.perf_counter()
        sent = 0
        while sent < total:
            try:
                send(topic, payloads[sent & 15], on_delivery=report)
                sent += 1
            except BufferError:
                poll(0.01)
        left = writer.flush(PATIENCE)
        seconds = time.perf_counter() - start
        if left or lost:
            sys.exit(f"load.py: {left} records unanswered, {len(lost)} lost: {lost[:1]}")
        return {"records": sent, "seconds": seconds}

    return work


def consume(job):
    reader, partitions = consumer(job)

    def work():
        start = time.perf_counter()
        # Not earlier: no fetch may run before it is measured.
        reader.assign(partitions)
        total, got, size = job["records"], 0, 0
        while got < total:
            messages = reader.consume(min(10_000, total - got), 5)
            if not messages and time.perf_counter() - start > PATIENCE:
                sys.exit(f"load.py: {got} of {total} records read, and no more came")
            for message in messages:
                size += len(checked(message).value())
            got += len(messages)
        seconds = time.perf_counter() - start
        if size != got * job["size"]:
            sys.exit(f"load.py: {got} records hold {size} bytes")
        return {"records": got, "seconds": seconds}

    return work


def tail(job):
    write, read = produce(job), consume(job)

    def work():
        got = []
        reader = threading.Thread(target=lambda: got.append(read()))
        reader.start()
        done = write()
        reader.join()
        if not got:
            sys.exit("load.py: the reader gave up")
        done["seconds"] = max(done["seconds"], got[0]["seconds"])
        return done

    return work


def percentile(times, part):
    """Of all samples, in milliseconds: no histogram, no rounding."""
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] * 1000


def percentiles(name, times):
    parts = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)]
    return {f"{name} {told}": percentile(times, part) for told, part in parts}


def one(job):
    reader, partitions = consumer(job)
    reader.assign(partitions)
    writer = producer(job)
    payload = values(job["size"])[1]
    answers = []

    def step():
        start = time.perf_counter()
        writer.produce(job["topic"], payload, on_delivery=lambda error, _: answers.append(error))
        while not answers:
            writer.poll(1)
        acked = time.perf_counter()
        if error := answers.pop():
            raise KafkaException(error)
        while (message := reader.poll(5)) is None:
            if time.perf_counter() - start > PATIENCE:
                sys.exit("load.py: an acknowledged record did not come back")
        checked(message)
        return acked - start, time.perf_counter() - start

    for _ in range(job["before"]):
        step()

    def work():
        start = time.perf_counter()
        times = [step() for _ in range(job["records"])]
        seconds = time.perf_counter() - start
        more = percentiles("ack", [t[0] for t in times])
        more |= percentiles("end to end", [t[1] for t in times])
        return {"records": len(times), "seconds": seconds, "more": more}

    return work


def open_loop(job):
    reader, partitions = consumer(job)
    reader.assign(partitions)
    writer = producer(job)
    rate = job["rate"]
    payload = values(job["size"])[1][8:]

    def drive(count):
        acks, ends, wrong = [], [], []
        start = time.perf_counter() + 0.1

        def read():
            while len(ends) < count and time.perf_counter() - start < PATIENCE:
                message = reader.poll(1)
                if message is not None:
                    intended = int.from_bytes(checked(message).value()[:8], "big") / 1e9
                    ends.append(time.perf_counter() - intended)

        def acked(intended):
            def report(error, _message):
                (wrong if error else acks).append(error or time.perf_counter() - intended)

            return report

        thread = threading.Thread(target=read)
        thread.start()
        for number in range(count):
            intended = start + number / rate
            while (left := intended - time.perf_counter()) > 0:
                writer.poll(left)
            head = int(intended * 1e9).to_bytes(8, "big")
            writer.produce(job["topic"], head + payload, on_delivery=acked(intended))
        sent = time.perf_counter()
        writer.flush(PATIENCE)
        thread.join()
        if wrong or len(ends) < count:
            sys.exit(f"load.py: {len(ends)} of {count} records came back; {wrong[:1]}")
        return acks, ends, sent - start

    if job["before"]:
        drive(job["before"])

    def work():
        acks, ends, seconds = drive(job["records"])
        achieved = job["records"] / max(seconds, job["records"] / rate)
        more = {"offered": rate, "achieved": achieved}
        more |= percentiles("ack", acks) | percentiles("end to end", ends)
        return {"records": len(ends), "seconds": seconds, "more": more}

    return work


def flow(job):
    """Open loop until the word "stop", whatever happens to the brokers meanwhile."""
    # By default a client that lost a broker looks for it again after up to ten seconds.
    writer = producer(job, **{"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200})
    writer.list_topics(job["topic"], PATIENCE)
    rate, partitions = job["rate"], job["partitions"]
    payload = values(job["size"])[1]
    stop = threading.Event()

    def listen():
        expect("stop")
        stop.set()

    def work():
        acks, failed = [], []
        # When each partition last acknowledged a record, and the longest time without that.
        start = time.perf_counter() + 0.1
        last = [start] * partitions
        silences = [0.0] * partitions

        def report(partition, intended):
            def told(error, _message):
                now = time.perf_counter()
                if error:
                    failed.append(error)
                    return
                acks.append(now - intended)
                silences[partition] = max(silences[partition], now - last[partition])
                last[partition] = now

            return told

        threading.Thread(target=listen, daemon=True).start()
        sent = 0
        while not stop.is_set():
            intended = start + sent / rate
            while (left := intended - time.perf_counter()) > 0:
                writer.poll(left)
            at = sent % partitions
            writer.produce(job["topic"], payload, partition=at, on_delivery=report(at, intended))
            sent += 1
        seconds = time.perf_counter() - start
        left = writer.flush(PATIENCE)
        if not acks:
            sys.exit(f"load.py: nothing was acknowledged; {failed[:1]}")
        more = percentiles("ack", acks) | {
            "ack max": max(acks) * 1000,
            "longest silence": max(silences) * 1000,
            "failed": len(failed) + left,
            "offered": rate,
            "achieved": sent / max(seconds, sent / rate),
        }
        return {"records": len(acks), "seconds": seconds, "more": more}

    return work


ROLES = {
    "produce": produce,
    "consume": consume,
    "tail": tail,
    "one": one,
    "open": open_loop,
    "flow": flow,
}

if __name__ == "__main__":
    main()
