//! Questions about manifests, from the leader of a partition to the broker that keeps its manifest.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use freshet_metadata::{
    Ask as _, CreateTopics, MetadataError, MetadataImage, MetadataMachine, NewTopic,
};
use freshet_partition::{MANIFESTS_TOPIC, ManifestDoor, ManifestKeeper, ManifestWait, Unanswered};
use freshet_quorum::Quorum;
use freshet_tier::{Request, Said, said_from_bytes, said_to_bytes, shard_of};
use freshet_types::{NodeId, PartitionId};
use freshet_wire::PeerRequest;
use tokio::time::{Instant, timeout};

use super::kind;
use super::relay::Relay;

/// How long an answer is looked for. A shard has moved to another broker within two seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one broker may take: an append on all replicas in sync.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// What the keeper's broker says.
mod answer {
    /// What the machine says comes behind.
    pub(super) const SAID: u8 = 0;
    /// It has not said anything; the reason comes behind.
    pub(super) const NOTHING: u8 = 1;
}

/// What a desk works with.
pub struct ManifestDeskParts {
    /// This broker.
    pub me: NodeId,
    /// What is kept here.
    pub keeper: Arc<dyn ManifestKeeper>,
    /// The way to the others; `None` for a broker that is alone.
    pub relay: Option<Arc<Relay>>,
    /// Who leads what.
    pub quorum: Arc<dyn Quorum<MetadataMachine>>,
    /// The topic, should there be none yet.
    pub topic: Box<dyn Fn() -> NewTopic + Send + Sync>,
}

/// Brings questions to whoever keeps a manifest.
pub struct ManifestDesk(ManifestDeskParts);

impl ManifestDesk {
    /// Of this broker.
    pub fn new(parts: ManifestDeskParts) -> Self {
        Self(parts)
    }

    async fn find_out(&self, request: Request) -> Result<Said, Unanswered> {
        let until = Instant::now() + PATIENCE;
        let mut image = self.0.quorum.watch();
        loop {
            let seen = Arc::clone(&image.borrow_and_update());
            let why = match self.ask_once(&seen, &request).await {
                Ok(said) => return Ok(said),
                Err(why) => why,
            };
            if Instant::now() >= until {
                return Err(Unanswered { why });
            }
            tracing::debug!(partition = %request.partition, why, "no answer about a manifest yet");
            // Another leader is news; all else is tried again.
            let _ = timeout(PAUSE, image.changed()).await;
        }
    }

    async fn ask_once(&self, image: &MetadataImage, request: &Request) -> Result<Said, String> {
        let Some(topic) = image.topic(MANIFESTS_TOPIC) else {
            return Err(self.create().await);
        };
        let shards = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let shard = shard_of(request.partition, shards);
        let leader = topic.partition(shard).and_then(|state| state.leader);
        match leader {
            Some(node) if node == self.0.me => {
                let said = self.0.keeper.answer(shard, request.clone());
                let said = timeout(ANSWER, said).await;
                let said = said.map_err(|_| "the log of the shard is slow".to_owned())?;
                said.map_err(|error| error.to_string())
            }
            Some(node) => self.ask_other(node, shard, request).await,
            None => Err(format!("{MANIFESTS_TOPIC}-{shard} has no leader")),
        }
    }

    async fn ask_other(
        &self,
        node: NodeId,
        shard: PartitionId,
        request: &Request,
    ) -> Result<Said, String> {
        let relay = self.0.relay.as_ref();
        let relay = relay.ok_or_else(|| format!("{node} leads, and is nobody"))?;
        let mut body = BytesMut::new();
        body.put_i32(shard);
        body.put_slice(&request.to_bytes());
        let request = PeerRequest {
            kind: kind::MANIFEST,
            body: body.freeze().into(),
        };
        let response = relay.ask(node, &request, ANSWER).await;
        let response = response.map_err(|unsaid| format!("{node}: {unsaid}"))?;
        if !response.taken {
            return Err(format!("{node} is not ready"));
        }
        read(&response.body.into_bytes()).map_err(|why| format!("{node}: {why}"))
    }

    /// Makes the topic; says how that went.
    async fn create(&self) -> String {
        let request = CreateTopics {
            topics: vec![(self.0.topic)()],
            validate_only: false,
        };
        let made = self.0.quorum.propose(request.into()).await;
        let made = made.map(CreateTopics::answer);
        match made {
            Ok(outcomes) => match outcomes.into_iter().next() {
                Some(Err(error)) if !matches!(error, MetadataError::TopicExists { .. }) => {
                    format!("{MANIFESTS_TOPIC} cannot be made: {error}")
                }
                _ => format!("{MANIFESTS_TOPIC} has just been made"),
            },
            Err(error) => format!("{MANIFESTS_TOPIC} cannot be made: {error}"),
        }
    }
}

impl ManifestDoor for ManifestDesk {
    fn ask(&self, request: Request) -> ManifestWait<'_, Unanswered> {
        Box::pin(self.find_out(request))
    }
}

fn read(mut body: &[u8]) -> Result<Said, String> {
    match body.try_get_u8() {
        Ok(answer::SAID) => said_from_bytes(body).map_err(|error| error.to_string()),
        Ok(answer::NOTHING) => Err(String::from_utf8_lossy(body).into_owned()),
        _ => Err("an answer that this broker does not know".to_owned()),
    }
}

/// Answers another broker's question; `None` if it is none.
pub(super) async fn answer(keeper: &dyn ManifestKeeper, body: &[u8]) -> Option<Bytes> {
    let mut body = body;
    let shard = body.try_get_i32().ok()?;
    let request = Request::from_bytes(body);
    let told = |error: &_| tracing::warn!(%error, "a question about a manifest that is none");
    let request = request.inspect_err(told).ok()?;
    let mut answer = Vec::new();
    match keeper.answer(shard, request).await {
        Ok(said) => {
            answer.push(answer::SAID);
            answer.extend(said_to_bytes(&said));
        }
        Err(error) => {
            answer.push(answer::NOTHING);
            answer.extend(error.to_string().into_bytes());
        }
    }
    Some(answer.into())
}
