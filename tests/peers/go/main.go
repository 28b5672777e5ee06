// franz-go as a peer of the wire tests; the protocol is in tests/peers/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// options are the command line of every role; a role reads those it needs.
type options struct {
	bootstrap, topic, group, codec, acks string
	idempotent, tail                     bool
	members                              int
	// from is a time in milliseconds since 1970, or below 0 for the beginning.
	from int64
}

// header is a pair of a name and a value; the value may be null.
type header struct {
	name  string
	value []byte
}

// record is one record in the common protocol; []byte travels as base64 and nil as null.
type record struct {
	Member    int      `json:"m"`
	Partition int32    `json:"p"`
	Offset    int64    `json:"o"`
	Timestamp int64    `json:"ts"`
	Key       []byte   `json:"k"`
	Value     []byte   `json:"v"`
	Headers   []header `json:"h"`
}

func (h header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.name, h.value}) }

func (h *header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&h.name, &h.value})
}

var (
	input  = bufio.NewReaderSize(os.Stdin, 1<<16)
	output sync.Mutex
)

// say writes one line to the test; promises and members speak from several goroutines.
func say(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func sayRecord(member int, from *kgo.Record) {
	told := record{member, from.Partition, from.Offset, from.Timestamp.UnixMilli(), from.Key, from.Value, []header{}}
	for _, h := range from.Headers {
		told.Headers = append(told.Headers, header{h.Key, h.Value})
	}
	say(map[string]any{"record": told})
}

// untilEndOfInput gives a context that ends when the test closes our standard input.
func untilEndOfInput() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			if _, err := input.ReadBytes('\n'); err != nil {
				cancel()
				return
			}
		}
	}()
	return ctx
}

// A line that swallows everything is given up sooner than by default; and so is a broker that does not
// take calls, which the client may ask for metadata several times in a row. By default it waits until
// its metadata is 5 s old before it asks who leads now.
var (
	lineTimeout = kgo.RequestTimeoutOverhead(5 * time.Second)
	dialTimeout = kgo.DialTimeout(2 * time.Second)
	metadataAge = kgo.MetadataMinAge(250 * time.Millisecond)
)

func client(o options, more ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(o.bootstrap, ",")...), kgo.ClientID("go-peer"), lineTimeout, dialTimeout, metadataAge}, more...)...)
	if err != nil {
		panic(err)
	}
	return made
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/twmb/franz-go" {
				return module.Version
			}
		}
	}
	return "unknown"
}

func main() {
	var o options
	role := os.Args[1]
	flags := flag.NewFlagSet(role, flag.ExitOnError)
	flags.StringVar(&o.bootstrap, "bootstrap", "", "host:port of the broker")
	flags.StringVar(&o.topic, "topic", "", "topic")
	flags.StringVar(&o.group, "group", "", "consumer group")
	flags.StringVar(&o.codec, "codec", "none", "compression of produced batches")
	flags.StringVar(&o.acks, "acks", "all", "all, 1 or 0")
	idempotent := flags.String("idempotent", "true", "true or false")
	tail := flags.String("tail", "false", "true or false")
	flags.IntVar(&o.members, "members", 1, "members of the group")
	flags.Int64Var(&o.from, "from", -1, "milliseconds since 1970 to read from")
	if err := flags.Parse(os.Args[2:]); err != nil {
		panic(err)
	}
	o.idempotent, o.tail = *idempotent == "true", *tail == "true"
	say(map[string]any{"ready": map[string]string{"client": "franz-go", "version": version()}})
	switch role {
	case "produce":
		produce(o)
	case "fetch":
		fetch(o)
	case "group":
		group(o)
	case "admin":
		administer(o)
	default:
		fmt.Fprintln(os.Stderr, "unknown role", role)
		os.Exit(2)
	}
	say(map[string]any{"done": true})
}
