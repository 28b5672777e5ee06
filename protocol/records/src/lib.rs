//! Record batch v2: the one format that is both wire and disk.
