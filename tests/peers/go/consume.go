package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long a partition without a settled leader is asked again.
const patience = 30 * time.Second

// fetch reads a topic from its beginning or from a time, without a group: to the ends known at the start, or on
// until the end of input.
func fetch(o options) {
	begin := kgo.NewOffset().AtStart()
	if o.from >= 0 {
		begin = kgo.NewOffset().AfterMilli(o.from)
	}
	reader := client(o, kgo.ConsumeTopics(o.topic), kgo.ConsumeResetOffset(begin))
	defer reader.Close()
	if o.tail {
		ctx := untilEndOfInput()
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { sayRecord(0, r) })
		}
		return
	}
	ctx := context.Background()
	admin := kadm.NewClient(client(o))
	defer admin.Close()
	starts, ends := watermarks(ctx, admin, o)
	open := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(o.topic, end.Partition); start.Offset < end.Offset {
			open[end.Partition] = end.Offset
		}
	})
	for len(open) > 0 {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			sayRecord(0, r)
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
		})
	}
}

// watermarks tells where the partitions of a topic are read from, and where they end. The library asks once; a young leader has it ask
// again (KIP-207).
func watermarks(ctx context.Context, admin *kadm.Client, o options) (kadm.ListedOffsets, kadm.ListedOffsets) {
	until := time.Now().Add(patience)
	for {
		starts, err := begins(ctx, admin, o)
		if err != nil {
			panic(err)
		}
		ends, err := admin.ListEndOffsets(ctx, o.topic)
		if err != nil {
			panic(err)
		}
		// A partition that could not be asked would otherwise pass for an empty one.
		err = errors.Join(starts.Error(), ends.Error())
		if err == nil {
			return starts, ends
		}
		if !errors.Is(err, kerr.OffsetNotAvailable) && !errors.Is(err, kerr.NotLeaderForPartition) || time.Now().After(until) {
			panic(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// begins tells where reading begins: at the end where nothing is as late as the time that was asked for.
func begins(ctx context.Context, admin *kadm.Client, o options) (kadm.ListedOffsets, error) {
	if o.from >= 0 {
		return admin.ListOffsetsAfterMilli(ctx, o.from, o.topic)
	}
	return admin.ListStartOffsets(ctx, o.topic)
}

// group runs some members of one consumer group; each commits what it has shown.
func group(o options) {
	ctx := untilEndOfInput()
	var members sync.WaitGroup
	for number := range o.members {
		members.Go(func() { member(ctx, number, o) })
	}
	members.Wait()
}

func member(ctx context.Context, number int, o options) {
	var held []int32
	tell := func() {
		slices.Sort(held)
		say(map[string]any{"assigned": map[string]any{"m": number, "p": append([]int32{}, held...)}})
	}
	drop := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
		held = slices.DeleteFunc(held, func(p int32) bool { return slices.Contains(gone[o.topic], p) })
	}
	reader := client(o,
		kgo.ConsumerGroup(o.group), kgo.ConsumeTopics(o.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			held = append(held, added[o.topic]...)
			tell()
		}),
		kgo.OnPartitionsRevoked(drop), kgo.OnPartitionsLost(drop),
	)
	defer reader.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetched := reader.PollFetches(ctx)
		fetched.EachRecord(func(r *kgo.Record) { sayRecord(number, r) })
		if fetched.NumRecords() > 0 {
			limited, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if err := reader.CommitUncommittedOffsets(limited); err != nil {
				// The next holder shows the records again, as the test allows for restarts.
				fmt.Fprintln(os.Stderr, "commit:", err)
			}
			cancel()
		}
		reader.AllowRebalance()
	}
}
