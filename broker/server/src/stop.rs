//! The broker's one stop signal.

use tokio::sync::watch;

/// Told to every part that waits: connections, long polls, listeners.
#[derive(Debug, Clone)]
pub struct Stop {
    receiver: watch::Receiver<bool>,
}

/// Pulls the signal; also when dropped.
#[derive(Debug)]
pub struct Stopper {
    sender: watch::Sender<bool>,
}

impl Stop {
    /// A signal that has not been given yet.
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper { sender }, Self { receiver })
    }

    /// Waits for the signal.
    pub async fn stopped(&self) {
        let mut receiver = self.receiver.clone();
        // An error means that the stopper is gone, which is a stop too.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }

    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        *self.receiver.borrow() || self.receiver.has_changed().is_err()
    }
}

impl Stopper {
    /// Gives the signal.
    pub fn stop(&self) {
        self.sender.send_replace(true);
    }
}
