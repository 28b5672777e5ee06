//! A metadata quorum that everybody in this process shares, and that can be kept from single nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use freshet_metadata::{
    Ask, MetadataImage, MetadataMachine, MetadataOptions, Request, SessionOptions,
};
use freshet_quorum::{Agreed, Leadership, Quorum, QuorumError};
use freshet_settings::StaticSettings;
use freshet_types::{Machine, Millis, NodeId, Now, Position, Published, Ticket, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

struct State {
    machine: MetadataMachine,
    decided: i64,
    views: HashMap<NodeId, View>,
}

struct View {
    image: watch::Sender<Arc<MetadataImage>>,
    held: bool,
}

pub(crate) struct Council {
    state: Mutex<State>,
    /// Proposals of nodes that are not decided.
    pub(crate) undecided: AtomicUsize,
}

impl Council {
    pub(crate) fn new(statics: Arc<StaticSettings>) -> Arc<Self> {
        let options = MetadataOptions::of_cluster(statics, SessionOptions::default());
        Arc::new(Self {
            state: Mutex::new(State {
                machine: MetadataMachine::new(options),
                decided: 0,
                views: HashMap::new(),
            }),
            undecided: AtomicUsize::new(0),
        })
    }

    /// Decides at once; nobody's session ends by itself.
    pub(crate) fn ask<A: Ask>(&self, request: A) -> A::Answer {
        A::answer(self.decide(request.into()))
    }

    fn decide(&self, request: Request) -> freshet_metadata::Reply {
        let mut state = self.state.lock();
        let now = Now {
            monotonic: Millis(1),
            wall: Timestamp(1_700_000_000_000),
        };
        let mut decision = state.machine.decide(now, Ticket(0), request);
        for record in &decision.records {
            state.machine.apply(record);
        }
        state.decided += 1;
        for view in state.views.values().filter(|view| !view.held) {
            view.image.send_replace(state.image());
        }
        decision.replies.remove(0).1
    }

    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.state.lock().image()
    }

    /// The image as a node sees it.
    pub(crate) fn view(self: &Arc<Self>, node: NodeId) -> Arc<Seat> {
        let mut state = self.state.lock();
        let image = watch::Sender::new(state.image());
        let watched = image.subscribe();
        state.views.insert(node, View { image, held: false });
        Arc::new(Seat {
            council: Arc::clone(self),
            image: watched,
            leadership: watch::Sender::new(Leadership::ALONE),
        })
    }

    /// A node hears nothing any more, or everything again.
    pub(crate) fn hold(&self, node: NodeId, held: bool) {
        let mut state = self.state.lock();
        let image = state.image();
        let view = state.views.get_mut(&node).expect("it has a view");
        view.held = held;
        if !held {
            view.image.send_replace(image);
        }
    }
}

impl State {
    fn image(&self) -> Arc<MetadataImage> {
        self.machine.publish(Position {
            offset: self.decided,
            epoch: 1,
        })
    }
}

/// The quorum as one node has it.
pub(crate) struct Seat {
    council: Arc<Council>,
    image: watch::Receiver<Arc<MetadataImage>>,
    leadership: watch::Sender<Leadership>,
}

impl Quorum<MetadataMachine> for Seat {
    fn propose(&self, request: Request) -> Agreed<'_, freshet_metadata::Reply> {
        let undecided = &self.council.undecided;
        let one_less = |left: usize| left.checked_sub(1);
        let reply = match undecided.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(QuorumError::Deposed),
            Err(_) => Ok(self.council.decide(request)),
        };
        Box::pin(std::future::ready(reply))
    }

    fn barrier(&self) -> Agreed<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn watch(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.image.clone()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }
}
