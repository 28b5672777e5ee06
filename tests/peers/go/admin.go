package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// errand is one administrative order.
type errand struct {
	Op         string            `json:"op"`
	Topic      string            `json:"topic"`
	Group      string            `json:"group"`
	Partitions int32             `json:"partitions"`
	Partition  int32             `json:"partition"`
	Count      int               `json:"count"`
	Configs    map[string]string `json:"configs"`
	Name       string            `json:"name"`
	Value      string            `json:"value"`
	Before     int64             `json:"before"`
	At         any               `json:"at"`
}

// administer carries out administrative orders, one per input line.
func administer(o options) {
	admin := kadm.NewClient(client(o))
	defer admin.Close()
	errands := json.NewDecoder(input)
	for errands.More() {
		var e errand
		if err := errands.Decode(&e); err != nil {
			panic(err)
		}
		reply, err := answer(context.Background(), admin, e)
		if err == nil {
			say(map[string]any{"reply": reply})
			continue
		}
		code := int16(-1)
		if known := (*kerr.Error)(nil); errors.As(err, &known) {
			code = known.Code
		}
		say(map[string]any{"error": map[string]any{"code": code, "text": err.Error()}})
	}
}

func answer(ctx context.Context, admin *kadm.Client, e errand) (map[string]any, error) {
	none := map[string]any{}
	switch e.Op {
	case "create_topic":
		configs := map[string]*string{}
		for name, value := range e.Configs {
			configs[name] = &value
		}
		_, err := admin.CreateTopic(ctx, e.Partitions, -1, configs, e.Topic)
		return none, err
	case "list_topics":
		told, err := admin.ListTopics(ctx)
		return map[string]any{"topics": told.Names()}, err
	case "describe_topic":
		told, err := admin.ListTopics(ctx, e.Topic)
		if err == nil {
			err = told[e.Topic].Err
		}
		return map[string]any{"partitions": len(told[e.Topic].Partitions)}, err
	case "create_partitions":
		told, err := admin.UpdatePartitions(ctx, e.Count, e.Topic)
		return none, errors.Join(err, told.Error())
	case "delete_topic":
		_, err := admin.DeleteTopic(ctx, e.Topic)
		return none, err
	case "delete_records":
		wanted := kadm.Offsets{}
		wanted.Add(kadm.Offset{Topic: e.Topic, Partition: e.Partition, At: e.Before, LeaderEpoch: -1})
		told, err := admin.DeleteRecords(ctx, wanted)
		low, _ := told.Lookup(e.Topic, e.Partition)
		return map[string]any{"low": low.LowWatermark}, errors.Join(err, told.Error())
	case "list_offsets":
		return listOffsets(ctx, admin, e)
	case "alter_config", "describe_config":
		return config(ctx, admin, e)
	}
	return groups(ctx, admin, e)
}

func listOffsets(ctx context.Context, admin *kadm.Client, e errand) (map[string]any, error) {
	var told kadm.ListedOffsets
	var err error
	switch at := e.At.(type) {
	case float64:
		told, err = admin.ListOffsetsAfterMilli(ctx, int64(at), e.Topic)
	case string:
		if at == "earliest" {
			told, err = admin.ListStartOffsets(ctx, e.Topic)
		} else {
			told, err = admin.ListEndOffsets(ctx, e.Topic)
		}
	}
	found, _ := told.Lookup(e.Topic, e.Partition)
	return map[string]any{"offset": found.Offset}, errors.Join(err, told.Error())
}

func config(ctx context.Context, admin *kadm.Client, e errand) (map[string]any, error) {
	if e.Op == "alter_config" {
		change := kadm.AlterConfig{Op: kadm.SetConfig, Name: e.Name, Value: &e.Value}
		told, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, e.Topic)
		if err == nil {
			err = told[0].Err
		}
		return map[string]any{}, err
	}
	told, err := admin.DescribeTopicConfigs(ctx, e.Topic)
	if err == nil {
		err = told[0].Err
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range told[0].Configs {
		if entry.Key == e.Name {
			return map[string]any{"value": entry.MaybeValue(), "count": len(told[0].Configs)}, nil
		}
	}
	return nil, fmt.Errorf("no config %s", e.Name)
}

func groups(ctx context.Context, admin *kadm.Client, e errand) (map[string]any, error) {
	switch e.Op {
	case "list_groups":
		told, err := admin.ListGroups(ctx)
		return map[string]any{"groups": told.Groups()}, err
	case "describe_group":
		told, err := admin.DescribeGroups(ctx, e.Group)
		found := told[e.Group]
		return map[string]any{"state": found.State, "members": len(found.Members)}, errors.Join(err, found.Err)
	case "group_offsets":
		told, err := admin.FetchOffsets(ctx, e.Group)
		rows := [][]any{}
		told.Each(func(r kadm.OffsetResponse) { rows = append(rows, []any{r.Topic, r.Partition, r.At}) })
		return map[string]any{"offsets": rows}, err
	case "delete_group":
		_, err := admin.DeleteGroup(ctx, e.Group)
		return map[string]any{}, err
	}
	return nil, fmt.Errorf("unknown order %s", e.Op)
}
