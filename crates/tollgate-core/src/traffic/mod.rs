//! What passes through: which dialect a request speaks, what it asks for, and what its answer used.
//!
//! Everything here reads bytes once, in any pieces, with memory that has a bound, and never fails: a body that can't be
//! understood still yields an estimate. Places in JSON are found by path, never by text, because a prompt may hold
//! anything, also the words this module looks for.
//!
//! A dialect is one file of wanted places in [`dialects`] and one line in the table there; the code that reads requests
//! and responses knows fields, not dialects.

mod ask_usage;
mod base64;
mod boundaries;
pub mod dialect;
mod dialects;
pub mod endpoint;
pub mod estimate;
mod event_stream;
mod fields;
pub mod json;
mod meter;
pub mod request;
mod response;
mod short;
mod sse;
mod strip_usage;
pub mod usage;

pub use ask_usage::ask_usage;
pub(crate) use base64::Decoder;
pub use boundaries::{Boundaries, Form};
pub use dialect::Dialect;
pub use endpoint::Endpoint;
pub use estimate::Estimator;
pub use request::{RequestFacts, inspect_request};
pub use strip_usage::UsageStripper;
pub use usage::{Observed, ResponseParser, Usage};
