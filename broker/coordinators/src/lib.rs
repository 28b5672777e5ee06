//! Pure coordinators: groups and their offsets.
