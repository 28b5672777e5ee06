//! Lives that are staged: what takes so many coincidences that no storm has met it. The rest of the
//! world goes on as ever, so a scene shows that a rule is needed, and that the cluster lives with it.

use freshet_metadata::{
    self as metadata, AlterPartitions, ElectLeaders, PartitionName, Reassign, Reassignment, Reply,
    Request,
};
use freshet_partition::replication;
use freshet_sim::Throws;
use freshet_types::{Offset, TopicPartition};

use crate::faults::Climate;
use crate::message::Message;
use crate::network::Host;
use crate::rules::{Duty, Rule};
use crate::world::{Trap, World, host_of, node_id};

/// The leader, and who follows it: none of them is a controller.
const LEADER: Host = 3;
const STEADY: Host = 4;
const FOLLOWER: Host = 5;
/// How a scene says that it did not come about; that is no broken promise.
const UNSTAGED: &str = "not staged";

/// What is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// The answer to a proposal is lost, and the proposal is refused when it comes again; before the
    /// leader follows the image, who has joined falls behind.
    TakenAndRefused,
    /// A proposal comes when its joiner has died and come back with an old copy of its disk.
    ProposedOfTheDead,
    /// A replica that lost its disk joins while another one holds back what is committed; then a
    /// fetch comes that the process before it had sent.
    FetchOfTheDead,
    /// A replica comes back with all records, those included that were deleted meanwhile, and hears
    /// nothing of its leader before all others die.
    JoinedWithTheDeleted,
    /// A process of a leader starts and registers, and sees for seconds no newer image than the
    /// process before it.
    OldImage,
    /// A registration comes again when its process is dead, and so is its successor's session.
    RegisteredByTheDead,
    /// Who has deleted records is eligible while somebody leads who was elected without them, and
    /// leads again.
    DeletedAndEligible,
    /// Records are deleted while a leader has not heard that the last one beside it has left the set
    /// in sync with them; that one leads next.
    DeletedInSync,
    /// A proposal is refused, since its joiner is fenced, and goes on without it; when it is back, a
    /// copy of the proposal comes.
    CopyOfTheRefused,
    /// A damaged copy begins anew; then a fetch comes that its process had sent when it was whole.
    FetchOfTheDamaged,
}

impl Scene {
    pub(crate) const ALL: [Self; 10] = [
        Self::TakenAndRefused,
        Self::ProposedOfTheDead,
        Self::FetchOfTheDead,
        Self::JoinedWithTheDeleted,
        Self::OldImage,
        Self::RegisteredByTheDead,
        Self::DeletedAndEligible,
        Self::DeletedInSync,
        Self::FetchOfTheDamaged,
        Self::CopyOfTheRefused,
    ];

    /// The rule that it is about, and the promise that is broken without it.
    pub(crate) fn shows(self) -> (Rule, &'static str) {
        match self {
            Self::TakenAndRefused => (Rule::Replica(replication::Guard::StaleIsOpen), "I1"),
            Self::ProposedOfTheDead => (Rule::Controller(metadata::Guard::MemberEpochs), "I1"),
            Self::FetchOfTheDead => (Rule::Replica(replication::Guard::OldBroker), "I1"),
            Self::JoinedWithTheDeleted => {
                let guard = replication::Guard::JoinersHaveDeleted;
                (Rule::Replica(guard), "T2")
            }
            Self::OldImage => (Rule::Body(Duty::OwnRegistration), "E1"),
            Self::RegisteredByTheDead => (Rule::Controller(metadata::Guard::ReplacedStayOut), "B1"),
            Self::DeletedAndEligible => (Rule::Replica(replication::Guard::RestartAtStart), "I6"),
            Self::FetchOfTheDamaged => {
                let guard = metadata::Guard::NewCopyNewEpoch;
                (Rule::Controller(guard), "I1")
            }
            Self::CopyOfTheRefused => (Rule::Controller(metadata::Guard::RefusedAreOver), "I1"),
            Self::DeletedInSync => (Rule::Replica(replication::Guard::DeletedInSync), "T2"),
        }
    }

