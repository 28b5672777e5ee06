//! The replicated metadata log behind one narrow trait.
