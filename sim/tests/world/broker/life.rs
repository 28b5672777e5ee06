//! A process lives: its course decides, this does.

use std::collections::{BTreeMap, BTreeSet};

use freshet_log::LastLife;
use freshet_metadata::{Ask as _, Heartbeat, PastLife, RegisterBroker, Reply};
use freshet_peers::lifecycle::{Beat, Course, End, Pace, Shown, Step, Unheard, past_life};

use super::{For, Process};
use crate::network::Host;
use crate::world::{Alarm, World, node_id};

fn incarnation(host: Host, life: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(host).unwrap();
    bytes[8..].copy_from_slice(&life.to_be_bytes());
    bytes
}

/// Which process of its host registered.
pub(crate) fn life_of(incarnation: &[u8; 16]) -> u64 {
    u64::from_be_bytes(incarnation[8..].try_into().unwrap())
}

impl World {
    pub(crate) fn process(&mut self, host: Host) -> &mut Process {
        self.nodes[host].process.as_mut().unwrap()
    }

    /// Starts a process.
    pub(crate) fn boot(&mut self, host: Host) {
        let now = self.local(host);
        let node = &mut self.nodes[host];
        node.life += 1;
        node.returns_at = None;
        let past = past_life(&[node.disk.last_life()], false);
        node.disk.reopen();
        node.seat.restart(now);
        let pace = Pace {
            interval_ms: 250,
            session_ms: 1_000,
            registration_ms: 60_000,
            failure_ms: 30_000,
        };
        node.process = Some(Process {
            incarnation: incarnation(host, node.life),
            past,
            course: Course::new(node_id(host), pace, now),
            awaiting: None,
            heart_at: 0,
            recorded: false,
            opened: false,
            applied: 0,
            applying: false,
            asks: BTreeMap::new(),
            held: Vec::new(),
            replicas: BTreeMap::new(),
            proposals: BTreeMap::new(),
            proposing: None,
            coordinators: BTreeMap::new(),
            heard: BTreeMap::new(),
            damaged: BTreeSet::new(),
            renewed: BTreeSet::new(),
            ends: false,
            ids: 0..0,
            ids_wanted: Vec::new(),
        });
        let life = node.life;
        self.note(|| format!("{host} starts, process {life}"));
        self.council_tick(host);
        self.heart(host);
        self.wake_in(host, self.climate.lag_ms / 2, Alarm::Laggards);
    }

    /// The process ends without a word.
    pub(crate) fn kill(&mut self, host: Host) {
        let node = &mut self.nodes[host];
        node.process = None;
        node.stalled_until = 0;
        // The proof of a clean stop does not outlive the next start.
        node.disk.is_clean = false;
    }

    pub(crate) fn heart(&mut self, host: Host) {
        loop {
            let now = self.local(host);
            let image = self.agreed.image(self.nodes[host].seat.committed);
            let shown = Shown::of(image, node_id(host));
            let process = self.process(host);
            if process.awaiting.is_some() {
                return;
            }
            process.course.saw(now, shown);
            match process.course.step(now) {
                Step::Register { held, wait_ms } => return self.register(host, held, wait_ms),
                Step::Record { epoch } => self.record(host, epoch),
                Step::Beat(beat) => return self.beat(host, &beat),
                Step::Wait { until } => {
                    let at = self.nodes[host].clock.when(self.now, until);
                    if self.process(host).heart_at != at {
                        self.process(host).heart_at = at;
                        self.wake_at(host, until, Alarm::Heart);
                    }
                    return;
                }
                Step::End(end) => return self.end_process(host, &end),
            }
        }
    }

    fn register(&mut self, host: Host, held: Option<i64>, wait_ms: u64) {
        let own = self.process(host).past;
        let disk = &self.nodes[host].disk;
        let request = RegisterBroker {
            node: node_id(host),
            incarnation: incarnation(host, self.nodes[host].life),
            listeners: Vec::new(),
            rack: None,
            directories: match disk.has_failed {
                true => Vec::new(),
                false => vec![disk.directory],
            },
            features: Vec::new(),
            past: held.map_or(own, PastLife::Clean),
        };
        let id = self.ask(host, For::Course(0), request.into(), wait_ms);
        self.process(host).awaiting = Some(id);
    }

    fn record(&mut self, host: Host, epoch: i64) {
        let now = self.local(host);
        let disk = &mut self.nodes[host].disk;
        if !disk.has_failed {
            disk.life = LastLife::Crashed(epoch);
            disk.is_clean = false;
        }
        let process = self.process(host);
        process.course.recorded(now);
        let first = !std::mem::replace(&mut process.recorded, true);
        if first {
            let ms = self.throws.between(0, 60);
            self.wake_in(host, ms, Alarm::Open);
        }
    }

