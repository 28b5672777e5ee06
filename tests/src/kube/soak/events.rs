//! Which events happen, in which order: drawn from a seed, and from what the cluster was asked to be before.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::bits::Bits;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A pod is taken off the books.
    PodDies,
    /// A broker is killed where it runs.
    ProcessDies,
    /// A pod comes back with an empty volume.
    VolumeLost,
    /// A node's pods are evicted, and it takes none until it is back.
    NodeDrained,
    /// A node loses its kubelet and all its pods.
    NodeDies,
    /// A node dies and is struck off; its volumes are made anew elsewhere before it comes back.
    NodeGone,
    /// A broker is stopped on purpose for a while.
    BrokerStopped,
    /// The only voter is killed.
    ControllerDies,
    /// The operator's pod is killed.
    OperatorDies,
    /// There is no operator for a minute, and a broker is killed meanwhile.
    OperatorAway,
    /// There is no API server for half a minute; a broker may be killed meanwhile.
    ApiAway,
    /// A setting that needs no restart.
    LiveSetting,
    /// A setting that restarts every broker.
    RestartSetting,
    /// The other image.
    OtherImage,
    /// The other image, and the one before when the first pod has it.
    ImageTurnedBack,
    /// Three brokers become five.
    Grow,
    /// Five brokers become three.
    Shrink,
    /// Another pool of one broker.
    PoolComes,
    /// It goes.
    PoolGoes,
    /// A pool of one controller: three voters become one.
    ControllerComes,
    /// It goes: one voter becomes three.
    ControllerGoes,
    /// Volumes of all pods of the first pool.
    VolumesGrow,
    /// A topic is changed by hand.
    TopicAltered,
    /// A topic is deleted by hand.
    TopicDeleted,
    /// Some Topics are made.
    TopicsCome,
    /// They are deleted; every other one leaves its topic.
    TopicsGo,
    /// A Cluster that cannot be.
    BadCluster,
}

/// Of what kind the blow is: two of one class do not happen at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A broker is away.
    Loss,
    /// The operator is.
    Operator,
    /// Nobody can ask for anything.
    Api,
    /// The Cluster shall be another one.
    Spec,
    /// Something else is asked for.
    Beside,
}

pub(super) const KINDS: &[(Kind, Class, &str)] = &[
    (Kind::PodDies, Class::Loss, "a pod dies"),
    (Kind::ProcessDies, Class::Loss, "a broker's process dies"),
    (Kind::VolumeLost, Class::Loss, "a volume is lost"),
    (Kind::NodeDrained, Class::Loss, "a node is drained"),
    (Kind::NodeDies, Class::Loss, "a node dies"),
    (Kind::NodeGone, Class::Loss, "a node never comes back"),
    (
        Kind::BrokerStopped,
        Class::Loss,
        "a broker is stopped on purpose",
    ),
    (Kind::ControllerDies, Class::Loss, "the only voter dies"),
    (Kind::OperatorDies, Class::Operator, "the operator dies"),
    (Kind::OperatorAway, Class::Operator, "the operator is away"),
    (Kind::ApiAway, Class::Api, "the API server is away"),
    (
        Kind::LiveSetting,
        Class::Spec,
        "a setting without a restart",
    ),
    (
        Kind::RestartSetting,
        Class::Spec,
        "a setting with a restart",
    ),
    (Kind::OtherImage, Class::Spec, "another image"),
    (
        Kind::ImageTurnedBack,
        Class::Spec,
        "another image, turned back half way",
    ),
    (Kind::Grow, Class::Spec, "three brokers become five"),
    (Kind::Shrink, Class::Spec, "five brokers become three"),
    (Kind::PoolComes, Class::Spec, "a pool of one comes"),
    (Kind::PoolGoes, Class::Spec, "a pool of one goes"),
    (
        Kind::ControllerComes,
        Class::Spec,
        "three voters become one",
    ),
    (Kind::ControllerGoes, Class::Spec, "one voter becomes three"),
    (Kind::VolumesGrow, Class::Spec, "volumes grow"),
    (Kind::TopicAltered, Class::Beside, "a topic is altered"),
    (Kind::TopicDeleted, Class::Beside, "a topic is deleted"),
    (Kind::TopicsCome, Class::Beside, "Topics come"),
    (Kind::TopicsGo, Class::Beside, "Topics go"),
    (
        Kind::BadCluster,
        Class::Beside,
        "a Cluster that cannot be comes",
    ),
];

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: Kind,
    /// Which pod, node or value, modulo how many there are.
    pub(super) which: u64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    /// Brokers of the first pool.
    pub(super) replicas: usize,
    /// Whether there is a pool of one more.
    pub(super) more: bool,
    /// Whether there is a pool of one controller, which votes alone.
    pub(super) controller: bool,
    /// Whether the image is the next one.
    pub(super) next: bool,
    /// The size of a volume.
    pub(super) gib: u64,
    /// A setting that needs no restart.
    pub(super) retention_ms: u64,
    /// A setting that does.
    pub(super) partitions: u64,
    /// Whether the Topics that come and go are there, and whether they ever were.
    pub(super) topics: bool,
    pub(super) had_topics: bool,
}

/// One event, or two at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) events: Vec<Event>,
    /// How long after the first the second begins.
    pub(super) apart_ms: u64,
    /// What is asked for after them.
    pub(super) world: World,
}

/// Of ten steps, so many have two events.
const DOUBLES: u64 = 4;
/// Volumes have at most so many GiB.
const MOST_GIB: u64 = 20;

