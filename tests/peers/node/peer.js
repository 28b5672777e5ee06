// kafkajs as a peer of the wire tests; the protocol is in tests/peers/README.md.
'use strict';

const readline = require('node:readline');
const { parseArgs } = require('node:util');
const { Kafka, logLevel } = require('kafkajs');
const { version } = require('kafkajs/package.json');

require('./codecs');

/** One JSON line to the test. */
function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const encode = (bytes) => (bytes == null ? null : bytes.toString('base64'));
const decode = (text) => (text == null ? null : Buffer.from(text, 'base64'));

function sayRecord(member, partition, message) {
  const headers = Object.entries(message.headers ?? {}).flatMap(([name, held]) =>
    [].concat(held).map((content) => [name, encode(content)]));
  say({
    record: {
      m: member,
      p: partition,
      o: Number(message.offset),
      ts: Number(message.timestamp),
      k: encode(message.key),
      v: encode(message.value),
      h: headers,
    },
  });
}

/** The lines of standard input, as parsed JSON. */
async function* orders() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    yield JSON.parse(line);
  }
}

/** Resolves when the test closes our standard input. */
function endOfInput() {
  return new Promise((resolve) => {
    process.stdin.on('end', resolve);
    process.stdin.resume();
  });
}

function client(options, clientId = 'node-peer') {
  return new Kafka({
    clientId,
    brokers: options.bootstrap.split(","),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 200 },
  });
}

module.exports = { say, sayRecord, decode, orders, endOfInput, client };

async function main() {
  const role = process.argv[2];
  const text = { type: 'string' };
  const { values: options } = parseArgs({
    args: process.argv.slice(3),
    options: {
      bootstrap: text, topic: text, group: text, codec: text, acks: text,
      idempotent: text, tail: text, members: text, from: text,
    },
  });
  Object.assign(options, { codec: 'none', acks: 'all', idempotent: 'true', ...options });
  say({ ready: { client: 'kafkajs', version } });
  const roles = {
    produce: () => require('./produce').produce(options),
    fetch: () => require('./consume').fetch(options),
    group: () => require('./consume').group(options),
    admin: () => require('./admin').admin(options),
  };
  await roles[role]();
  // Pipes are written later: what was said must be gone before the process is.
  await new Promise((gone) => { process.stdout.write(`${JSON.stringify({ done: true })}\n`, gone); });
}

if (require.main === module) {
  main().then(() => process.exit(0), (failure) => {
    console.error(failure);
    process.exit(1);
  });
}
