//! The Freshet broker.

fn main() {}
