'use strict';

const { CompressionTypes } = require('kafkajs');
const { client, decode, orders, say } = require('./peer');

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};
const BATCH = 200;

/** kafkajs holds headers as an object: one name with several values is an array. */
function headersOf(pairs) {
  const headers = {};
  for (const [name, text] of pairs) {
    const content = decode(text);
    headers[name] = name in headers ? [].concat(headers[name], content) : content;
  }
  return headers;
}

/** Sends what has arrived so far as one request, again and again, until the input ends. */
async function produce(options) {
  const idempotent = options.idempotent === 'true';
  const producer = client(options).producer({ idempotent, maxInFlightRequests: 1 });
  await producer.connect();
  const waiting = [];
  let ended = false;
  let wake = () => {};
  const reading = (async () => {
    for await (const order of orders()) {
      waiting.push(order);
      wake();
    }
    ended = true;
    wake();
  })();
  while (!ended || waiting.length > 0) {
    if (waiting.length === 0) {
      await new Promise((resolve) => { wake = resolve; });
      continue;
    }
    await send(producer, options, waiting.splice(0, BATCH));
  }
  await reading;
  await producer.disconnect();
}

async function send(producer, options, batch) {
  const messages = batch.map((order) => ({
    partition: order.p,
    timestamp: String(order.ts),
    key: decode(order.k),
    value: decode(order.v),
    headers: headersOf(order.h),
  }));
  try {
    const told = await producer.send({
      topic: options.topic,
      acks: options.acks === 'all' ? -1 : Number(options.acks),
      compression: CODECS[options.codec],
      messages,
    });
    // The reply gives the first offset of each partition; the records follow in order.
    const next = new Map(told.map((at) => [at.partition, Number(at.baseOffset)]));
    for (const order of batch) {
      const offset = next.get(order.p);
      next.set(order.p, offset + 1);
      say({ acked: { i: order.i, p: order.p, o: offset } });
    }
  } catch (failure) {
    for (const order of batch) {
      say({ failed: { i: order.i, why: String(failure) } });
    }
  }
}

module.exports = { produce };
