//! What the broker counts, in Prometheus' text form. Handles are resolved once; nothing on the hot
//! path looks a label up.

mod directory_page;
mod exposition;
mod kafka_pools_page;
mod kafka_tier_page;
mod log_page;
mod partition_page;
mod quorum_page;
mod replication_page;
mod tier_page;
mod topic_page;
mod unclean;

use std::sync::OnceLock;

use freshet_wire::{ApiKey, ErrorCode};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use crate::kafka::{Context, Lag, served};

pub(crate) use unclean::count as count_unclean_elections;

/// Codes below this are counted by name; Kafka's go to about 135.
const CODES: usize = 160;

/// All handles.
pub(crate) struct Metrics {
    registry: Registry,
    connections: IntGauge,
    /// Connections turned away by a limit.
    pub(crate) connections_refused: IntCounter,
    requests: Vec<IntCounter>,
    latency: Vec<Histogram>,
    errors: IntCounterVec,
    errors_by_code: [OnceLock<IntCounter>; CODES],
    produced_bytes: IntCounter,
    fetched_bytes: IntCounter,
    copied_bytes: IntCounter,
    request_bytes: IntCounter,
    frame_bytes: IntGauge,
    response_bytes: IntGauge,
    fetch_sessions: IntGauge,
    partitions: IntGauge,
    stuck_threads: IntGauge,
    unclean_elections: IntCounter,
    cluster: replication_page::Seen,
}

