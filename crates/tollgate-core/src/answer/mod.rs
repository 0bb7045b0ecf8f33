//! What a client reads: refusals in the shape of its own API, and how its limits stand.
//!
//! A rejection is first a [`fault::Fault`], in no API's words; a [`Shape`] then writes it as the API would. When to come
//! again is told once (`retry`), in every header that some official client obeys.

mod cut;
mod fault;
mod own;
mod retry;
mod shapes;
mod standing;
mod words;

pub use cut::cut;
pub use own::own;
pub use shapes::Shape;
pub use standing::{announce, standing};

use crate::limiter::{Refusal, Status};
use crate::policy::{Attributes, Policy};
use crate::time::Now;
use crate::traffic::Dialect;
use fault::Fault;

/// A response instead of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker<'a> {
    /// The error shape it understands.
    pub shape: Shape,
    /// The JSON-RPC id of its request, as it stands in the body; None where there is none.
    pub rpc_id: Option<&'a str>,
}

impl From<Option<Dialect>> for Asker<'_> {
    fn from(dialect: Option<Dialect>) -> Self {
        Self { shape: Shape::of(dialect), rpc_id: None }
    }
}

/// Why a request is answered without its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection<'a> {
    /// A limit binds: 429.
    Limit(&'a Refusal),
    /// Nobody to charge: 401.
    Unidentified,
    /// An operator has suspended the consumer: 403. The reason may be empty.
    Suspended(&'a str),
    /// The consumer's tier does not list what it asks for: 403.
    NotEntitled {
        /// What kind of thing it is: `model`, `tool`.
        what: &'static str,
        /// Its name.
        name: &'a str,
    },
    /// The model has no price: 400.
    UnknownModel(&'a str),
    /// The body is larger than this many bytes, the most that is read: 413.
    BodyTooLarge(u64),
    /// Too much is under way, and this request mattered least: 503. When to come again, in nanoseconds.
    Shed(u64),
    /// No decision was reached: 503.
    Undecided,
}

/// Writes the answer. `jitter` is any number: it spreads the waits of clients that were refused together by up to a
/// tenth, because they all sleep exactly what they are told.
pub fn refuse(
    policy: &Policy,
    asker: Asker<'_>,
    request: &Attributes<'_>,
    rejection: Rejection<'_>,
    now: Now,
    jitter: u64,
) -> Answer {
    let (shape, fault) = (asker.shape, Fault::new(policy, asker, request, rejection, jitter));
    let mut headers = Vec::with_capacity(12);
    headers.push(("content-type", shape.content_type().into()));
    retry::tell(shape, &fault, &mut headers);
    if let (Rejection::Limit(refusal), Some(limit)) = (rejection, fault.limit) {
        headers.push(("x-tollgate-limit", limit.name.clone()));
        let Refusal { limit, most, remaining, reset_ns, .. } = *refusal;
        let status = Status { limit, most, remaining, reset_ns };
        standing(policy, shape, &[status], now, &mut headers);
    }
    shape.add_headers(&fault, &mut headers);
    Answer { status: shape.status(fault.class), headers, body: shape.body(&fault).to_string() }
}

#[cfg(test)]
mod tests;
