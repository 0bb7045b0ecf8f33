//! A limit, compiled: what it counts, how much, for whom, and where its balance stands.

use crate::lease::Terms;
use crate::limit::{Allowance, Rate, Span, percent_of};
use crate::time::NANOS_PER_SECOND;

use super::attributes::{Attributes, Condition};
use super::config::{Dimension, MidStream, Violation};

pub use super::config::Meter;

/// How a limit limits. Amounts are in the meter's unit: requests, tokens, nano-dollars, millionths of a credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token bucket.
    Rate(Rate),
    /// A sliding window.
    Window(Span),
    /// A budget per calendar window.
    Quota {
        /// Units per window.
        limit: u64,
        /// Index of the policy's calendar.
        calendar: usize,
    },
    /// Most requests in flight.
    Concurrency(u64),
    /// Most that one request may ask for. It has no state.
    PerRequest(u64),
    /// Most megabytes a model server may report.
    Memory(u64),
}

/// A limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// What is counted; requests for concurrency.
    pub meter: Meter,
    /// How it limits.
    pub kind: Kind,
    /// What it is while the models are strained, if that is another.
    pub tight: Option<Tight>,
    /// What a violation does.
    pub violation: Violation,
    /// Units beyond a rate, once.
    pub allowance: Option<Allowance>,
    /// Of a quota or a rate that is one balance for all Envoys: how it is used here.
    pub global: Option<Terms>,
    /// The route policy it stands in; empty for a limit of a tier or of everybody.
    pub policy: String,
    /// Longest wait that throttling imposes, in nanoseconds; 0 unless it throttles.
    pub max_wait_ns: u64,
    /// Seconds from a first violation in which requests still pass.
    pub grace_s: u32,
    /// What becomes of a stream that outgrows what the limit has reserved for it; off for what no stream outgrows.
    pub mid_stream: MidStream,
    /// What shares one balance, without repetition, in the order of [`Dimension`].
    pub(super) key: Vec<Dimension>,
    pub(super) when: Vec<Condition>,
    /// Hash of the name and kind: names the cell in an account.
    pub(super) id: u32,
}

/// A limit while the models are strained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tight {
    /// A rate: as long to fill as the whole one, so that a bucket stays as full as it is when one takes the other's place.
    Rate(Rate),
    /// A window.
    Window(Span),
}

impl Limit {
    /// The rate that holds where `rate` is the whole one: another while limits are tightened, if it has one.
    pub(crate) const fn rate_when<'l>(&'l self, tight: bool, rate: &'l Rate) -> &'l Rate {
        match &self.tight {
            Some(Tight::Rate(tightened)) if tight => tightened,
            _ => rate,
        }
    }

    /// The window that holds where `span` is the whole one.
    pub(crate) const fn window_when<'l>(&'l self, tight: bool, span: &'l Span) -> &'l Span {
        match &self.tight {
            Some(Tight::Window(tightened)) if tight => tightened,
            _ => span,
        }
    }

    /// So many percent of the limit: of its amount, of a rate also of its burst and its allowance, and never less than one unit.
    pub(crate) fn scaled(&self, percent: u32) -> Self {
        let units = |units| percent_of(units, percent);
        let rate = |rate: &Rate| scaled_rate(rate, percent);
        let kind = match &self.kind {
            Kind::Rate(whole) => Kind::Rate(rate(whole)),
            Kind::Window(span) => Kind::Window(span.scaled(percent)),
            Kind::Quota { limit, calendar } => Kind::Quota { limit: units(*limit), calendar: *calendar },
            Kind::Concurrency(most) => Kind::Concurrency(units(*most)),
            Kind::PerRequest(most) => Kind::PerRequest(units(*most)),
            Kind::Memory(most) => Kind::Memory(units(*most)),
        };
        let tight = self.tight.map(|tight| match tight {
            Tight::Rate(tightened) => Tight::Rate(rate(&tightened)),
            Tight::Window(span) => Tight::Window(span.scaled(percent)),
        });
        let allowance =
            self.allowance.map(|allowance| Allowance { amount: units(allowance.amount), ..allowance });
        Self { kind, tight, allowance, ..self.clone() }
    }

    /// True when the limit is about this request.
    pub(super) fn applies(&self, request: &Attributes<'_>) -> bool {
        self.when.iter().all(|condition| condition.holds(request))
    }

    /// What shares one balance.
    pub fn key(&self) -> &[Dimension] {
        &self.key
    }

    /// Most units: the burst of a rate, the amount of a quota.
    pub const fn most(&self) -> u64 {
        match &self.kind {
            Kind::Rate(rate) => rate.burst(),
            Kind::Window(span) => span.amount(),
            Kind::Quota { limit, .. }
            | Kind::Concurrency(limit)
            | Kind::PerRequest(limit)
            | Kind::Memory(limit) => *limit,
        }
    }

    /// What kind of violation it knows, in metrics: its own kind, or which memory.
    pub const fn label(&self) -> &'static str {
        match (&self.kind, self.meter) {
            (Kind::Memory(_), Meter::Ssd) => "ssd",
            (Kind::Memory(_), _) => "ram",
            (kind, _) => kind.label(),
        }
    }

    /// True when a request is counted when it is admitted, and there is nothing to settle.
    pub(crate) fn is_counted_at_once(&self) -> bool {
        let leased = self.global.is_some() && matches!(self.kind, Kind::Quota { .. });
        self.meter == Meter::Requests && !leased && !matches!(self.kind, Kind::Concurrency(_))
    }

    /// Hash of the name and kind.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }
}

/// Exactly so much of it where that can be counted, else a little less. A bucket stays as full as it is.
fn scaled_rate(rate: &Rate, percent: u32) -> Rate {
    rate.scaled(percent).or_else(|| rate.share(percent.saturating_mul(10_000))).unwrap_or(*rate)
}

impl Kind {
    /// The period of a rate or the length of a sliding window, in seconds.
    pub(crate) fn window_s(&self) -> Option<u64> {
        match self {
            Self::Rate(rate) => Some((rate.period_ns() / NANOS_PER_SECOND).max(1)),
            Self::Window(span) => Some(span.period_s().into()),
            _ => None,
        }
    }

    /// The kind's name in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Rate(_) => "rate",
            Self::Quota { .. } => "quota",
            Self::Concurrency(_) => "concurrency",
            Self::PerRequest(_) => "per_request",
            Self::Window(_) => "window",
            Self::Memory(_) => "memory",
        }
    }
}
