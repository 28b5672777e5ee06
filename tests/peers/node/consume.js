'use strict';

const { client, endOfInput, say, sayRecord } = require('./peer');

/** Reads a topic from its beginning or from a time; kafkajs can only read in a group, so a fresh one is used. */
async function fetch(options) {
  const kafka = client(options);
  const admin = kafka.admin();
  await admin.connect();
  const unread = new Map();
  const starts = await begins(admin, options);
  for (const at of await admin.fetchTopicOffsets(options.topic)) {
    if (Number(starts?.get(at.partition) ?? at.low) < Number(at.high)) {
      unread.set(at.partition, Number(at.high));
    }
  }
  const groupId = `node-fetch-${process.pid}-${Date.now()}`;
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic: options.topic, fromBeginning: true });
  // Places can be taken once there is a group, and must be before the first fetch.
  const joined = consumer.on(consumer.events.GROUP_JOIN, () => {
    joined();
    starts?.forEach((offset, partition) => consumer.seek({ topic: options.topic, partition, offset }));
  });
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  if (options.tail === 'true') {
    endOfInput().then(finish);
  } else if (unread.size === 0) {
    finish();
  }
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      sayRecord(0, partition, message);
      if (options.tail !== 'true' && Number(message.offset) + 1 >= unread.get(partition)) {
        unread.delete(partition);
        if (unread.size === 0) {
          finish();
        }
      }
    },
  });
  await finished;
  await consumer.disconnect();
  await admin.deleteGroups([groupId]);
  await admin.disconnect();
}

/** Where partitions are read from when that is a time: at their ends where nothing is as late. */
async function begins(admin, options) {
  if (options.from === undefined) {
    return undefined;
  }
  const found = await admin.fetchTopicOffsetsByTimestamp(options.topic, Number(options.from));
  return new Map(found.map(({ partition, offset }) => [partition, offset]));
}

/** Some members of one consumer group; each commits what it has shown. */
async function group(options) {
  const members = [];
  for (let number = 0; number < Number(options.members); number += 1) {
    members.push(member(number, options));
  }
  const consumers = await Promise.all(members);
  await endOfInput();
  await Promise.all(consumers.map((consumer) => consumer.disconnect()));
}

async function member(number, options) {
  const consumer = client(options, `node-peer-${number}`).consumer({
    groupId: options.group,
    sessionTimeout: 10000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 200,
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    say({ assigned: { m: number, p: payload.memberAssignment[options.topic] ?? [] } });
  });
  await consumer.connect();
  await consumer.subscribe({ topic: options.topic, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: true,
    eachBatch: async ({ batch, heartbeat }) => {
      for (const message of batch.messages) {
        sayRecord(number, batch.partition, message);
      }
      const offset = String(Number(batch.lastOffset()) + 1);
      try {
        await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }]);
      } catch (failure) {
        // The next holder shows the records again, as the test allows for restarts.
        console.error(`commit: ${failure}`);
      }
      await heartbeat();
    },
  });
  return consumer;
}

module.exports = { fetch, group };
