//! One worker for each broker: writes requests in order, and hands their answers back.

use std::sync::Arc;
use std::time::Duration;

use freshet_types::NodeId;
use freshet_wire::{ProduceRequest, ProduceResponse};
use tokio::sync::mpsc;

use super::Acks;
use super::request::Sent;
use crate::cluster::Lane;
use crate::{Client, ClientError};

/// Added to the time the broker has, for the way there and back.
const GRACE: Duration = Duration::from_secs(2);

/// A request to be sent.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: ProduceRequest,
    pub(super) cap: i16,
    pub(super) sent: Vec<Sent>,
}

/// A request that has come back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) node: NodeId,
    pub(super) sent: Vec<Sent>,
    /// No response with acks=0.
    pub(super) response: Result<Option<ProduceResponse>, ClientError>,
}

/// What a worker needs.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) lane: Arc<Lane>,
    pub(super) node: NodeId,
    pub(super) acks: Acks,
    pub(super) answers: mpsc::Sender<Answer>,
}

impl Worker {
    /// Runs until there are no more jobs to come.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            self.send(job).await;
        }
    }

    async fn send(&self, job: Job) {
        let connection = match self.client.connection(&self.lane, self.node).await {
            Ok(connection) => connection,
            Err(error) => return self.answer(job.sent, Err(error)).await,
        };
        if self.acks == Acks::None {
            let told = connection.tell(&job.request, job.cap).await;
            return self.answer(job.sent, told.map(|()| None)).await;
        }
        match connection.begin(&job.request, job.cap, GRACE).await {
            Ok(pending) => {
                let worker = self.clone();
                tokio::spawn(async move {
                    let response = pending.finish().await;
                    worker.answer(job.sent, response.map(Some)).await;
                });
            }
            Err(error) => self.answer(job.sent, Err(error)).await,
        }
    }

    async fn answer(
        &self,
        sent: Vec<Sent>,
        response: Result<Option<ProduceResponse>, ClientError>,
    ) {
        // Nobody listens any more once the producer is closed; it has failed its batches itself.
        let _ = self
            .answers
            .send(Answer {
                node: self.node,
                sent,
                response,
            })
            .await;
    }
}
