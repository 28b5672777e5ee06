//! Fake worlds for tests: a disk that tears, loses and lies; scenarios; checkers. Never shipped.
