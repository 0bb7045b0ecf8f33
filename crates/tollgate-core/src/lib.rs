//! Tollgate's limiter: pure and sans-io.
//!
//! Time and shared storage are arguments. Core knows no clock, no Envoy, no network and no file, so that everything
//! it decides can be simulated.

pub mod policy;
