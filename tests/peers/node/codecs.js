// kafkajs brings gzip only; the other codecs are plugged in here.
'use strict';

const { CompressionCodecs, CompressionTypes } = require('kafkajs');
const lz4 = require('lz4-napi');
const snappy = require('snappy');
const zstd = require('@mongodb-js/zstd');

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER = Buffer.concat([XERIAL_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])]);

/** Snappy as Kafka's Java client frames it: a header, then length-prefixed blocks. */
const xerialSnappy = {
  async compress(encoder) {
    const block = await snappy.compress(encoder.buffer);
    const length = Buffer.alloc(4);
    length.writeInt32BE(block.length);
    return Buffer.concat([XERIAL_HEADER, length, block]);
  },
  async decompress(buffer) {
    if (!buffer.subarray(0, 8).equals(XERIAL_MAGIC)) {
      return snappy.uncompress(buffer);
    }
    const blocks = [];
    for (let at = 16; at < buffer.length;) {
      const end = at + 4 + buffer.readInt32BE(at);
      blocks.push(await snappy.uncompress(buffer.subarray(at + 4, end)));
      at = end;
    }
    return Buffer.concat(blocks);
  },
};

CompressionCodecs[CompressionTypes.Snappy] = () => xerialSnappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => zstd.compress(encoder.buffer),
  decompress: (buffer) => zstd.decompress(buffer),
});
