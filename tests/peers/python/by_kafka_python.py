"""kafka-python."""

import sys

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import BrokerResponseError, KafkaError, for_code

import peer

IDENTITY = ("kafka-python", kafka.__version__)


def settings(options, **more):
    return {
        "bootstrap_servers": options.bootstrap,
        "client_id": "kafka-python-peer",
        "reconnect_backoff_max_ms": 200,
        **more,
    }


def produce(options):
    producer = KafkaProducer(
        **settings(
            options,
            compression_type=None if options.codec == "none" else options.codec,
            acks=options.acks if options.acks == "all" else int(options.acks),
            enable_idempotence=options.idempotent,
            linger_ms=5,
            max_request_size=4_000_000,
        )
    )
    for line in sys.stdin:
        order = peer.Order(line)

        def told(metadata, number=order.number):
            peer.acked(number, metadata.partition, metadata.offset)

        def lost(failure, number=order.number):
            peer.failed(number, failure)

        sent = producer.send(
            options.topic,
            key=order.key,
            value=order.value,
            partition=order.partition,
            timestamp_ms=order.timestamp,
            headers=order.headers,
        )
        sent.add_callback(told)
        sent.add_errback(lost)
    producer.flush()
    producer.close()


def show(member, batches):
    count = 0
    for messages in batches.values():
        for message in messages:
            count += 1
            peer.say_record(
                member,
                message.partition,
                message.offset,
                message.timestamp,
                message.key,
                message.value,
                message.headers,
            )
    return count


def fetch(options):
    consumer = KafkaConsumer(**settings(options, enable_auto_commit=False))
    partitions = [TopicPartition(options.topic, p) for p in consumer.partitions_for_topic(options.topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    if options.tail:
        ended = peer.end_of_input()
        while not ended.is_set():
            show(0, consumer.poll(timeout_ms=200))
    else:
        ends = consumer.end_offsets(partitions)
        if options.from_ms is not None:
            found = consumer.offsets_for_times({at: options.from_ms for at in partitions})
            for at in partitions:
                # Where nothing is as late as that, nothing is told.
                consumer.seek(at, found[at].offset if found.get(at) else ends[at])
        while any(consumer.position(at) < ends[at] for at in partitions):
            show(0, consumer.poll(timeout_ms=200))
    consumer.close()


def group(options):
    def member(number, ended):
        consumer = KafkaConsumer(
            **settings(
                options,
                group_id=options.group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=10_000,
                heartbeat_interval_ms=500,
            )
        )

        class Watch(ConsumerRebalanceListener):
            def on_partitions_revoked(self, revoked):
                pass

            def on_partitions_assigned(self, assigned):
                peer.say({"assigned": {"m": number, "p": sorted(at.partition for at in consumer.assignment())}})

        consumer.subscribe([options.topic], listener=Watch())
        while not ended.is_set():
            if show(number, consumer.poll(timeout_ms=100)) > 0:
                try:
                    consumer.commit(timeout_ms=20_000)
                except KafkaError as failure:
                    # The next holder shows the records again, as the test allows for restarts.
                    sys.stderr.write(f"commit: {failure!r}\n")
        consumer.close()

    peer.run_members(options.members, member)


def admin(options):
    client = KafkaAdminClient(**settings(options))

    def answer(op, order):
        try:
            return orders(client, op, order)
        except BrokerResponseError as failure:
            raise peer.Refused(failure.errno, str(failure)) from failure

    peer.answer_orders(answer)
    client.close()


def orders(client, op, order):
    topic = order.get("topic")
    match op:
        case "create_topic":
            client.create_topics({topic: {"num_partitions": order["partitions"], "configs": order["configs"]}})
        case "list_topics":
            return {"topics": client.list_topics()}
        case "describe_topic":
            (told,) = client.describe_topics([topic])
            if told["error_code"] != 0:
                raise for_code(told["error_code"])()
            return {"partitions": len(told["partitions"])}
        case "create_partitions":
            client.create_partitions({topic: order["count"]})
        case "alter_config":
            told = client.alter_configs([ConfigResource("TOPIC", topic, {order["name"]: order["value"]})])
            if told["topic"][topic] != "OK":
                raise peer.Refused(-1, told["topic"][topic])
        case "describe_config":
            told = client.describe_configs([ConfigResource("TOPIC", topic, None)], config_filter="all")
            configs = told["topic"][topic]
            return {"value": configs[order["name"]]["value"], "count": len(configs)}
        case "delete_topic":
            client.delete_topics([topic])
        case "delete_records":
            at = TopicPartition(topic, order["partition"])
            return {"low": client.delete_records({at: order["before"]})[at]["low_watermark"]}
        case "list_offsets":
            at = TopicPartition(topic, order["partition"])
            named = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST}
            spec = named.get(order["at"], order["at"])
            return {"offset": client.list_partition_offsets({at: spec})[at].offset}
        case _:
            return groups(client, op, order)


def groups(client, op, order):
    match op:
        case "list_groups":
            return {"groups": [group["group_id"] for group in client.list_groups()]}
        case "describe_group":
            told = client.describe_groups([order["group"]])[order["group"]]
            return {"state": told["group_state"], "members": len(told["members"])}
        case "group_offsets":
            told = client.list_group_offsets(order["group"])[order["group"]]
            return {"offsets": [[at.topic, at.partition, kept.offset] for at, kept in told.items()]}
        case "delete_group":
            told = client.delete_groups([order["group"]])[order["group"]]
            if told != "OK":
                raise peer.Refused(-1, told)
        case _:
            raise peer.Unsupported
