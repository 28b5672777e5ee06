//! What the operator counts, for Prometheus.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All metrics of the operator.
pub(crate) struct Metrics {
    registry: Registry,
    at_work: IntGauge,
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    under_way: IntGaugeVec,
    last: GaugeVec,
    resources: IntGaugeVec,
    writes: IntCounterVec,
    restarts: IntCounterVec,
    topics: IntCounterVec,
    drift: IntCounter,
}

/// What was done to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicChange {
    Created,
    Configured,
    Widened,
    Replicated,
    Deleted,
}

impl TopicChange {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Widened => "widened",
            Self::Replicated => "replicated",
            Self::Deleted => "deleted",
        }
    }
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let made = made.expect("names are sound");
        let registered = self.0.register(Box::new(made.clone()));
        registered.expect("each name once");
        made
    }

    fn counter(&self, name: &str, about: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, about), labels))
    }

    fn gauge(&self, name: &str, about: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, about), labels))
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let at_work = IntGauge::new(
            "freshet_operator_at_work",
            "1 for the operator that works, 0 for one that waits for the Lease.",
        );
        let seconds = HistogramOpts::new(
            "freshet_operator_reconcile_seconds",
            "How long reconciles took.",
        );
        let seconds = seconds.buckets(vec![0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]);
        let last = Opts::new(
            "freshet_operator_last_success_seconds",
            "When a reconcile last went well, in seconds of the epoch.",
        );
        Self {
            at_work: make.keep(at_work),
            reconciles: make.counter(
                "freshet_operator_reconciles_total",
                "Reconciles that ended, by how.",
                &["kind", "result"],
            ),
            under_way: make.gauge(
                "freshet_operator_reconciles_under_way",
                "Reconciles that have begun and not ended.",
                &["kind"],
            ),
            resources: make.gauge(
                "freshet_operator_resources",
                "Objects by their Ready condition.",
                &["kind", "ready"],
            ),
            writes: make.counter(
                "freshet_operator_writes_total",
                "Writes to the API server, by kind of object.",
                &["kind"],
            ),
            topics: make.counter(
                "freshet_operator_topic_changes_total",
                "Changes made to topics, by what was done.",
                &["change"],
            ),
            drift: make.keep(IntCounter::new(
                "freshet_operator_topic_drift_reverted_total",
                "Topics that somebody else had changed, and that were set back.",
            )),
            restarts: make.counter(
                "freshet_operator_restarts_total",
                "Pods restarted, by reason.",
                &["reason"],
            ),
            seconds: make.keep(HistogramVec::new(seconds, &["kind"])),
            last: make.keep(GaugeVec::new(last, &["kind"])),
            registry,
        }
    }

    /// This operator works from now on.
    pub(crate) fn at_work(&self) {
        self.at_work.set(1);
    }

    /// A reconcile has begun.
    pub(crate) fn begin(&self, kind: &str) {
        self.under_way.with_label_values(&[kind]).inc();
    }

    /// It has ended, at `now` (seconds of the epoch), in `took`; `result` is `ok` or a word for the failure.
    pub(crate) fn end(&self, kind: &str, result: &str, took: Duration, now: f64) {
        self.under_way.with_label_values(&[kind]).dec();
        self.reconciles.with_label_values(&[kind, result]).inc();
        self.seconds
            .with_label_values(&[kind])
            .observe(took.as_secs_f64());
        if result == "ok" {
            self.last.with_label_values(&[kind]).set(now);
        }
    }

    /// How many objects of a kind are ready, and are not.
    pub(crate) fn resources(&self, kind: &str, ready: usize, other: usize) {
        let set = |label, count| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.resources.with_label_values(&[kind, label]).set(count);
        };
        set("true", ready);
        set("false", other);
    }

    /// Something was written to the API server.
    pub(crate) fn wrote(&self, kind: &str) {
        self.writes.with_label_values(&[kind]).inc();
    }

    /// A pod was restarted.
    pub(crate) fn restarted(&self, reason: &str) {
        self.restarts.with_label_values(&[reason]).inc();
    }

    /// A topic was changed.
    pub(crate) fn topic_changed(&self, change: TopicChange) {
        self.topics.with_label_values(&[change.word()]).inc();
    }

    /// What somebody else had changed on a topic was set back.
    pub(crate) fn drift_reverted(&self) {
        self.drift.inc();
    }

    /// All of it, and what the process uses, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing into memory fails only for names that no test would pass.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default() + &freshet_env::process::exposition()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each metric with all that it can have.
    fn all() -> String {
        let metrics = Metrics::new();
        metrics.at_work();
        metrics.begin("Topic");
        metrics.end("Topic", "ok", Duration::from_secs(1), 1.0);
        metrics.resources("Topic", 1, 0);
        metrics.wrote("Topic");
        metrics.restarted("Config");
        metrics.topic_changed(TopicChange::Created);
        metrics.render()
    }

    #[test]
    fn dashboards_and_alerts_ask_for_what_is_counted() {
        let files = [
            include_str!("../../charts/freshet-operator/dashboards/operator.json"),
            include_str!("../../charts/freshet-operator/rules/operator.yaml"),
        ];
        let page = all();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let known: BTreeSet<&str> = samples
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let is_asked = |word: &&str| {
            ["freshet_", "process_"]
                .iter()
                .any(|start| word.starts_with(start))
        };
        for file in files {
            let words = file.split(|c| !is_name(c));
            let asked: BTreeSet<&str> = words.filter(is_asked).collect();
            assert!(!asked.is_empty());
            for name in asked {
                assert!(known.contains(name), "nobody counts {name}: {known:?}");
            }
        }
    }
}
