//! One partition alive: leader, readers, waiters; host of the state machines.
