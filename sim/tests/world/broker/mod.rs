//! A broker's process: the real brains, and bodies around them that do what the real bodies do.

mod damage;
mod follow;
mod lead;
mod life;
mod produce;
mod read;
mod relay;
mod replica;

use std::collections::{BTreeMap, BTreeSet};

use freshet_metadata::{PastLife, Reply};
use freshet_partition::replication::IsrChange;
use freshet_peers::lifecycle::Course;
use freshet_types::{Millis, ProducerId, TopicPartition};

use crate::groups::Coordinator;
use crate::network::Host;
pub(crate) use life::life_of;
use relay::{Ask, For};
pub(crate) use replica::{Replica, Stand, Waiting, topic_rules};

/// See the module. It is in memory only.
pub(crate) struct Process {
    pub(crate) incarnation: [u8; 16],
    /// What the disk said when this process opened it.
    past: PastLife,
    pub(crate) course: Course,
    /// What the course waits for, if it does.
    awaiting: Option<u64>,
    /// When the course wants to be woken.
    heart_at: u64,
    /// Its epoch is on the disk.
    recorded: bool,
    /// The logs are open, and follow the images.
    opened: bool,
    /// How much of the agreed log the partitions follow.
    pub(crate) applied: usize,
    applying: bool,
    asks: BTreeMap<u64, Ask>,
    held: Vec<(Millis, usize, For, Reply)>,
    pub(crate) replicas: BTreeMap<TopicPartition, Replica>,
    proposals: BTreeMap<TopicPartition, IsrChange>,
    proposing: Option<Vec<(TopicPartition, IsrChange)>>,
    /// Where partitions of groups are led.
    pub(crate) coordinators: BTreeMap<TopicPartition, Coordinator>,
    /// The last question of each connection with a member.
    pub(crate) heard: BTreeMap<Host, u64>,
    /// Copies that were found damaged, and those that have begun anew since.
    pub(crate) damaged: BTreeSet<TopicPartition>,
    renewed: BTreeSet<TopicPartition>,
    /// It stops.
    pub(crate) ends: bool,
    /// Producer ids to hand out.
    ids: std::ops::Range<ProducerId>,
    ids_wanted: Vec<(Host, u64)>,
}
