"""aiokafka."""

import asyncio
import importlib.metadata
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, KafkaError, for_code

import peer

IDENTITY = ("aiokafka", importlib.metadata.version("aiokafka"))


def produce(options):
    asyncio.run(_produce(options))


def fetch(options):
    asyncio.run(_fetch(options))


def group(options):
    peer.run_members(options.members, lambda number, ended: asyncio.run(_member(options, number, ended)))


def admin(options):
    with asyncio.Runner() as runner:
        client = runner.run(_connect(options))

        def answer(op, order):
            try:
                return runner.run(orders(client, options.bootstrap, op, order))
            except BrokerResponseError as failure:
                raise peer.Refused(failure.errno, str(failure)) from failure

        peer.answer_orders(answer)
        runner.run(client.close())


async def _connect(options):
    client = AIOKafkaAdminClient(bootstrap_servers=options.bootstrap, client_id="aiokafka-peer")
    await client.start()
    return client


async def _produce(options):
    producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap,
        client_id="aiokafka-peer",
        compression_type=None if options.codec == "none" else options.codec,
        acks=options.acks if options.acks == "all" else int(options.acks),
        enable_idempotence=options.idempotent,
        linger_ms=5,
        max_request_size=4_000_000,
        # The batch is given up after this time, so it must outlast a restart.
        request_timeout_ms=120_000,
    )
    await producer.start()
    loop = asyncio.get_running_loop()
    waiting = set()

    def told(number, sent):
        waiting.discard(sent)
        failure = sent.exception()
        if failure is not None:
            peer.failed(number, repr(failure))
        else:
            peer.acked(number, sent.result().partition, sent.result().offset)

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = peer.Order(line)
        sent = await producer.send(
            options.topic,
            key=order.key,
            value=order.value,
            partition=order.partition,
            timestamp_ms=order.timestamp,
            headers=order.headers,
        )
        waiting.add(sent)
        sent.add_done_callback(lambda sent, number=order.number: told(number, sent))
    await producer.flush()
    await asyncio.gather(*waiting, return_exceptions=True)
    await producer.stop()


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


async def _fetch(options):
    consumer = AIOKafkaConsumer(
        options.topic,
        bootstrap_servers=options.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    # Without a group the consumer takes all partitions of its topic.
    await consumer.start()
    partitions = sorted(consumer.assignment())
    if options.tail:
        ended = peer.end_of_input()
        while not ended.is_set():
            show(0, await consumer.getmany(timeout_ms=200))
    else:
        ends = await consumer.end_offsets(partitions)
        if options.from_ms is None:
            starts = await consumer.beginning_offsets(partitions)
        else:
            found = await consumer.offsets_for_times({at: options.from_ms for at in partitions})
            # Where nothing is as late as that, nothing is told.
            starts = {at: found[at].offset if found[at] else ends[at] for at in partitions}
            for at, offset in starts.items():
                consumer.seek(at, offset)
        unread = {at for at in partitions if starts[at] < ends[at]}
        while unread:
            show(0, await consumer.getmany(timeout_ms=200))
            unread = {at for at in unread if await consumer.position(at) < ends[at]}
    await consumer.stop()


async def _member(options, number, ended):
    consumer = AIOKafkaConsumer(
        bootstrap_servers=options.bootstrap,
        client_id=f"aiokafka-peer-{number}",
        group_id=options.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=10_000,
        heartbeat_interval_ms=500,
    )

    class Watch(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            pass

        def on_partitions_assigned(self, assigned):
            peer.say({"assigned": {"m": number, "p": sorted(at.partition for at in assigned)}})

    consumer.subscribe([options.topic], listener=Watch())
    await consumer.start()
    while not ended.is_set():
        if show(number, await consumer.getmany(timeout_ms=100)) > 0:
            try:
                await asyncio.wait_for(consumer.commit(), 20)
            except (KafkaError, TimeoutError) as failure:
                # The next holder shows the records again, as the test allows for restarts.
                sys.stderr.write(f"commit: {failure!r}\n")
    await consumer.stop()


def refuse(code):
    if code != 0:
        raise for_code(code)()


async def orders(client, bootstrap, op, order):
    topic = order.get("topic")
    match op:
        case "create_topic":
            wanted = NewTopic(topic, order["partitions"], 1, topic_configs=order["configs"])
            told = await client.create_topics([wanted])
            refuse(told.topic_errors[0][1])
        case "list_topics":
            return {"topics": await client.list_topics()}
        case "describe_topic":
            (told,) = await client.describe_topics([topic])
            refuse(told["error_code"])
            return {"partitions": len(told["partitions"])}
        case "create_partitions":
            told = await client.create_partitions({topic: NewPartitions(order["count"])})
            refuse(told.topic_errors[0][1])
        case "alter_config":
            wanted = ConfigResource(ConfigResourceType.TOPIC, topic, {order["name"]: order["value"]})
            (told,) = await client.alter_configs([wanted])
            refuse(told.resources[0][0])
        case "describe_config":
            (told,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            refuse(told.resources[0][0])
            configs = {entry[0]: entry[1] for entry in told.resources[0][4]}
            return {"value": configs[order["name"]], "count": len(configs)}
        case "delete_topic":
            told = await client.delete_topics([topic])
            refuse(told.topic_error_codes[0][1])
        case "delete_records":
            at = TopicPartition(topic, order["partition"])
            return {"low": (await client.delete_records({at: RecordsToDelete(order["before"])}))[at]}
        case "list_offsets":
            return {"offset": await offset(bootstrap, TopicPartition(topic, order["partition"]), order["at"])}
        case _:
            return await groups(client, op, order)


async def offset(bootstrap, at, when):
    """Offsets are asked through a consumer: the admin client cannot."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        if when == "earliest":
            return (await consumer.beginning_offsets([at]))[at]
        if when == "latest":
            return (await consumer.end_offsets([at]))[at]
        found = (await consumer.offsets_for_times({at: when}))[at]
        return -1 if found is None else found.offset
    finally:
        await consumer.stop()


async def groups(client, op, order):
    match op:
        case "list_groups":
            return {"groups": [group[0] for group in await client.list_consumer_groups()]}
        case "describe_group":
            (told,) = await client.describe_consumer_groups([order["group"]])
            found = told.groups[0]
            refuse(found[0])
            return {"state": found[2], "members": len(found[5])}
        case "group_offsets":
            told = await client.list_consumer_group_offsets(order["group"])
            return {"offsets": [[at.topic, at.partition, kept.offset] for at, kept in told.items()]}
        case _:
            raise peer.Unsupported
