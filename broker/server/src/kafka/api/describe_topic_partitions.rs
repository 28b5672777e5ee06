//! DescribeTopicPartitions (75): topics in detail, by name, page by page (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_metadata::{Partition, Topic};
use freshet_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use freshet_wire::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, ErrorCode};

use super::metadata::numbers;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::context::cluster_view::{ClusterView, Leader};
use crate::kafka::errors::unknown_topic;
use crate::kafka::operations::ALL_ON_TOPIC;

/// Topics in the order of their names, from the cursor on, until the page is full of partitions.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = context.image();
    let most = context.limits.describe_partitions_max;
    let room = request.response_partition_limit.min(most).max(1);
    let view = ClusterView {
        image: &image,
        listener: &call.origin.listener,
    };
    let page = page(view, &request, usize::try_from(room).unwrap_or(1));
    for topic in page.topics.iter().filter(|topic| topic.error_code != 0) {
        if let Some(code) = ErrorCode::from_code(topic.error_code) {
            context.metrics.error(code);
        }
    }
    page
}

fn page(
    view: ClusterView<'_>,
    request: &DescribeTopicPartitionsRequest,
    mut room: usize,
) -> DescribeTopicPartitionsResponse {
    let image = view.image;
    let mut response = DescribeTopicPartitionsResponse::default();
    let all = request.topics.is_empty();
    let mut names: BTreeSet<&str> = request.topics.iter().map(|t| t.name.as_str()).collect();
    if all {
        names = image.topics().map(|topic| topic.name.as_str()).collect();
    }
    let cursor = request.cursor.as_ref();
    if cursor.is_some_and(|cursor| cursor.partition_index < 0) {
        let code = ErrorCode::InvalidRequest;
        response.topics = names.into_iter().map(|name| refused(name, code)).collect();
        return response;
    }
    let from = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    for name in names.range(from..) {
        if room == 0 {
            response.next_cursor = Some(at(name, 0));
            return response;
        }
        let Some(topic) = image.topic(name) else {
            response.topics.push(refused(name, unknown_topic(name)));
            continue;
        };
        let first = cursor.filter(|cursor| cursor.topic_name == *name);
        let first = first.map_or(0, |cursor| cursor.partition_index);
        let shown = partitions(view, topic, first, room);
        room -= shown.len();
        let next = usize::try_from(first).unwrap_or(0) + shown.len();
        response.topics.push(described(topic, shown));
        if next < topic.partitions.len() {
            response.next_cursor = Some(at(name, i32::try_from(next).unwrap_or(i32::MAX)));
            return response;
        }
    }
    response
}

fn at(topic: &str, partition_index: i32) -> Cursor {
    Cursor {
        topic_name: topic.to_owned(),
        partition_index,
    }
}

fn refused(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned()),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn described(
    topic: &Topic,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.name.is_internal(),
        partitions,
        topic_authorized_operations: ALL_ON_TOPIC,
    }
}

fn partitions(
    view: ClusterView<'_>,
    topic: &Topic,
    first: i32,
    room: usize,
) -> Vec<DescribeTopicPartitionsResponsePartition> {
    let rest = topic.iter().skip(usize::try_from(first).unwrap_or(0));
    rest.take(room)
        .map(|(index, state)| partition(view, index, state))
        .collect()
}

