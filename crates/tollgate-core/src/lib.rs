//! Tollgate's limiter: pure and sans-io.
//!
//! Time and shared storage are arguments. Core knows no clock, no Envoy, no network and no file, so that everything
//! it decides can be simulated.

pub mod answer;
pub mod billing;
pub mod decided;
pub mod hash;
pub mod lease;
pub mod limit;
pub mod limiter;
pub mod load;
pub mod outbox;
pub mod policy;
pub mod price;
pub mod record;
pub mod room;
pub mod share;
pub mod store;
pub mod time;
pub mod traffic;
mod zones;
