//! Conditions, the same shape for every kind.

/// Whether the object is as it was asked to be, and serves.
pub const READY: &str = "Ready";

/// The types of conditions that the operator writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// As asked, and serving. Whoever waits for an object waits for this one.
    Ready,
    /// The spec can be carried out. False says what is wrong with it; nothing is done meanwhile.
    Valid,
    /// Something is under way: pods are made, restarted or taken away, replicas move. Tools that
    /// wait for an object (`kstatus`, Helm 4) know this name.
    Progressing,
    /// All is as asked, and still a person should look: the message says at what.
    Warning,
    /// The operator leaves the object alone because it was told to.
    Paused,
}

impl ConditionType {
    /// The name in the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => READY,
            Self::Valid => "Valid",
            Self::Progressing => "Reconciling",
            Self::Warning => "Warning",
            Self::Paused => "Paused",
        }
    }
}
