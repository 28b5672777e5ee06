//! Random clients against one shard, and what must hold whatever they do.

use proptest::prelude::*;

use super::*;

/// What one of five clients, or the world, does next.
#[derive(Debug, Clone)]
enum Step {
    Join {
        client: usize,
        fresh: bool,
        protocol: usize,
        topics: usize,
    },
    Sync {
        client: usize,
    },
    Beat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Commit {
        client: usize,
        offset: i64,
    },
    Delete,
    Pass {
        ms: u64,
    },
    FailOver,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..5usize;
    prop_oneof![
        6 => (client.clone(), prop::bool::weighted(0.2), 0..3usize, 0..2usize).prop_map(
            |(client, fresh, protocol, topics)| Step::Join { client, fresh, protocol, topics }
        ),
        5 => client.clone().prop_map(|client| Step::Sync { client }),
        4 => client.clone().prop_map(|client| Step::Beat { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        2 => (client, 0..100i64).prop_map(|(client, offset)| Step::Commit { client, offset }),
        1 => Just(Step::Delete),
        5 => (0..9_000u64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::FailOver),
    ]
}

/// A client knows its id, its generation, and what it waits for. Clients 3 and 4 are static, 1 and
/// 2 ask for an id first.
#[derive(Debug, Default, Clone)]
struct Client {
    id: Option<Arc<str>>,
    generation: i32,
    join: Option<Ticket>,
    sync: Option<Ticket>,
}

struct World {
    host: Host,
    clients: Vec<Client>,
    /// Leaders by generation, since the last failover.
    leaders: HashMap<i32, Arc<str>>,
    newest: i32,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            members: 4,
            offsets_retention_ms: 30_000,
            ..Limits::default()
        };
        Self {
            host: Host::new(limits),
            clients: vec![Client::default(); 5],
            leaders: HashMap::new(),
            newest: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join {
                client,
                fresh,
                protocol,
                topics,
            } => {
                self.join(client, fresh, protocol, topics);
            }
            Step::Sync { client } => self.sync(client),
            Step::Beat { client } => {
                let (id, generation) = self.known(client);
                let _ = self.host.ask(Heartbeat {
                    instance_id: name(client),
                    ..beat(&id, generation)
                });
            }
            Step::Leave { client } => {
                let leaver = Leaver {
                    member_id: self.known(client).0,
                    instance_id: name(client),
                };
                self.host.ask(Leave {
                    group: "g".into(),
                    members: vec![leaver],
                });
            }
            Step::Commit { client, offset } => self.commit(client, offset),
            Step::Delete => {
                self.host.ask(Delete {
                    groups: vec!["g".into()],
                });
                if self.host.state("g").is_none() {
                    self.forget_history();
                }
            }
            Step::Pass { ms } => self.host.pass(ms),
            Step::FailOver => {
                self.host.fail_over();
                for client in &mut self.clients {
                    (client.join, client.sync) = (None, None);
                }
                self.forget_history();
            }
        }
        self.collect();
        self.check();
    }

    /// A group that is gone counts from the start, and a generation that was told but not stored
    /// may be told again after a failover.
    fn forget_history(&mut self) {
        self.leaders.clear();
        self.newest = 0;
    }

    fn known(&self, client: usize) -> (Arc<str>, i32) {
        let client = &self.clients[client];
        (client.id.clone().unwrap_or_default(), client.generation)
    }

    fn join(&mut self, client: usize, fresh: bool, kind: usize, topics: usize) {
        let names: &[&str] = [&["range", "sticky"][..], &["sticky", "range"], &["range"]][kind];
        let topics: &[&str] = [&["t"][..], &["t", "u"]][topics];
        let spoken = |name: &&str| protocol(name, subscription(topics));
        let known = if fresh {
            "".into()
        } else {
            self.known(client).0
        };
        let request = Join {
            member_id: known,
            instance_id: name(client),
            protocols: names.iter().map(spoken).collect(),
            needs_known_id: matches!(client, 1 | 2),
            random: [self.host.next_ticket as u8; 16],
            ..join(client)
        };
        self.clients[client].join = Some(self.host.start(request));
    }

