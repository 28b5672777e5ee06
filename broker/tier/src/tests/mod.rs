//! What the machine decides, as tables; bytes; and a world that lives with it.

mod adoption;
mod bytes;
mod decisions;
mod exported;
mod golden;
mod lookups;
mod reads;
mod support;
mod world;