fn partition(
    view: ClusterView<'_>,
    partition_index: i32,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let leader_id = match view.leader(partition) {
        Leader::Here(leader) => leader.0,
        Leader::Nobody | Leader::OutOfReach => -1,
    };
    DescribeTopicPartitionsResponsePartition {
        // That nobody leads is no error here: this is what the asker wants to know.
        error_code: ErrorCode::None.code(),
        partition_index,
        leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: numbers(&partition.replicas),
        isr_nodes: numbers(&partition.isr),
        eligible_leader_replicas: Some(numbers(&partition.eligible)),
        last_known_elr: Some(numbers(&partition.last_known_eligible)),
        offline_replicas: view.offline(partition),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_metadata::{
        CreateTopics, MetadataImage, MetadataMachine, MetadataOptions, NewTopic, PastLife,
        RegisterBroker, Request,
    };
    use freshet_settings::StaticSettings;
    use freshet_types::{Machine, Millis, NodeId, Now, Ticket, Timestamp, TopicId};
    use freshet_wire::describe_topic_partitions::TopicRequest;

    use super::*;

    /// Topics a, b and c with 3, 1 and 2 partitions.
    fn image() -> MetadataImage {
        let mut machine =
            MetadataMachine::new(MetadataOptions::of(Arc::new(StaticSettings::default())));
        let broker = RegisterBroker {
            node: NodeId(1),
            incarnation: [1; 16],
            listeners: Vec::new(),
            rack: None,
            directories: Vec::new(),
            features: Vec::new(),
            past: PastLife::None,
        };
        let topic = |name: &str, partitions, id| NewTopic {
            name: name.to_owned(),
            id: TopicId([id; 16]),
            partitions,
            replication_factor: 1,
            ..NewTopic::default()
        };
        let topics = vec![topic("b", 1, 2), topic("c", 2, 3), topic("a", 3, 1)];
        let topics = CreateTopics {
            topics,
            validate_only: false,
        };
        let now = Now {
            monotonic: Millis(0),
            wall: Timestamp(0),
        };
        for request in [Request::from(broker), Request::from(topics)] {
            for record in machine.decide(now, Ticket(0), request).records {
                machine.apply(&record);
            }
        }
        machine.image().clone()
    }

    fn ask(names: &[&str], cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let named = |name: &&str| TopicRequest {
            name: (*name).to_owned(),
        };
        DescribeTopicPartitionsRequest {
            topics: names.iter().map(named).collect(),
            cursor: cursor.map(|(topic, partition)| at(topic, partition)),
            ..DescribeTopicPartitionsRequest::default()
        }
    }

    /// Topics with their error codes and partitions, and the next cursor.
    type Seen = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

    fn seen(request: &DescribeTopicPartitionsRequest, room: usize) -> Seen {
        let image = image();
        let view = ClusterView {
            image: &image,
            listener: "PLAINTEXT",
        };
        let page = page(view, request, room);
        let topic = |t: DescribeTopicPartitionsResponseTopic| {
            let numbers = t.partitions.iter().map(|p| p.partition_index).collect();
            (t.name.unwrap_or_default(), t.error_code, numbers)
        };
        let next = page.next_cursor.map(|c| (c.topic_name, c.partition_index));
        (page.topics.into_iter().map(topic).collect(), next)
    }

    fn whole(name: &str, numbers: &[i32]) -> (String, i16, Vec<i32>) {
        (name.to_owned(), 0, numbers.to_vec())
    }

    #[test]
    fn all_topics_come_in_the_order_of_their_names() {
        let all = vec![
            whole("a", &[0, 1, 2]),
            whole("b", &[0]),
            whole("c", &[0, 1]),
        ];
        assert_eq!(seen(&ask(&[], None), 2000), (all, None));
        let some = vec![whole("a", &[0, 1, 2]), whole("c", &[0, 1])];
        assert_eq!(seen(&ask(&["c", "a", "c"], None), 2000), (some, None));
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        for room in 1..8 {
            let (mut cursor, mut found) = (None::<(String, i32)>, Vec::new());
            loop {
                let from = cursor
                    .as_ref()
                    .map(|(topic, partition)| (topic.as_str(), *partition));
                let (topics, next) = seen(&ask(&[], from), room);
                let count: usize = topics.iter().map(|(_, _, numbers)| numbers.len()).sum();
                assert!((1..=room).contains(&count), "{count} on a page of {room}");
                found.extend(topics.into_iter().flat_map(|(name, _, numbers)| {
                    numbers
                        .into_iter()
                        .map(move |number| (name.clone(), number))
                }));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            let want = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1)];
            let want: Vec<_> = want.iter().map(|&(n, p)| (n.to_owned(), p)).collect();
            assert_eq!(found, want, "pages of {room}");
        }
    }

    #[test]
    fn a_cursor_at_a_topic_that_is_gone_goes_on_behind_it() {
        let rest = vec![whole("b", &[0]), whole("c", &[0, 1])];
        assert_eq!(seen(&ask(&[], Some(("aa", 7))), 2000), (rest, None));
        assert_eq!(seen(&ask(&[], Some(("z", 0))), 2000), (Vec::new(), None));
        let beyond = vec![whole("c", &[])];
        assert_eq!(seen(&ask(&[], Some(("c", 9))), 2000), (beyond, None));
    }

    #[test]
    fn what_is_wrong_is_said_topic_by_topic() {
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let illegal = ErrorCode::InvalidTopicException.code();
        let told = vec![
            ("a b".to_owned(), illegal, Vec::new()),
            whole("b", &[0]),
            ("zz".to_owned(), unknown, Vec::new()),
        ];
        assert_eq!(seen(&ask(&["zz", "b", "a b"], None), 2000), (told, None));
        let invalid = ErrorCode::InvalidRequest.code();
        let told = vec![("b".to_owned(), invalid, Vec::new())];
        assert_eq!(seen(&ask(&["b"], Some(("b", -1))), 2000), (told, None));
    }
}
