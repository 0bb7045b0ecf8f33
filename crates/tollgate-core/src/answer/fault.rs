//! What went wrong, in no API's words: the one form that every shape is written from.

use crate::limiter::{Refusal, Why};
use crate::policy::{Attributes, Kind, Limit, Meter, Policy};

use super::retry::Again;
use super::{Asker, Rejection, words};

/// What kind of fault it is. Shapes have a name of their own for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A rate is used up, or too much is in flight: soon there will be more.
    RateLimited,
    /// A budget is used up: there will be more, but not soon.
    QuotaExceeded,
    /// The request is larger than the limit will ever be.
    TooLarge,
    /// Nobody is known to charge.
    Unauthenticated,
    /// The consumer is suspended.
    Suspended,
    /// The consumer may not use this.
    NotEntitled,
    /// The model is not served here.
    UnknownModel,
    /// The body is larger than what is read.
    BodyTooLarge,
    /// Nothing is wrong with the request; there is no room for it now.
    Unavailable,
}

impl Class {
    /// The status in HTTP's own terms.
    pub const fn status(self) -> u16 {
        match self {
            Self::RateLimited | Self::QuotaExceeded | Self::TooLarge => 429,
            Self::Unauthenticated => 401,
            Self::Suspended | Self::NotEntitled => 403,
            Self::UnknownModel => 400,
            Self::BodyTooLarge => 413,
            Self::Unavailable => 503,
        }
    }
}

/// A fault, ready to be written in any shape.
#[derive(Clone, Debug)]
pub(super) struct Fault<'a> {
    pub class: Class,
    /// For people: the reason and, for a limit, its use, when to come again and how to get more.
    pub message: String,
    /// When to come again.
    pub again: Again,
    /// The limit that binds.
    pub limit: Option<&'a Limit>,
    /// Units there are at most, of that limit.
    pub most: u64,
    /// The model asked for; may be empty.
    pub model: &'a str,
    /// The JSON-RPC id to answer to, as JSON.
    pub rpc_id: Option<&'a str>,
}

impl<'a> Fault<'a> {
    pub fn new(
        policy: &'a Policy,
        asker: Asker<'a>,
        request: &Attributes<'a>,
        rejection: Rejection<'_>,
        jitter: u64,
    ) -> Self {
        let (limit, most) = match rejection {
            Rejection::Limit(refusal) => (policy.limit(refusal.limit), refusal.most),
            _ => (None, 0),
        };
        let (class, again) = match rejection {
            Rejection::Limit(refusal) => {
                let again = Again::of(refusal.wait_ns, jitter);
                (limited(refusal, limit, again), again)
            }
            Rejection::Unidentified => (Class::Unauthenticated, Again::Never),
            Rejection::Suspended(_) => (Class::Suspended, Again::Never),
            Rejection::NotEntitled { .. } => (Class::NotEntitled, Again::Never),
            Rejection::UnknownModel(_) => (Class::UnknownModel, Again::Never),
            Rejection::BodyTooLarge(_) => (Class::BodyTooLarge, Again::Never),
            Rejection::Shed(wait_ns) => (Class::Unavailable, Again::of(Some(wait_ns), jitter)),
            Rejection::Undecided => {
                (Class::Unavailable, Again::of(Some(crate::time::NANOS_PER_SECOND), jitter))
            }
        };
        let message = words::message(policy, request, rejection);
        Self { class, message, again, limit, most, model: request.model, rpc_id: asker.rpc_id }
    }

    /// True when requests are what the limit counts, false when it is tokens or money.
    pub fn counts_requests(&self) -> bool {
        self.limit.is_none_or(|limit| limit.meter == Meter::Requests)
    }
}

fn limited(refusal: &Refusal, limit: Option<&Limit>, again: Again) -> Class {
    let is_quota = limit.is_some_and(|limit| matches!(limit.kind, Kind::Quota { .. }));
    match (refusal.why, again) {
        (Why::TooLarge, _) => Class::TooLarge,
        (Why::Unleased | Why::Unreachable, _) => Class::Unavailable,
        (_, Again::Soon { .. }) => Class::RateLimited,
        _ if is_quota => Class::QuotaExceeded,
        _ => Class::RateLimited,
    }
}
