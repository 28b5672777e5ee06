//! Black-box tests: real clients, real processes, faults.
