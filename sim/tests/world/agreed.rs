//! What the quorum has agreed to: one log, whoever wrote it, and the images that it makes.

use std::sync::{Arc, OnceLock};

use freshet_metadata::{MetadataImage, MetadataMachine, MetadataOptions, Record};
use freshet_settings::{StaticSettings, StaticSettingsBuilder};
use freshet_types::{Machine, Position, Published};

use crate::message::Entry;
use crate::world::SESSIONS;

/// See the module.
pub(crate) struct Agreed {
    entries: Vec<Arc<Entry>>,
    images: Vec<Arc<MetadataImage>>,
    machine: MetadataMachine,
}

pub(crate) fn statics() -> Arc<StaticSettings> {
    static STATICS: OnceLock<Arc<StaticSettings>> = OnceLock::new();
    let make = || Arc::new(StaticSettingsBuilder::default().finish().unwrap().0);
    Arc::clone(STATICS.get_or_init(make))
}

fn machine() -> MetadataMachine {
    MetadataMachine::new(MetadataOptions::of_cluster(statics(), SESSIONS))
}

impl Agreed {
    pub(crate) fn new() -> Self {
        let machine = machine();
        let empty = machine.publish(Position::START);
        Self {
            entries: Vec::new(),
            images: vec![empty],
            machine,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The image after so many entries.
    pub(crate) fn image(&self, len: usize) -> &Arc<MetadataImage> {
        &self.images[len]
    }

    /// The newest image.
    pub(crate) fn newest(&self) -> &Arc<MetadataImage> {
        &self.images[self.entries.len()]
    }

    pub(crate) fn entry(&self, at: usize) -> &Arc<Entry> {
        &self.entries[at]
    }

    /// One more is agreed to; gives its records.
    pub(crate) fn extend(&mut self, entry: &Arc<Entry>) {
        for record in &entry.records {
            self.machine.apply(record);
        }
        let image = match entry.records.is_empty() {
            true => Arc::clone(self.newest()),
            false => self.machine.publish(Position::START),
        };
        self.entries.push(Arc::clone(entry));
        self.images.push(image);
    }

    pub(crate) fn snapshot(&self) -> Vec<Record> {
        self.machine.snapshot()
    }

    /// A machine that knows all that is agreed, made as a node makes it that starts.
    pub(crate) fn copy(&self) -> MetadataMachine {
        let mut copy = machine();
        for record in self.snapshot() {
            copy.apply(&record);
        }
        copy
    }
}