    fn lag_ms(self) -> u64 {
        match self {
            Self::TakenAndRefused => 150,
            Self::FetchOfTheDead => 10_000,
            Self::ProposedOfTheDead
            | Self::JoinedWithTheDeleted
            | Self::OldImage
            | Self::RegisteredByTheDead
            | Self::DeletedAndEligible
            | Self::DeletedInSync
            | Self::CopyOfTheRefused
            | Self::FetchOfTheDamaged => 600,
        }
    }
}

/// Stages a scene; gives what was broken by it.
pub(crate) fn stage(scene: Scene, seed: u64, without: Option<Rule>) -> Result<(), String> {
    let climate = Climate::staged(scene.lag_ms());
    let traced = std::env::var("FRESHET_SEED").is_ok();
    let mut world = World::of(seed, (Throws::new(seed), climate), without, traced);
    let outcome = Rule::without(without, || world.play(scene));
    if let (Err(_), Some(lines)) = (&outcome, world.trace.lines) {
        println!("{}", lines.join("\n"));
    }
    outcome
}

/// The leader asks to take the follower in.
fn proposes_the_follower(from: Host, _: Host, message: &Message) -> bool {
    let proposes = |request: &Request| match request {
        Request::AlterPartitions(AlterPartitions { partitions, .. }) => {
            let mut members = partitions.iter().flat_map(|p| &p.isr);
            members.any(|(node, _)| host_of(*node) == FOLLOWER)
        }
        _ => false,
    };
    from == LEADER && matches!(message, Message::Ask { request, .. } if proposes(request))
}

impl World {
    fn play(&mut self, scene: Scene) -> Result<(), String> {
        self.begin()?;
        let at = self.partitions()[0];
        self.place(at)?;
        match scene {
            Scene::TakenAndRefused => self.taken_and_refused(at)?,
            Scene::ProposedOfTheDead => self.proposed_of_the_dead(at)?,
            Scene::FetchOfTheDead => self.fetch_of_the_dead(at)?,
            Scene::JoinedWithTheDeleted => self.joined_with_the_deleted(at)?,
            Scene::OldImage => self.old_image(at)?,
            Scene::RegisteredByTheDead => self.registered_by_the_dead(at)?,
            Scene::DeletedAndEligible => self.deleted_and_eligible(at)?,
            Scene::DeletedInSync => self.deleted_in_sync(at)?,
            Scene::FetchOfTheDamaged => self.fetch_of_the_damaged(at)?,
            Scene::CopyOfTheRefused => self.copy_of_the_refused(at)?,
        }
        self.trap = None;
        self.finish().map(drop)
    }