/// Upper bounds of latency buckets, seconds.
const LATENCY: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> C {
        let collector = made.expect("metric names are constants and legal");
        self.0
            .register(Box::new(collector.clone()))
            .expect("each metric is registered once");
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    /// Of requests, by API.
    fn latency(&self) -> HistogramVec {
        let opts = HistogramOpts::new(
            "freshet_request_seconds",
            "From request read to reply ready.",
        );
        self.keep(HistogramVec::new(opts.buckets(LATENCY.to_vec()), &["api"]))
    }
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let requests = make.keep(IntCounterVec::new(
            Opts::new("freshet_requests_total", "Requests received, by API."),
            &["api"],
        ));
        let latency = make.latency();
        let errors = make.keep(IntCounterVec::new(
            Opts::new(
                "freshet_errors_total",
                "Errors answered, by Kafka's name of the code.",
            ),
            &["error"],
        ));
        let keys = || served().map(|api| api.key).chain([ApiKey::Peer]);
        Self {
            connections: make.gauge("freshet_connections", "Open client connections."),
            connections_refused: make.counter(
                "freshet_connections_refused_total",
                "Connections closed at once because of max.connections or its per-ip form, or because \
                 file descriptors run out.",
            ),
            requests: by_key(keys(), |key| requests.with_label_values(&[key.name()])),
            latency: by_key(keys(), |key| latency.with_label_values(&[key.name()])),
            errors,
            errors_by_code: [const { OnceLock::new() }; CODES],
            produced_bytes: make.counter(
                "freshet_produced_bytes_total",
                "Bytes of batches received by Produce.",
            ),
            fetched_bytes: make.counter(
                "freshet_fetched_bytes_total",
                "Bytes of batches sent by Fetch to consumers.",
            ),
            copied_bytes: make.counter(
                "freshet_replication_sent_bytes_total",
                "Bytes of batches sent by Fetch to replicas.",
            ),
            request_bytes: make.counter(
                "freshet_request_bytes_total",
                "Bytes of all requests received.",
            ),
            frame_bytes: make.gauge(
                "freshet_request_memory_bytes",
                "Bytes of requests that are in memory.",
            ),
            response_bytes: make.gauge(
                "freshet_response_memory_bytes",
                "Bytes of records on their way to clients and replicas.",
            ),
            fetch_sessions: make
                .gauge("freshet_fetch_sessions", "Idle incremental fetch sessions."),
            partitions: make.gauge("freshet_partitions", "Partitions open on this broker."),
            stuck_threads: make.gauge(
                "freshet_stuck_threads",
                "Threads that have been at one piece of work for seconds.",
            ),
            unclean_elections: make.counter(
                "freshet_unclean_leader_elections_total",
                "Elections that may have lost records, decided by this node since it started.",
            ),
            cluster: replication_page::Seen::default(),
            registry,
        }
    }

    /// The request counter of an API.
    pub(crate) fn requests(&self, key: ApiKey) -> &IntCounter {
        &self.requests[slot(key)]
    }

    /// The latency histogram of an API.
    pub(crate) fn latency(&self, key: ApiKey) -> &Histogram {
        &self.latency[slot(key)]
    }

    /// Counts an error that a client is told.
    pub(crate) fn error(&self, code: ErrorCode) {
        let make = || self.errors.with_label_values(&[code.name()]);
        match usize::try_from(code.code())
            .ok()
            .and_then(|at| self.errors_by_code.get(at))
        {
            Some(slot) => slot.get_or_init(make).inc(),
            None => make().inc(),
        }
    }

    /// Counts a batch received.
    pub(crate) fn produced(&self, bytes: usize) {
        self.produced_bytes.inc_by(bytes as u64);
    }

    /// Counts batches sent to consumers, or to replicas.
    pub(crate) fn fetched(&self, bytes: usize, by_replica: bool) {
        let counter = if by_replica {
            &self.copied_bytes
        } else {
            &self.fetched_bytes
        };
        counter.inc_by(bytes as u64);
    }

    /// Counts a request's bytes.
    pub(crate) fn received(&self, bytes: usize) {
        self.request_bytes.inc_by(bytes as u64);
    }

    /// The exposition page. Gauges that mirror state are read here, not kept up to date.
    pub(crate) fn render(&self, context: &Context, lags: &[Lag]) -> String {
        self.sample(context);
        let mut page = Vec::new();
        let families = self.registry.gather();
        TextEncoder::new()
            .encode(&families, &mut page)
            .expect("writing to memory cannot fail");
        let open = context.partitions.all();
        let dirs = context.writers.dirs();
        for text in [
            directory_page::render(dirs, &open, &context.partitions),
            partition_page::render(open, lags),
            replication_page::render(context, &self.cluster),
            quorum_page::render(context),
            tier_page::render(&context.partitions),
            log_page::render(context.writers.metrics()),
            freshet_env::process::exposition(),
        ] {
            page.extend_from_slice(text.as_bytes());
        }
        String::from_utf8(page).expect("the text format is UTF-8")
    }

    fn sample(&self, context: &Context) {
        self.connections.set(signed(context.seats.taken() as u64));
        self.frame_bytes
            .set(signed(context.frame_budget.used_bytes() as u64));
        let response_bytes =
            context.response_budget.used_bytes() + context.replica_budget.used_bytes();
        self.response_bytes.set(signed(response_bytes as u64));
        self.fetch_sessions
            .set(signed(context.session_count() as u64));
        self.partitions
            .set(signed(context.partitions.all().len() as u64));
        let stuck = freshet_env::watch::stuck();
        self.stuck_threads.set(signed(stuck as u64));
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn slot(key: ApiKey) -> usize {
    if key == ApiKey::Peer {
        // Behind Kafka's: its own key is far away.
        return ApiKey::ALL.len();
    }
    usize::try_from(key.code()).expect("API keys are not negative")
}

/// One handle per API key, indexed by the key.
fn by_key<T: Clone>(keys: impl Iterator<Item = ApiKey>, make: impl Fn(ApiKey) -> T) -> Vec<T> {
    let mut made: Vec<Option<T>> = Vec::new();
    for key in keys {
        if made.len() <= slot(key) {
            made.resize(slot(key) + 1, None);
        }
        made[slot(key)] = Some(make(key));
    }
    let any = made
        .iter()
        .flatten()
        .next()
        .cloned()
        .expect("some API is served");
    made.into_iter()
        .map(|handle| handle.unwrap_or_else(|| any.clone()))
        .collect()
}
