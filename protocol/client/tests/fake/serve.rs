//! Requests and their answers.

use bytes::Bytes;
use freshet_codec::{Message, Reader};
use freshet_wire::api_versions::ApiVersion;
use freshet_wire::fetch::{FetchableTopicResponse, PartitionData};
use freshet_wire::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use freshet_wire::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use freshet_wire::produce::{PartitionProduceResponse, TopicProduceResponse};
use freshet_wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Fake, State};

pub(super) async fn broker(fake: Fake, node: i32, listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(connection(fake.clone(), node, socket));
    }
}

async fn connection(fake: Fake, node: i32, mut socket: TcpStream) {
    while let Ok(len) = socket.read_i32().await {
        let mut frame = vec![0; len as usize];
        if socket.read_exact(&mut frame).await.is_err() {
            return;
        }
        let (header, reader) = RequestHeader::open(frame.into()).expect("our client wrote it");
        let Some(answer) = answer(&fake, node, &header, reader) else {
            return;
        };
        // Let other connections in between, as a network would.
        tokio::task::yield_now().await;
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The answer's frame; none breaks the connection.
fn answer(fake: &Fake, node: i32, header: &RequestHeader, mut r: Reader) -> Option<Bytes> {
    let mut state = fake.state();
    let key = ApiKey::from_code(header.request_api_key).expect("it is a key");
    match key {
        ApiKey::ApiVersions if header.request_api_version > 3 => {
            let mut response = versions();
            response.error_code = ErrorCode::UnsupportedVersion.code();
            let version_0 = RequestHeader {
                request_api_version: 0,
                ..header.clone()
            };
            Some(reply::<ApiVersionsRequest>(&version_0, &response))
        }
        ApiKey::ApiVersions => Some(reply::<ApiVersionsRequest>(header, &versions())),
        ApiKey::Metadata => Some(reply::<MetadataRequest>(header, &metadata(&state))),
        ApiKey::InitProducerId => {
            state.next_producer += 1;
            let response = InitProducerIdResponse {
                producer_id: state.next_producer,
                ..Default::default()
            };
            Some(reply::<InitProducerIdRequest>(header, &response))
        }
        ApiKey::Produce => {
            let request = ProduceRequest::decode(&mut r, header.request_api_version);
            let response = produce(&mut state, node, &request.expect("our client wrote it"))?;
            Some(reply::<ProduceRequest>(header, &response))
        }
        ApiKey::Fetch => {
            let request = FetchRequest::decode(&mut r, header.request_api_version);
            let response = fetch(&state, node, &request.expect("our client wrote it"));
            Some(reply::<FetchRequest>(header, &response))
        }
        ApiKey::ListOffsets => {
            let request = ListOffsetsRequest::decode(&mut r, header.request_api_version);
            let response = list_offsets(&state, &request.expect("our client wrote it"));
            Some(reply::<ListOffsetsRequest>(header, &response))
        }
        other => panic!("{other} is not served here"),
    }
}

fn reply<R: Request>(header: &RequestHeader, response: &R::Response) -> Bytes {
    let answer = ResponseHeader {
        correlation_id: header.correlation_id,
    };
    let frame = encode_response::<R>(&answer, response, header.request_api_version);
    frame.expect("the response fits").into_bytes()
}

/// ApiVersions only up to 3, so that every connection goes the long way of KIP-511.
fn versions() -> ApiVersionsResponse {
    let range = |key: ApiKey, min_version, max_version| ApiVersion {
        api_key: key.code(),
        min_version,
        max_version,
    };
    ApiVersionsResponse {
        api_keys: vec![
            range(ApiKey::ApiVersions, 0, 3),
            range(ApiKey::Metadata, 0, 12),
            range(ApiKey::Produce, 3, 13),
            range(ApiKey::Fetch, 4, 17),
            range(ApiKey::ListOffsets, 1, 8),
            range(ApiKey::InitProducerId, 0, 4),
        ],
        ..Default::default()
    }
}

fn metadata(state: &State) -> MetadataResponse {
    let broker = |(id, address): (usize, &String)| {
        let (host, port) = address.rsplit_once(':').expect("it has a port");
        MetadataResponseBroker {
            node_id: id as i32,
            host: host.to_owned(),
            port: port.parse().expect("it is a number"),
            rack: None,
        }
    };
    let partition =
        |(index, (leader, epoch, _)): (&i32, &(i32, i32, super::Log))| MetadataResponsePartition {
            partition_index: *index,
            leader_id: *leader,
            leader_epoch: *epoch,
            ..Default::default()
        };
    MetadataResponse {
        brokers: state.addresses.iter().enumerate().map(broker).collect(),
        controller_id: 0,
        topics: vec![MetadataResponseTopic {
            name: Some("t".to_owned()),
            topic_id: state.topic_id,
            partitions: state.partitions.iter().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Nothing when the connection breaks.
fn produce(state: &mut State, node: i32, request: &ProduceRequest) -> Option<ProduceResponse> {
    let faults = state.faults;
    if state.strikes(faults.break_before) {
        return None;
    }
    let mut response = ProduceResponse::default();
    for topic in &request.topic_data {
        assert_eq!(
            topic.topic_id, state.topic_id,
            "version 13 names topics by id"
        );
        let mut answers = Vec::new();
        for data in &topic.partition_data {
            let written = write(
                state,
                node,
                data.index,
                data.records.as_ref().expect("records"),
            );
            answers.push(PartitionProduceResponse {
                index: data.index,
                error_code: written.err().map_or(0, ErrorCode::code),
                base_offset: written.unwrap_or(-1),
                ..Default::default()
            });
        }
        response.responses.push(TopicProduceResponse {
            topic_id: topic.topic_id,
            partition_responses: answers,
            ..Default::default()
        });
    }
    (!state.strikes(faults.break_after)).then_some(response)
}

fn write(state: &mut State, node: i32, index: i32, records: &Bytes) -> Result<i64, ErrorCode> {
    let faults = state.faults;
    let brokers = state.addresses.len() as i32;
    if state.strikes(faults.refuse) {
        return Err(ErrorCode::NotEnoughReplicas);
    }
    let moves = state.strikes(faults.move_leader);
    let forgets = state.strikes(faults.forget);
    let (leader, epoch, log) = state.partitions.get_mut(&index).expect("it is there");
    if *leader == node && moves {
        *leader = (*leader + 1) % brokers;
        *epoch += 1;
    }
    if *leader != node {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    let producer = freshet_records::BatchHeader::parse(records)
        .expect("a batch")
        .producer_id;
    if forgets && log.forget(producer) {
        return Err(ErrorCode::UnknownProducerId);
    }
    log.append(records)
}

fn fetch(state: &State, node: i32, request: &FetchRequest) -> FetchResponse {
    let mut response = FetchResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let (leader, _, log) = &state.partitions[&asked.partition];
            let read = match *leader == node {
                true => log.read(asked.fetch_offset),
                false => Err(ErrorCode::NotLeaderOrFollower),
            };
            partitions.push(PartitionData {
                partition_index: asked.partition,
                error_code: read.as_ref().err().map_or(0, |e| e.code()),
                high_watermark: log.end(),
                records: read.unwrap_or_default().into(),
                ..Default::default()
            });
        }
        response.responses.push(FetchableTopicResponse {
            topic_id: topic.topic_id,
            partitions,
            ..Default::default()
        });
    }
    response
}

fn list_offsets(state: &State, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let mut response = ListOffsetsResponse::default();
    for topic in &request.topics {
        let partition = |asked: &freshet_wire::list_offsets::ListOffsetsPartition| {
            let end = state.partitions[&asked.partition_index].2.end();
            let is_unknown = state.faults.unknown == Some(asked.partition_index);
            let told = if is_unknown {
                ErrorCode::OffsetNotAvailable
            } else {
                ErrorCode::None
            };
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                error_code: told.code(),
                offset: if asked.timestamp == freshet_wire::list_offsets::LATEST {
                    end
                } else {
                    0
                },
                ..Default::default()
            }
        };
        response.topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(partition).collect(),
        });
    }
    response
}
