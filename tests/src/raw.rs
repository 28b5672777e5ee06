//! A bare connection that sends exactly what a test wants, well-formed or not.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use freshet_records::{BatchBuilder, Codec, NO_PRODUCER, NewRecord, Producer};
use freshet_types::{Timestamp, TopicId};
use freshet_wire::{
    CreateTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest,
};
use freshet_wire::{Request, RequestHeader, decode_response, encode_request};
use freshet_wire::{
    create_topics, fetch, incremental_alter_configs, list_offsets, metadata, produce,
};

const LIMIT: Duration = Duration::from_secs(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// What is done to a setting.
const SET: i8 = 0;

/// One connection to a broker.
pub struct Raw {
    stream: TcpStream,
    last_id: i32,
}

impl Raw {
    /// The settings of a topic, see [`Raw::set_config`].
    pub const TOPIC: i8 = 2;
    /// The settings of a broker.
    pub const BROKER: i8 = 4;

    /// As a timestamp to ListOffsets: the end.
    pub const LATEST: i64 = -1;
    /// The first offset.
    pub const EARLIEST: i64 = -2;
    /// The record with the largest time.
    pub const NEWEST: i64 = -3;
    /// The first offset on the disk (KIP-405).
    pub const EARLIEST_LOCAL: i64 = -4;
    /// The last offset in object storage (KIP-1005).
    pub const LATEST_TIERED: i64 = -5;
    /// The first offset that is not there (KIP-1023).
    pub const PENDING_UPLOAD: i64 = -6;

    /// Connects to `host:port`.
    pub fn connect(address: &str) -> Result<Self> {
        let address = address.to_socket_addrs()?.next().context("no address")?;
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, last_id: 0 })
    }

    /// The same, and every answer is waited for so long only.
    pub(crate) fn impatient(address: &str, limit: Duration) -> Result<Self> {
        let raw = Self::connect(address)?;
        raw.stream.set_read_timeout(Some(limit))?;
        Ok(raw)
    }

    /// The connection itself.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends a request and gives its correlation id.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32> {
        self.last_id += 1;
        let header = RequestHeader::of::<R>(version, self.last_id, Some("raw"));
        self.bytes(&encode_request(&header, request)?.into_bytes())?;
        Ok(self.last_id)
    }

    /// Sends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("sending")
    }

    /// Receives the next frame, without its length; `None` when the broker has closed.
    pub fn frame(&mut self) -> Result<Option<Bytes>> {
        let mut prefix = [0; 4];
        match self.stream.read_exact(&mut prefix) {
            Ok(()) => {}
            Err(why)
                if matches!(
                    why.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(None);
            }
            Err(why) => return Err(why).context("receiving"),
        }
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(prefix))?];
        self.stream.read_exact(&mut body)?;
        Ok(Some(body.into()))
    }

    /// Receives the response to the request with this correlation id; it must be the next one.
    pub fn receive<R: Request>(&mut self, version: i16, id: i32) -> Result<R::Response> {
        let Some(frame) = self.frame()? else {
            bail!("the broker closed the connection")
        };
        let (header, response) = decode_response::<R>(frame, version)?;
        ensure!(
            header.correlation_id == id,
            "{} came before {id}",
            header.correlation_id
        );
        Ok(response)
    }

    /// Sends a request and receives its response.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        let id = self.send(version, request)?;
        self.receive::<R>(version, id)
    }

    /// The same in the latest version of the request.
    pub fn latest<R: Request>(&mut self, request: &R) -> Result<R::Response> {
        self.call(*R::VERSIONS.end(), request)
    }

    /// Creates a topic of one partition and waits until it has a leader.
    pub fn create_topic(&mut self, topic: &str, configs: &[(&str, &str)]) -> Result<()> {
        self.create_topic_of(1, topic, configs)
    }

    /// The same of so many partitions; the first has a leader then.
    pub fn create_topic_of(
        &mut self,
        partitions: i32,
        topic: &str,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let config = |(name, value): &(&str, &str)| create_topics::CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let wanted = create_topics::CreatableTopic {
            name: topic.to_owned(),
            num_partitions: partitions,
            replication_factor: -1,
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![wanted],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let told = self.latest(&request)?;
        ensure!(told.topics[0].error_code == 0, "creating {topic}: {told:?}");
        // Kafka's metadata may be a moment behind.
        for _ in 0..100 {
            if self.offset_at(topic, -1)?.0 == 0 {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("{topic} never had a leader")
    }

    /// Changes a setting of what has one; gives the error code and what is said of it.
    pub fn set_config(
        &mut self,
        (resource_type, resource): (i8, &str),
        name: &str,
        value: &str,
    ) -> Result<(i16, String)> {
        let change = incremental_alter_configs::AlterableConfig {
            name: name.to_owned(),
            config_operation: SET,
            value: Some(value.to_owned()),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type,
            resource_name: resource.to_owned(),
            configs: vec![change],
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource],
            validate_only: false,
        };
        let mut told = self.latest(&request)?;
        let told = told.responses.pop().context("one resource")?;
        Ok((told.error_code, told.error_message.unwrap_or_default()))
    }

    /// Produces bytes to partition 0 of a topic with acks=all: version 12 names topics by name.
    pub fn produce(
        &mut self,
        topic: &str,
        records: Bytes,
    ) -> Result<produce::PartitionProduceResponse> {
        let request = produce_request(topic, records, -1);
        let mut response = self.call(12, &request)?;
        let mut partitions = response
            .responses
            .pop()
            .context("one topic")?
            .partition_responses;
        partitions.pop().context("one partition")
    }

    /// Fetches partition 0 of a topic from an offset, with a limit on its bytes.
    pub fn fetch(
        &mut self,
        topic: &str,
        from: i64,
        max_bytes: i32,
    ) -> Result<fetch::PartitionData> {
        let request = fetch_request(topic, from, max_bytes);
        let mut response = self.call(12, &request)?;
        let mut partitions = response.responses.pop().context("one topic")?.partitions;
        partitions.pop().context("one partition")
    }

    /// The id of a topic.
    pub fn topic_id(&mut self, topic: &str) -> Result<TopicId> {
        let wanted = metadata::MetadataRequestTopic {
            name: Some(topic.to_owned()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: Some(vec![wanted]),
            ..Default::default()
        };
        let told = self.latest(&request)?;
        Ok(told.topics.first().context("one topic")?.topic_id)
    }

    /// Asks partition 0 of a topic for an offset by time.
    pub fn offset_at(&mut self, topic: &str, timestamp: i64) -> Result<(i16, i64, i64)> {
        self.offset_of((topic, 0), timestamp)
    }

    /// Asks a partition's leader for an offset by time, or by one of the numbers below 0 that name one;
    /// gives the error code, the timestamp and the offset.
    pub fn offset_of(
        &mut self,
        (topic, partition): (&str, i32),
        timestamp: i64,
    ) -> Result<(i16, i64, i64)> {
        let partition = list_offsets::ListOffsetsPartition {
            partition_index: partition,
            timestamp,
            ..Default::default()
        };
        let topic = list_offsets::ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let mut response = self.latest(&request)?;
        let mut partitions = response.topics.pop().context("one topic")?.partitions;
        let told = partitions.pop().context("one partition")?;
        Ok((told.error_code, told.timestamp, told.offset))
    }
}

/// A request that produces bytes to partition 0.
pub fn produce_request(topic: &str, records: Bytes, acks: i16) -> ProduceRequest {
    let partition = produce::PartitionProduceData {
        index: 0,
        records: Some(records),
    };
    let topic = produce::TopicProduceData {
        name: topic.to_owned(),
        partition_data: vec![partition],
        ..Default::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

/// A request that fetches partition 0 without a session and without waiting.
pub fn fetch_request(topic: &str, from: i64, max_bytes: i32) -> FetchRequest {
    let partition = fetch::FetchPartition {
        fetch_offset: from,
        partition_max_bytes: max_bytes,
        ..Default::default()
    };
    let topic = fetch::FetchTopic {
        topic: topic.to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest {
        max_bytes,
        topics: vec![topic],
        ..Default::default()
    }
}

/// Now, as records carry it.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A batch of these values, each `(timestamp, value)`.
pub fn batch(codec: Codec, producer: Producer, records: &[(i64, &[u8])]) -> Result<Bytes> {
    let mut builder = BatchBuilder::new(codec).producer(producer);
    for (timestamp, value) in records {
        let timestamp = Timestamp(*timestamp);
        builder.push(&NewRecord {
            timestamp,
            value: Some(value),
            ..Default::default()
        })?;
    }
    Ok(builder.finish()?.bytes().clone())
}

/// A batch of records whose keys are these numbers.
pub(crate) fn batch_of_keys(timestamp: i64, numbers: std::ops::Range<u64>) -> Result<Bytes> {
    let mut builder = BatchBuilder::new(Codec::None).producer(NO_PRODUCER);
    for number in numbers {
        let key = number.to_string();
        builder.push(&NewRecord {
            timestamp: Timestamp(timestamp),
            key: Some(key.as_bytes()),
            value: Some(b"value"),
            ..Default::default()
        })?;
    }
    Ok(builder.finish()?.bytes().clone())
}