/// Deals events: each as often as the others, in an order that the seed gives.
pub(super) struct Dealer {
    bits: Bits,
    world: World,
    /// What is still to come before the next shuffle.
    bag: Vec<Kind>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            replicas: 3,
            more: false,
            controller: false,
            next: false,
            gib: 2,
            retention_ms: 7_200_000,
            partitions: 1,
            topics: false,
            had_topics: false,
        }
    }
}

impl World {
    pub(super) fn brokers(&self) -> usize {
        self.replicas + usize::from(self.more)
    }

    /// Whether an event can happen now.
    pub(super) fn allows(&self, kind: Kind) -> bool {
        match kind {
            // Without a controller nobody takes over what its node led.
            Kind::NodeDrained | Kind::NodeDies | Kind::ControllerComes => !self.controller,
            // Two that are gone at once are a person's affair, and so is a vote.
            Kind::NodeGone => self.brokers() == 3 && !self.controller,
            Kind::ControllerDies | Kind::ControllerGoes => self.controller,
            Kind::Grow => self.replicas == 3,
            Kind::Shrink => self.replicas == 5,
            Kind::PoolComes => !self.more,
            Kind::PoolGoes => self.more,
            Kind::VolumesGrow => self.gib < MOST_GIB,
            Kind::TopicsCome => !self.topics,
            Kind::TopicsGo => self.topics,
            _ => true,
        }
    }

    /// What is asked for after an event.
    fn after(mut self, event: Event) -> Self {
        match event.kind {
            Kind::LiveSetting => self.retention_ms += 1000 + event.which % 1000,
            Kind::RestartSetting => self.partitions = self.partitions % 8 + 1,
            Kind::OtherImage => self.next = !self.next,
            Kind::Grow => self.replicas = 5,
            Kind::Shrink => self.replicas = 3,
            Kind::PoolComes => self.more = true,
            Kind::PoolGoes => self.more = false,
            Kind::ControllerComes => self.controller = true,
            Kind::ControllerGoes => self.controller = false,
            Kind::VolumesGrow => self.gib += 1,
            Kind::TopicsCome => (self.topics, self.had_topics) = (true, true),
            Kind::TopicsGo => self.topics = false,
            _ => {}
        }
        self
    }
}

impl Kind {
    fn row(self) -> &'static (Self, Class, &'static str) {
        let found = KINDS.iter().find(|(kind, ..)| *kind == self);
        found.expect("every kind is in the table, see its test")
    }

    pub(super) fn class(self) -> Class {
        self.row().1
    }
}

/// Whether two events may happen at the same time.
fn go_together(first: Kind, second: Kind) -> bool {
    let (a, b) = (first.class(), second.class());
    let alone = |class| class == Class::Api;
    // The only voter must stay where it is while it is to come or to go.
    let voter = |kind| matches!(kind, Kind::ControllerComes | Kind::ControllerGoes);
    let node = |kind| {
        matches!(
            kind,
            Kind::NodeDies | Kind::NodeDrained | Kind::ControllerDies
        )
    };
    // Nobody would begin what is turned back half way; and it kills a broker itself.
    let away = |kind| kind == Kind::OperatorAway;
    let waits = |kind: Kind| kind == Kind::ImageTurnedBack || kind.class() == Class::Loss;
    // What the operator has to do about these is waited for: nobody else may hold it up.
    let asks = |kind| matches!(kind, Kind::NodeGone | Kind::BrokerStopped);
    let holds = |kind: Kind| matches!(kind.class(), Class::Operator | Class::Spec);
    let clash = |x, y| voter(x) && node(y) || away(x) && waits(y) || asks(x) && holds(y);
    a != b && !alone(a) && !alone(b) && !clash(first, second) && !clash(second, first)
}

impl Dealer {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            bits: Bits::new(seed),
            world: World::default(),
            bag: Vec::new(),
        }
    }

    /// What happens next.
    pub(super) fn deal(&mut self) -> Step {
        let world = self.world;
        let first = self.take(|kind| world.allows(kind));
        let mut events = vec![first];
        if first.kind.class() != Class::Api && self.bits.below(10) < DOUBLES {
            let fits = |kind| world.allows(kind) && go_together(first.kind, kind);
            events.push(self.take(fits));
        }
        self.world = events
            .iter()
            .fold(world, |world, event| world.after(*event));
        Step {
            events,
            apart_ms: self.bits.below(6000),
            world: self.world,
        }
    }

    /// The first of the bag that fits.
    fn take(&mut self, fits: impl Fn(Kind) -> bool) -> Event {
        let found = self.bag.iter().position(|kind| fits(*kind));
        let at = found.unwrap_or_else(|| {
            self.fill();
            let found = self.bag.iter().position(|kind| fits(*kind));
            found.expect("a pod can always die, and a Cluster that cannot be can always come")
        });
        Event {
            kind: self.bag.remove(at),
            which: self.bits.draw(),
        }
    }

    /// What is left comes first, and then all that is not in the bag.
    fn fill(&mut self) {
        let all = KINDS.iter().map(|(kind, ..)| *kind);
        let mut new: Vec<_> = all.filter(|kind| !self.bag.contains(kind)).collect();
        for at in (1..new.len()).rev() {
            let other = self.bits.below(at as u64 + 1);
            new.swap(at, usize::try_from(other).unwrap_or(0));
        }
        self.bag.append(&mut new);
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.events.iter().map(|event| event.kind.row().2).collect();
        formatter.write_str(&names.join(" + "))
    }
}