    fn beat(&mut self, host: Host, beat: &Beat) {
        let disk = &self.nodes[host].disk;
        let failed = disk.has_failed.then_some(disk.directory);
        let (slow, full) = (disk.slow(), disk.full());
        let applied = self.process(host).applied;
        let request = Heartbeat {
            node: node_id(host),
            epoch: beat.epoch,
            version: self.agreed.image(applied).version(),
            wants_fence: beat.wants_fence,
            wants_shutdown: beat.wants_shutdown,
            offline_directories: failed.into_iter().collect(),
            cordoned_directories: Vec::new(),
            slow_directories: slow.into_iter().collect(),
            full_directories: full.into_iter().collect(),
        };
        let id = self.ask(host, For::Course(0), request.into(), beat.wait_ms);
        self.process(host).awaiting = Some(id);
    }

    pub(super) fn course_heard(&mut self, host: Host, id: u64, reply: Option<Reply>) {
        let now = self.local(host);
        let process = self.process(host);
        if process.awaiting != Some(id) {
            return;
        }
        process.awaiting = None;
        match reply {
            Some(reply @ Reply::RegisterBroker(_)) => {
                let outcome = RegisterBroker::answer(reply);
                process.course.registered(now, Ok(outcome));
            }
            Some(reply) => {
                let outcome = Heartbeat::answer(reply);
                process.course.beaten(now, Ok(outcome));
            }
            None => {
                // Each takes only what it has asked for.
                process.course.registered(now, Err(Unheard::Late));
                process.course.beaten(now, Err(Unheard::Late));
            }
        }
        self.heart(host);
        if self.is_up(host) {
            self.send_proposals(host);
        }
    }

    /// Asks a process to stop.
    pub(crate) fn ask_to_stop(&mut self, host: Host, patience_ms: u64) {
        let now = self.local(host);
        self.note(|| format!("{host} is asked to stop"));
        let process = self.process(host);
        if process.course.epoch().is_none() {
            // A stop does not wait for a controller that is away.
            process.awaiting = None;
        }
        process.course.leave(now, now + patience_ms);
        self.heart(host);
    }

    fn end_process(&mut self, host: Host, end: &End) {
        self.note(|| format!("{host} ends: {end:?}"));
        self.process(host).ends = true;
        let served = self.process(host).recorded;
        let leaving: Vec<_> = self.process(host).replicas.keys().copied().collect();
        for at in leaving {
            self.step_aside(host, at);
        }
        self.kill(host);
        self.nodes[host].disk.close(served);
        let back = self.now + self.throws.between(50, 800);
        self.nodes[host].returns_at.get_or_insert(back);
    }

    pub(crate) fn open(&mut self, host: Host) {
        let now = self.local(host);
        self.process(host).opened = true;
        self.apply_image(host);
        if self.is_up(host) {
            self.process(host).course.ready(now);
            self.heart(host);
        }
    }

    /// The quorum has a newer image on this node.
    pub(crate) fn image_arrived(&mut self, host: Host) {
        if !self.is_up(host) {
            return;
        }
        self.release_held(host);
        if !self.is_up(host) {
            return;
        }
        self.heart(host);
        if !self.is_up(host) || !self.process(host).opened || self.process(host).applying {
            return;
        }
        self.process(host).applying = true;
        let (least, most) = self.climate.apply_ms;
        let ms = self.throws.between(least, most);
        self.wake_in(host, ms, Alarm::Apply);
    }

    pub(crate) fn look_for_laggards(&mut self, host: Host) {
        self.wake_in(host, self.climate.lag_ms / 2, Alarm::Laggards);
        let now = self.local(host);
        let mut found = Vec::new();
        for (at, replica) in &mut self.process(host).replicas {
            if let Some(brain) = replica.brain() {
                found.extend(brain.look_for_laggards(now).map(|change| (*at, change)));
            }
        }
        for (at, change) in found {
            self.propose(host, at, change);
        }
        self.judge_waits(host);
        self.tell_damage(host);
        let known: Vec<_> = self.process(host).replicas.iter().collect();
        let known: Vec<_> = known
            .into_iter()
            .map(|(at, r)| (*at, r.committed))
            .collect();
        let written = self.throws.chance(50);
        let disk = &mut self.nodes[host].disk;
        if !disk.has_failed {
            disk.committed.extend(known);
            // Now and then the system writes out what it caches.
            let cached = disk
                .logs
                .values_mut()
                .filter(|log| log.is_cached && written);
            cached.for_each(|log| log.settle(log.rows.len()));
        }
    }
}
