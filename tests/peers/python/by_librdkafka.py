"""confluent-kafka-python, that is librdkafka."""

import json
import sys
import time

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import admin as kafka_admin

import peer

IDENTITY = ("librdkafka", confluent_kafka.libversion()[0])
LIMIT_S = 30
# What a partition answers while its leader changes; clients ask again.
MOVING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}


def settings(options, **more):
    eager = {}
    if options.retry_ms is not None:
        pauses = ("retry.backoff.ms", "reconnect.backoff.ms", "topic.metadata.refresh.fast.interval.ms")
        eager = dict.fromkeys(pauses, options.retry_ms)
    return {
        "bootstrap.servers": options.bootstrap,
        "client.id": "librdkafka-peer",
        "reconnect.backoff.max.ms": 200,
        # A line that swallows everything is given up sooner than by default.
        "socket.timeout.ms": 10_000,
        "log_level": 2,
        **eager,
        **more,
    }


def produce(options):
    producer = Producer(
        settings(
            options,
            **{
                "compression.type": options.codec,
                "acks": options.acks,
                "enable.idempotence": options.idempotent,
                "linger.ms": 5,
                "request.timeout.ms": 5_000,
                "message.max.bytes": 4_000_000,
                "queue.buffering.max.messages": 1_000_000,
            },
        )
    )
    for line in sys.stdin:
        order = peer.Order(line)

        def told(failure, message, number=order.number):
            if failure is not None:
                peer.failed(number, failure)
            else:
                peer.acked(number, message.partition(), message.offset())

        producer.produce(
            options.topic,
            key=order.key,
            value=order.value,
            partition=order.partition,
            timestamp=order.timestamp,
            headers=order.headers,
            on_delivery=told,
        )
        producer.poll(0)
    producer.flush()


def show(member, message):
    if message.error() is not None:
        sys.stderr.write(f"consume: {message.error()}\n")
        return False
    peer.say_record(
        member,
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers(),
    )
    return True


def watermarks(consumer, partition):
    """First and end offset. librdkafka asks once, of whom it takes for the leader; a young leader makes it ask again."""
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=LIMIT_S)
        except KafkaException as failed:
            if failed.args[0].code() not in MOVING or time.monotonic() > until:
                raise
            time.sleep(0.1)


def near(options):
    """Reads from replicas in its rack where brokers have it so, and says whom it reads from."""
    if options.rack is None:
        return {}
    known = {}

    def look(text):
        partitions = json.loads(text)["topics"].get(options.topic, {}).get("partitions", {})
        for partition, told in partitions.items():
            # The unassigned partition has the number -1.
            if int(partition) >= 0 and known.get(partition) != told["broker"]:
                known[partition] = told["broker"]
                peer.say({"from": {"p": int(partition), "b": told["broker"]}})

    return {"client.rack": options.rack, "statistics.interval.ms": 200, "stats_cb": look}


def fetch(options):
    more = {"group.id": "unused", "enable.auto.commit": False, **near(options)}
    if options.retry_ms is not None:
        more["fetch.error.backoff.ms"] = options.retry_ms
    consumer = Consumer(settings(options, **more))
    found = consumer.list_topics(options.topic, timeout=LIMIT_S).topics[options.topic].partitions
    ends = {p: watermarks(consumer, TopicPartition(options.topic, p)) for p in found}
    unread = {p for p, (low, high) in ends.items() if low < high}
    starts = [TopicPartition(options.topic, p, OFFSET_BEGINNING) for p in found]
    if options.from_ms is not None:
        wanted = [TopicPartition(options.topic, p, options.from_ms) for p in found]
        # Where nothing is as late as that, the end is told by a number below 0.
        starts = [at for at in consumer.offsets_for_times(wanted, timeout=LIMIT_S) if at.offset >= 0]
        unread &= {at.partition for at in starts}
    consumer.assign(starts)
    ended = peer.end_of_input() if options.tail else None
    # The pause fills a batch; who reads along wants records when they come.
    pause = 0.02 if options.tail else 0.2
    while unread if ended is None else not ended.is_set():
        for message in consumer.consume(500, timeout=pause):
            if show(0, message) and message.offset() + 1 >= ends[message.partition()][1]:
                unread.discard(message.partition())
    consumer.close()


