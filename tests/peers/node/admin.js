'use strict';

const { ConfigResourceTypes } = require('kafkajs');
const { client, orders, say } = require('./peer');

const TOPIC_ALREADY_EXISTS = 36;

/** Carries out administrative orders, one per input line. */
async function admin(options) {
  const connected = client(options).admin();
  await connected.connect();
  for await (const order of orders()) {
    const carryOut = ORDERS[order.op];
    if (carryOut === undefined) {
      say({ unsupported: order.op });
      continue;
    }
    try {
      say({ reply: (await carryOut(connected, order)) ?? {} });
    } catch (failure) {
      const code = failure.code ?? failure.errors?.[0]?.code ?? failure.groups?.[0]?.errorCode;
      say({ error: { code: code ?? -1, text: String(failure) } });
    }
  }
  await connected.disconnect();
}

const ORDERS = {
  async create_topic(connected, { topic, partitions, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    const created = await connected.createTopics({
      topics: [{ topic, numPartitions: partitions, configEntries }],
    });
    if (!created) {
      throw Object.assign(new Error('exists'), { code: TOPIC_ALREADY_EXISTS });
    }
  },
  async list_topics(connected) {
    return { topics: await connected.listTopics() };
  },
  async describe_topic(connected, { topic }) {
    const told = await connected.fetchTopicMetadata({ topics: [topic] });
    return { partitions: told.topics[0].partitions.length };
  },
  async create_partitions(connected, { topic, count }) {
    await connected.createPartitions({ topicPartitions: [{ topic, count }] });
  },
  async alter_config(connected, { topic, name, value }) {
    await connected.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }],
    });
  },
  async describe_config(connected, { topic, name }) {
    const told = await connected.describeConfigs({
      includeSynonyms: true,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
    });
    const entries = told.resources[0].configEntries;
    const found = entries.find((entry) => entry.configName === name);
    return { value: found.configValue, count: entries.length };
  },
  async delete_topic(connected, { topic }) {
    await connected.deleteTopics({ topics: [topic] });
  },
  async delete_records(connected, { topic, partition, before }) {
    await connected.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
    const told = await connected.fetchTopicOffsets(topic);
    return { low: Number(told.find((at) => at.partition === partition).low) };
  },
  async list_offsets(connected, { topic, partition, at }) {
    const told = typeof at === 'number'
      ? await connected.fetchTopicOffsetsByTimestamp(topic, at)
      : await connected.fetchTopicOffsets(topic);
    const found = told.find((row) => row.partition === partition);
    return { offset: Number(at === 'earliest' ? found.low : found.offset) };
  },
  async list_groups(connected) {
    return { groups: (await connected.listGroups()).groups.map((group) => group.groupId) };
  },
  async describe_group(connected, { group }) {
    const told = (await connected.describeGroups([group])).groups[0];
    return { state: told.state, members: told.members.length };
  },
  async group_offsets(connected, { group }) {
    const told = await connected.fetchOffsets({ groupId: group });
    return {
      offsets: told.flatMap(({ topic, partitions }) =>
        partitions.map((at) => [topic, at.partition, Number(at.offset)])),
    };
  },
  async delete_group(connected, { group }) {
    await connected.deleteGroups([group]);
  },
};

module.exports = { admin };
