//! A broker's life in its cluster: it registers, keeps its session alive, and leaves in order.
//!
//! ```text
//!              answered, epoch on every disk         ready, caught up
//! Registering ──────────────────────────────► Fenced ───────────────► Serving
//!      ▲                                        ▲                        │
//!      │ the controller knows another process   └── fenced by the ───────┤
//!      │ of this number, or none                    controller           │ leave
//!      └──────────────────────────────────────────────────────── Leaving ◄
//! ```
//!
//! [`course`] decides what is done next: pure, so that every turn of it is a line in a table. [`body`]
//! does it, one thing at a time: a heartbeat is sent when the one before was answered or given up. One
//! that was given up may still arrive later than its successor, on another connection.
//! [`past`] derives what the controller may believe of the copies on the disks.
//!
//! docs/controller.md says what the controller makes of it, and counts the milliseconds.

mod body;
mod course;
mod error;
mod health;
mod past;

pub use body::{Applied, Lifecycle, LifecycleParts, Registration};
pub use course::{Beat, Course, End, Heard, LifeState, Pace, Shown, Step, Unheard};
pub use error::LifeError;
pub use past::past_life;
