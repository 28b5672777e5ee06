//! Takes questions to whoever decides: another controller when one does not answer or does not decide.

use freshet_metadata::{Reply, Request};

use crate::council::VOTERS;
use crate::message::{Message, Told};
use crate::network::Host;
use crate::world::{Alarm, World};

/// How long an answer is waited for before another controller is asked, ms.
const PATIENCE_MS: u64 = 150;
/// Pause while nobody decides, ms.
const PAUSE_MS: u64 = 20;
/// How long an answer waits for the image that holds it, ms.
const IMAGE_MS: u64 = 2_000;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Course(u64),
    Proposals,
    Places,
    ProducerIds,
}

#[derive(Debug)]
pub(crate) struct Ask {
    whose: For,
    request: Request,
    /// The message under way.
    attempt: u64,
    to: Host,
}

impl World {
    /// Asks, for `wait_ms` at most; gives the question's number.
    pub(super) fn ask(&mut self, host: Host, whose: For, request: Request, wait_ms: u64) -> u64 {
        let id = self.next_id();
        let to = self.throws.index(VOTERS);
        let whose = match whose {
            For::Course(_) => For::Course(id),
            other => other,
        };
        let now = self.local(host);
        self.wake_at(host, now + wait_ms, Alarm::AskGone(id));
        let ask = Ask {
            whose,
            request,
            attempt: 0,
            to,
        };
        self.process(host).asks.insert(id, ask);
        self.try_ask(host, id);
        id
    }

    fn try_ask(&mut self, host: Host, id: u64) {
        let attempt = self.next_id();
        let Some(ask) = self.process(host).asks.get_mut(&id) else {
            return;
        };
        ask.attempt = attempt;
        let (to, request) = (ask.to, ask.request.clone());
        self.send(
            host,
            to,
            Message::Ask {
                id: attempt,
                request,
            },
        );
        let now = self.local(host);
        self.wake_at(host, now + PATIENCE_MS, Alarm::AskAgain(attempt));
    }

    fn find_ask(&mut self, host: Host, attempt: u64) -> Option<u64> {
        let asks = self.process(host).asks.iter();
        let mut found = asks.filter(|(_, ask)| ask.attempt == attempt);
        found.next().map(|(id, _)| *id)
    }

    pub(crate) fn ask_again(&mut self, host: Host, attempt: u64) {
        if let Some(id) = self.find_ask(host, attempt) {
            if let Some(ask) = self.process(host).asks.get_mut(&id) {
                ask.to = (ask.to + 1) % VOTERS;
            }
            self.try_ask(host, id);
        }
    }

    pub(crate) fn ask_gone(&mut self, host: Host, id: u64) {
        if let Some(ask) = self.process(host).asks.remove(&id) {
            self.answered(host, ask.whose, None);
        }
        if !self.is_up(host) {
            return;
        }
        let late = For::Course(id);
        let held = &mut self.process(host).held;
        if held.iter().any(|(_, _, whose, _)| *whose == late) {
            held.retain(|(_, _, whose, _)| *whose != late);
            self.answered(host, late, None);
        }
    }

    pub(crate) fn told(&mut self, host: Host, attempt: u64, told: Told) {
        if host >= self.nodes.len() {
            return self.admin_told(told);
        }
        let Some(id) = self.find_ask(host, attempt) else {
            return;
        };
        match told {
            Ok((reply, index)) => {
                let due = self.local(host) + IMAGE_MS;
                let process = self.process(host);
                let Some(ask) = process.asks.remove(&id) else {
                    return;
                };
                process.held.push((due, index, ask.whose, reply));
                self.wake_at(host, due, Alarm::Held);
                self.release_held(host);
            }
            Err(hint) => {
                if let Some(ask) = self.process(host).asks.get_mut(&id) {
                    // `ask_again` goes one further.
                    ask.to = hint.map_or(ask.to, |hint| (hint + VOTERS - 1) % VOTERS);
                }
                self.wake_in(host, PAUSE_MS, Alarm::AskAgain(attempt));
            }
        }
    }

    /// An answer counts when the image here holds it, or was waited for long enough.
    pub(crate) fn release_held(&mut self, host: Host) {
        let now = self.local(host);
        let committed = self.nodes[host].seat.committed;
        let held = &mut self.process(host).held;
        let due = |(due, index, ..): &(_, usize, _, _)| *index <= committed || *due <= now;
        let (ready, rest) = std::mem::take(held).into_iter().partition(due);
        *held = rest;
        let ready: Vec<_> = ready;
        for (_, _, whose, reply) in ready {
            self.answered(host, whose, Some(reply));
        }
    }

    fn answered(&mut self, host: Host, whose: For, reply: Option<Reply>) {
        if !self.is_up(host) {
            return;
        }
        match whose {
            For::Course(id) => self.course_heard(host, id, reply),
            For::Proposals => self.proposals_heard(host, reply),
            For::Places => {}
            For::ProducerIds => self.block_arrived(host, reply),
        }
    }
}