def group(options):
    def member(number, ended):
        consumer = Consumer(
            settings(
                options,
                **{
                    "group.id": options.group,
                    "client.id": f"librdkafka-peer-{number}",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "session.timeout.ms": 10_000,
                    "heartbeat.interval.ms": 500,
                },
            )
        )

        def assigned(_, added):
            peer.say({"assigned": {"m": number, "p": sorted(at.partition for at in added)}})

        consumer.subscribe([options.topic], on_assign=assigned)
        while not ended.is_set():
            shown = [show(number, message) for message in consumer.consume(500, timeout=0.1)]
            if any(shown):
                try:
                    consumer.commit(asynchronous=False)
                except KafkaException as failure:
                    # The next holder shows the records again, as the test allows for restarts.
                    sys.stderr.write(f"commit: {failure}\n")
        consumer.close()

    peer.run_members(options.members, member)


def admin(options):
    client = kafka_admin.AdminClient(settings(options))

    def answer(op, order):
        try:
            return orders(client, op, order)
        except KafkaException as failure:
            raise peer.Refused(failure.args[0].code(), str(failure)) from failure

    peer.answer_orders(answer)


def one(futures):
    """The result of the only future of a reply."""
    (future,) = futures.values() if isinstance(futures, dict) else futures
    return future.result(timeout=LIMIT_S)


def orders(client, op, order):
    topic = order.get("topic")
    match op:
        case "create_topic":
            configs = order["configs"]
            one(client.create_topics([kafka_admin.NewTopic(topic, order["partitions"], -1, config=configs)]))
        case "list_topics":
            return {"topics": list(client.list_topics(timeout=LIMIT_S).topics)}
        case "describe_topic":
            told = one(client.describe_topics(confluent_kafka.TopicCollection([topic])))
            return {"partitions": len(told.partitions)}
        case "create_partitions":
            one(client.create_partitions([kafka_admin.NewPartitions(topic, order["count"])]))
        case "alter_config" | "describe_config":
            return config(client, op, order)
        case "delete_topic":
            one(client.delete_topics([topic]))
        case "delete_records":
            at = TopicPartition(topic, order["partition"], order["before"])
            return {"low": one(client.delete_records([at])).low_watermark}
        case "list_offsets":
            named = {"earliest": kafka_admin.OffsetSpec.earliest(), "latest": kafka_admin.OffsetSpec.latest()}
            spec = named.get(order["at"]) or kafka_admin.OffsetSpec.for_timestamp(order["at"])
            return {"offset": one(client.list_offsets({TopicPartition(topic, order["partition"]): spec})).offset}
        case _:
            return groups(client, op, order)


def config(client, op, order):
    kind = kafka_admin.ConfigResource.Type.TOPIC
    if op == "describe_config":
        told = one(client.describe_configs([kafka_admin.ConfigResource(kind, order["topic"])]))
        return {"value": told[order["name"]].value, "count": len(told)}
    set_it = kafka_admin.AlterConfigOpType.SET
    entry = kafka_admin.ConfigEntry(order["name"], order["value"], incremental_operation=set_it)
    resource = kafka_admin.ConfigResource(kind, order["topic"], incremental_configs=[entry])
    one(client.incremental_alter_configs([resource]))
    return {}


def groups(client, op, order):
    match op:
        case "list_groups":
            told = client.list_consumer_groups().result(timeout=LIMIT_S)
            return {"groups": [group.group_id for group in told.valid]}
        case "describe_group":
            told = one(client.describe_consumer_groups([order["group"]]))
            return {"state": told.state.name.title(), "members": len(told.members)}
        case "group_offsets":
            wanted = confluent_kafka.ConsumerGroupTopicPartitions(order["group"])
            told = one(client.list_consumer_group_offsets([wanted]))
            return {"offsets": [[at.topic, at.partition, at.offset] for at in told.topic_partitions]}
        case "delete_group":
            one(client.delete_consumer_groups([order["group"]]))
        case _:
            raise peer.Unsupported
