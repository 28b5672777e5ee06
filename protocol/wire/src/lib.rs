//! Every Kafka API as declared structs, one file each.