    fn sync(&mut self, client: usize) {
        let (id, generation) = self.known(client);
        let assignments = self
            .clients
            .iter()
            .filter_map(|c| c.id.as_ref())
            .map(assignment);
        let assignments = assignments.collect();
        let request = Sync {
            instance_id: name(client),
            assignments,
            ..sync(&id, generation)
        };
        self.clients[client].sync = Some(self.host.start(request));
    }

    fn commit(&mut self, client: usize, offset: i64) {
        let (member_id, generation) = self.known(client);
        let partitions = vec![PartitionCommit {
            partition: client as i32,
            offset,
            leader_epoch: -1,
            metadata: "".into(),
        }];
        let topics = vec![CommitTopic {
            topic: "t".into(),
            topic_id: Default::default(),
            partitions,
        }];
        let _ = self.host.ask(Commit {
            group: "g".into(),
            member_id,
            instance_id: name(client),
            generation,
            expires_at: None,
            topics,
        });
    }

    /// Clients read their answers.
    fn collect(&mut self) {
        for at in 0..self.clients.len() {
            if let Some(ticket) = self.clients[at].join.filter(|&t| !self.host.is_waiting(t)) {
                self.clients[at].join = None;
                match self.host.take::<Join>(ticket) {
                    Ok(joined) => self.was_joined(at, joined),
                    Err(refused) if refused.error == GroupError::MemberIdRequired => {
                        self.clients[at].id = Some(refused.member_id);
                    }
                    Err(_) => self.clients[at].id = None,
                }
            }
            if let Some(ticket) = self.clients[at].sync.filter(|&t| !self.host.is_waiting(t)) {
                self.clients[at].sync = None;
                let _ = self.host.take::<Sync>(ticket);
            }
        }
    }

    fn was_joined(&mut self, at: usize, joined: Joined) {
        assert!(joined.generation >= self.newest, "generations only grow");
        self.newest = joined.generation;
        if joined.leader == joined.member_id {
            // A static leader that came back leads under its new id, and is told to leave the
            // assignment alone; everybody else must find one leader per generation.
            let before = self
                .leaders
                .insert(joined.generation, joined.leader.clone());
            assert!(
                joined.skip_assignment || before.is_none_or(|leader| leader == joined.leader),
                "two leaders in generation {}",
                joined.generation
            );
            assert!(
                joined
                    .members
                    .iter()
                    .any(|member| member.member_id == joined.member_id)
            );
        }
        assert!(joined.protocol.is_some());
        self.clients[at].id = Some(joined.member_id);
        self.clients[at].generation = joined.generation;
    }

    fn check(&mut self) {
        let group = self
            .host
            .ask(Describe {
                groups: vec!["g".into()],
            })
            .remove(0);
        let Ok(group) = group else {
            assert_eq!(
                self.host.waiting(),
                0,
                "nobody waits in a group that is not there"
            );
            return;
        };
        match group.state {
            State::Empty => assert!(group.members.is_empty()),
            State::PreparingRebalance => {}
            // Of the two static members one may be away and keep its place above the limit.
            _ => assert!(
                (1..=4 + 2).contains(&group.members.len()),
                "group.max.size holds"
            ),
        }
        if matches!(group.state, State::Empty | State::Stable) {
            assert_eq!(self.host.waiting(), 0, "nobody waits in a settled group");
        }
        // A follower that applied the same records holds the same.
        let mut follower = Groups::new(self.host.limits);
        for record in &self.host.log {
            follower.apply(record);
        }
        assert_eq!(follower.snapshot(), self.host.groups.snapshot());
    }
}

fn name(client: usize) -> Option<Arc<str>> {
    (client >= 3).then(|| format!("static{client}").into())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_do_the_group_stays_sound(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        // All clients are gone: everybody who still waits is answered in bounded time.
        world.host.pass(400_000);
        prop_assert_eq!(world.host.waiting(), 0);
    }
}
