//! Who gathers the questions about one cluster.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use freshet_client::ClientError;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::batch::{Ask, Batch};
use super::{Actors, Brokers};
use crate::clusters::Way;

/// How long the first question waits for others.
pub(super) const LINGER: Duration = Duration::from_millis(15);
/// Questions in one batch.
pub(super) const MOST: usize = 500;
/// How long an actor stays that nobody asks anything. Longer than the pause between two looks at all
/// topics, so that connections are not made anew for each round.
pub(super) const IDLE: Duration = Duration::from_secs(300);
/// After a cluster has not answered, whoever asks within this gets the same answer; each time that it
/// does not, twice as long.
pub(super) const AWAY: Duration = Duration::from_secs(1);
/// And so long at most.
const AWAY_MOST: Duration = Duration::from_secs(10);

/// A cluster that has not answered.
struct Away {
    error: ClientError,
    pause: Duration,
    until: Instant,
}

impl Away {
    fn new(before: Option<Self>, error: ClientError) -> Self {
        let pause = before.map_or(AWAY, |away| AWAY_MOST.min(away.pause * 2));
        Self {
            error,
            pause,
            until: Instant::now() + pause,
        }
    }
}

/// Gathers the questions about one cluster.
pub(super) struct Actor {
    pub(super) brokers: Arc<dyn Brokers>,
    pub(super) way: Way,
    pub(super) actors: Actors,
    pub(super) queue: mpsc::Receiver<Ask>,
}

impl Actor {
    /// Works until nobody has asked anything for long.
    pub(super) async fn run(mut self) {
        let mut kept = None;
        let mut away: Option<Away> = None;
        loop {
            let first = match kept.take() {
                Some(ask) => ask,
                None => match timeout(IDLE, self.queue.recv()).await {
                    Ok(Some(ask)) => ask,
                    Err(_) if !self.retire() => continue,
                    Ok(None) | Err(_) => break,
                },
            };
            if let Some(away) = &away
                && Instant::now() < away.until
            {
                first.fail(away.error.clone());
                continue;
            }
            let (batch, next) = self.gather(first).await;
            kept = next;
            let brokers = Arc::clone(&self.brokers);
            let asking = batch.ask(&*brokers);
            let asked = match &away {
                None => asking.await,
                Some(away) => self.turn_away(asking, &away.error).await,
            };
            away = asked.err().map(|error| Away::new(away.take(), error));
        }
        self.brokers.rest();
    }

    /// Whoever comes while a cluster that was away is tried again does not wait for it: reconciles of
    /// other clusters need the room.
    async fn turn_away<T>(&mut self, asking: impl Future<Output = T>, error: &ClientError) -> T {
        let mut asking = pin!(asking);
        loop {
            tokio::select! {
                asked = &mut asking => return asked,
                Some(ask) = self.queue.recv() => ask.fail(error.clone()),
            }
        }
    }

    /// What is asked now, and a question that has to wait for the next time.
    async fn gather(&mut self, first: Ask) -> (Batch, Option<Ask>) {
        let mut batch = Batch::default();
        let mut kept = batch.add(first);
        let until = Instant::now() + LINGER;
        while kept.is_none() && batch.count() < MOST {
            match timeout_at(until, self.queue.recv()).await {
                Ok(Some(ask)) => kept = batch.add(ask),
                Ok(None) | Err(_) => break,
            }
        }
        (batch, kept)
    }

    /// Goes away, unless somebody has asked something meanwhile.
    fn retire(&mut self) -> bool {
        let mut actors = self.actors.lock();
        if !self.queue.is_empty() {
            return false;
        }
        // Who holds this sender still finds it closed, and comes to the next actor.
        actors.remove(&self.way);
        self.queue.close();
        self.queue.is_empty()
    }
}
