//! What the ledger counts of itself, for Prometheus. Labels have few values: never a consumer, a model or a path.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::AppState;
use crate::store::Applied;

/// How a sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncResult {
    /// Entered.
    Applied,
    /// Carried no tallies: somebody came for balances, or to say hello.
    Opening,
    /// Was entered before.
    Repeated,
    /// Came under a number of other tallies.
    Conflict,
    /// Was not a valid batch.
    Rejected,
    /// Had no right to.
    Unauthorized,
    /// The store could not.
    Unavailable,
}

impl SyncResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Opening => "opening",
            Self::Repeated => "repeated",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabel {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    syncs: Family<ResultLabel, Counter>,
    entries: Family<ResultLabel, Counter>,
    alerts: Family<AlertLabel, Counter>,
    cost_nusd: Counter,
    batch_tallies: Histogram,
    commit_seconds: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram>,
}

/// 0.5 ms to 8 s: a commit takes a flush of the disk, a report a scan.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 15))
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tollgate_ledger");
        let metrics = Self {
            syncs: Family::default(),
            entries: Family::default(),
            alerts: Family::default(),
            cost_nusd: Counter::default(),
            batch_tallies: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            commit_seconds: seconds(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            registry: Registry::default(),
        };
        registry.register("syncs", "Batches received, by how they ended", metrics.syncs.clone());
        registry.register("entries", "Tallies, by whether they were new", metrics.entries.clone());
        registry.register("alerts", "Alerts fired, by kind of rule", metrics.alerts.clone());
        registry.register("cost_nanodollars", "Cost of the entries made", metrics.cost_nusd.clone());
        registry.register(
            "batch_tallies",
            "Tallies in a batch that was entered",
            metrics.batch_tallies.clone(),
        );
        registry.register(
            "commit_seconds",
            "From a batch's arrival to its commit",
            metrics.commit_seconds.clone(),
        );
        registry.register("requests", "HTTP requests, by route and status", metrics.requests.clone());
        registry.register("request_seconds", "Time to answer, by route", metrics.request_seconds.clone());
        Self { registry, ..metrics }
    }

    /// The figures as OpenMetrics text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string can't fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    pub(super) fn sync(&self, result: SyncResult) {
        self.syncs.get_or_create(&ResultLabel { result: result.as_str() }).inc();
    }

    pub(super) fn unauthorized(&self) {
        self.sync(SyncResult::Unauthorized);
    }

    pub(super) fn applied(&self, tallies: usize, applied: &Applied, opening: bool) {
        if opening {
            self.sync(SyncResult::Opening);
            return;
        }
        self.sync(SyncResult::Applied);
        self.batch_tallies.observe(tallies as f64);
        self.entries.get_or_create(&ResultLabel { result: "inserted" }).inc_by(applied.inserted);
        self.entries.get_or_create(&ResultLabel { result: "duplicate" }).inc_by(applied.duplicates);
        self.cost_nusd.inc_by(applied.cost_nusd.0);
        for alert in &applied.alerts {
            let kind = alert.rule.split('/').next().unwrap_or_default().to_owned();
            self.alerts.get_or_create(&AlertLabel { kind }).inc();
        }
    }

    /// Starts to measure a commit.
    pub(super) fn commit_timer(&self) -> Timer<'_> {
        Timer { since: Instant::now(), histogram: &self.commit_seconds }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A measurement that counts when it is observed.
pub(super) struct Timer<'a> {
    since: Instant,
    histogram: &'a Histogram,
}

impl Timer<'_> {
    pub(super) fn observe(self) {
        self.histogram.observe(self.since.elapsed().as_secs_f64());
    }
}

/// Counts a request under the route it matched, so that paths made up by clients are one label.
pub(super) async fn measure(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    app.metrics.requests.get_or_create(&RequestLabels { route: route.clone(), status }).inc();
    app.metrics.request_seconds.get_or_create(&RouteLabel { route }).observe(since.elapsed().as_secs_f64());
    response
}
