package main

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// order is one record to be sent.
type order struct {
	Number int64 `json:"i"`
	record
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// produce sends the records that arrive on standard input and tells the fate of each.
func produce(o options) {
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}[o.acks]
	opts := []kgo.Opt{
		kgo.RequiredAcks(acks),
		kgo.ProducerBatchCompression(codec(o.codec)),
		kgo.ProducerBatchMaxBytes(4_000_000),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.ProduceRequestTimeout(5 * time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	if !o.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	sender := client(o, opts...)
	defer sender.Close()
	orders := json.NewDecoder(input)
	for {
		var next order
		if err := orders.Decode(&next); err == io.EOF {
			break
		} else if err != nil {
			panic(err)
		}
		sender.Produce(context.Background(), toSend(o.topic, next), func(r *kgo.Record, err error) {
			if err != nil {
				say(map[string]any{"failed": map[string]any{"i": next.Number, "why": err.Error()}})
				return
			}
			say(map[string]any{"acked": map[string]any{"i": next.Number, "p": r.Partition, "o": r.Offset}})
		})
	}
	if err := sender.Flush(context.Background()); err != nil {
		panic(err)
	}
}

func toSend(topic string, next order) *kgo.Record {
	made := &kgo.Record{
		Topic: topic, Partition: next.Partition, Key: next.Key, Value: next.Value,
		Timestamp: time.UnixMilli(next.Timestamp),
	}
	for _, h := range next.Headers {
		made.Headers = append(made.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
	}
	return made
}