    /// Lives until something holds, and looks every millisecond.
    fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), String> {
        let end = self.now + 10_000;
        while !holds(self) {
            if self.now >= end {
                return Err(format!("{UNSTAGED}: {what}"));
            }
            self.live_until(self.now + 1)?;
            self.boot_due();
        }
        self.note(|| format!("--- {what}"));
        Ok(())
    }

    fn pass(&mut self, ms: u64) -> Result<(), String> {
        self.live_until(self.now + ms)
    }

    /// The cast takes its places.
    fn place(&mut self, at: TopicPartition) -> Result<(), String> {
        let cast = [LEADER, STEADY, FOLLOWER].map(node_id);
        let partition = self.named(at);
        let reassign = Reassign {
            changes: vec![Reassignment {
                partition: partition.clone(),
                replicas: Some(cast.to_vec()),
            }],
            allow_factor_change: true,
        };
        self.admin_asks(reassign.into());
        self.until("the partition has moved", |world| {
            let partition = world.agreed.newest().partition(at).unwrap();
            !partition.is_moving() && partition.replicas == cast && partition.isr.len() == 3
        })?;
        let elect = ElectLeaders {
            unclean: false,
            partitions: Some(vec![partition]),
        };
        self.admin_asks(elect.into());
        self.until("its leader leads", |world| world.leads(LEADER, at))?;
        self.until("it is used", |world| world.acknowledged_count() > 10)
    }

    fn named(&self, at: TopicPartition) -> PartitionName {
        let image = self.agreed.newest();
        PartitionName {
            topic: image.topic_by_id(at.topic).unwrap().name.to_string(),
            partition: at.partition,
        }
    }

    fn is_in_sync(&self, at: TopicPartition, host: Host) -> bool {
        let partition = self.agreed.newest().partition(at).unwrap();
        partition.isr.contains(&node_id(host))
    }

    fn is_active(&self, host: Host) -> bool {
        let broker = self.agreed.newest().broker(node_id(host));
        broker.is_some_and(|broker| broker.is_active())
    }

    /// A process dies, and nobody starts another one yet.
    fn fell(&mut self, host: Host) {
        self.end_badly(host);
        self.nodes[host].returns_at = None;
    }

    fn fell_with_its_disk(&mut self, host: Host) {
        self.fell(host);
        let disk = self.new_disk();
        self.put_disk(host, disk);
    }

    fn line(&mut self, one: Host, other: Host) {
        self.network.cut(one, other);
        self.network.cut(other, one);
    }

    fn set_trap(&mut self, takes: fn(Host, Host, &Message) -> bool) {
        self.trap = Some(Trap {
            takes,
            taken: Vec::new(),
        });
    }

    fn has_taken(&self) -> bool {
        self.trap
            .as_ref()
            .is_some_and(|trap| !trap.taken.is_empty())
    }

    /// The follower leaves and is back.
    fn come_back(&mut self, at: TopicPartition) -> Result<(), String> {
        self.fell(FOLLOWER);
        self.until("the follower is out", |w| !w.is_in_sync(at, FOLLOWER))?;
        self.pass(100)?;
        Ok(())
    }

    fn taken_and_refused(&mut self, at: TopicPartition) -> Result<(), String> {
        self.come_back(at)?;
        self.climate.apply_ms = (700, 700);
        self.set_trap(|_, to, message| {
            let proposals = |reply: &Reply| matches!(reply, Reply::AlterPartitions(_));
            let told = match message {
                Message::Told { told, .. } => told.as_ref().ok(),
                _ => None,
            };
            to == LEADER && told.is_some_and(|(reply, _)| proposals(reply))
        });
        self.boot(FOLLOWER);
        self.until("an answer is lost", |world| world.has_taken())?;
        self.trap = None;
        self.nodes[FOLLOWER].stalled_until = self.now + 900;
        self.pass(900)
    }

    fn proposed_of_the_dead(&mut self, at: TopicPartition) -> Result<(), String> {
        // The same directory: another one would change the partition, and so void the proposal.
        let mut old = self.nodes[FOLLOWER].disk.clone();
        self.come_back(at)?;
        self.set_trap(proposes_the_follower);
        self.boot(FOLLOWER);
        self.until("it is proposed", |world| world.has_taken())?;
        self.line(LEADER, FOLLOWER);
        self.fell(FOLLOWER);
        old.is_clean = false;
        self.put_disk(FOLLOWER, old);
        self.until("it is fenced", |world| !world.is_active(FOLLOWER))?;
        self.boot(FOLLOWER);
        self.until("it is active", |world| world.is_active(FOLLOWER))?;
        self.trap = None;
        self.pass(1_000)
    }

    fn copy_of_the_refused(&mut self, at: TopicPartition) -> Result<(), String> {
        self.come_back(at)?;
        self.set_trap(proposes_the_follower);
        self.boot(FOLLOWER);
        self.until("it is proposed", |world| world.has_taken())?;
        let has = self.log(FOLLOWER, at).end();
        let all = self.nodes.len();
        self.network.isolate(FOLLOWER, all);
        self.until("it is fenced", |world| !world.is_active(FOLLOWER))?;
        let late = self.trap.take().and_then(|mut trap| trap.taken.pop());
        self.until("its leader goes on without it", |world| {
            world.knows_committed(LEADER, at) > has + 5
        })?;
        self.network.heal();
        self.nodes[FOLLOWER].disk.pace = (400, 400);
        self.until("it is back", |world| world.is_active(FOLLOWER))?;
        if let (Some((from, _, message)), Some(to)) = (late, self.active_controller()) {
            self.replay(from, to, 1, message);
        }
        self.pass(500)
    }

    fn fetch_of_the_dead(&mut self, at: TopicPartition) -> Result<(), String> {
        self.line(LEADER, STEADY);
        self.pour(LEADER, at);
        self.until("the follower is far ahead", |world| {
            let has = |host: Host| world.nodes[host].disk.logs[&at].flushed;
            has(FOLLOWER) >= has(STEADY) + 60
        })?;
        let (_, fetch) = self.nodes[FOLLOWER].fetched[&at];
        self.fell_with_its_disk(FOLLOWER);
        self.until("it is out", |world| !world.is_in_sync(at, FOLLOWER))?;
        self.nodes[FOLLOWER].disk.pace = (40, 40);
        self.boot(FOLLOWER);
        self.until("it joins", |world| world.is_in_sync(at, FOLLOWER))?;
        self.line(LEADER, FOLLOWER);
        self.replay(FOLLOWER, LEADER, 1, Message::Fetch(fetch));
        self.pass(5)?;
        self.network.heal();
        self.line(LEADER, FOLLOWER);
        self.pass(500)
    }

    fn joined_with_the_deleted(&mut self, at: TopicPartition) -> Result<(), String> {
        self.all_have_all(at)?;
        self.come_back(at)?;
        let end = self.log(LEADER, at).end();
        self.delete_records(LEADER, at, (end, true));
        self.until("they are gone", |world| world.told_deleted(at) >= end)?;
        self.set_trap(|_, to, message| match message {
            Message::Fetched(_) => to == FOLLOWER,
            message => matches!(message, Message::Produce(_)),
        });
        self.boot(FOLLOWER);
        self.until("it asks", |world| world.has_taken())?;
        self.pass(500)?;
        for host in [LEADER, STEADY] {
            self.fell(host);
            self.until("it is fenced", |world| !world.is_active(host))?;
        }
        self.pass(500)?;
        self.trap = None;
        self.boot(LEADER);
        self.boot(STEADY);
        self.pass(1_000)
    }

    fn knows_committed(&mut self, host: Host, at: TopicPartition) -> Offset {
        self.replica(host, at)
            .map_or(0, |replica| replica.committed)
    }

    fn registered_by_the_dead(&mut self, at: TopicPartition) -> Result<(), String> {
        self.come_back(at)?;
        self.set_trap(|from, _, message| {
            from == FOLLOWER
                && matches!(
                    message,
                    Message::Ask {
                        request: Request::RegisterBroker(_),
                        ..
                    }
                )
        });
        self.boot(FOLLOWER);
        self.until("it asks", |world| world.has_taken())?;
        let late = self.trap.take().and_then(|mut trap| trap.taken.pop());
        self.until("it is in sync", |world| world.is_in_sync(at, FOLLOWER))?;
        self.come_back(at)?;
        self.boot(FOLLOWER);
        self.until("its successor is", |world| world.is_in_sync(at, FOLLOWER))?;
        let all = self.nodes.len();
        self.network.isolate(FOLLOWER, all);
        self.until("that is silent", |world| !world.is_active(FOLLOWER))?;
        if let (Some((from, _, message)), Some(to)) = (late, self.active_controller()) {
            self.replay(from, to, 1, message);
        }
        self.pass(300)
    }

    fn deleted_and_eligible(&mut self, at: TopicPartition) -> Result<(), String> {
        self.fell_with_its_disk(FOLLOWER);
        self.until("the follower is out", |w| !w.is_in_sync(at, FOLLOWER))?;
        self.until("records wait", |world| {
            world.knows_committed(LEADER, at) > 5
        })?;
        let end = self.knows_committed(LEADER, at);
        self.delete_records(LEADER, at, (end, true));
        self.until("they are gone", |world| world.told_deleted(at) >= end)?;
        for host in [STEADY, LEADER] {
            self.fell(host);
            self.until("it is fenced", |world| !world.is_active(host))?;
        }
        self.boot(FOLLOWER);
        self.until("somebody could lead", |world| world.is_active(FOLLOWER))?;
        // Its new directory is known by then.
        self.pass(200)?;
        let partition = self.named(at);
        let elect = ElectLeaders {
            unclean: true,
            partitions: Some(vec![partition]),
        };
        self.admin_asks(elect.into());
        self.until("it leads, and has nothing", |world| {
            world.leads(FOLLOWER, at)
        })?;
        self.fell(FOLLOWER);
        self.until("it is fenced", |world| !world.is_active(FOLLOWER))?;
        self.boot(LEADER);
        self.until("who was eligible leads", |world| world.leads(LEADER, at))?;
        self.boot(STEADY);
        self.boot(FOLLOWER);
        self.pass(500)
    }

    /// And nobody sends more.
    fn all_have_all(&mut self, at: TopicPartition) -> Result<(), String> {
        self.set_trap(|_, _, message| matches!(message, Message::Produce(_)));
        self.until("all have all", |world| {
            let mut ends = [LEADER, STEADY, FOLLOWER].map(|host| world.log(host, at).end());
            ends.sort_unstable();
            ends[0] == ends[2] && world.knows_committed(LEADER, at) == ends[0]
        })
    }

    fn fetch_of_the_damaged(&mut self, at: TopicPartition) -> Result<(), String> {
        self.all_have_all(at)?;
        self.pass(100)?;
        let (_, fetch) = self.nodes[FOLLOWER].fetched[&at];
        let directory = self.nodes[FOLLOWER].disk.directory;
        self.nodes[FOLLOWER].disk.pace = (400, 400);
        self.damage(FOLLOWER, at);
        self.until("it is written off", |w| !w.is_in_sync(at, FOLLOWER))?;
        self.until("it is in its directory", |world| {
            let partition = world.agreed.newest().partition(at).unwrap();
            partition.directory(node_id(FOLLOWER)) == Some(directory)
        })?;
        self.pass(20)?;
        self.replay(FOLLOWER, LEADER, 1, Message::Fetch(fetch));
        self.pass(300)
    }

    fn deleted_in_sync(&mut self, at: TopicPartition) -> Result<(), String> {
        self.come_back(at)?;
        self.climate.apply_ms = (700, 700);
        self.fell(STEADY);
        self.until("it is fenced", |world| !world.is_active(STEADY))?;
        self.pass(100)?;
        let end = self.knows_committed(LEADER, at);
        self.delete_records(LEADER, at, (end, true));
        self.fell(LEADER);
        self.until("it is fenced", |world| !world.is_active(LEADER))?;
        self.boot(STEADY);
        self.until("who was in sync leads", |world| world.leads(STEADY, at))?;
        self.boot(LEADER);
        self.boot(FOLLOWER);
        self.pass(500)
    }

    fn old_image(&mut self, at: TopicPartition) -> Result<(), String> {
        self.network.deaf.insert(LEADER);
        self.fell(LEADER);
        self.until("another one leads", |world| {
            let partition = world.agreed.newest().partition(at).unwrap();
            partition.leader.is_some_and(|node| host_of(node) != LEADER)
        })?;
        self.boot(LEADER);
        self.pass(3_000)
    }
}

/// Whether what a scene is about is missed; a scene that does not come about says nothing.
pub(crate) fn is_missed(scene: Scene, seed: u64) -> Option<String> {
    let (rule, promise) = scene.shows();
    let broken = stage(scene, seed, Some(rule)).err()?;
    if !broken.starts_with(promise) {
        println!("{scene:?} without {rule:?}: {broken}");
        return None;
    }
    Some(broken)
}

#[test]
fn scenes_end_well() {
    for scene in Scene::ALL {
        for seed in 0..12 {
            if let Err(what) = stage(scene, seed, None) {
                panic!("{scene:?}, seed {seed}: {what}");
            }
        }
    }
}
