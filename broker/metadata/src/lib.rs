//! Pure metadata machine: topics, configs, brokers, producer id blocks.
