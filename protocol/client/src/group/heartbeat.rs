//! Staying alive in a group, and hearing about rebalances.

use std::sync::Arc;
use std::time::Duration;

use freshet_wire::{ErrorCode, HeartbeatRequest, HeartbeatResponse};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::{Call, Lane, Route};
use crate::{Client, ClientError};

/// What a member has to do.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    /// Go on reading.
    Stable,
    /// Join the next generation.
    Rejoin,
    /// Join as a new member: the group has gone on without this one.
    Lost,
    /// Stop.
    Fatal(ClientError),
}

impl Signal {
    /// What an error from the coordinator means for a member.
    pub(super) fn of(error: &ClientError) -> Option<Self> {
        match error.code()? {
            ErrorCode::RebalanceInProgress => Some(Self::Rejoin),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => Some(Self::Lost),
            ErrorCode::FencedInstanceId => Some(Self::Fatal(error.clone())),
            _ => None,
        }
    }
}

/// Beats until it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat(AbortHandle);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who beats.
#[derive(Debug)]
pub(super) struct Beating {
    pub(super) client: Client,
    pub(super) lane: Arc<Lane>,
    pub(super) request: HeartbeatRequest,
    pub(super) every: Duration,
    pub(super) signal: watch::Sender<Signal>,
}

impl Heartbeat {
    pub(super) fn start(beating: Beating) -> Self {
        Self(tokio::spawn(beat(beating)).abort_handle())
    }
}

async fn beat(beating: Beating) {
    let mut ticks = interval(beating.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and SyncGroup has just shown that the member lives.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let group = &beating.request.group_id;
        let route = Route {
            lane: &beating.lane,
            group,
            call: Call::default(),
        };
        let refused = |r: &HeartbeatResponse| r.error_code;
        let beaten = beating
            .client
            .call_group(route, &beating.request, refused)
            .await;
        let checked = beaten.and_then(|response| {
            ClientError::check(response.error_code, None, || {
                format!("a heartbeat for {group:?}")
            })
        });
        let Err(error) = checked else { continue };
        tracing::debug!(%error, group, "heartbeat");
        if let Some(signal) = Signal::of(&error) {
            // Nobody listens when the member is gone.
            let _ = beating.signal.send(signal);
            return;
        }
        if error.retry() == freshet_types::Retry::Never && error.code().is_some() {
            let _ = beating.signal.send(Signal::Fatal(error));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(code: ErrorCode) -> Option<Signal> {
        Signal::of(&ClientError::Refused {
            what: String::new(),
            code,
            message: None,
        })
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(matches!(
            signal(ErrorCode::RebalanceInProgress),
            Some(Signal::Rejoin)
        ));
        assert!(matches!(
            signal(ErrorCode::UnknownMemberId),
            Some(Signal::Lost)
        ));
        assert!(matches!(
            signal(ErrorCode::IllegalGeneration),
            Some(Signal::Lost)
        ));
        assert!(matches!(
            signal(ErrorCode::FencedInstanceId),
            Some(Signal::Fatal(_))
        ));
        assert!(signal(ErrorCode::NotCoordinator).is_none());
    }
}
